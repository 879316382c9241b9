"""HDF5 in all its storage forms; a process of its own takes what a damaged file does to the library."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from python_tests.conftest import require
from wtal_fast.data.formats import hdf5, open_arrays, read_value
from wtal_fast.errors import InputError

try:
    import h5py
except ImportError as error:
    require("extra", False, str(error), module=True)

VALUES = np.arange(60, dtype=np.float32).reshape(12, 5)


def test_contiguous_arrays_are_mapped_and_others_unpacked(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["whole"] = VALUES
        file.create_dataset("group/packed", data=VALUES, chunks=(5, 2), compression="gzip", fletcher32=True)
        file.create_dataset("big-endian", data=VALUES.astype(">f8"))
        file.create_dataset("small", data=np.float32(2.5))
        file.create_dataset("empty", shape=(0, 3), dtype="f4")
        file.create_dataset("bytes", data=np.array([b"ab", b"c"]))
        file.create_dataset("never written", shape=(3, 2), dtype="f4", fillvalue=7)
        file["another name"] = h5py.SoftLink("/whole")
    found = open_arrays(tmp_path / "a.h5")
    assert sorted(found) == ["big-endian", "bytes", "empty", "group/packed", "never written", "small", "whole"]
    assert found["whole"].mappable and not found["group/packed"].mappable
    for name in ("whole", "group/packed", "big-endian"):
        np.testing.assert_array_equal(found[name].read(), VALUES)
        np.testing.assert_array_equal(found[name].map(), VALUES)
        assert found[name].read().dtype.isnative
    assert found["small"].read() == 2.5 and found["empty"].read().shape == (0, 3)
    assert found["bytes"].read().tolist() == [b"ab", b"c"] and (found["never written"].read() == 7).all()
    assert read_value(tmp_path / "a.h5")["small"] == 2.5


def test_large_arrays_pass_the_pipe(tmp_path):
    values = np.random.default_rng(0).normal(size=(700, 1000))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=values, chunks=True)
    np.testing.assert_array_equal(read_value(tmp_path / "a.h5")["x"], values)


def test_library_that_dies_is_an_error_and_the_next_file_is_read(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=VALUES, chunks=True)
    array = open_arrays(tmp_path / "a.h5")["x"]
    os.kill(hdf5.READER._process.pid, signal.SIGSTOP)  # dies while it is asked
    hdf5.READER._process.send_signal(signal.SIGKILL)
    try:
        array.read()
    except InputError as error:
        assert "a.h5" in str(error)
    np.testing.assert_array_equal(array.read(), VALUES)


def test_library_that_hangs_is_stopped(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = VALUES
    open_arrays(tmp_path / "a.h5")
    monkeypatch.setattr(hdf5, "TIMEOUT", 0.2)
    os.kill(hdf5.READER._process.pid, signal.SIGSTOP)
    with pytest.raises(InputError, match="no answer"):
        open_arrays(tmp_path / "a.h5")
    monkeypatch.undo()
    assert list(open_arrays(tmp_path / "a.h5")) == ["x"]


def test_missing_package_is_named(tmp_path, monkeypatch):
    (tmp_path / "h5py.py").write_text("raise ImportError('no module h5py')")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = VALUES
    hdf5.READER.stop()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(InputError, match=r"the h5py package .* no module h5py · .*wtal_fast\[h5\]"):
        open_arrays(tmp_path / "a.h5")


def test_a_forked_process_starts_its_own(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=VALUES, chunks=True)
    read_value(tmp_path / "a.h5")
    child = os.fork()
    if child == 0:
        os._exit(0 if (read_value(tmp_path / "a.h5")["x"] == VALUES).all() else 1)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(read_value(tmp_path / "a.h5")["x"], VALUES)
