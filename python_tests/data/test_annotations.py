"""Ground truth and detection files of every layout, read and refused."""

import json
import subprocess
import sys

import numpy as np
import pytest

from wtal_fast.data.annotations import read_annotations, select_subset, select_videos, video_labels
from wtal_fast.errors import InputError


def write(folder, database, **keys):
    path = folder / "gt.json"
    path.write_text(json.dumps({"database": database, **keys}))
    return path


def video(*instances, subset="train", **keys):
    return {"subset": subset, "annotations": [{"segment": [s, e], "label": label} for s, e, label in instances], **keys}


def test_reads_strings_numbers_and_absent_durations(tmp_path):
    path = write(tmp_path, {"b": video(("1.5", "2", "run"), (0, 1, "BMX"), duration="9.5", fps=30), "a": video()})
    found = read_annotations(path)
    assert found.video_ids == ("b", "a") and found.subsets == ("train", "train")
    assert found.class_names == ("BMX", "run")  # ASCII order: capitals first
    np.testing.assert_array_equal(found.segments, [[1.5, 2], [0, 1]])
    np.testing.assert_array_equal(found.classes, [1, 0])
    np.testing.assert_array_equal(found.video_index, [0, 0])
    np.testing.assert_array_equal(found.durations, [9.5, np.nan])
    np.testing.assert_array_equal(found.fps, [30, np.nan])


def test_class_order_is_the_given_one_then_the_files_then_sorted(tmp_path):
    path = write(tmp_path, {"a": video((0, 1, "x"), (1, 2, "y"))}, activity_list=["z", "y", "x"])
    assert read_annotations(path).class_names == ("z", "y", "x")
    np.testing.assert_array_equal(read_annotations(path).classes, [2, 1])
    np.testing.assert_array_equal(read_annotations(path, ["x", "y"]).classes, [0, 1])


def test_an_empty_database_and_a_byte_order_mark(tmp_path):
    path = tmp_path / "gt.json"
    path.write_bytes(b'\xef\xbb\xbf{"database": {}}')
    found = read_annotations(path)
    assert len(found) == 0 and found.segments.shape == (0, 2) and found.class_names == ()


def test_keeps_instances_without_length_and_past_the_end(tmp_path):
    found = read_annotations(write(tmp_path, {"a": video((3, 3, "x"), (5, 99, "x"), duration=10)}))
    np.testing.assert_array_equal(found.segments, [[3, 3], [5, 99]])


def test_unlocated_labels_need_permission(tmp_path):
    path = write(tmp_path, {"a": {"subset": "train", "annotations": [{"label": "x"}]}})
    with pytest.raises(InputError, match="expected a segment"):
        read_annotations(path)
    found = read_annotations(path, unlocated=True)
    assert np.isnan(found.segments).all()
    np.testing.assert_array_equal(video_labels(found, ["a"]), [[1]])


