"""When a snippet is: frame rates by video, and windows wider than the step between them."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from python_tests.data import layout_cases as cases
from wtal_fast.config import DataConfig
from wtal_fast.data.check_folder import check_path
from wtal_fast.data.fps_table import read_fps_table
from wtal_fast.data.loading import load_folder
from wtal_fast.errors import InputError

RATES = {"vid_a": 30.0, "vid_b": 25.0, "vid_c": 24.0}
LENGTHS = np.array([5, 8, 3])


@pytest.fixture
def root(tmp_path):
    """ActionFormer's layout with a frame rate of its own for each training video."""
    content = cases.database(("Validation", "Test"))
    for video, rate in RATES.items():
        content["database"][video]["fps"] = rate
    cases.write_json(tmp_path / "annotations/thumos14.json", content)
    for _, video, array in cases.all_videos():
        cases.save(tmp_path / f"i3d_features/{video}.npy", array)
    return tmp_path


def load(root, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the times of these features are those of no video
        config = DataConfig(train_subset="Validation", test_subset="Test", snippet_stride=4, **settings)
        return load_folder(root, config, "train")


def test_frame_rates_of_the_ground_truth(root):
    assert load(root).durations.tolist() == (LENGTHS * 4 / 25).tolist()
    dataset = load(root, video_fps="ground_truth")
    np.testing.assert_allclose(dataset.durations, LENGTHS * 4 / np.array([30, 25, 24]))
    assert dataset.starts is None


def test_frame_rates_of_a_table(root, tmp_path):
    cases.write_json(tmp_path / "rates.json", {"vid_a": 15, "v_vid_b": 10})
    np.testing.assert_allclose(load(root, video_fps="rates.json").durations, LENGTHS * 4 / np.array([15, 25, 25]))
    cases.write_json(tmp_path / "rates.json", {"elsewhere": 15})
    with pytest.raises(InputError, match="rates.json · expected frame rates of the videos · found none of 'vid_a'"):
        load(root, video_fps="rates.json")


def test_the_middle_of_a_snippet_is_that_of_its_window(root, tmp_path):
    """ActionFormer: snippet i is frames [4 i, 4 i + 16), so a click at frame 4 i + 8 is on it, at any frame rate."""
    snippets = {"vid_a": (0, 4), "vid_b": (3, 7), "vid_c": (1, 2)}
    rows = [f"{video},{(4 * i + 8) / RATES[video]},run" for video, places in snippets.items() for i in places]
    (tmp_path / "clicks.txt").write_text("\n".join(rows) + "\n")
    settings = {"video_fps": "ground_truth", "clicks": "clicks.txt", "click_kinds": "both"}
    dataset = load(root, snippet_window=16, **settings)
    np.testing.assert_allclose(dataset.starts, 6 / np.array([30, 25, 24]))
    for number, (video, places) in enumerate(snippets.items()):
        length = int(dataset.raw_lengths[number])
        found = dataset.click_table(length)[number].numpy()
        assert tuple(np.flatnonzero(found >= 0)) == places, video
    assert dataset.take([2, 0]).starts.tolist() == dataset.starts[[2, 0]].tolist()
    plain = load(root, **settings).click_table(8)[1].numpy()
    assert tuple(np.flatnonzero(plain >= 0)) == (5, 7)  # two snippets late, and the last one clamped


def test_annotated_durations_count_from_the_start_of_the_video(root):
    assert load(root, snippet_window=16, time_base="duration").starts is None


def test_a_table_beside_the_features_gives_the_frames_of_clicks_their_seconds(tmp_path):
    cases.WRITERS["basnet"](tmp_path)
    folder = tmp_path / "THUMOS14"
    cases.write_json(folder / "fps_dict.json", {"vid_a": 10.0, "vid_b": 20.0, "another": 30.0})
    (folder / "clicks.csv").write_text(
        "class,class_index,start_frame,stop_frame,video_id,point\nrun,1,0,9,vid_a,9\nrun,1,0,99,vid_b,9\n")
    config = DataConfig(clicks="clicks.csv", click_kinds="both")
    dataset = load_folder(tmp_path, config, "train")
    assert dataset.clicks.seconds.tolist() == [0.9, 0.45]
    assert dataset.annotations.fps[:2].tolist() == [10, 20]
    report = check_path(folder / "fps_dict.json")
    assert report["files"][0] | {"file": ""} == {"file": "", "kind": "frame rates", "videos": 3}


@pytest.mark.parametrize("value", [0, -1, "25", True, None, [25]])
def test_bad_rates_are_named(tmp_path, value):
    path = tmp_path / "fps_dict.json"
    path.write_text(json.dumps({"a": 25, "b": value}))
    with pytest.raises(InputError, match="fps_dict.json · video 'b' · expected frames a second, a number above 0"):
        read_fps_table(path)


def test_no_rates_anywhere_is_an_error(tmp_path):
    content = cases.database()
    for entry in content["database"].values():
        del entry["fps"]
    cases.write_json(tmp_path / "gt.json", content)
    for _, video, array in cases.all_videos():
        cases.save(tmp_path / f"features/{video}.npy", array)
    with pytest.raises(InputError, match="gt.json · fps · expected frame rates of the videos · found none"):
        load_folder(tmp_path, DataConfig(video_fps="ground_truth"), "train")
