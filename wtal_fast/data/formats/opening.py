"""One way into every file of arrays, chosen by its first bytes, never by its name."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from wtal_fast.data.formats import archive, hdf5, npy, npz, numpy_objects, safetensors_file, table, torch_file
from wtal_fast.data.formats.arrays import ArrayRef
from wtal_fast.data.formats.source import open_file
from wtal_fast.errors import InputError, nearest_name

EXPECTED = "a file of arrays (npy, npz, pt, safetensors, HDF5, CSV, pickled arrays)"
_HEAD_BYTES = 64
_GLOBAL = re.compile(rb"c[\w.]+\n[\w.]+\n[(p)qX]")


def open_arrays(path: str | os.PathLike) -> dict[str, ArrayRef]:
    """The arrays of a file by name, in file order; only headers are read.

    Read are .npy, .npz, tensors saved by torch, safetensors, HDF5, CSV tables of numbers and pickled NumPy arrays. The
    name is the key in the file; "" for the array of an .npy file;
    places in lists and dictionaries inside each other are joined by "/" ("0", "1", ... in a list, as in object arrays).
    Values that are no arrays (numbers, text) are left out: read_value gives them.
    Raises InputError for everything that cannot be read safely; nothing in a file is ever run.
    """
    return dict(_named("", open_tree(path)))


def one_array(path: str | os.PathLike, names: Sequence[str] = ()) -> ArrayRef:
    """The only array of a file, or the first of `names` that it holds. InputError lists what it holds instead."""
    arrays = open_arrays(path)
    for name in names:
        if name in arrays:
            return arrays[name]
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    found = ", ".join(list(arrays)[:8]) + (f" and {len(arrays) - 8} more" if len(arrays) > 8 else "")
    wanted = f"an array named {' or '.join(names)}, or one array" if names else "one array"
    raise InputError(path, expected=wanted, found=f"{len(arrays)} arrays: {found}" if arrays else "none",
                     fix=nearest_name(names[0], arrays) if names and arrays else "")


def read_value(path: str | os.PathLike):
    """All of a file in memory: an array, or lists, tuples and dictionaries of arrays, numbers, text and bytes."""
    return _loaded(open_tree(path))


def open_tree(path: str | os.PathLike):
    """As read_value with every array left in the file: an ArrayRef, or containers of them and of plain values."""
    path = Path(path)
    with open_file(path, EXPECTED) as (file, _):
        head = os.pread(file.fileno(), _HEAD_BYTES, 0)
    for matches, read in _READERS:
        if matches(head):
            return read(path)
    raise InputError(path, expected=EXPECTED, found=f"a file that starts with {head[:8]!r}" if head else
                     "an empty file", fix="is it another format, or a failed download?")


def _read_npy(path: Path):
    with open_file(path, EXPECTED) as (file, size):
        header = npy.read_header(path, os.pread(file.fileno(), npy.MAX_HEADER_BYTES + 12, 0))
    if header.dtype is None:
        return numpy_objects.read_pickled(path, header.start, header.shape)
    return npy.raw_array(path, "", header, size)


def _read_archive(path: Path):
    names = [member.name for member in archive.read_directory(path, "an archive of arrays")]
    return torch_file.read_torch_archive(path) if any(name.rpartition("/")[2] == "data.pkl" for name in names) else \
        npz.read_npz(path)


def _looks_pickled(head: bytes) -> bool:
    """Protocols 2 to 5 name themselves; 0 and 1 start with what opens a list, tuple, dictionary, array or string."""
    return head.startswith((b"\x80", b"]", b"}", b"(l", b"(d", b"(t", b"(c")) or _GLOBAL.match(head) is not None


_READERS: list[tuple[Callable[[bytes], bool], Callable[[Path], object]]] = [
    (lambda head: head.startswith(npy.MAGIC), _read_npy),
    (lambda head: head.startswith(archive.MAGICS), _read_archive),
    (lambda head: head.startswith(hdf5.MAGIC), hdf5.read_hdf5),
    (lambda head: head.startswith(torch_file.LEGACY_MAGIC), torch_file.read_torch_legacy),
    (safetensors_file.looks_like_safetensors, safetensors_file.read_safetensors),
    (_looks_pickled, numpy_objects.read_pickled),
    (table.looks_like_numbers, table.read_numbers),
]


def _named(name: str, value) -> Iterator[tuple[str, ArrayRef]]:
    if isinstance(value, ArrayRef):
        yield name, replace(value, name=name)
    elif isinstance(value, (dict, list, tuple)):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, item in items:
            text = key.decode("latin-1") if isinstance(key, bytes) else str(key)
            yield from _named(f"{name}/{text}" if name else text, item)


def _loaded(value):
    if isinstance(value, ArrayRef):
        return value.read()
    if isinstance(value, dict):
        return {key: _loaded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_loaded(item) for item in value)
    return value


