"""NumPy files of numbers, read without ever running what is in them."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wtal_fast.data.formats.arrays import NUMBERS, PLAIN, RawArray
from wtal_fast.data.formats.source import DAMAGED, open_file
from wtal_fast.errors import InputError

MAGIC = b"\x93NUMPY"
MAX_ELEMENTS = 2**60  # so that bytes, also of an empty array, stay within 64 bits
MAX_HEADER_BYTES = 10_000  # NumPy's own limit; real headers are about 100 bytes
_SOURCE_FIX = "write the file again with numpy.save of a plain float array"
_ENTRY = r"'(descr|fortran_order|shape)'\s*:\s*('[^']{1,40}'|True|False|\([-\dL,\s]*\)|\[.*\]|\(.*\))\s*,?\s*"
_HEADER = re.compile(rf"\s*\{{\s*{_ENTRY}{_ENTRY}{_ENTRY}\}}\s*", re.S)
_EXTENT = re.compile(r"\s*(-?\d{1,19})L?\s*")  # Python 2 wrote 3L


@dataclass(frozen=True)
class NpyHeader:
    """What an .npy header says. dtype is None for Python objects; start: bytes before the numbers."""

    shape: tuple[int, ...]
    order: str
    dtype: np.dtype | None
    start: int

    @property
    def nbytes(self) -> int:
        """Bytes that the numbers must take."""
        return math.prod(self.shape) * self.dtype.itemsize


def inspect_npy(path: str | os.PathLike) -> RawArray:
    """Checks the header of an .npy file of integers or floats, without reading its numbers.

    The shape in the header must account for the file's size to the byte, before anything is allocated.
    Raises InputError for every other file: no such file, another format, Python objects, text, damaged or cut files.
    """
    path = Path(path)
    with open_file(path, "an .npy file") as (file, size):
        header = read_header(path, os.pread(file.fileno(), MAX_HEADER_BYTES + 12, 0))
    if header.dtype is None or header.dtype.kind not in NUMBERS:
        found = "Python objects" if header.dtype is None else f"{header.dtype}"
        raise InputError(path, "header", expected="integers or floats", found=found, fix=_SOURCE_FIX)
    return raw_array(path, "", header, size)


def raw_array(path: Path, name: str, header: NpyHeader, size: int) -> RawArray:
    """The array that `header` describes in a file of `size` bytes; both must agree to the byte."""
    if header.start + header.nbytes != size:
        raise InputError(path, name, expected=f"{header.start + header.nbytes} bytes for shape {list(header.shape)} of "
                         f"{header.dtype}", found=f"{size} bytes", fix=DAMAGED)
    return RawArray(path, name, header.shape, header.dtype, header.order, header.start)


def read_header(path: Path, head: bytes, where: str = "header") -> NpyHeader:
    """The header at the start of `head`, which holds the first MAX_HEADER_BYTES + 12 bytes of the file or all of them.

    The header is a Python dictionary in text; it is matched, never evaluated."""
    if head[:6] != MAGIC:
        found = "an empty file" if not head else f"a file that starts with {head[:8]!r}"
        raise InputError(path, "" if where == "header" else where, expected="an .npy file", found=found,
                         fix=_SOURCE_FIX)
    if len(head) < 12 or head[6] not in (1, 2, 3):
        found = "its first bytes only" if len(head) < 12 else f"version {head[6]}"
        raise InputError(path, where, expected="an .npy header of version 1, 2 or 3", found=found, fix=_SOURCE_FIX)
    first = 10 if head[6] == 1 else 12
    length = int.from_bytes(head[8:first], "little")
    text = head[first : first + length].decode("latin-1")
    if length > MAX_HEADER_BYTES or len(text) < length:
        found = f"{length} bytes" if length > MAX_HEADER_BYTES else "a cut file"
        raise InputError(path, where, expected=f"an .npy header of at most {MAX_HEADER_BYTES} bytes", found=found,
                         fix=_SOURCE_FIX)
    match = _HEADER.fullmatch(text)
    entries = dict(zip(match.groups()[::2], match.groups()[1::2], strict=True)) if match else {}
    if len(entries) != 3 or entries["fortran_order"] not in ("True", "False"):
        raise InputError(path, where, expected="the descr, fortran_order and shape of an .npy header",
                         found=ascii(text.strip()[:80]), fix=_SOURCE_FIX)
    return NpyHeader(_shape(path, entries["shape"], where), "F" if entries["fortran_order"] == "True" else "C",
                     _dtype(path, entries["descr"], where), first + length)


def plain_dtype(code: str) -> np.dtype | None:
    """The type that a code like <f4, |S10 or i8 names; None for Python objects (O). ValueError for every other."""
    if re.fullmatch(r"[|<>=]?O\d?", code):
        return None
    if re.fullmatch(r"[|<>=]?(b1|\?|[iu][1248]|f[248]|[SUa][1-9]\d{0,8})", code):
        dtype = np.dtype(code)
        if dtype.kind in PLAIN:
            return dtype
    raise ValueError(code)


def _shape(path: Path, text: str, where: str) -> tuple[int, ...]:
    parts = text[1:-1].split(",") if text.startswith("(") else ["?"]
    if parts[-1].strip() == "":
        parts = parts[:-1]
    matches = [_EXTENT.fullmatch(part) for part in parts]
    if not all(matches) or len(matches) > 32:
        raise InputError(path, where, expected="a shape", found=ascii(text[:80]), fix=_SOURCE_FIX)
    shape = tuple(int(match[1]) for match in matches)
    if any(extent < 0 for extent in shape) or math.prod(extent or 1 for extent in shape) >= MAX_ELEMENTS:
        raise InputError(path, where, expected="a shape of numbers >= 0 that a machine can hold",
                         found=str(list(shape)), fix=_SOURCE_FIX)
    return shape


def _dtype(path: Path, text: str, where: str) -> np.dtype | None:
    try:
        return plain_dtype(text[1:-1] if text.startswith("'") else text)
    except ValueError:
        found = f"the type {ascii(text[:60])}"
        raise InputError(path, where, expected="integers or floats", found=found, fix=_SOURCE_FIX) from None
