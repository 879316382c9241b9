"""Feature folders of every layout, read and refused."""

import numpy as np
import pytest
import torch

from wtal_fast.data.features import features_from_arrays
from wtal_fast.data.formats.npy import inspect_npy
from wtal_fast.data.layouts.subset_folders import SubsetFolders, part_of_folder
from wtal_fast.data.stored_features import features_of_part
from wtal_fast.data.video_ids import check_ids
from wtal_fast.errors import InputError


def features_from_folder(folder, videos, modality="all", **options):
    return features_of_part(SubsetFolders(folder.parent), part_of_folder(folder), videos, modality, **options)


def ramp(length, width, first=0.0):
    return first + np.arange(length * width, dtype=np.float32).reshape(length, width)


def split_folder(root, videos, dtype=np.float32):
    """Writes {id: (rgb, flow)} below root."""
    for stream in ("rgb", "flow"):
        (root / stream).mkdir(parents=True)
    for video, streams in videos.items():
        for name, array in zip(("rgb", "flow"), streams, strict=True):
            np.save(root / name / f"{video}.npy", np.asarray(array, dtype=dtype))
    return root


def test_streams_stand_side_by_side_rgb_first(tmp_path):
    rgb, flow = ramp(3, 2), ramp(3, 4, 100)
    root = split_folder(tmp_path / "train", {"a": (rgb, flow), "b": (rgb[:1], flow[:1])})
    for resident in ("memory", "mapped"):
        found = features_from_folder(root, ["b", "a"], resident=resident)
        assert found.lengths.tolist() == [1, 3] and found.feature_dim == 6 and len(found) == 2
        np.testing.assert_array_equal(found.video(1), np.concatenate([rgb, flow], axis=1))
        gathered = found.gather(torch.tensor([1, 0]), torch.tensor([[2, 0], [0, 0]]))
        np.testing.assert_array_equal(gathered[0], found.video(1)[[2, 0]])
        np.testing.assert_array_equal(gathered[1], found.video(0)[[0, 0]])
        np.testing.assert_array_equal(found.take(torch.tensor([1])).video(0), found.video(1))
        only = features_from_folder(root, ["a"], modality="flow", resident=resident)
        np.testing.assert_array_equal(only.video(0), flow)


def test_one_file_a_video(tmp_path):
    np.save(tmp_path / "a.npy", ramp(2, 3))
    np.testing.assert_array_equal(features_from_folder(tmp_path, ["a"]).video(0), ramp(2, 3))
    with pytest.raises(InputError, match="data.modality=all"):
        features_from_folder(tmp_path, ["a"], modality="rgb")


@pytest.mark.parametrize("form", ["float16", "float64", ">f4", "int32", "fortran"])
def test_every_number_format_becomes_float32(tmp_path, form):
    array = ramp(3, 2)
    np.save(tmp_path / "a.npy", np.asfortranarray(array) if form == "fortran" else array.astype(form))
    for resident in ("memory", "mapped"):
        found = features_from_folder(tmp_path, ["a"], resident=resident).video(0)
        assert found.dtype == torch.float32
        np.testing.assert_array_equal(found, array)


def test_a_difference_of_one_snippet_is_cut_with_a_warning(tmp_path):
    root = split_folder(tmp_path / "train", {"a": (ramp(4, 2), ramp(3, 2))})
    for resident in ("memory", "mapped"):
        with pytest.warns(UserWarning, match="video 'a' has 4 RGB and 3 flow snippets; the first 3"):
            found = features_from_folder(root, ["a"], resident=resident)
        np.testing.assert_array_equal(found.video(0), np.concatenate([ramp(4, 2)[:3], ramp(3, 2)], axis=1))


