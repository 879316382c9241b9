"""ANETdetection's constructor, attributes and refusals; nms(proposals, thresh) by hand."""

import json

import numpy as np
import pytest

import wtal_fast.compat
from python_tests.tolerances import PUBLISHED_MAP
from wtal_fast.compat import ANETdetection, nms
from wtal_fast.errors import InputError

TRUTH = {"database": {
    "a": {"subset": "validation", "annotations": [{"segment": [0, 10], "label": "swim"},
                                                  {"segment": ["20", "30"], "label": "jump"}]},
    "b": {"subset": "validation", "annotations": [{"segment": [0, 4], "label": "swim"}]},
    "empty": {"subset": "validation", "annotations": []},
    "other": {"subset": "training", "annotations": [{"segment": [0, 4], "label": "fly"}]}}}
FOUND = {"version": "VERSION 1.3", "external_data": {}, "results": {
    "b": [{"label": "swim", "score": 0.5, "segment": [0, 4]}],
    "a": [{"label": "swim", "score": 0.9, "segment": [0, 6]}, {"label": "jump", "score": 0.4, "segment": [20, 30]}]}}


@pytest.fixture
def files(tmp_path):
    def write(truth=TRUTH, found=FOUND):
        (tmp_path / "gt.json").write_text(json.dumps(truth))
        (tmp_path / "found.json").write_text(json.dumps(found))
        return tmp_path / "gt.json", tmp_path / "found.json"

    return write


@pytest.mark.parametrize("protocol", ["activitynet_numpy", "activitynet"])
def test_attributes(files, protocol, capsys):
    detection = ANETdetection(*files(), ["database"], ["results", "version", "external_data"], np.array([0.5, 0.75]),
                              "validation", True, False, protocol=protocol)
    assert detection.activity_index == {"swim": 0, "jump": 1}
    assert detection.ground_truth["video-id"].tolist() == ["a", "a", "b"]
    assert detection.ground_truth["t-start"].tolist() == [0, 20, 0]
    assert detection.ground_truth["label"].tolist() == [0, 1, 0]
    assert len(detection.prediction) == 3 and detection.prediction["score"].tolist() == [0.5, 0.9, 0.4]
    assert detection.mAP is None
    mean, average = detection.evaluate()
    assert detection.ap.tolist() == [[1.0, 1.0], [0.25, 1.0]]
    assert detection.mAP is mean and mean.tolist() == [1.0, 0.625]
    assert detection.average_mAP == average == 0.8125
    said = capsys.readouterr().out
    assert "Number of ground truth instances: 3" in said and "Average-mAP: 0.8125" in said


def test_blocked_videos(files):
    paths = files()
    with pytest.warns(UserWarning, match="no longer served"):
        ANETdetection(*paths, check_status=True)
    detection = ANETdetection(*paths, tiou_thresholds=[0.5], check_status=True, blocked_videos=["a"])
    assert len(detection.ground_truth) == len(detection.prediction) == 1
    assert detection.evaluate()[0].tolist() == [1.0]


def test_detections_in_a_video_without_instances(files):
    found = {"results": {**FOUND["results"], "empty": [{"label": "swim", "score": 0.95, "segment": [0, 1]}]}}
    assert ANETdetection(*files(found=found), tiou_thresholds=[0.5]).evaluate()[0] == pytest.approx([(2 / 3 + 1) / 2])


def test_equal_scores_go_as_in_numpy(files):
    """Of two equal scores an ascending sort read backwards takes the later one."""
    rows = [{"label": "swim", "score": 0.5, "segment": segment} for segment in ([0, 4], [50, 60])]
    truth = {"database": {"b": TRUTH["database"]["b"]}}
    assert ANETdetection(*files(truth, {"results": {"b": rows}}), tiou_thresholds=[0.5]).evaluate()[0].tolist() == [0.5]
    rows = rows[::-1]
    assert ANETdetection(*files(truth, {"results": {"b": rows}}), tiou_thresholds=[0.5]).evaluate()[0].tolist() == [1.0]


def test_labels_without_ground_truth(files):
    found = {"results": {"a": [{"label": "fly", "score": 0.5, "segment": [0, 4]}]}}
    with pytest.warns(UserWarning, match="ignored 1 predictions of labels without ground truth: fly"):
        detection = ANETdetection(*files(found=found), tiou_thresholds=[0.5])
    assert len(detection.prediction) == 0 and detection.evaluate()[0].tolist() == [0.0]


@pytest.mark.parametrize("truth, found, words", [
    ({"results": {}}, FOUND, "no database"),
    ({"database": {"a": {"annotations": []}}}, FOUND, "video 'a'"),
    ({"database": {"a": {"subset": "validation", "annotations": [{"label": "x", "segment": [1]}]}}}, FOUND, "'a'"),
    (TRUTH, {"results": {}}, "no version"),
])
def test_refusals(files, truth, found, words):
    with pytest.raises(InputError, match=words):
        ANETdetection(*files(truth, found), prediction_fields=["results", "version"])


def test_no_file(files):
    with pytest.raises(InputError, match="expected a file"):
        ANETdetection(None, files()[1])
    with pytest.raises(InputError, match="expected a file"):
        ANETdetection(files()[0])


@pytest.mark.parametrize("path, expected", [
    ("stpn/stpn_thumos14_test.json", [0.5212, 0.4420, 0.3470, 0.2606, 0.1770, 0.1009, 0.0499, 0.0134, 0.0010]),
    ("autoloc/autoloc_thumos14_test.json", [0.4704, 0.4213, 0.3609, 0.2927, 0.2147, 0.1317, 0.0577, 0.0164, 0.0021]),
])
@pytest.mark.filterwarnings("ignore:counted as false positives")
def test_published_numbers(shared, path, expected):
    detection = ANETdetection(shared / "data/thumos14/gt.json", shared / "data/detections" / path, subset="test",
                              tiou_thresholds=np.linspace(0.1, 0.9, 9))
    np.testing.assert_allclose(detection.evaluate()[0], expected, **PUBLISHED_MAP)


def test_nms_by_hand():
    """One second is added to every length: [0, 4] and [5, 9] touch, [0, 3] and [0, 4] overlap by 4/5."""
    rows = [[7, 0.5, 0, 3], [7, 0.9, 0, 4], [7, 0.8, 5, 9]]
    assert nms(rows, 0.8) == [[7.0, 0.9, 0.0, 4.0], [7.0, 0.8, 5.0, 9.0]]
    assert nms(np.array(rows), 0.81) == [[7.0, 0.9, 0.0, 4.0], [7.0, 0.8, 5.0, 9.0], [7.0, 0.5, 0.0, 3.0]]
    assert nms([], 0.5) == []
    with pytest.raises(ValueError, match=r"rows \[class, score, start, end\]"):
        nms([[1.0, 2.0]], 0.5)


def test_names():
    assert set(wtal_fast.compat.__all__) == set(dir(wtal_fast.compat))
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        _ = wtal_fast.compat.other
