"""Zip archives of arrays: what they promise is checked before a byte is unpacked, and every byte against its CRC."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wtal_fast.data.formats.source import DAMAGED, open_file, read_exactly
from wtal_fast.errors import InputError

MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
MAX_MEMBERS = 200_000
MAX_RATIO = 100  # features shrink 2 to 10 times, click labels about 100 times
SMALL = 64 * 2**20  # bytes that may always be unpacked: a file of zeros shrinks 1,000 times
_CHUNK = 2**20
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")


@dataclass(frozen=True)
class Member:
    """A file in an archive: `stored` bytes from byte `start` that unpack to `size` bytes with checksum `crc`."""

    path: Path
    name: str
    start: int
    stored: int
    size: int
    deflated: bool
    crc: int

    def check(self) -> None:
        """Compares the checksum of a stored member without keeping its bytes."""
        chunk, crc = np.empty(min(_CHUNK, self.size), np.uint8), 0
        with open_file(self.path) as (file, _):
            for first in range(0, self.size, _CHUNK):
                part = chunk[: self.size - first]
                try:
                    read_exactly(file, self.start + first, part)
                except EOFError as error:
                    raise self._damaged(str(error)) from None
                crc = zlib.crc32(part, crc)
        if crc != self.crc:
            raise self._damaged("another")

    def read(self) -> np.ndarray:
        """Its bytes [size] uint8, unpacked and checked."""
        values = np.empty(self.size, np.uint8)
        with open_file(self.path) as (file, _):
            try:
                crc = self._inflate(file, values) if self.deflated else self._copy(file, values)
            except (EOFError, zlib.error) as error:
                raise self._damaged(str(error)) from None
        if crc != self.crc:
            raise self._damaged("another")
        return values

    def head(self, count: int) -> bytes:
        """Its first `count` bytes or all of them, not checked."""
        count = min(count, self.size)
        with open_file(self.path) as (file, _):
            stored = np.empty(min(self.stored, count + 1024 if self.deflated else count), np.uint8)
            try:
                read_exactly(file, self.start, stored)
                return zlib.decompressobj(-15).decompress(stored, count) if self.deflated else stored.tobytes()
            except (EOFError, zlib.error) as error:
                raise self._damaged(str(error)) from None

    def _copy(self, file, values: np.ndarray) -> int:
        crc = 0
        for first in range(0, self.size, _CHUNK):
            chunk = values[first : first + _CHUNK]
            read_exactly(file, self.start + first, chunk)
            crc = zlib.crc32(chunk, crc)
        return crc

    def _inflate(self, file, values: np.ndarray) -> int:
        unpack, crc, filled = zlib.decompressobj(-15), 0, 0
        for first in range(0, self.stored, _CHUNK):
            packed = np.empty(min(_CHUNK, self.stored - first), np.uint8)
            read_exactly(file, self.start + first, packed)
            while len(packed):
                part = unpack.decompress(packed, _CHUNK)
                if filled + len(part) > self.size:
                    raise EOFError(f"more than {self.size} bytes")
                values[filled : filled + len(part)] = np.frombuffer(part, np.uint8)
                crc, filled, packed = zlib.crc32(part, crc), filled + len(part), unpack.unconsumed_tail
        if filled < self.size or not unpack.eof:
            raise EOFError(f"{filled} of {self.size} bytes")
        return crc

    def _damaged(self, found: str) -> InputError:
        return InputError(self.path, self.name, expected="the checksum stored in the archive", found=found,
                          fix=DAMAGED)


def read_directory(path: Path, expected: str) -> list[Member]:
    """The members of a zip archive, in its order.

    InputError for what is no archive or a cut one, for encrypted members and other compressions than deflate, for two
    members of one name or in one place, for names that could leave a folder, and for archives that would unpack to
    more than MAX_RATIO times their size and SMALL bytes."""
    with open_file(path, expected) as (file, size):
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
                members = [_member(path, file, size, entry) for entry in entries[:MAX_MEMBERS]]
        except InputError:
            raise
        except Exception as error:  # zipfile raises many types for damage: BadZipFile, struct, Unicode, Value errors
            raise InputError(path, expected=expected, found=f"a damaged zip archive ({str(error)[:80]})",
                             fix=DAMAGED) from None
    if len(entries) > MAX_MEMBERS:
        raise InputError(path, expected=f"at most {MAX_MEMBERS} arrays", found=f"{len(entries)}")
    total = sum(member.size for member in members)
    if total > max(SMALL, MAX_RATIO * size):
        raise InputError(path, expected=f"at most {max(SMALL, MAX_RATIO * size)} bytes when unpacked",
                         found=f"{total} bytes in a file of {size}", fix="save the arrays uncompressed (numpy.savez)")
    _check_places(path, members)
    return members


def _member(path: Path, file, size: int, entry: zipfile.ZipInfo) -> Member:
    name = entry.filename
    shown = ascii(name)[1:-1][:80]
    if entry.orig_filename != name or not name or name.startswith(("/", "\\")) or ".." in name.split("/") \
            or "\\" in name or not name.isprintable():
        raise InputError(path, shown, expected="names of arrays", found="a path", fix="save the arrays again")
    if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        found = "an encrypted one" if entry.flag_bits & 1 else f"compression {entry.compress_type}"
        raise InputError(path, shown, expected="members stored or deflated", found=found, fix="save the arrays again")
    head = os.pread(file.fileno(), _LOCAL_HEADER.size, entry.header_offset)
    fields = _LOCAL_HEADER.unpack(head) if len(head) == _LOCAL_HEADER.size else (b"",)
    if fields[0] != MAGICS[0]:
        raise InputError(path, shown, expected="a member where the directory says", found="none", fix=DAMAGED)
    named = os.pread(file.fileno(), fields[9], entry.header_offset + _LOCAL_HEADER.size)
    if named.decode("utf-8" if fields[2] & 0x800 else "cp437") != name:
        raise InputError(path, shown, expected="one name in the directory and at the member", found="two", fix=DAMAGED)
    start = entry.header_offset + _LOCAL_HEADER.size + fields[9] + fields[10]
    deflated = entry.compress_type == zipfile.ZIP_DEFLATED
    if start + entry.compress_size > size or not deflated and entry.compress_size != entry.file_size:
        raise InputError(path, shown, expected=f"{entry.compress_size} bytes from byte {start}",
                         found=f"a file of {size} bytes", fix=DAMAGED)
    return Member(path, name, start, entry.compress_size, entry.file_size, deflated, entry.CRC)


def _check_places(path: Path, members: list[Member]) -> None:
    names = [member.name for member in members]
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise InputError(path, twice, expected="each name once", found="the name twice", fix="save the arrays again")
    end = 0
    for member in sorted(members, key=lambda member: member.start):
        if member.start < end:
            raise InputError(path, member.name, expected="members one after another", found="two in one place",
                             fix=DAMAGED)
        end = member.start + member.stored
