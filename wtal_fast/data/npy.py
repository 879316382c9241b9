"""NumPy files of numbers, read without ever running what is in them."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wtal_fast.errors import InputError

MAX_HEADER_BYTES = 10_000  # NumPy's own limit; real headers are about 100 bytes
_HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_SOURCE_FIX = "write the file again with numpy.save of a plain float array"


@dataclass(frozen=True)
class NpyFile:
    """An .npy file whose header was found sound: where its numbers lie and what they are."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    order: str
    start: int

    def read(self) -> np.ndarray:
        """The array, in memory."""
        values = np.fromfile(self.path, dtype=self.dtype, count=math.prod(self.shape), offset=self.start)
        return values.reshape(self.shape, order=self.order)

    def map(self) -> np.ndarray:
        """The array, left on disk (a read-only memory map)."""
        return np.memmap(self.path, self.dtype, "r", self.start, self.shape, self.order)


def inspect_npy(path: str | os.PathLike) -> NpyFile:
    """Checks the header of an .npy file of integers or floats, without reading its numbers.

    The shape in the header must account for the file's size to the byte, before anything is allocated.
    Raises InputError for every other file: no such file, another format, Python objects, text, damaged or cut files.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(path, expected="an .npy file", found="a folder" if path.is_dir() else "nothing there")
    with open(path, "rb") as file:
        shape, fortran_order, dtype = _header(path, file)
        start, size = file.tell(), os.fstat(file.fileno()).st_size
    needed = math.prod(shape) * dtype.itemsize
    if start + needed != size:
        raise InputError(path, expected=f"{start + needed} bytes for shape {list(shape)} of {dtype}",
                         found=f"{size} bytes", fix="the file is damaged or cut: copy it again")
    return NpyFile(path, shape, dtype, "F" if fortran_order else "C", start)


def _header(path: Path, file) -> tuple[tuple[int, ...], bool, np.dtype]:
    head = file.read(8)
    if head[:6] != b"\x93NUMPY":
        found = "an empty file" if not head else f"a file that starts with {head!r}"
        raise InputError(path, expected="an .npy file", found=found, fix=_SOURCE_FIX)
    file.seek(0)
    try:
        version = np.lib.format.read_magic(file)
        shape, fortran_order, dtype = _HEADER_READERS[version](file, max_header_size=MAX_HEADER_BYTES)
    except Exception as error:  # NumPy parses the header as Python text: tokenizer, parser and memory errors all occur
        raise InputError(path, "header", expected="an .npy header of version 1 or 2",
                         found=str(error)[:120] or "damage", fix=_SOURCE_FIX) from None
    if dtype.kind not in "iuf" or dtype.subdtype is not None:
        found = "Python objects" if dtype.hasobject else f"{dtype}"
        raise InputError(path, "header", expected="integers or floats", found=found, fix=_SOURCE_FIX)
    if any(extent < 0 for extent in shape):
        raise InputError(path, "header", expected="a shape of numbers >= 0", found=str(list(shape)), fix=_SOURCE_FIX)
    return shape, fortran_order, dtype
