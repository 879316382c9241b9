"""Object arrays written one element at a time: what is read is what was put in, and work once done is kept."""

from __future__ import annotations

import os
import pickle
import pickletools
import tracemalloc

import numpy as np
import pytest

from python_tests.data.independent import independent
from wtal_fast.data import object_array_file
from wtal_fast.data.formats import read_value
from wtal_fast.data.object_array_file import ObjectArrayFile
from wtal_fast.errors import InputError

ARRAYS = [np.arange(6, dtype=np.float32).reshape(3, 2) * number for number in range(1, 6)]
LISTS = [["run", "jump"], [], [[0.5, 1.25], [2.0, 3.0]], ["cnumpy._core."]]


def write(path, elements):
    file = ObjectArrayFile(path, len(elements))
    for element in elements[file.written :]:
        file.append(element)
    file.finish()


@pytest.mark.parametrize("elements", [ARRAYS, LISTS, [], [np.zeros((0, 4), np.float16)]],
                         ids=["arrays", "lists", "none", "empty"])
def test_python_and_our_reader_read_it(tmp_path, elements):
    path = tmp_path / "folder/features.npy"
    write(path, elements)
    for found in (independent(path), read_value(path)):
        assert len(found) == len(elements)
        for one, wanted in zip(found, elements, strict=True):
            assert type(one) is type(wanted) and np.shape(one) == np.shape(wanted)
            assert one.tobytes() == wanted.tobytes() if isinstance(wanted, np.ndarray) else one == wanted
    assert os.listdir(path.parent) == ["features.npy"]


def test_names_are_those_that_old_versions_of_numpy_know(tmp_path):
    write(tmp_path / "a.npy", ARRAYS)
    content = (tmp_path / "a.npy").read_bytes()
    start = content.index(b"\n") + 1
    names = {argument for code, argument, _ in pickletools.genops(content[start:]) if code.name == "GLOBAL"}
    assert names == {"numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"}


@pytest.mark.parametrize("stop", [0, 1, 3, 5])
def test_interrupted_writing_goes_on(tmp_path, stop):
    write(tmp_path / "whole.npy", ARRAYS)
    file = ObjectArrayFile(tmp_path / "parts.npy", 5)
    for array in ARRAYS[:stop]:
        file.append(array)
    file.close()
    assert not (tmp_path / "parts.npy").exists()
    assert ObjectArrayFile(tmp_path / "parts.npy", 5).written == stop
    write(tmp_path / "parts.npy", ARRAYS)
    assert (tmp_path / "parts.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["parts.npy", "whole.npy"]


def test_what_a_kill_left_behind_the_last_note_is_written_again(tmp_path, monkeypatch):
    """Without close(), as after kill -9: elements after the last note are cut off."""
    monkeypatch.setattr(object_array_file, "SYNC_BYTES", 2 * len(pickle.dumps(ARRAYS[0], 3)) - 20)
    write(tmp_path / "whole.npy", ARRAYS)
    file = ObjectArrayFile(tmp_path / "parts.npy", 5)
    for array in ARRAYS[:3]:
        file.append(array)
    file._file.flush()
    assert ObjectArrayFile(tmp_path / "parts.npy", 5).written == 2
    write(tmp_path / "parts.npy", ARRAYS)
    assert (tmp_path / "parts.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_other_work_is_refused(tmp_path):
    file = ObjectArrayFile(tmp_path / "a.npy", 5)
    file.append(ARRAYS[0])
    file.close()
    with pytest.raises(InputError, match="expected the beginning of 4 arrays"):
        ObjectArrayFile(tmp_path / "a.npy", 4)
    with pytest.raises(ValueError, match="1 of 5 elements"):
        ObjectArrayFile(tmp_path / "a.npy", 5).finish()


def test_elements_are_not_held_in_memory(tmp_path):
    tracemalloc.start()
    try:
        file = ObjectArrayFile(tmp_path / "a.npy", 40)
        for number in range(40):
            file.append(np.full((256, 1024), number, np.float32))
        file.finish()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 * 2**20 < 40 * 2**20 < (tmp_path / "a.npy").stat().st_size
