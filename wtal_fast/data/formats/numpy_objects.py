"""Pickled NumPy arrays and Python values around them: what numpy.save writes for object arrays, and .pkl files.

What comes out is numbers, text, bytes, lists, tuples, dictionaries and arrays of numbers or text. Object arrays become
lists. Arrays of files stay on disk until they are read.
"""

from __future__ import annotations

import functools
import math
import mmap
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wtal_fast.data.formats.arrays import LoadedArray, RawArray, native
from wtal_fast.data.formats.npy import plain_dtype
from wtal_fast.data.formats.pickled import Buildable, Machine, Name, Refused, Span
from wtal_fast.data.formats.source import open_file, read_exactly
from wtal_fast.errors import InputError

MAX_DEPTH = 16
MAPPED_BYTES = 2**20  # larger files are not copied to be parsed
FIX = "save plain arrays with numpy.save or numpy.savez, or lists and dictionaries of them"


@dataclass
class PickledType(Buildable):
    """numpy.dtype in a pickle. Of its state only the byte order is taken."""

    code: str
    swapped: bool = False

    def set_state(self, state) -> None:
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in tuple("<>|="):
            raise Refused("the state of a dtype", "another")
        if any(part is not None for part in state[2:5]):
            raise Refused("arrays of numbers, text or Python values", "a structured dtype")
        self.swapped = state[1] == ">"

    def dtype(self) -> np.dtype | None:
        """The type, or None for Python objects."""
        try:
            dtype = plain_dtype(self.code)
        except ValueError:
            raise Refused("arrays of numbers, text or Python values", f"dtype {ascii(self.code)[:40]}") from None
        return dtype.newbyteorder(">") if dtype is not None and self.swapped else dtype


@dataclass
class PickledArray(Buildable):
    """numpy.ndarray in a pickle: content is bytes, a Span, or the list of an object array."""

    shape: tuple[int, ...] | None = None
    dtype: np.dtype | None = None
    order: str = "C"
    content: object = None

    def set_state(self, state) -> None:
        if self.shape is not None or not isinstance(state, tuple) or len(state) not in (4, 5):
            raise Refused("the state of an array, once", "another")
        shape, dtype, fortran, content = state[-4:]
        self._fill(shape, dtype, "F" if fortran else "C", content)

    def _fill(self, shape, dtype, order: str, content) -> PickledArray:
        if not isinstance(shape, tuple) or not all(type(extent) is int and 0 <= extent < 2**48 for extent in shape) \
                or len(shape) > 32 or not isinstance(dtype, PickledType):
            raise Refused("the shape and dtype of an array", "others")
        self.shape, self.dtype, self.order, self.content = shape, dtype.dtype(), order, content
        if self.dtype is None:
            if not isinstance(content, list) or len(content) != math.prod(shape):
                raise Refused(f"{math.prod(shape)} values for shape {list(shape)}", "another number")
            return self
        if isinstance(content, str):
            self.content = content = content.encode("latin-1")
        if isinstance(content, Span) and content.kind == "latin1":
            self.content = content = Span(content.data, content.start, content.size, "bytes")
        if not isinstance(content, bytes) and not (isinstance(content, Span) and content.kind in ("bytes", "packed")):
            raise Refused("the bytes of an array", type(content).__name__)
        needed, found = math.prod(shape) * self.dtype.itemsize, byte_count(content)
        if needed != found:
            raise Refused(f"{needed} bytes for shape {list(shape)} of {self.dtype}", f"{found} bytes")
        return self

    def plain(self, tree: Tree, depth: int):
        """An ArrayRef, or lists in place of an object array."""
        if self.shape is None:
            raise Refused("complete arrays", "one without shape and numbers")
        if self.dtype is None:
            return _nested([tree.plain(item, depth + 1) for item in self.content], self.shape)
        span = self.content if tree.in_file and isinstance(self.content, Span) else None
        if span is not None and span.kind == "bytes":
            return RawArray(tree.path, "", self.shape, self.dtype, self.order, span.start)
        load = functools.partial(_load_packed, tree.path, span.start, span.size) if span is not None else \
            functools.partial(_string, self.content)
        return LoadedArray(tree.path, "", self.shape, self.dtype, functools.partial(self._array, load))

    def _array(self, load: Callable[[], bytes]) -> np.ndarray:
        return np.frombuffer(bytearray(load()), self.dtype).reshape(self.shape, order=self.order)


def byte_count(content: bytes | Span) -> int:
    """Bytes of the string itself; of a packed one those of its Latin-1 form."""
    if isinstance(content, bytes):
        return len(content)
    if content.kind != "packed":
        return content.size
    stored = np.frombuffer(content.data, np.uint8, content.size, content.start)
    return content.size - int(np.count_nonzero((stored & 0xC0) == 0x80))


def _string(content: bytes | Span) -> bytes:
    return content if isinstance(content, bytes) else content.value()


def _load_packed(path: Path, start: int, size: int) -> bytes:
    content = bytearray(size)
    try:
        with open_file(path) as (file, _):
            read_exactly(file, start, content)
        return bytes(content).decode("utf-8").encode("latin-1")
    except (ValueError, EOFError) as error:
        raise InputError(path, f"byte {start}", expected="the bytes of an array", found=str(error)[:80]) from None


def _reconstruct(arguments: tuple) -> PickledArray:
    if len(arguments) != 3 or not isinstance(arguments[0], Name) or arguments[0].name != "numpy.ndarray":
        raise Refused("an array", "a subclass of array")
    return PickledArray()


