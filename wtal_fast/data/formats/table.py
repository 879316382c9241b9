"""Tables in text: rows of cells with their line numbers, and feature tables of numbers."""

from __future__ import annotations

import csv
import io
import os
import re
from pathlib import Path

import numpy as np

from wtal_fast.data.formats.arrays import ArrayRef, LoadedArray
from wtal_fast.data.formats.source import open_file, read_exactly
from wtal_fast.data.problems import ProblemList
from wtal_fast.errors import InputError

MAX_TABLE_BYTES = 64 * 2**20
MAX_FEATURE_BYTES = 2**30
_TEXT = re.compile(rb"(\xef\xbb\xbf)?\s*[A-Za-z0-9_\"'+.-][^\x00-\x08\x0e-\x1f\x7f]*")
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|nan|inf|infinity)\s*", re.I)


def read_rows(path: str | os.PathLike, what: str = "a table", fix: str = "check the path",
              delimiter: str | None = ",") -> list[tuple[int, list[str]]]:
    """(line number, cells without spaces around them) of every line that is not blank; cells may be quoted.

    The file is UTF-8, with or without byte order mark, with any line ends. delimiter None: tab, semicolon or comma,
    whichever cuts the first line into most cells, else runs of spaces. what, fix: words for a missing file.
    Raises InputError for other encodings, NUL characters, cells of more than 131,072 characters and open quotes."""
    path = Path(path)
    text = _text_of(path, what, MAX_TABLE_BYTES, fix)
    delimiter = delimiter or _delimiter(text)
    lines, rows = io.StringIO(text, newline=""), []
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter == " ", strict=True)
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells if cell or delimiter != " "]
            if any(cells):
                rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise InputError(path, f"line {reader.line_num}", expected="rows of text", found=str(error),
                         fix="are quotes closed?") from None
    return rows


def looks_like_numbers(head: bytes) -> bool:
    """Whether a file of these first bytes may be a table: text that starts with a word or number."""
    return _TEXT.fullmatch(head) is not None


def read_numbers(path: Path) -> ArrayRef:
    """A table of numbers [rows, columns] float64, with or without one row of headings.

    Raises InputError that lists every cell that is no number and every row of another length, with line and column."""
    text = _text_of(path, "a table of numbers", MAX_FEATURE_BYTES)
    delimiter = _delimiter(text)
    first, _, rest = text.lstrip("\r\n").partition("\n")
    cells = first.split(None if delimiter == " " else delimiter)
    body = text if all(_NUMBER.fullmatch(cell) for cell in cells) else rest
    if not body.strip():
        found = "an empty table" if not text.strip() else "headings only"
        raise InputError(path, expected="rows of numbers", found=found)
    try:
        values = np.loadtxt(io.StringIO(body), np.float64, comments=None, ndmin=2,
                            delimiter=None if delimiter == " " else delimiter)
    except ValueError:
        raise _bad_cells(path, delimiter) from None
    return LoadedArray(path, "", values.shape, values.dtype, values.copy)


def _bad_cells(path: Path, delimiter: str) -> InputError:
    """What NumPy could not read, cell by cell."""
    problems = ProblemList(path)
    rows = read_rows(path, delimiter=delimiter)
    if not all(_NUMBER.fullmatch(cell) for cell in rows[0][1]):
        rows = rows[1:]
    width = len(rows[0][1]) if rows else 0
    for line, cells in rows:
        if len(cells) != width:
            problems.add(f"line {line}", expected=f"{width} cells as in line {rows[0][0]}", found=f"{len(cells)}")
        for column, cell in enumerate(cells, 1):
            if not _NUMBER.fullmatch(cell):
                comma = re.fullmatch(r"[+-]?\d+,\d+", cell)
                problems.add(f"line {line}, column {column}", expected="a number", found=f"'{ascii(cell)[1:-1][:40]}'",
                             fix="write decimals with a point" if comma else "")
    try:
        problems.raise_any()
    except InputError as error:
        return error
    return InputError(path, expected="a table of numbers", found="text in another form")


def _text_of(path: Path, expected: str, max_bytes: int, fix: str = "check the path") -> str:
    with open_file(path, expected, fix) as (file, size):
        if size > max_bytes:
            raise InputError(path, expected=f"at most {max_bytes} bytes", found=f"{size} bytes", fix="split the file")
        content = bytearray(size)
        read_exactly(file, 0, content)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(path, "byte 0", expected="UTF-8 text", found="UTF-16 text", fix="save the file as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(path, f"byte {error.start}", expected="UTF-8 text", found=error.reason,
                         fix="save the file as UTF-8") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(path, f"line {line}", expected="text", found="a NUL character", fix="is the file damaged?")
    return text


def _delimiter(text: str) -> str:
    first = next((line for line in text[:2**16].splitlines() if line.strip()), "")
    best = max("\t;,", key=first.count)
    return best if best in first else " "
