"""One way into every file of arrays, chosen by its first bytes, never by its name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from wtal_fast.data.formats import archive, npy, npz, numpy_objects
from wtal_fast.data.formats.arrays import ArrayRef
from wtal_fast.data.formats.source import open_file
from wtal_fast.errors import InputError, nearest_name

EXPECTED = "a file of arrays (npy, npz, pickled arrays)"
_HEAD_BYTES = 64


def open_arrays(path: str | os.PathLike) -> dict[str, ArrayRef]:
    """The arrays of a file by name, in file order; only headers are read.

    Read are .npy, .npz and pickled NumPy arrays. The name is the key in the file; "" for the array of an .npy file;
    places in lists and dictionaries inside each other are joined by "/" ("0", "1", ... in a list, as in object arrays).
    Values that are no arrays (numbers, text) are left out: read_value gives them.
    Raises InputError for everything that cannot be read safely; nothing in a file is ever run.
    """
    return dict(_named("", _content(Path(path))))


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
    return _loaded(_content(Path(path)))


def _content(path: Path):
    """An ArrayRef, or containers of them and of plain values."""
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


def _looks_pickled(head: bytes) -> bool:
    """Protocols 2 to 5 name themselves; 0 and 1 start with what opens a list, tuple, dictionary, array or string."""
    return head[:1] == b"\x80" or head[:2] in (b"(l", b"(d", b"(t", b"(c", b"cn", b"c_") or head[:1] in (b"]", b"}")


_READERS: list[tuple[Callable[[bytes], bool], Callable[[Path], object]]] = [
    (lambda head: head.startswith(npy.MAGIC), _read_npy),
    (lambda head: head.startswith(archive.MAGICS), npz.read_npz),
    (_looks_pickled, numpy_objects.read_pickled),
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


