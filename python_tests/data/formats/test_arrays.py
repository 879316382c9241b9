"""Every way to keep arrays in a file gives them back, the same through one door."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from wtal_fast.data.formats import one_array, open_arrays, read_value
from wtal_fast.errors import InputError

ARRAYS = {
    "float32": np.arange(12, dtype=np.float32).reshape(4, 3),
    "float16": np.linspace(-1, 1, 6, dtype=np.float16).reshape(2, 3),
    "big-endian": np.arange(6, dtype=">f8").reshape(2, 3),
    "Fortran order": np.asfortranarray(np.arange(12.0).reshape(4, 3)),
    "int64": np.array([[-1, 2**62]]),
    "uint8": np.arange(255, dtype=np.uint8),
    "bool": np.array([True, False]),
    "scalar": np.array(3.5),
    "empty": np.zeros((0, 3), np.float32),
    "bytes": np.array([b"video_1", b"v"]),
    "text": np.array(["Köln", "a"]),
    "long": np.arange(5000, dtype=np.float64),  # longer than what is copied out of a pickle at once
}


def assert_same(found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.dtype == wanted.dtype.newbyteorder("=") and found.dtype.isnative and found.flags.writeable
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", ARRAYS)
def test_npy(tmp_path, name):
    np.save(tmp_path / "a.npy", ARRAYS[name])
    (ref,) = open_arrays(tmp_path / "a.npy").values()
    assert (ref.name, ref.shape, ref.dtype) == ("", ARRAYS[name].shape, ARRAYS[name].dtype)
    assert_same(ref.read(), ARRAYS[name])
    np.testing.assert_array_equal(ref.map(), ARRAYS[name])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save):
    save(tmp_path / "a.npz", **ARRAYS)
    found = open_arrays(tmp_path / "a.npz")
    assert list(found) == list(ARRAYS)
    for name, ref in found.items():
        assert ref.shape == ARRAYS[name].shape and ref.mappable == (save is np.savez)
        assert_same(ref.read(), ARRAYS[name])
        np.testing.assert_array_equal(ref.map(), ARRAYS[name])


@pytest.mark.parametrize("protocol", range(6))
def test_pickled_arrays(tmp_path, protocol):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(ARRAYS, protocol))
    found = open_arrays(tmp_path / "a.pkl")
    assert list(found) == list(ARRAYS)
    for name, ref in found.items():
        assert_same(ref.read(), ARRAYS[name])
        np.testing.assert_array_equal(ref.map(), ARRAYS[name])
    assert found["long"].mappable == (protocol >= 3)


VALUE = {"text": "Köln", "raw": b"\xff\x00'\n", "none": None, "yes": True, "no": False, "numbers": [1, -2, 2**63, 1.5],
         "pair": ("a", 1), "deep": [[[]], {}, ()], "long": "x" * 5000, "bytes": b"\x80y" * 3000, 7: np.float64(0.5),
         "scalar": np.int32(-3), "name": np.str_("é"), "empty": b""}


@pytest.mark.parametrize("protocol", range(6))
def test_pickled_values(tmp_path, protocol):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(VALUE, protocol))
    assert read_value(tmp_path / "a.pkl") == VALUE


def objects(*items, shape=None):
    array = np.empty(len(items), object)
    array[:] = items
    return array.reshape(shape) if shape else array


@pytest.mark.parametrize("protocol", range(6))
def test_object_arrays(tmp_path, protocol):
    """As the W-TALC family keeps features, labels and segments."""
    features = [np.random.default_rng(n).normal(size=(n + 1, 2048)).astype(np.float32) for n in range(3)]
    labels = objects(["run", "jump"], [], ["run"])
    for array in (objects(*features), labels):
        header = np.lib.format.header_data_from_array_1_0(array)
        with open(tmp_path / "a.npy", "wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.write(pickle.dumps(array, protocol))
        if array is labels:
            assert read_value(tmp_path / "a.npy") == labels.tolist()
        else:
            found = open_arrays(tmp_path / "a.npy")
            assert list(found) == ["0", "1", "2"]
            for ref, wanted in zip(found.values(), features, strict=True):
                assert_same(ref.read(), wanted)
                np.testing.assert_array_equal(ref.map(), wanted)
                assert ref.mappable == (protocol >= 3)


def test_object_arrays_of_other_shapes_become_lists_in_lists(tmp_path):
    for array in (objects("a", 1, None, "b", 2, [3], shape=(2, 3)), objects({"k": 1}, shape=()), objects()):
        for order in (array, np.asfortranarray(array)):
            np.save(tmp_path / "a.npy", order)
            assert read_value(tmp_path / "a.npy") == array.tolist()
    np.savez(tmp_path / "a.npz", labels=objects(["run"], []), x=np.ones(2))
    found = read_value(tmp_path / "a.npz")
    assert found["labels"] == [["run"], []] and found["x"].tolist() == [1, 1]


# numpy.save of Python 2 wrote these: str as SHORT_BINSTRING, array bytes as a str, with and without frames
PYTHON_2 = {
    "list of str": (b"\x80\x02]q\x00(U\x03runq\x01U\x04K\xf6lnq\x02e.", ["run", "Köln"]),
    "unicode": (b"\x80\x02]q\x00X\x03\x00\x00\x00runa.", ["run"]),
    "text": (b"(lp0\nS'it\\'s\\x20'\np1\naI01\naL5L\naF1.5\na.", ["it's ", True, 5, 1.5]),
}


@pytest.mark.parametrize("name", PYTHON_2)
def test_python_2_pickles(tmp_path, name):
    content, value = PYTHON_2[name]
    (tmp_path / "a.pkl").write_bytes(content)
    assert read_value(tmp_path / "a.pkl") == value


@pytest.mark.parametrize("length", [3, 3000])
def test_array_written_by_python_2(tmp_path, length):
    raw = np.arange(length, dtype="<f4").tobytes()
    text = b"U" + bytes([len(raw)]) + raw if len(raw) < 256 else b"T" + len(raw).to_bytes(4, "little") + raw
    (tmp_path / "a.pkl").write_bytes(
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01K\x00\x85q\x02U\x01bq\x03\x87q\x04R"
        b"q\x05(K\x01M" + length.to_bytes(2, "little") + b"\x85q\x06cnumpy\ndtype\nq\x07U\x02f4q\x08K\x00K\x01\x87q\x09"
        b"Rq\x0a(K\x03U\x01<q\x0bNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0cb\x89" + text + b"tq\x0db.")
    (ref,) = open_arrays(tmp_path / "a.pkl").values()
    assert_same(ref.read(), np.arange(length, dtype=np.float32))


def test_the_array_of_a_file_is_found_by_name_or_because_it_is_alone(tmp_path):
    np.savez(tmp_path / "a.npz", feats=np.ones(2), fps=np.array(25))
    assert one_array(tmp_path / "a.npz", ["feature", "feats"]).shape == (2,)
    with pytest.raises(InputError, match="one array · found 2 arrays: feats, fps"):
        one_array(tmp_path / "a.npz")
    with pytest.raises(InputError, match="named feat, or .* found 2 arrays: feats, fps · did you mean 'feats'"):
        one_array(tmp_path / "a.npz", ["feat"])
    np.save(tmp_path / "a.npy", np.ones(3))
    assert one_array(tmp_path / "a.npy", ["feats"]).shape == (3,)


def test_the_name_of_a_file_does_not_matter(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones(2))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    assert list(open_arrays(tmp_path / "a.npy")) == ["x"]


def test_words_for_what_is_no_file_of_arrays(tmp_path):
    (tmp_path / "page.npy").write_text("<html>not found</html>")
    (tmp_path / "empty.npz").touch()
    for name, found in (("page.npy", "starts with"), ("empty.npz", "empty file"), ("none.npy", "nothing there"),
                        ("", "a folder")):
        with pytest.raises(InputError, match=found) as caught:
            open_arrays(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
