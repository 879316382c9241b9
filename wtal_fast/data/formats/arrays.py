"""What every reader gives for an array inside a file: its shape and type at once, its numbers when asked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wtal_fast.data.formats.source import DAMAGED, open_file, read_exactly
from wtal_fast.errors import InputError

NUMBERS = "iuf"
PLAIN = "biufSU"  # bool, integers, floats, bytes and text: all that is ever built
_LARGEST_CODE_POINT = 0x10FFFF


@dataclass(frozen=True)
class ArrayRef:
    """An array whose place in a file was found sound. dtype is one of bool, int, uint, float, bytes or text.

    name: the key it stands under, "" where the file holds one array without a name.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self) -> np.ndarray:
        """The array in memory, writable, in the byte order of this machine. InputError where its bytes are damaged."""
        raise NotImplementedError

    def map(self) -> np.ndarray:
        """The array left on disk (a read-only memory map, unchecked by any checksum) where the format allows it, else
        as read()."""
        return self.read()

    @property
    def mappable(self) -> bool:
        """Whether map() leaves the numbers on disk."""
        return False

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def expect_numbers(self) -> ArrayRef:
        """Itself, if it holds integers or floats; else InputError."""
        if self.dtype.kind not in NUMBERS:
            raise InputError(self.path, self.name, expected="integers or floats", found=f"an array of {self.dtype}")
        return self

    def damaged(self, found: str) -> InputError:
        """The error of an array whose bytes are not what its file says."""
        return InputError(self.path, self.name, expected=f"{list(self.shape)} numbers of {self.dtype}", found=found,
                          fix=DAMAGED)


@dataclass(frozen=True)
class RawArray(ArrayRef):
    """An array that lies in the file as it lies in memory: from byte `start`, rows first ("C") or columns ("F")."""

    order: str
    start: int

    def read(self) -> np.ndarray:
        values = np.empty(math.prod(self.shape), self.dtype)
        with open_file(self.path) as (file, _):
            try:
                read_exactly(file, self.start, values.view(np.uint8) if self.nbytes else b"")
            except EOFError as error:
                raise self.damaged(str(error)) from None
        return checked_text(native(values.reshape(self.shape, order=self.order)), self)

    def map(self) -> np.ndarray:
        if self.nbytes == 0:
            return self.read()
        return np.memmap(self.path, self.dtype, "r", self.start, self.shape, self.order)

    @property
    def mappable(self) -> bool:
        return True


@dataclass(frozen=True)
class LoadedArray(ArrayRef):
    """An array that `load` brings into memory: decompressed, decoded or already there."""

    load: Callable[[], np.ndarray] = field(repr=False)

    def read(self) -> np.ndarray:
        return checked_text(native(self.load()), self)


def native(values: np.ndarray) -> np.ndarray:
    """`values` in the byte order of this machine; swapped in place where it differs."""
    if values.dtype.isnative:
        return values
    return values.byteswap(inplace=values.flags.writeable).view(values.dtype.newbyteorder("="))


def checked_text(values: np.ndarray, ref: ArrayRef) -> np.ndarray:
    """`values`; text of numbers that are no characters is damage."""
    if values.dtype.kind == "U" and values.nbytes:
        if np.ascontiguousarray(values).reshape(-1).view(np.uint32).max() > _LARGEST_CODE_POINT:
            raise ref.damaged("numbers that are no characters")
    return values