BAD = {
    "end before start": (video((5, 4, "x")), r"video 'a', annotation 0 · expected 0 <= start <= end · found \[5, 4\]"),
    "negative start": (video((-1, 4, "x")), r"found \[-1, 4\]"),
    "nan in a string": (video(("nan", 4, "x")), "expected finite start and end"),
    "infinity in a string": (video((1, "inf", "x")), "expected finite start and end"),
    "word as time": (video(("one", 4, "x")), "expected finite start and end"),
    "truth value as time": (video((True, 4, "x")), "expected finite start and end"),
    "three times": ({"subset": "train", "annotations": [{"segment": [1, 2, 3], "label": "x"}]}, "expected a segment"),
    "no label": ({"subset": "train", "annotations": [{"segment": [1, 2]}]}, "expected a label · found nothing"),
    "number as label": ({"subset": "train", "annotations": [{"segment": [1, 2], "label": 3}]}, "found 3"),
    "annotation a list": ({"subset": "train", "annotations": [[1, 2]]}, "expected an object with segment and label"),
    "annotations an object": ({"subset": "train", "annotations": {}}, "expected a list of annotations"),
    "no subset": ({"annotations": []}, "expected a subset"),
    "entry a list": ([], "expected an object with subset and annotations"),
    "duration 0": (video(duration=0), "video 'a', duration · expected a positive number · found 0"),
    "fps a word": (video(fps="fast"), "video 'a', fps"),
    "unprintable label": (video((0, 1, "\ud800")), "expected a label"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_entries_are_named(tmp_path, name):
    entry, message = BAD[name]
    path = write(tmp_path, {"a": entry})
    with pytest.raises(InputError, match=message) as caught:
        read_annotations(path)
    assert str(path) in str(caught.value)


def test_unknown_label_gets_the_nearest_name(tmp_path):
    with pytest.raises(InputError, match="label 'HighJmup' · did you mean 'HighJump'"):
        read_annotations(write(tmp_path, {"a": video((0, 1, "HighJmup"))}), ["HighJump", "LongJump"])


def test_all_problems_are_counted_and_twenty_listed(tmp_path):
    path = write(tmp_path, {f"v{index}": video((5, 4, "x")) for index in range(25)})
    with pytest.raises(InputError, match="25 problems, the first 20 listed") as caught:
        read_annotations(path)
    assert "video 'v19'" in str(caught.value) and "video 'v20'" not in str(caught.value)


@pytest.mark.parametrize(("content", "message"), [
    ("[]", "key 'database'"), ('{"results": {}}', "detections"), ('{"database": []}', "expected an object of videos"),
    ('{"database": {}, "activity_list": ["x", "x"]}', "distinct class names"),
    ('{"database": {"a": 1, "a": 2}}', "the key twice"), ('{"database": NaN}', "finite numbers"),
])
def test_bad_files(tmp_path, content, message):
    path = tmp_path / "gt.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_annotations(path)


def test_select_subset_knows_synonyms_but_never_guesses_val(tmp_path):
    found = read_annotations(write(tmp_path, {"a": video((0, 1, "x"), subset="Training"),
                                              "b": video((2, 3, "y"), subset="validation")}))
    for name in ("train", "TRAIN", "training"):
        assert select_subset(found, name).video_ids == ("a",)
    assert select_subset(found, "val").video_ids == ("b",)
    np.testing.assert_array_equal(select_subset(found, "val").video_index, [0])
    assert select_subset(found, "val").class_names == ("x", "y")
    with pytest.raises(InputError, match=r"subset 'test' · found 'Training' \(1 videos\), 'validation' \(1 videos\)"):
        select_subset(found, "test")


def test_select_videos_follows_the_given_order(tmp_path):
    found = read_annotations(write(tmp_path, {"a": video((0, 1, "x"), (4, 5, "y")), "b": video((2, 3, "y")),
                                              "c": video(duration=7)}))
    chosen = select_videos(found, ["c", "b", "a"])
    np.testing.assert_array_equal(chosen.video_index, [1, 2, 2])
    np.testing.assert_array_equal(chosen.segments, [[2, 3], [0, 1], [4, 5]])
    np.testing.assert_array_equal(chosen.durations, [7, np.nan, np.nan])
    with pytest.raises(InputError, match="video 'd'"):
        select_videos(found, ["d"])


def test_video_labels_are_multi_hot(tmp_path):
    found = read_annotations(write(tmp_path, {"a": video((0, 1, "x"), (4, 5, "y"), (6, 7, "x")), "b": video()}))
    np.testing.assert_array_equal(video_labels(found, ["b", "a"]), [[0, 0], [1, 1]])
    np.testing.assert_array_equal(video_labels(found, ["a"], num_classes=4), [[1, 1, 0, 0]])
    with pytest.raises(InputError, match="class numbers below 1"):
        video_labels(found, ["a"], num_classes=1)


def test_torch_is_not_imported():
    code = "import sys, wtal_fast.data.annotations; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("name", "subset", "videos", "instances", "labels_a_video"), [
    ("gt.json", "train", 200, 3007, [0, 173, 27]), ("gt.json", "test", 210, 3311, [0, 176, 33, 1]),
    ("gt_backtal.json", "val", 200, 3003, [0, 173, 27]), ("gt_backtal.json", "test", 210, 3311, [0, 176, 33, 1]),
])
def test_thumos14_counts(shared, name, subset, videos, instances, labels_a_video):
    chosen = select_subset(read_annotations(shared / "data/thumos14" / name), subset)
    assert (len(chosen.video_ids), len(chosen)) == (videos, instances)
    labels = video_labels(chosen, chosen.video_ids)
    np.testing.assert_array_equal(np.bincount(labels.sum(1).astype(int)), labels_a_video)


def test_thumos14_class_order_and_video_past_its_end(shared):
    found = read_annotations(shared / "data/thumos14/gt_backtal.json")
    assert found.class_names[0] == "BaseballPitch" and found.class_names[19] == "VolleyballSpiking"
    assert found.class_names == read_annotations(shared / "data/thumos14/gt.json").class_names
    past = select_videos(found, ["video_test_0001081"])
    assert past.segments.max() > past.durations[0]


def test_activitynet_counts_and_class_order(shared):
    found = read_annotations(shared / "data/activitynet/activity_net.v1-2.min.json")
    assert [len(select_subset(found, name)) for name in ("train", "validation", "testing")] == [7151, 3582, 0]
    assert found.class_names == tuple(sorted(found.class_names)) and len(found.class_names) == 100
    assert (found.segments[:, 0] == found.segments[:, 1]).sum() == 10
