"""Text tables: cells with their lines, numbers with the place of what is none."""

from __future__ import annotations

import numpy as np
import pytest

from wtal_fast.data.formats import read_rows, read_value
from wtal_fast.errors import InputError


def written(tmp_path, content: bytes):
    (tmp_path / "a.csv").write_bytes(content)
    return tmp_path / "a.csv"


@pytest.mark.parametrize("content, rows", [
    (b"a,b\n1,2\n", [(1, ["a", "b"]), (2, ["1", "2"])]),
    (b"\xef\xbb\xbfa,b\r\n\r\n1, 2 \r\n", [(1, ["a", "b"]), (3, ["1", "2"])]),
    (b'"x, y",2', [(1, ["x, y", "2"])]),
    (b"a\tb\n", [(1, ["a", "b"])]),
    (b"a;b\n", [(1, ["a", "b"])]),
    (b"video  0.0 1.4\n", [(1, ["video", "0.0", "1.4"])]),
    (b"", []),
])
def test_rows(tmp_path, content, rows):
    assert read_rows(written(tmp_path, content), delimiter=None) == rows


@pytest.mark.parametrize("content", [b"1,2\n3,4\n", b"x,y\n1,2\n3,4", b"1 2\n3 4\n", b"1\t2\r\n3\t4\r\n", b"1;2\n3;4\n",
                                     b"\n1, 2\n\n3, 4\n", b"\xef\xbb\xbf1,2\n3,4\n", b"f0,f1\n1e0,2.\n+3,.4e1\n"])
def test_numbers(tmp_path, content):
    np.testing.assert_array_equal(read_value(written(tmp_path, content)), [[1, 2], [3, 4]])


def test_table_of_one_row_or_column(tmp_path):
    assert read_value(written(tmp_path, b"1,2\n")).shape == (1, 2)
    assert read_value(written(tmp_path, b"1\n2\n")).shape == (2, 1)


@pytest.mark.parametrize("content, message", [
    (b"1,2\n3,x\n5,\n", r"2 problems[\s\S]*line 2, column 2 · expected a number · found 'x'[\s\S]*line 3, column 2"),
    (b"a,b\n1,2\n3\n", "line 3 · expected 2 cells as in line 2 · found 1"),
    (b"a;b\n1,5;2\n", "line 2, column 1 · expected a number · found '1,5' · write decimals with a point"),
    (b"x,y\n", "headings only"),
    (b"1,2\n" * 20 + b"3,\x004\n", "line 21 · expected text · found a NUL"),
    (b"1,2\n\xff,3\n", "byte 4 · expected UTF-8 text"),
])
def test_numbers_that_are_none(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read_value(written(tmp_path, content))


@pytest.mark.parametrize("content, message", [
    (b'a,"b\n1,2\n', "unexpected end of data"),
    (b"a," + b"x" * 140_000, "field larger than field limit"),
    ("a,b".encode("utf-16"), "found UTF-16 text"),
])
def test_rows_that_are_none(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read_rows(written(tmp_path, content), delimiter=None)