NAN = ramp(3, 2)
NAN[1, 1] = np.nan
BAD_ARRAYS = {
    "lengths two apart": ({"a": (ramp(5, 2), ramp(3, 2))}, "video 'a' .* found 5 snippets and 3 snippets"),
    "nan": ({"a": (NAN, ramp(3, 2))}, r"rgb/a.npy, snippet 1, channel 1 .* found nan \(1 such values in 1 snippets\)"),
    "infinity": ({"a": (np.full((2, 2), -np.inf), ramp(2, 2))}, "expected finite features"),
    "empty": ({"a": (ramp(0, 2), ramp(0, 2))}, "at least one snippet"),
    "no channels": ({"a": (ramp(3, 0), ramp(3, 2))}, "expected width at least 1"),
    "3-D": ({"a": (np.zeros((1, 3, 2)), ramp(3, 2))}, r"found shape \[1, 3, 2\]"),
    "widths differ": ({"a": (ramp(3, 2), ramp(3, 2)), "b": (ramp(3, 2), ramp(3, 3))},
                      "flow/b.npy · expected width 2 as in the first video · found 3"),
}


@pytest.mark.parametrize("resident", ["memory", "mapped"])
@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_features_name_file_and_place(tmp_path, name, resident):
    videos, message = BAD_ARRAYS[name]
    root = split_folder(tmp_path / "train", videos)
    with pytest.raises(InputError, match=message) as caught:
        features_from_folder(root, list(videos), resident=resident)
    assert str(root) in str(caught.value)


def test_float64_that_overflows_float32_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[1e300]]))
    with pytest.raises(InputError, match="found inf"):
        features_from_folder(tmp_path, ["a"])


def test_all_missing_files_are_listed(tmp_path):
    root = split_folder(tmp_path / "train", {"a": (ramp(3, 2), ramp(3, 2))})
    (root / "flow" / "a.npy").unlink()
    with pytest.raises(InputError, match="3 problems") as caught:
        features_from_folder(root, ["a", "b"])
    for name in ("flow/a.npy", "rgb/b.npy", "flow/b.npy"):
        assert name in str(caught.value)


def test_width_is_checked_against_the_expected_one(tmp_path):
    root = split_folder(tmp_path / "train", {"a": (ramp(3, 2), ramp(3, 2))})
    assert features_from_folder(root, ["a"], feature_dim=4).feature_dim == 4
    with pytest.raises(InputError, match=r"expected width 2048 · found 2 \+ 2 · set model.feature_dim=4"):
        features_from_folder(root, ["a"], feature_dim=2048)
    with pytest.raises(InputError, match="transpose them"):
        features_from_folder(root, ["a"], feature_dim=3)


def test_a_missing_stream_folder(tmp_path):
    (tmp_path / "rgb").mkdir()
    with pytest.raises(InputError, match="flow · expected a subfolder of features .* data.modality=rgb"):
        features_from_folder(tmp_path, ["a"])
    with pytest.raises(InputError, match="nothing there"):
        features_from_folder(tmp_path / "absent", ["a"])


@pytest.mark.parametrize("video", ["../a", "/etc/passwd", "", ".hidden", "a/b", "a\0b", "a b", "x" * 201, "a\n", "é"])
def test_unsafe_ids_are_refused(video):
    with pytest.raises(InputError, match="expected an id"):
        check_ids([video], "split.txt")


def test_usual_ids_pass_and_duplicates_do_not():
    check_ids(["video_test_0000004", "v_-2dxp-mv2zo", "---9CpRcKoU", "pull-out_weight.pin"], "split.txt")
    with pytest.raises(InputError, match="video 'a' · expected each id once"):
        check_ids(["a", "b", "a"], "split.txt")


def one_item(descr):
    return npy_header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}")


def npy_header(text):
    body = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body


