"""Where results may be written, checked before any work is done. Torch is not imported."""

from __future__ import annotations

import os
from pathlib import Path

from wtal_fast.errors import InputError


def check_output_file(path: str | os.PathLike) -> Path:
    """`path`, where a file can be written or replaced there; missing parent folders are fine where their nearest
    existing ancestor is writable. Nothing is created. Raises InputError that names what is in the way."""
    path = Path(path)
    if os.path.isdir(path):
        raise InputError(path, expected="a file to write", found="a folder", fix="add a file name to --output")
    _check_writable(path, path.parent)  # a file is written beside its name and renamed: its folder must be writable
    return path


def check_output_folder(path: str | os.PathLike) -> Path:
    """`path`, where a folder exists or can be made there and written into. Nothing is created.
    Raises InputError that names what is in the way."""
    path = Path(path)
    _check_writable(path, path)
    return path


def _check_writable(path: Path, folder: Path) -> None:
    """Raises InputError unless `folder`, or the nearest of its parents that exists, is a folder this user may write."""
    existing = next(parent for parent in (folder, *folder.absolute().parents) if os.path.lexists(parent))
    where = "" if existing == path else str(existing)
    if not os.path.isdir(existing):
        found = "a file" if os.path.exists(existing) else "a link to nothing"
        raise InputError(path, where, expected="a folder", found=found, fix="choose another --output")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(path, where, expected="a folder you may write to", found="no permission",
                         fix="choose another --output")