def _dtype(arguments: tuple) -> PickledType:
    code = arguments[0] if arguments else None
    if isinstance(code, bytes):
        code = code.decode("latin-1")
    if not isinstance(code, str):
        raise Refused("the code of a dtype", type(code).__name__)
    return PickledType(code)


def _scalar(arguments: tuple):
    if len(arguments) != 2:
        raise Refused("a NumPy number", "another")
    value = PickledArray()._fill((), arguments[0], "C", arguments[1])
    return native(value._array(functools.partial(_string, value.content))).item()


def _from_buffer(arguments: tuple) -> PickledArray:
    if len(arguments) < 4 or arguments[3] not in ("C", "F") or any(part is not None for part in arguments[4:]):
        raise Refused("the buffer of an array", "another")
    return PickledArray()._fill(arguments[2], arguments[1], arguments[3], arguments[0])


def _encode(arguments: tuple):
    if len(arguments) != 2 or arguments[1] not in ("latin1", "latin-1"):
        raise Refused("bytes written as text", "another encoding")
    text = arguments[0]
    if isinstance(text, Span) and text.kind == "utf8":
        return Span(text.data, text.start, text.size, "packed")
    if not isinstance(text, str):
        raise Refused("bytes written as text", type(text).__name__)
    return text.encode("latin-1")


def _empty_bytes(arguments: tuple) -> bytes:
    if arguments:
        raise Refused("no bytes", "some")
    return b""


def ordered_dict(arguments: tuple) -> dict:
    """collections.OrderedDict in a pickle: empty, or (older Pythons) made of a list of pairs."""
    pairs = arguments[0] if arguments else []
    if not isinstance(pairs, list) or not all(isinstance(pair, (list, tuple)) and len(pair) == 2
                                              and isinstance(pair[0], (str, bytes, int)) for pair in pairs):
        raise Refused("pairs for a dictionary", "others")
    return dict(pairs)


BUILDERS: Mapping[str, Callable[[tuple], object] | None] = {
    "numpy.ndarray": None,
    "numpy.dtype": _dtype,
    **{f"numpy.{core}.multiarray._reconstruct": _reconstruct for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _from_buffer for core in ("core", "_core")},
    "_codecs.encode": _encode,
    "__builtin__.bytes": _empty_bytes,
    "builtins.bytes": _empty_bytes,
    "collections.OrderedDict": ordered_dict,
}


def read_pickled(path: Path, start: int = 0, shape: tuple[int, ...] | None = None):
    """The value pickled in the file `path` from byte `start`, arrays in it as ArrayRef.

    shape: that of the object array the pickle must be, as an .npy header says it.
    Raises InputError for everything that is not data, without following any reference in the file."""
    with open_file(path, "a file of arrays") as (file, size):
        if size > MAPPED_BYTES:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return parse(path, "", data, start, shape, in_file=True)
        return parse(path, "", os.pread(file.fileno(), size, 0), start, shape, in_file=True)


def parse(path: Path, where: str, data, start: int, shape: tuple[int, ...] | None, in_file: bool):
    """As read_pickled, of bytes that are the file (in_file) or a part of it, called `where`."""
    try:
        machine = Machine(data, start, BUILDERS)
        value = machine.run()
        if shape is not None and not (isinstance(value, PickledArray) and value.shape == shape):
            raise Refused(f"an array of shape {list(shape)}, as the header says", "another value")
        if machine.position != machine.size:
            raise Refused(f"the end of the file at byte {machine.position}", f"{machine.size} bytes")
        return Tree(path, in_file, budget=machine.size).plain(value)
    except Refused as error:
        raise InputError(path, where, expected=error.expected, found=error.found, fix=FIX) from None


class Tree:
    """Turns what a Machine left into plain values. budget: values there may be, counting repeated ones each time."""

    def __init__(self, path: Path, in_file: bool, budget: int):
        self.path, self.in_file, self.budget = path, in_file, budget
        self.known: dict[int, object] = {}

    def plain(self, value, depth: int = 0):
        """`value` with spans copied out, arrays as ArrayRef, object arrays as lists."""
        self.budget -= 1
        if self.budget < 0:
            raise Refused("values that are written out", "lists that hold each other many times over")
        if value is None or isinstance(value, (bool, int, float, str, bytes)):
            return value
        if depth >= MAX_DEPTH:
            raise Refused(f"at most {MAX_DEPTH} levels of lists", "more")
        if isinstance(value, (list, tuple)):
            return type(value)([self.plain(item, depth + 1) for item in value])
        if isinstance(value, dict):
            return {key: self.plain(item, depth + 1) for key, item in value.items()}
        if isinstance(value, Span):
            try:
                return value.value()
            except ValueError as error:
                raise Refused("text", str(error)[:80]) from None
        if isinstance(value, Buildable):
            if id(value) not in self.known:
                self.known[id(value)] = value.plain(self, depth)
            return self.known[id(value)]
        raise Refused("data", f"a reference to {value.name}" if isinstance(value, Name) else type(value).__name__)


def _nested(items: list, shape: tuple[int, ...]):
    """`items` as lists in lists of `shape` (pickled last dimension first, whatever the order in memory); the one item
    of an array without dimensions."""
    if shape == ():
        return items[0]
    if len(shape) == 1 or not items:
        return items
    for extent in reversed(shape[1:]):
        items = [items[first : first + extent] for first in range(0, len(items), extent)]
    return items