BAD_FILES = {
    "empty": (b"", "an empty file"),
    "text": (b"1.0 2.0\n3.0 4.0\n", "a file that starts with"),
    "zip": (b"PK\x03\x04 archive", "a file that starts with"),
    "five bytes": (b"\x93NUM", "a file that starts with"),
    "cut header": (npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }")[:40], "header"),
    "cut data": (npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }") + bytes(20),
                 r"152 bytes for shape \[2, 3\] of float32 · found 148 bytes"),
    "trailing bytes": (npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }") + bytes(28),
                       "found 156 bytes"),
    "objects": (one_item("'|O'") + b"cos\nsystem\n",
                "found Python objects"),
    "structure": (one_item("[('a', '<f4')]") + bytes(4),
                  "expected integers or floats"),
    "words": (one_item("'<U4'") + bytes(16), "integers or floats"),
    "complex": (one_item("'<c8'") + bytes(8), "integers or floats"),
    "negative shape": (npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -3), }") + bytes(24),
                       "numbers >= 0"),
    "huge shape": (npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 1000000000), }"),
                   "4000000000000000128 bytes"),
    "code in the header": (npy_header("__import__('os').getcwd()"), "header"),
    "version 9": (b"\x93NUMPY\x09\x00" + bytes(120), "header"),
    "long header": (b"\x93NUMPY\x02\x00" + (20_000).to_bytes(4, "little") + b" " * 20_000, "header"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_npy_files(tmp_path, name):
    content, message = BAD_FILES[name]
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        inspect_npy(path)
    assert str(path) in str(caught.value) and "allow_pickle" not in str(caught.value)


def test_any_cut_of_an_npy_file_is_noticed(tmp_path):
    np.save(tmp_path / "whole.npy", ramp(4, 3))
    whole = (tmp_path / "whole.npy").read_bytes()
    for size in range(len(whole)):
        (tmp_path / "cut.npy").write_bytes(whole[:size])
        with pytest.raises(InputError):
            inspect_npy(tmp_path / "cut.npy")


def test_from_arrays_takes_lists_mappings_and_tensors():
    arrays = {"a": ramp(2, 3), "b": torch.ones(1, 3, dtype=torch.float64, requires_grad=True)}
    for features, ids in ((arrays, None), (list(arrays.values()), None), (arrays, ["a", "b"])):
        found = features_from_arrays(features, ids)
        assert found.lengths.tolist() == [2, 1] and found.values.dtype == torch.float32
        np.testing.assert_array_equal(found.video(0), ramp(2, 3))
    assert features_from_arrays(arrays, ["b"]).lengths.tolist() == [1]


def test_from_arrays_copies():
    array = ramp(2, 3)
    found = features_from_arrays([array])
    array[:] = -1
    assert (found.values >= 0).all()


@pytest.mark.parametrize(("features", "ids", "message"), [
    ({"a": ramp(2, 3)}, ["a", "b"], "video 'b' · expected features"),
    ([ramp(2, 3)], ["a", "b"], "one array for each of 2 video ids"),
    ([ramp(2, 3), ramp(2, 4)], None, "video '1' · expected width 3 · found 4"),
    ([ramp(0, 3)], None, "at least one snippet"),
    ([NAN], ["a"], "video 'a', snippet 1, channel 1"),
    ([np.array([["x"]])], None, "expected numbers"),
    ([np.array([[None]])], None, "an array of object"),
    ([ramp(2, 3)[0]], None, r"found shape \[3\]"),
])
def test_from_arrays_names_the_video(features, ids, message):
    with pytest.raises(InputError, match=message):
        features_from_arrays(features, ids)


def test_progress_counts_videos(tmp_path):
    for name in "abc":
        np.save(tmp_path / f"{name}.npy", ramp(2, 2))
    seen = []
    features_from_folder(tmp_path, list("abc"), progress=seen.append)
    assert seen == [1, 2, 3]


@pytest.mark.parametrize("subset", ["train", "test"])
def test_thumos14_sized_folder(shared, subset):
    videos = (shared / f"data/thumos14_sim/split_{subset}.txt").read_text().split()
    folder = shared / "data/thumos14_sim/features" / subset
    found = features_from_folder(folder, videos)
    assert found.feature_dim == 128 and found.lengths.sum() == {"train": 65215, "test": 71180}[subset]
    for index in (0, 57, len(videos) - 1):
        wanted = [np.load(folder / stream / f"{videos[index]}.npy") for stream in ("rgb", "flow")]
        np.testing.assert_array_equal(found.video(index), np.concatenate(wanted, axis=1).astype(np.float32))
