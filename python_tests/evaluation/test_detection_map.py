"""mAP of detections: published numbers, hand tables, what is ignored, what is refused."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from python_tests.evaluation.sets import annotations, detections
from python_tests.tolerances import PUBLISHED_MAP, RELEASED_MAP
from wtal_fast.data.annotations import read_annotations, select_subset, select_videos
from wtal_fast.errors import InputError
from wtal_fast.evaluation import _door, detection_map, read_detections, reference

TENTHS = np.linspace(0.1, 0.9, 9)
STPN = [0.5212, 0.4420, 0.3470, 0.2606, 0.1770, 0.1009, 0.0499, 0.0134, 0.0010]  # printed by the official evaluation


@pytest.fixture(params=["reference", "native"])
def backend(request, monkeypatch):
    if request.param == "reference":
        monkeypatch.setattr(_door, "average_precision", reference.average_precision)
    elif _door.BACKEND != "native":
        from python_tests.conftest import require

        require("native", False, "wtal_fast._numpy is not built")


@pytest.mark.usefixtures("backend")
class TestPublishedNumbers:
    """The numbers that released evaluations print for real detections."""

    @pytest.mark.parametrize("method", ["basnet", "um", "backtal"])
    def test_released_code(self, shared, method):
        folder = shared / "golden/official"
        expected = json.loads((folder / "loc_expected_map.json").read_text())[method]
        tiou = np.linspace(0.1, 0.7, 7) if method == "um" else TENTHS
        found = detection_map(read_annotations(folder / "loc_gt.json"),
                              read_detections(folder / f"loc_{method}_official.json"), tiou)
        maps = expected["mAP"] if method == "backtal" else [expected[f"mAP@{level:.1f}"] for level in tiou]
        np.testing.assert_allclose(found.map, maps, **RELEASED_MAP)
        np.testing.assert_allclose(found.average_map, expected["average_mAP"], **RELEASED_MAP)

    def test_toy(self, shared, tmp_path):
        toy = json.loads((shared / "golden/toy_vectors.json").read_text())["eval"]
        for name in ("gt", "pred"):
            (tmp_path / name).write_text(json.dumps(toy[name]))
        truth, pred = read_annotations(tmp_path / "gt"), read_detections(tmp_path / "pred")
        found = detection_map(truth, pred, np.linspace(0.1, 0.7, 7))
        np.testing.assert_allclose(found.map, toy["mAP"], **RELEASED_MAP)
        np.testing.assert_allclose(found.average_map, toy["average"], **RELEASED_MAP)
        np.testing.assert_allclose([found.per_class[label] for label in toy["class_order"]],
                                   np.transpose(toy["ap_per_class_rows_tiou"]), **RELEASED_MAP)

    @pytest.mark.filterwarnings("ignore:counted as false positives")
    def test_autoloc_on_thumos(self, shared):
        truth = select_subset(read_annotations(shared / "data/thumos14/gt.json"), "test")
        pred = read_detections(shared / "data/detections/autoloc/autoloc_thumos14_test.json")
        found = detection_map(truth, pred, TENTHS)
        expected = [0.4704, 0.4213, 0.3609, 0.2927, 0.2147, 0.1317, 0.0577, 0.0164, 0.0021]
        np.testing.assert_allclose(found.map, expected, **PUBLISHED_MAP)
        assert (found.num_videos, found.num_instances, found.num_detections) == (210, 3311, 20763)

    def test_stpn_on_thumos(self, shared):
        """15 of its detections overlap several of more than 16 instances equally; there our rule decides."""
        truth = select_subset(read_annotations(shared / "data/thumos14/gt.json"), "test")
        found = detection_map(truth, read_detections(shared / "data/detections/stpn/stpn_thumos14_test.json"), TENTHS)
        ours = [0.5210, 0.4422, 0.3472, 0.2607, *STPN[4:]]
        np.testing.assert_allclose(found.map, ours, **PUBLISHED_MAP)

    @pytest.mark.filterwarnings("ignore:counted as false positives")
    def test_autoloc_on_activitynet(self, shared):
        truth = select_subset(read_annotations(shared / "data/activitynet/activity_net.v1-2.min.json"), "validation")
        found = read_detections(shared / "data/detections/autoloc/autoloc_activitynet12_val.json")
        tiou = np.linspace(0.5, 0.95, 10)
        np.testing.assert_allclose(detection_map(truth, found, tiou).average_map, 0.1544, **PUBLISHED_MAP)
        detected = select_videos(truth, [video for video in truth.video_ids if video in set(found.video_ids)])
        np.testing.assert_allclose(detection_map(detected, found, tiou).average_map, 0.1606, **PUBLISHED_MAP)


def test_stpn_as_published_where_numpy_orders_equal_overlaps(shared):
    truth = select_subset(read_annotations(shared / "data/thumos14/gt.json"), "test")
    stpn = read_detections(shared / "data/detections/stpn/stpn_thumos14_test.json")
    np.testing.assert_allclose(detection_map(truth, stpn, TENTHS, "activitynet_numpy").map, STPN, **PUBLISHED_MAP)


def test_by_hand():
    truth = annotations([("v1", "jump", 0, 10), ("v1", "jump", 20, 30), ("v2", "swim", 0, 5)], video_ids=("v2", "v1"))
    found = detections([("v1", "jump", 0.9, 0, 10), ("v1", "jump", 0.8, 40, 50), ("v1", "jump", 0.7, 20, 26)])
    metrics = detection_map(truth, found, (0.5, 0.75))
    assert metrics.per_class == {"jump": (pytest.approx(0.5 + 0.5 * 2 / 3), 0.5), "swim": (0.0, 0.0)}
    assert metrics.map == (pytest.approx(5 / 12), 0.25)
    assert metrics.average_map == pytest.approx(1 / 3)
    assert (metrics.protocol, metrics.subset, metrics.tiou) == ("activitynet", "test", (0.5, 0.75))
    assert (metrics.num_videos, metrics.num_instances, metrics.num_detections) == (2, 3, 3)
    assert metrics.video_ids == ("v2", "v1")


def test_json_keys():
    truth = annotations([("v", "jump", 0, 10)])
    content = detection_map(truth, detections([("v", "jump", 0.9, 0, 10)]), (0.5,)).to_json()
    assert json.loads(json.dumps(content)) == {
        "protocol": "activitynet", "subset": "test", "num_videos": 1, "num_instances": 1, "num_detections": 1,
        "tiou": [0.5], "map": [1.0], "average_map": 1.0, "per_class": {"jump": [1.0]}}


def test_classes_and_videos_are_matched_by_name():
    truth = annotations([("a", "jump", 0, 1), ("b", "swim", 0, 1)])
    rows = [("a", "jump", 0.9, 0, 1), ("b", "swim", 0.9, 0, 1)]
    other_order = detections(rows, video_ids=("x", "b", "a"), class_names=("swim", "none", "jump"))
    assert detection_map(truth, other_order, (0.5,)).map == (1.0,)


def test_unlabelled_instances_of_a_class_do_not_dilute_the_mean():
    truth = annotations([("a", "jump", 0, 1)], class_names=("jump", "never"))
    metrics = detection_map(truth, detections([("a", "jump", 0.9, 0, 1)]), (0.5,))
    assert metrics.map == (1.0,) and list(metrics.per_class) == ["jump"]


def test_labels_without_ground_truth_are_ignored_and_counted():
    truth = annotations([("a", "jump", 0, 1)])
    found = detections([("a", "jump", 0.5, 0, 1), ("a", "fly", 0.9, 0, 1), ("a", "fly", 0.8, 0, 1)])
    with pytest.warns(UserWarning, match="ignored 2 detections of 1 labels without ground truth: fly"):
        metrics = detection_map(truth, found, (0.5,))
    assert metrics.map == (1.0,) and metrics.num_detections == 1


def test_videos_that_are_not_annotated():
    truth = annotations([("a", "jump", 0, 1)])
    found = detections([("a", "jump", 0.5, 0, 1), ("z", "jump", 0.9, 0, 1)])
    with pytest.warns(UserWarning, match="counted as false positives 1 detections of 1 videos"):
        assert detection_map(truth, found, (0.5,)).map == (0.5,)
    with pytest.warns(UserWarning, match="ignored 1 detections of 1 videos"):
        metrics = detection_map(truth, found, (0.5,), other_videos="ignore")
    assert metrics.map == (1.0,) and metrics.num_detections == 1


def test_an_instance_without_length_counts_and_is_never_found():
    truth = annotations([("a", "jump", 0, 1), ("a", "jump", 5, 5)])
    found = detections([("a", "jump", 0.9, 0, 1), ("a", "jump", 0.8, 5, 5)])
    assert detection_map(truth, found, (0.1,)).map == (0.5,)


def test_no_detections():
    truth = annotations([("a", "jump", 0, 1)])
    assert detection_map(truth, detections([], video_ids=("a",), class_names=("jump",)), (0.5,)).map == (0.0,)
    assert detection_map(truth, detections([]), (0.5,)).num_detections == 0


def test_subset_is_a_name_and_selects_nothing():
    truth = annotations([("a", "jump", 0, 1)])
    found = detections([("a", "jump", 0.9, 0, 1)])
    assert detection_map(truth, found, (0.5,), subset="held out").subset == "held out"
    mixed = annotations([("a", "jump", 0, 1), ("b", "jump", 0, 1)])
    mixed = type(mixed)(**(vars(mixed) | {"subsets": ("train", "test")}))
    assert detection_map(mixed, found, (0.5,)).subset == "train+test"
    with pytest.raises(InputError, match="videos of 'test' only"):
        detection_map(mixed, found, (0.5,), subset="test")


GOOD = [("a", "jump", 0, 1)]


@pytest.mark.parametrize("truth, found, arguments, error, words", [
    ([], [], {"tiou": (0.5,)}, InputError, "at least one instance"),
    (GOOD, [("a", "jump", float("nan"), 0, 1)], {"tiou": (0.5,)}, InputError, "score 0 .* finite"),
    (GOOD, [("a", "jump", 0.5, 1, 0)], {"tiou": (0.5,)}, InputError, r"segment 0 .* end >= start .* \[1.0, 0.0\]"),
    ([("a", "jump", 0, float("inf"))], [], {"tiou": (0.5,)}, InputError, "annotations · segment 0"),
    (GOOD, [], {"tiou": (0.0,)}, ValueError, r"expected thresholds in"),
    (GOOD, [], {"tiou": ()}, ValueError, "expected thresholds in"),
    (GOOD, [], {"tiou": (0.5,), "protocol": "coco"}, ValueError, "expected activitynet or activitynet_numpy"),
    (GOOD, [], {"tiou": (0.5,), "other_videos": "x"}, ValueError, "other_videos · expected false_positives or"),
])
def test_refusals(truth, found, arguments, error, words):
    with pytest.raises(error, match=words):
        detection_map(annotations(truth), detections(found), **arguments)


@pytest.mark.parametrize("which, changes, words", [
    ("found", {"segments": np.zeros((1, 3))}, r"detections · segments · expected \[N, 2\]: .* found \[1, 3\]"),
    ("found", {"segments": np.zeros(2)}, r"detections · segments · expected \[N, 2\]: .* found \[2\]"),
    ("found", {"scores": np.zeros(2)}, r"detections · scores · expected \[1\], one a segment · found \[2\]"),
    ("found", {"classes": np.zeros((1, 1), dtype=int)}, r"detections · classes · expected \[1\], .* found \[1, 1\]"),
    ("found", {"classes": np.array([1])}, r"detections · classes · expected integers in 0..0 · found int64 in 1..1"),
    ("found", {"classes": np.array([0.0])}, r"detections · classes · expected integers in 0..0 · found float64"),
    ("found", {"video_index": np.array([-1])}, r"detections · video_index · expected integers in 0..0 · .* -1..-1"),
    ("truth", {"segments": np.zeros((1, 1))}, r"annotations · segments · expected \[N, 2\]"),
    ("truth", {"video_index": np.array([3])}, r"annotations · video_index · expected integers in 0..0 · .* in 3..3"),
])
def test_columns_that_do_not_fit_are_named(which, changes, words):
    given = {"truth": annotations(GOOD), "found": detections([("a", "jump", 0.5, 0, 1)])}
    given[which] = replace(given[which], **changes)
    with pytest.raises(InputError, match=words):
        detection_map(given["truth"], given["found"], (0.5,))


def test_torch_is_never_imported():
    code = ("import sys, numpy as np; import wtal_fast.evaluation as e; from wtal_fast.structures import *; "
            "i = np.zeros(1, dtype=np.int64); s = np.array([[0.0, 1.0]]); n = np.ones(1); "
            "a = Annotations(s, i, i, ('c',), ('v',), ('test',), n, n); "
            "d = Detections(s, n, i, i, ('c',), ('v',)); "
            "assert e.detection_map(a, d, (0.5,)).map == (1.0,); assert 'torch' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)
