"""Readers meet damaged bytes: they return or raise InputError, never anything else."""

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wtal_fast.data.annotations import read_annotations
from wtal_fast.data.click_files import read_clicks
from wtal_fast.data.formats.npy import inspect_npy
from wtal_fast.errors import InputError


def npy_bytes():
    buffer = io.BytesIO()
    np.save(buffer, np.arange(12, dtype=np.float32).reshape(4, 3))
    return buffer.getvalue()


GROUND_TRUTH = json.dumps({"database": {"a": {"subset": "train", "duration": "9.5", "fps": 30, "annotations": [
    {"segment": ["1.5", 2], "label": "run"}]}}, "activity_list": ["run", "jump"]}).encode()
CLICKS = (b"\xef\xbb\xbfURLID,URL,TagID,Tag,Start,End,Time,State\na,a.mp4,20,background_background,1.5,1.5,1,1\n"
          b"b,b.mp4,3,run_run,2,3,1,1\n")
BYTES = st.sampled_from(list(b"\x00\x0a\x1f \"',-.01789:;[]{}eEnNu\\\xc3\xff"))
KINDS = st.sampled_from(["set", "cut", "insert"])
EDITS = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), KINDS, BYTES), min_size=1, max_size=6)


def damaged(content, edits):
    content = bytearray(content)
    for where, kind, byte in edits:
        index = int(where * len(content))
        if kind == "set" and content:
            content[index] = byte
        elif kind == "cut":
            del content[index : index + 1 + byte % 7]
        else:
            content.insert(index, byte)
    return bytes(content)


def read_or_refuse(folder, content, edits, read):
    path = folder / "file"
    path.write_bytes(damaged(content, edits))
    try:
        read(path)
    except InputError as error:
        assert str(path) in str(error)


@settings(max_examples=400)
@given(edits=EDITS)
def test_ground_truth(tmp_path_factory, edits):
    read_or_refuse(tmp_path_factory.getbasetemp(), GROUND_TRUTH, edits, read_annotations)


@pytest.mark.filterwarnings("ignore:.*clicks are in videos that are not used")
@settings(max_examples=400)
@given(edits=EDITS)
def test_clicks(tmp_path_factory, edits):
    def read(path):
        for ranges in ("midpoint", "half_seconds"):
            read_clicks(path, ["run", "jump"], ["a", "b"], np.array([9.0, 9.0]), ranges)

    read_or_refuse(tmp_path_factory.getbasetemp(), CLICKS, edits, read)


@pytest.mark.filterwarnings("ignore:Reading .* created on Python 2")
@settings(max_examples=400)
@given(edits=EDITS)
def test_npy(tmp_path_factory, edits):
    read_or_refuse(tmp_path_factory.getbasetemp(), npy_bytes(), edits, lambda path: inspect_npy(path).read())
