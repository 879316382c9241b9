"""The public annotation and click files: every one is read and checked, and its counts are the known ones."""

import numpy as np
import pytest

from python_tests.data.independent import independent
from wtal_fast.config import DataConfig
from wtal_fast.data.annotations import read_annotations, select_subset
from wtal_fast.data.check_clicks import check_clicks
from wtal_fast.data.check_folder import check_path
from wtal_fast.data.click_files import FORMS, read_clicks, write_clicks
from wtal_fast.data.conversion import Conversion, convert_folder
from wtal_fast.data.ground_truth import read_ground_truth
from wtal_fast.data.loading import load_folder
from wtal_fast.engine.methods import configure
from wtal_fast.evaluation import read_ambiguous

TRUTHS = {
    "thumos14/gt.json": ("THUMOS'14", 20, {"train": (200, 3007), "test": (210, 3311)}),
    "thumos14/gt_backtal.json": ("THUMOS'14", 20, {"val": (200, 3003), "test": (210, 3311)}),
    "beoid/gt.json": ("BEOID", 34, {"training": (46, 594), "validation": (12, 148)}),
    "gtea/gt.json": ("GTEA", 7, {"training": (21, 367), "validation": (7, 130)}),
    "activitynet/activity_net.v1-2.min.json": (
        "ActivityNet 1.2", 100, {"training": (4819, 7151), "validation": (2383, 3582), "testing": (0, 0)}),
    "activitynet13_annotations/activitynet13_gt_bsn.json": (
        "ActivityNet 1.3", 200, {"training": (9649, 14859), "validation": (4728, 7293), "testing": (0, 0)}),
    "activitynet13_annotations/activitynet13_val_from_sample.json": (
        "ActivityNet 1.3", 200, {"validation": (4926, 7654)}),
}


@pytest.mark.parametrize("name", TRUTHS)
def test_ground_truths(shared, name):
    report = check_path(shared / "data" / name)
    summary = report["files"][0]
    dataset, classes, subsets = TRUTHS[name]
    assert (summary["dataset"], summary["classes"], report["errors"]) == (dataset, classes, 0)
    assert {row["subset"]: (row["annotated_videos"], row["instances"]) for row in summary["subsets"]} == subsets


def counts_of(report, words):
    return [finding["count"] for finding in report["findings"] if words in finding["text"]]


def test_known_defects(shared):
    activitynet = check_path(shared / "data/activitynet/activity_net.v1-2.min.json")
    assert counts_of(activitynet, "zero length") == [10] and counts_of(activitynet, "end after their video") == [5]
    assert counts_of(check_path(shared / "data/activitynet13_annotations/activitynet13_gt_bsn.json"), "zero") == [12]
    thumos14 = check_path(shared / "data/thumos14/gt_backtal.json")
    assert counts_of(thumos14, "frame rates that differ") == [1] and counts_of(thumos14, "end after") == [4]


CLICKS = {  # clicks, contradicted, ids that are in no ground truth
    **{f"thumos14/background_clicks/THUMOS14_Background-Click-Annotation_A{number}.txt": counts for number, counts in
       enumerate([(2264, 175, 0), (2323, 52, 0), (2344, 175, 0)], 1)},
    **{f"thumos14/action_clicks/THUMOS{number}.txt": counts for number, counts in
       enumerate([(2980, None, 0), (2920, None, 1), (3014, None, 0), (2986, None, 0)], 1)},
    **{f"beoid/action_clicks/BEOID{number}.txt": (count, None, 0) for number, count in
       enumerate([589, 602, 604, 599], 1)},
    **{f"gtea/action_clicks/GTEA{number}.txt": (count, None, 0) for number, count in
       enumerate([369, 367, 377, 367], 1)},
}


def truth_of(shared, name):
    folder = name.partition("/")[0]
    return read_annotations(shared / "data" / folder / ("gt_backtal.json" if folder == "thumos14" else "gt.json"))


@pytest.mark.parametrize("name", CLICKS)
def test_click_files(shared, name):
    clicks, contradicted, unknown = CLICKS[name]
    summary, findings = check_clicks(shared / "data" / name, truth_of(shared, name))
    assert summary["clicks"] == clicks and not [one for one in findings if one.level == "error"]
    assert sum(one.count for one in findings if "not in the ground truth" in one.text) == unknown
    if contradicted is None:  # 95.7 to 99.7 % of the action clicks lie in an instance of their class
        assert 0.002 * clicks < summary["contradicted"] < 0.045 * clicks
    else:
        assert summary["contradicted"] == contradicted


