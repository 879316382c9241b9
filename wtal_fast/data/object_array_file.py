"""An .npy file of a pickled object array, as NumPy's own save writes it, but element by element and resumable.

The pickle of protocol 3 is that of numpy.ndarray with a list of elements; each element is its own pickle without head
and STOP, which may follow any other since it refers to nothing before it. Names are those of NumPy 1, which every
version reads.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
from pathlib import Path

import numpy as np

from wtal_fast.errors import InputError
from wtal_fast.files import read_json, save_json, sync_folder

SYNC_BYTES = 128 * 2**20  # between two notes of how far the file is safe on disk
_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
_TYPE = (b"cnumpy\ndtype\nX\x02\x00\x00\x00O8\x89\x88\x87R(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
         b"K?tb")
_APPEND, _END = b"a", b"tb."
_NUMPY_2, _NUMPY_1 = b"cnumpy._core.", b"cnumpy.core."


class ObjectArrayFile:
    """Writes `path`, an object array of `count` elements, one after another; a file beside it notes the elements that
    are safe. Opened again after an interruption, `written` says how many there are already."""

    def __init__(self, path: Path, count: int):
        self.path, self.count = path, count
        self._part, self._notes = (path.with_name(f".{path.name}{ending}") for ending in (".part", ".written"))
        self.written, self._start = self._safe()
        self._unsafe, self._file = 0, None

    def append(self, element) -> None:
        """Adds an array, or a list of plain values."""
        content = pickle.dumps(element, 3)[2:-1]
        if content.startswith(_NUMPY_2):
            content = _NUMPY_1 + content[len(_NUMPY_2):]
        self._open()
        self._file.write(content)
        self._file.write(_APPEND)
        self.written += 1
        self._unsafe += len(content)
        if self._unsafe > SYNC_BYTES:
            self._note()

    def finish(self) -> None:
        """Completes the file and gives it its name."""
        if self.written != self.count:
            raise ValueError(f"{self.written} of {self.count} elements were written")
        self._open()
        self._file.write(_END)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._part, self.path)
        sync_folder(self.path.parent)
        self._notes.unlink(missing_ok=True)

    def close(self) -> None:
        """Stops before the end; what is written stays for another time."""
        if self._file is not None and not self._file.closed:
            self._note()
            self._file.close()

    def _open(self) -> None:
        if self._file is not None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self._part, "r+b" if self.written else "wb")  # noqa: SIM115 (open until finish)
        if self.written:
            self._file.truncate(self._start)
            self._file.seek(self._start)
        else:
            self._file.write(_head(self.count))

    def _note(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        save_json(self._notes, {"count": self.count, "written": self.written, "bytes": self._file.tell()}, sealed=True)
        self._unsafe = 0

    def _safe(self) -> tuple[int, int]:
        """(elements, bytes) that an earlier, interrupted writing of this file left on disk."""
        if not self._part.is_file() or not self._notes.is_file():
            return 0, 0
        notes = read_json(self._notes, sealed=True)
        if notes["count"] != self.count or notes["bytes"] > self._part.stat().st_size:
            raise InputError(self._part, expected=f"the beginning of {self.count} arrays", found="another file",
                             fix="choose another --output")
        return notes["written"], notes["bytes"]


def _head(count: int) -> bytes:
    """All that comes before the elements."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|O", "fortran_order": False, "shape": (count,)})
    shape = b"J" + struct.pack("<i", count) + b"\x85"
    return head.getvalue() + b"\x80\x03" + _ARRAY + b"(K\x01" + shape + _TYPE + b"\x89]"
