"""Safetensors: a header of strict JSON that must account for every byte of the file, then plain numbers."""

from __future__ import annotations

import functools
import math
import os
from pathlib import Path

import numpy as np

from wtal_fast.data.formats.arrays import ArrayRef, LoadedArray, RawArray
from wtal_fast.data.formats.npy import MAX_ELEMENTS
from wtal_fast.data.formats.source import DAMAGED, open_file
from wtal_fast.data.problems import ProblemList
from wtal_fast.errors import InputError
from wtal_fast.files import parse_json

MAX_HEADER_BYTES = 100_000_000  # the format's own limit
FIX = "save it again with safetensors"
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1",
          "U16": "<u2", "U32": "<u4", "U64": "<u8", "BOOL": "?", "BF16": "<u2"}


def looks_like_safetensors(head: bytes) -> bool:
    """Whether a file of these first bytes may be one: a header length, then a JSON object."""
    return len(head) > 8 and head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= MAX_HEADER_BYTES


def read_safetensors(path: Path) -> dict[str, ArrayRef]:
    """The arrays of a safetensors file by name. bfloat16 is read as float32."""
    return read_with_metadata(path)[0]


def read_with_metadata(path: Path) -> tuple[dict[str, ArrayRef], dict[str, str]]:
    """(arrays by name, the file's own notes)."""
    with open_file(path, "a safetensors file") as (file, size):
        head = os.pread(file.fileno(), 8, 0)
        length = int.from_bytes(head, "little")
        if len(head) < 8 or length > min(size - 8, MAX_HEADER_BYTES):
            raise InputError(path, "header", expected=f"a header within the {size} bytes of the file",
                             found=f"a length of {length}", fix=DAMAGED)
        header = parse_json(os.pread(file.fileno(), length, 8), path)
    metadata = header.pop("__metadata__", {}) if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise InputError(path, "header", expected="an object of tensors and text notes", found="another", fix=FIX)
    problems, arrays, end = ProblemList(path), {}, 0
    for name, entry in sorted(header.items(), key=lambda item: _offsets(item[1])):
        found, shown = _array(path, name, entry, 8 + length, size), ascii(name)[1:-1][:80]
        if isinstance(found, str):
            problems.add(shown, expected="dtype, shape and data_offsets that agree", found=found, fix=FIX)
        elif _offsets(entry)[0] != end:
            problems.add(shown, expected=f"bytes from {end} on", found=f"from {_offsets(entry)[0]} on", fix=DAMAGED)
        else:
            arrays[name] = found
        end = _offsets(entry)[1]
    if not problems.count and 8 + length + end != size:
        problems.add("", expected=f"{8 + length + end} bytes", found=f"{size} bytes", fix=DAMAGED)
    problems.raise_any()
    return {name: arrays[name] for name in header}, metadata


def _offsets(entry) -> tuple[int, int]:
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if isinstance(offsets, list) and len(offsets) == 2 and all(type(offset) is int for offset in offsets):
        return tuple(offsets)
    return (-1, -1)


def _array(path: Path, name: str, entry, start: int, size: int) -> ArrayRef | str:
    """The array of a header entry, or what is wrong with it."""
    first, end = _offsets(entry)
    if not 0 <= first <= end or end > size - start:
        return "data_offsets outside the file"
    code, shape = entry.get("dtype"), entry.get("shape")
    if code not in _TYPES:
        return f"dtype {ascii(code)[:40]}"
    if not isinstance(shape, list) or len(shape) > 32 \
            or not all(type(extent) is int and extent >= 0 for extent in shape) \
            or math.prod(extent or 1 for extent in shape) >= MAX_ELEMENTS:
        return f"shape {ascii(shape)[:40]}"
    dtype, shape = np.dtype(_TYPES[code]), tuple(shape)
    if math.prod(shape) * dtype.itemsize != end - first:
        return f"{end - first} bytes for shape {list(shape)} of {code}"
    raw = RawArray(path, name, shape, dtype, "C", start + first)
    if code != "BF16":
        return raw
    return LoadedArray(path, name, shape, np.dtype("f4"), functools.partial(_from_bfloat16, raw))


def _from_bfloat16(raw: RawArray) -> np.ndarray:
    return (raw.read().astype(np.uint32) << 16).view(np.float32)