@pytest.mark.filterwarnings("ignore:.*clicks are in videos that are not used")
@pytest.mark.parametrize("name", CLICKS)
def test_clicks_survive_every_form(shared, tmp_path, name):
    truth = truth_of(shared, name)
    first = read_clicks(shared / "data" / name, truth.class_names, truth.video_ids, truth.durations, tolerance=300)
    for form in FORMS:
        path = tmp_path / f"clicks.{'json' if form == 'json' else 'txt'}"
        path.write_text(write_clicks(first, form, dict(zip(truth.video_ids, truth.fps, strict=True))))
        again = read_clicks(path, truth.class_names, truth.video_ids, truth.durations, tolerance=300, fps=truth.fps)
        order = np.lexsort([first.seconds, first.video_index]), np.lexsort([again.seconds, again.video_index])
        for key in ("seconds", "classes", "video_index"):
            rounding = 1e-12 if form == "lacp" else 0
            np.testing.assert_allclose(getattr(first, key)[order[0]], getattr(again, key)[order[1]], rounding, 0)


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def test_wtalc_arrays_equal_an_independent_reading(shared):
    folder = shared / "data/thumos14/wtalc_annotations"
    arrays = {name: independent(folder / f"{name}.npy") for name in
              ("videoname", "subset", "labels", "segments", "duration", "classlist_20classes")}
    found = read_ground_truth(folder)
    assert found.video_ids == tuple(map(text, arrays["videoname"])) and len(found.video_ids) == 2584
    assert found.subsets == tuple(map(text, arrays["subset"]))
    assert found.class_names == tuple(map(text, arrays["classlist_20classes"]))
    np.testing.assert_array_equal(found.durations, arrays["duration"].ravel())
    rows = [(number, text(label), list(map(float, segment))) for number in range(2584)
            for label, segment in zip(arrays["labels"][number], arrays["segments"][number], strict=True)]
    assert [row[0] for row in rows] == found.video_index.tolist()
    assert [row[1] for row in rows] == [found.class_names[number] for number in found.classes]
    assert [row[2] for row in rows] == found.segments.tolist()


def test_wtalc_arrays_agree_with_the_json(shared):
    arrays = read_ground_truth(shared / "data/thumos14/wtalc_annotations")
    truth = select_subset(read_annotations(shared / "data/thumos14/gt.json"), "train")
    for video, name in enumerate(truth.video_ids):
        own = np.sort(truth.segments[truth.video_index == video], axis=0)
        theirs = np.sort(arrays.segments[arrays.video_index == arrays.positions[name]], axis=0)
        np.testing.assert_allclose(own, theirs, atol=0.11)  # times are cut to tenths, not always alike


def test_ambiguous_stretches(shared):
    path = shared / "data/thumos14/Ambiguous_test.txt"
    summary = check_path(path)["files"][0]
    stretches = read_ambiguous(path)
    assert (summary["rows"], summary["videos"]) == (99, 37) == (sum(map(len, stretches.values())), len(stretches))


@pytest.mark.parametrize("folder", ["activitynet", "activitynet13_annotations", "beoid", "clips", "detections", "gtea",
                                    "thumos14", "thumos14_sim", "ucf101_vgg16_features", "watch_exercises",
                                    "weizmann_videos", "tcn_frame_scores"])
def test_every_public_folder_is_checked_without_an_error(shared, folder):
    report = check_path(shared / "data" / folder, headers_only=True)
    assert report["errors"] == 0, report["findings"]
    assert report["layout"] == ("basnet" if folder == "thumos14_sim" else None)
    assert report["files"] or report["parts"]


@pytest.mark.parametrize("target", ["packed", "wtalc"])
def test_the_simulated_thumos14_there_and_back(shared, tmp_path, target):
    root = shared / "data/thumos14_sim"
    convert_folder(root, tmp_path / "there", Conversion(target))
    config = DataConfig(train_subset="train", test_subset="test", resident="mapped")
    first, second = load_folder(root, config, "test"), load_folder(tmp_path / "there", config, "test")
    assert first.video_ids == second.video_ids if target == "packed" else set(first.video_ids) == set(second.video_ids)
    number = {video: index for index, video in enumerate(second.video_ids)}
    for index in range(0, 210, 10):
        other = number[first.video_ids[index]]
        np.testing.assert_array_equal(first.features.video(index), second.features.video(other))
    assert len(first.annotations) == len(second.annotations) == 3311


@pytest.mark.parametrize(("preset", "truth"), [
    ("thumos14", "thumos14/gt_backtal.json"), ("activitynet12", "activitynet/activity_net.v1-2.min.json"),
    ("activitynet13", "activitynet13_annotations/activitynet13_gt_bsn.json"), ("beoid", "beoid/gt.json"),
    ("gtea", "gtea/gt.json")])
def test_the_class_lists_of_presets_are_those_of_the_ground_truth(shared, preset, truth):
    names = configure(f"basnet/{preset}/official").data.class_names
    labels = read_annotations(shared / "data" / truth).class_names
    assert sorted(names) == sorted(labels)
    assert (list(names) == sorted(names)) is (preset != "beoid")
