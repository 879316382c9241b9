"""Text tables: rows of cells with the line they stand on."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from wtal_fast.errors import InputError

MAX_TABLE_BYTES = 64 * 2**20


def read_rows(path: str | os.PathLike, what: str = "a table", fix: str = "check the path",
              delimiter: str | None = ",") -> list[tuple[int, list[str]]]:
    """(line number, cells without spaces around them) of every line that is not blank.

    The file is UTF-8, with or without byte order mark. delimiter None: comma, semicolon or tab, whichever cuts the
    first line into most cells. what, fix: words for the error of a missing file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(path, expected=what, found="a folder" if path.is_dir() else "nothing there", fix=fix)
    if path.stat().st_size > MAX_TABLE_BYTES:
        raise InputError(path, expected=f"at most {MAX_TABLE_BYTES} bytes", found=f"{path.stat().st_size} bytes")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(path, f"byte {error.start}", expected="UTF-8 text", found=error.reason) from None
    lines = text.splitlines()
    if delimiter is None:
        first = next((line for line in lines if line.strip()), "")
        delimiter = max(",;\t", key=first.count)
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise InputError(path, f"line {reader.line_num}", expected="rows of text", found=str(error)) from None
    return [(line, row) for line, row in rows if any(row)]
