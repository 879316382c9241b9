"""Tensors saved by torch (.pt, .pth, .pkl): zip archives and the form before torch 1.6, read without torch.

Python's and torch's unpicklers are never called: the pickle inside is read as data, every storage and stride is checked
against the bytes there are, and the checksums of the archive, which torch does not compare, are compared.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wtal_fast.data.formats.archive import Member, read_directory
from wtal_fast.data.formats.arrays import ArrayRef, native
from wtal_fast.data.formats.numpy_objects import BUILDERS, Tree, ordered_dict
from wtal_fast.data.formats.pickled import Buildable, Machine, Name, Refused
from wtal_fast.data.formats.source import DAMAGED, open_file, read_exactly
from wtal_fast.errors import InputError

LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
FIX = "save model.state_dict() or a dictionary of dense tensors"
_BFLOAT16 = "bfloat16"  # unknown to NumPy: read as float32, which holds every such number
_TYPES = {"float32": "f4", "float64": "f8", "float16": "f2", "int64": "i8", "int32": "i4", "int16": "i2", "int8": "i1",
          "uint8": "u1", "bool": "?", _BFLOAT16: "u2"}
_STORAGES = {"FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "LongStorage": "int64",
             "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8",
             "BoolStorage": "bool", "BFloat16Storage": _BFLOAT16}


@dataclass
class Storage(Buildable):
    """The numbers of one or several tensors: `count` of type `kind` (None: bytes of any), from byte `start` of the file
    once known. member: its record in an archive, whose checksum is compared once."""

    kind: str | None
    key: str
    count: int
    start: int = 0
    member: Member | None = None
    order: str = "<"
    checked: bool = False

    def read(self, path: Path, first: int, into: np.ndarray) -> None:
        """Fills `into` with the bytes from `first` on."""
        if self.member is not None and not self.checked:
            self.member.check()
            self.checked = True
        with open_file(path) as (file, _):
            try:
                read_exactly(file, self.start + first, into.view(np.uint8) if len(into) else b"")
            except EOFError as error:
                raise InputError(path, expected="a whole file", found=str(error), fix=DAMAGED) from None


@dataclass
class Tensor(Buildable):
    """A dense view of a storage: `shape` with `strides` from element `offset`."""

    storage: Storage
    kind: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def plain(self, tree: Tree, depth: int) -> ArrayRef:
        """The tensor as ArrayRef."""
        storage, stored = self.storage, np.dtype(self.storage.order + _TYPES[self.kind])
        available = storage.count if storage.kind is not None else storage.count // stored.itemsize
        reach = self.offset + sum((extent - 1) * step for extent, step in zip(self.shape, self.strides, strict=True))
        if math.prod(self.shape) and reach >= available or math.prod(self.shape) > available:
            raise Refused(f"a dense tensor within the {available} numbers of its storage",
                          f"shape {list(self.shape)}, strides {list(self.strides)}")
        dtype = np.dtype("f4") if self.kind == _BFLOAT16 else stored
        return TensorArray(tree.path, "", self.shape, dtype, storage, stored, self.offset, self.strides)


@dataclass(frozen=True)
class TensorArray(ArrayRef):
    """A tensor in a file: numbers of type `stored` in `storage`, from element `offset` with `strides`."""

    storage: Storage
    stored: np.dtype
    offset: int
    strides: tuple[int, ...]

    def read(self) -> np.ndarray:
        reach = sum((extent - 1) * step for extent, step in zip(self.shape, self.strides, strict=True)) + 1
        values = np.empty(reach if math.prod(self.shape) else 0, self.stored)
        self.storage.read(self.path, self.offset * self.stored.itemsize, values)
        order = _order(self.shape, self.strides)
        if order is not None or not len(values):
            values = values.reshape(self.shape, order=order or "C")
        else:
            steps = [step * self.stored.itemsize for step in self.strides]
            values = np.array(np.lib.stride_tricks.as_strided(values, self.shape, steps), order="C")
        if self.dtype == self.stored:
            return native(values)
        return (native(values).astype(np.uint32) << 16).view(np.float32)

    def map(self) -> np.ndarray:
        if not self.mappable:
            return self.read()
        start = self.storage.start + self.offset * self.stored.itemsize
        return np.memmap(self.path, self.stored, "r", start, self.shape, _order(self.shape, self.strides))

    @property
    def mappable(self) -> bool:
        return self.dtype == self.stored and self.nbytes > 0 and _order(self.shape, self.strides) is not None


def _order(shape: tuple[int, ...], strides: tuple[int, ...]) -> str | None:
    """ "C" or "F" for a tensor without gaps, None for others."""
    for order, axes in (("C", range(len(shape) - 1, -1, -1)), ("F", range(len(shape)))):
        step = 1
        for axis in axes:
            if shape[axis] != 1 and strides[axis] != step:
                break
            step *= shape[axis]
        else:
            return order
    return None


def _naturals(value, what: str) -> tuple[int, ...]:
    if not isinstance(value, tuple) or len(value) > 32 \
            or not all(type(number) is int and 0 <= number < 2**48 for number in value):
        raise Refused(f"the {what} of a tensor", "others")
    return value


def _tensor(arguments: tuple, kind: str | None = None) -> Tensor:
    storage, offset, shape, strides = arguments[:4]
    kind = kind or (storage.kind if isinstance(storage, Storage) else None)
    shape, strides = _naturals(shape, "shape"), _naturals(strides, "strides")
    if not isinstance(storage, Storage) or kind is None or storage.kind not in (None, kind) \
            or len(shape) != len(strides):
        raise Refused("a storage, shape and strides", "others")
    return Tensor(storage, kind, _naturals((offset,), "offset")[0], shape, strides)


def _tensor_of_type(arguments: tuple) -> Tensor:
    name = arguments[6].name.removeprefix("torch.") if isinstance(arguments[6], Name) else None
    if name not in _TYPES:
        raise Refused("a tensor of numbers", "another type")
    return _tensor(arguments, name)


def _parameter(arguments: tuple) -> Tensor:
    if not arguments or not isinstance(arguments[0], Tensor):
        raise Refused("a tensor", "another value")
    return arguments[0]


def _size(arguments: tuple) -> tuple[int, ...]:
    return _naturals(*arguments, "shape") if len(arguments) == 1 else ()


TORCH_BUILDERS: Mapping[str, Callable[[tuple], object] | None] = BUILDERS | {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_type,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": _size,
    "torch.storage.UntypedStorage": None,
    "collections.OrderedDict": ordered_dict,
    **{f"torch.{name}": None for name in (*_STORAGES, *_TYPES)},
}


def read_torch_archive(path: Path):
    """The value in a zip archive of torch.save, tensors as ArrayRef."""
    members = {member.name: member for member in read_directory(path, "a file saved by torch")}
    pickles = [name for name in members if name.rpartition("/")[2] == "data.pkl"]
    if len(pickles) != 1:
        raise InputError(path, expected="an archive with one data.pkl", found=f"{len(pickles)}", fix=FIX)
    prefix = pickles[0].removesuffix("data.pkl")
    if f"{prefix}constants.pkl" in members:
        raise InputError(path, expected="saved tensors", found="a TorchScript program", fix=FIX)
    endian = members[f"{prefix}byteorder"].read().tobytes() if f"{prefix}byteorder" in members else b"little"
    storages: dict[str, Storage] = {}

    def storage_of(identity) -> Storage:
        storage = _storage(identity, storages)
        member = members.get(f"{prefix}data/{storage.key}")
        width = np.dtype(_TYPES[storage.kind]).itemsize if storage.kind else 1
        if member is None or member.deflated or member.size != storage.count * width:
            raise Refused(f"a stored record data/{storage.key} of {storage.count * width} bytes",
                          "none" if member is None else f"{member.size} bytes")
        storage.member, storage.start = member, member.start
        storage.order = ">" if endian == b"big" else "<"
        return storage

    data = members[pickles[0]].read().tobytes()
    try:
        machine = Machine(data, 0, TORCH_BUILDERS, storage_of)
        return Tree(path, False, len(data)).plain(machine.run())
    except Refused as error:
        raise InputError(path, "data.pkl", expected=error.expected, found=error.found, fix=FIX) from None


def _storage(identity, storages: dict[str, Storage]) -> Storage:
    """The storage of a persistent id ("storage", type, key, device, numbers), the same object for the same key."""
    if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage" \
            or not isinstance(identity[1], Name) or not isinstance(identity[2], str) \
            or identity[5:] not in ((), (None,)):
        raise Refused("the storage of a tensor", "another persistent id")
    kind = _STORAGES.get(identity[1].name.removeprefix("torch."))
    if kind is None and identity[1].name != "torch.storage.UntypedStorage":
        raise Refused("a storage of numbers", identity[1].name)
    found = Storage(kind, identity[2], _naturals((identity[4],), "storage")[0])
    known = storages.setdefault(identity[2], found)
    if (known.kind, known.count) != (found.kind, found.count):
        raise Refused("one type and size for each storage", f"two for {ascii(found.key)[:40]}")
    return known


def read_torch_legacy(path: Path):
    """The value in a file of torch.save before version 1.6, tensors as ArrayRef. It has no checksums."""
    with open_file(path, "a file saved by torch") as (file, size):
        data = os.pread(file.fileno(), size, 0)
    storages: dict[str, Storage] = {}
    try:
        _, position = _pickle(data, len(LEGACY_MAGIC))
        system, position = _pickle(data, position)
        machine = Machine(data, position, TORCH_BUILDERS, functools.partial(_storage, storages=storages))
        value = machine.run()
        keys, position = _pickle(data, machine.position)
        if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(storages):
            raise Refused("the storages of its tensors", "others")
        little = not isinstance(system, dict) or system.get("little_endian", True)
        for key in keys:
            position = _place(storages[str(key)], data, position, "<" if little else ">")
        if position != size:
            raise Refused(f"the end of the file at byte {position}", f"{size} bytes")
        return Tree(path, False, size).plain(value)
    except Refused as error:
        raise InputError(path, expected=error.expected, found=error.found, fix=FIX) from None


def _pickle(data: bytes, start: int):
    machine = Machine(data, start, {})
    return machine.run(), machine.position


def _place(storage: Storage, data: bytes, position: int, order: str) -> int:
    """Notes where the storage lies in a legacy file and returns the byte after it."""
    count = int.from_bytes(data[position : position + 8], "little" if order == "<" else "big")
    end = position + 8 + storage.count * (np.dtype(_TYPES[storage.kind]).itemsize if storage.kind else 1)
    if count != storage.count or end > len(data):
        raise Refused(f"{storage.count} numbers for storage {ascii(storage.key)[:40]}",
                      f"{count}" if count != storage.count else "the end of the file")
    storage.start, storage.order = position + 8, order
    return end
