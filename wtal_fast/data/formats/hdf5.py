"""HDF5 files, read by a process of their own: the HDF5 library crashes on some damaged files.

Arrays that lie in one piece are read or mapped straight from the file; compressed and chunked ones come through memory
that both processes share. The other is started with the first file and lives as long as this one.
"""

from __future__ import annotations

import atexit
import functools
import json
import math
import os
import select
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

from wtal_fast.data.formats.arrays import ArrayRef, LoadedArray, RawArray
from wtal_fast.data.formats.source import DAMAGED, open_file, read_exactly
from wtal_fast.errors import InputError

MAGIC = b"\x89HDF\r\n\x1a\n"
TIMEOUT = 60.0  # seconds without a byte from the other process: damage can make the library loop
MAX_ANSWER = 64 * 2**20
KEPT_BYTES = 16 * 2**20  # of shared memory between two arrays
_CHILD = Path(__file__).with_name("hdf5_child.py")


def read_hdf5(path: Path) -> dict[str, ArrayRef]:
    """The arrays of an HDF5 file by their path in it.

    InputError for external storage, links to other files, virtual arrays, types that are no numbers, compression that
    the installed library lacks, arrays far larger than the file, and files that stop the library."""
    answer = READER.ask(path)
    arrays = {}
    for entry in answer["arrays"]:
        shape, dtype = tuple(entry["shape"]), np.dtype(entry["dtype"])
        if entry["start"] is not None:
            arrays[entry["name"]] = RawArray(path, entry["name"], shape, dtype, "C", entry["start"])
        else:
            load = functools.partial(_load, path, entry["name"], shape, dtype)
            arrays[entry["name"]] = LoadedArray(path, entry["name"], shape, dtype, load)
    return arrays


def _load(path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    values = np.empty(math.prod(shape), dtype)
    READER.ask(path, name, values.view(np.uint8) if values.nbytes else np.empty(0, np.uint8))
    return values.reshape(shape)


class Reader:
    """Keeps one process that reads HDF5 files and asks it, one request at a time."""

    def __init__(self):
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._owner = 0
        self._rest = b""
        self._shared = None

    def ask(self, path: Path, name: str | None = None, into: np.ndarray | None = None) -> dict:
        """The answer about the file `path`; with `name`, fills `into` with the bytes of that array."""
        with open_file(path, "an HDF5 file"):
            request = {"path": os.path.abspath(path)} | ({} if name is None else {"name": name})
        with self._lock:
            try:
                answer = self._exchange(request, into)
            except (EOFError, OSError, ValueError) as error:
                self.stop()
                raise InputError(path, name or "", expected="an HDF5 file that the HDF5 library can read",
                                 found=str(error), fix=DAMAGED) from None
            except BaseException:  # Ctrl-C in the middle of an answer
                self.stop()
                raise
        if "missing" in answer:
            self.stop()
            raise InputError(path, expected="the h5py package for HDF5 files", found=answer["missing"],
                             fix="pip install 'wtal_fast[h5]'")
        if "unfit" in answer:
            where, expected, found = answer["unfit"]
            raise InputError(path, where, expected=expected, found=found, fix="save plain arrays in one file")
        if "damaged" in answer:
            raise InputError(path, name or "", expected="an HDF5 file", found=answer["damaged"], fix=DAMAGED)
        return answer

    def stop(self) -> None:
        """Ends the process; the next request starts another."""
        process, self._process, self._rest = self._process, None, b""
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.wait()
            for file in (process.stdin, process.stdout, self._shared):
                file.close()

    def _exchange(self, request: dict, into: np.ndarray | None) -> dict:
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self._start()
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        while b"\n" not in self._rest:
            if len(self._rest) > MAX_ANSWER:
                raise EOFError("an endless answer")
            self._rest += self._more()
        line, _, self._rest = self._rest.partition(b"\n")
        answer = json.loads(line)
        if into is not None and "bytes" in answer:
            if answer["bytes"] != len(into):
                raise EOFError(f"{answer['bytes']} bytes where {len(into)} were announced")
            read_exactly(self._shared, 0, into)
            if len(into) > KEPT_BYTES:
                self._shared.truncate(0)
        return answer

    def _more(self) -> bytes:
        waiting = select.poll()
        waiting.register(self._process.stdout, select.POLLIN)
        if not waiting.poll(1000 * TIMEOUT):
            raise EOFError(f"no answer of the library within {TIMEOUT:g} seconds")
        part = os.read(self._process.stdout.fileno(), 2**16)
        if not part:
            code = self._process.wait(TIMEOUT)
            raise EOFError(f"the library stopped while reading it (exit code {code})")
        return part

    def _start(self) -> None:
        if self._owner == os.getpid():
            self.stop()
        self._rest, self._owner = b"", os.getpid()
        self._shared = os.fdopen(os.memfd_create("wtal_fast"), "r+b", buffering=0) if hasattr(os, "memfd_create") else \
            tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (open as long as the process)
        handle = self._shared.fileno()
        self._process = subprocess.Popen([sys.executable, str(_CHILD), str(handle)], pass_fds=[handle], bufsize=0,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


READER = Reader()
atexit.register(READER.stop)
