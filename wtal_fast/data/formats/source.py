"""Where the readers meet the disk: regular files only, and one error for what the system refuses."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from wtal_fast.errors import InputError

DAMAGED = "the file is damaged or cut: copy it again"


@contextmanager
def open_file(path: str | os.PathLike, expected: str = "a file",
              fix: str = "check the path") -> Iterator[tuple[BinaryIO, int]]:
    """(the open file, its size in bytes). Folders, pipes, devices and what cannot be opened raise InputError."""
    path = Path(path)
    try:
        kind = os.stat(path).st_mode  # asked before opening: opening a pipe would wait for its writer
        if not stat.S_ISREG(kind):
            found = "a folder" if stat.S_ISDIR(kind) else "a pipe or device"
            raise InputError(path, expected=expected, found=found, fix=fix)
        with open(path, "rb", buffering=0) as file:
            yield file, os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        raise InputError(path, expected=expected, found="nothing there", fix=fix) from None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(path, expected=f"{expected} that can be read", found=reason, fix="check the path and its "
                         "permissions") from None


def read_exactly(file: BinaryIO, start: int, into) -> None:
    """Fills the buffer `into` from byte `start`; a file that ends earlier raises EOFError."""
    view, file_offset = memoryview(into).cast("B"), start
    while view:
        count = os.preadv(file.fileno(), [view[: 2**30]], file_offset)
        if count == 0:
            raise EOFError(f"the file ends at byte {file_offset}")
        view, file_offset = view[count:], file_offset + count
