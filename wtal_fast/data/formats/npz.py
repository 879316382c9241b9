"""NumPy archives (.npz), stored or compressed: every member's header checked first, every byte against its CRC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wtal_fast.data.formats.archive import Member, read_directory
from wtal_fast.data.formats.arrays import ArrayRef, checked_text, native
from wtal_fast.data.formats.npy import MAX_HEADER_BYTES, read_header
from wtal_fast.data.formats.numpy_objects import parse
from wtal_fast.data.formats.source import DAMAGED
from wtal_fast.errors import InputError


@dataclass(frozen=True)
class ArchivedArray(ArrayRef):
    """An array in a zip archive: the bytes of `member` from byte `start`."""

    order: str
    start: int
    member: Member

    def read(self) -> np.ndarray:
        values = self.member.read()[self.start : self.start + self.nbytes].view(self.dtype)
        return checked_text(native(values.reshape(self.shape, order=self.order)), self)

    def map(self) -> np.ndarray:
        if self.member.deflated or self.nbytes == 0:
            return self.read()
        return np.memmap(self.path, self.dtype, "r", self.member.start + self.start, self.shape, self.order)

    @property
    def mappable(self) -> bool:
        return not self.member.deflated


def read_npz(path: Path) -> Mapping[str, object]:
    """The arrays of an .npz file as ArrayRef under their names; members of Python objects as plain values."""
    content = {}
    for member in read_directory(path, "an .npz file"):
        if not member.name.endswith(".npy") or {"", "..", "."} & set(member.name.split("/")):
            raise InputError(path, member.name, expected="arrays <name>.npy only", found="another file",
                             fix="save the arrays with numpy.savez")
        name = member.name.removesuffix(".npy")
        header = read_header(path, member.head(MAX_HEADER_BYTES + 12), f"{name}, header")
        if header.dtype is None:
            content[name] = parse(path, name, member.read().tobytes(), header.start, header.shape, in_file=False)
        elif header.start + header.nbytes != member.size:
            raise InputError(path, name, expected=f"{header.start + header.nbytes} bytes for shape "
                             f"{list(header.shape)} of {header.dtype}", found=f"{member.size} bytes", fix=DAMAGED)
        else:
            content[name] = ArchivedArray(path, name, header.shape, header.dtype, header.order, header.start, member)
    return content
