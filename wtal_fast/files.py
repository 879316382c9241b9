"""Files that are written whole or not at all, and JSON that is read strictly."""

from __future__ import annotations

import gc
import json
import math
import os
import tempfile
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from wtal_fast.errors import InputError
from wtal_fast.seals import check_seal, sealed_json

MAX_JSON_BYTES = 512 * 2**20  # the largest public file (ActivityNet 1.3 detections) is about 200 MB
MAX_JSON_DEPTH_HINT = "flatten the file: annotations and detections need six levels"


@contextmanager
def atomic_path(path: str | os.PathLike):
    """Yields a temporary path beside `path`; on success it is flushed to disk and renamed over `path`.

    A crash, a full disk or an exception leaves the old `path` as it was and removes the temporary file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: str | os.PathLike) -> None:
    """Makes a rename inside `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def save_text(path: str | os.PathLike, text: str) -> None:
    """Writes `text` as UTF-8 atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_json(path: str | os.PathLike, value, indent: int | None = None, sealed: bool = False) -> None:
    """Writes `value` as strict JSON (NaN and Infinity are refused) atomically. sealed: an object, with a last key
    "file_sha256" (wtal_fast.seals)."""
    text = json.dumps(value, indent=indent, allow_nan=False)
    save_text(path, sealed_json(text) if sealed else text + "\n")


def read_json(path: str | os.PathLike, sealed: bool = False):
    """Parses a JSON file strictly. A byte order mark is allowed; NaN, infinite numbers, duplicate keys, other
    encodings, over-deep nesting and files above MAX_JSON_BYTES raise InputError naming the file. A seal at its end is
    checked, and not part of the value; sealed: there must be one."""
    path = Path(path)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing there"
        raise InputError(path, expected="a JSON file", found=found, fix="check the path")
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise InputError(path, expected=f"at most {MAX_JSON_BYTES} bytes", found=f"{size} bytes", fix="split the file")
    content = path.read_bytes()
    has_seal = check_seal(content, path, needed=sealed)
    value = parse_json(content, path)
    if has_seal:
        del value["file_sha256"]
    return value


def parse_json(content: bytes, source: str | os.PathLike):
    """As read_json, of the bytes of a file or of a part of one; errors name `source`."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(source, "byte 0", expected="UTF-8 text", found="UTF-16 text", fix="save the file as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(source, f"byte {error.start}", expected="UTF-8 text", found=error.reason,
                         fix="save the file as UTF-8") from None

    def unique(pairs):
        table = dict(pairs)
        if len(table) < len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise InputError(source, f"key '{twice}'", expected="each key once", found="the key twice",
                             fix="remove one of the two")
        return table

    def refuse(constant):
        raise InputError(source, expected="finite numbers", found=constant, fix="replace it by a number")

    def finite(digits):
        number = float(digits)
        if math.isinf(number):  # 1e999
            refuse(digits)
        return number

    paused = gc.isenabled()
    gc.disable()  # millions of new objects, none of them garbage: looking through them takes a third of the time
    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse, parse_float=finite)
    except InputError:
        raise
    except RecursionError:
        raise InputError(source, expected="moderate nesting", found="nesting too deep to parse",
                         fix=MAX_JSON_DEPTH_HINT) from None
    except json.JSONDecodeError as error:
        raise InputError(source, expected="valid JSON", found=str(error), fix="repair the file at that place") from None
    except ValueError:  # Python's limit for integers in decimal
        raise InputError(source, expected="valid JSON with numbers of at most 4,300 digits",
                         found="an integer of more digits", fix="replace it by a number") from None
    finally:
        if paused:
            gc.enable()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
