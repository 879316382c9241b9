"""Detection files: what is written reads back, and every defect is named."""

import json

import numpy as np
import pytest

from python_tests.evaluation.sets import detections
from wtal_fast.errors import InputError
from wtal_fast.evaluation import read_detections, write_detections

ROWS = [("v2", "swim", 0.25, 1.5, 2.5), ("v1", "jump", 0.9, 0, 1), ("v2", "jump", -0.5, 3, 3),
        ("v2", "swim", 0.75, 0, 9)]


def test_written_files_read_back(tmp_path):
    written = detections(ROWS, video_ids=("v2", "v1", "empty"))
    write_detections(tmp_path / "d.json", written)
    found = read_detections(tmp_path / "d.json")
    assert found.video_ids == ("v2", "v1", "empty") and found.class_names == ("jump", "swim")
    assert found.scores.tolist() == [0.75, 0.25, -0.5, 0.9]
    assert found.segments.tolist() == [[0, 9], [1.5, 2.5], [3, 3], [0, 1]]
    assert found.video_index.tolist() == [0, 0, 0, 1] and found.classes.tolist() == [1, 1, 0, 0]
    content = json.loads((tmp_path / "d.json").read_text())
    assert content["version"] == "VERSION 1.3" and content["external_data"] == {} and content["results"]["empty"] == []


def test_equal_scores_keep_their_order(tmp_path):
    write_detections(tmp_path / "d.json", detections([("v", "a", 0.5, i, i + 1) for i in range(30)]))
    assert read_detections(tmp_path / "d.json").segments[:, 0].tolist() == list(range(30))


def test_every_float_survives(tmp_path):
    draw = np.random.default_rng(0)
    rows = [("v", "a", score, *sorted(draw.random(2) * 1e3)) for score in sorted(draw.normal(size=50), reverse=True)]
    write_detections(tmp_path / "d.json", detections(rows))
    found = read_detections(tmp_path / "d.json")
    np.testing.assert_array_equal(found.scores, [row[2] for row in rows])
    np.testing.assert_array_equal(found.segments, [row[3:] for row in rows])


def test_no_videos(tmp_path):
    write_detections(tmp_path / "d.json", detections([]))
    found = read_detections(tmp_path / "d.json")
    assert len(found) == 0 and found.segments.shape == (0, 2) and found.video_ids == ()


def test_class_names_number_the_labels(tmp_path):
    write_detections(tmp_path / "d.json", detections(ROWS))
    found = read_detections(tmp_path / "d.json", class_names=("swim", "run", "jump"))
    assert found.class_names == ("swim", "run", "jump") and sorted(found.classes.tolist()) == [0, 0, 2, 2]
    with pytest.raises(InputError, match="label 'swim' .* did you mean 'swims'"):
        read_detections(tmp_path / "d.json", class_names=("jump", "swims"))


def test_nan_is_not_written(tmp_path):
    with pytest.raises(ValueError):
        write_detections(tmp_path / "d.json", detections([("v", "a", float("nan"), 0, 1)]))
    assert not (tmp_path / "d.json").exists()


@pytest.mark.parametrize("name", ["autoloc/autoloc_thumos14_test.json", "stpn/stpn_thumos14_test.json",
                                  "scnn/scnn_THUMOS14_nms0.2.json"])
def test_published_files(shared, name):
    path = shared / "data/detections" / name
    found = read_detections(path)
    results = json.loads(path.read_text())["results"]
    assert len(found) == sum(map(len, results.values())) and found.video_ids == tuple(results)


ROW = {"label": "jump", "score": 0.5, "segment": [0, 1]}


@pytest.mark.parametrize("change, words", [
    ({"label": None}, "video 'v', detection 1 · expected a label · found nothing"),
    ({"label": 3}, "expected a label · found 3"),
    ({"label": ""}, "expected a label · found ''"),
    ({"score": "0.5"}, "expected a finite score · found '0.5'"),
    ({"score": True}, "expected a finite score · found True"),
    ({"score": None}, "expected a finite score · found nothing"),
    ({"score": 10**400}, "expected a finite score · found 1000"),
    ({"segment": [0]}, r"expected a segment \[start, end\] in seconds · found \[0\]"),
    ({"segment": [0, "1"]}, r"expected a segment \[start, end\] in seconds · found \[0, '1'\]"),
    ({"segment": {"start": 0}}, "found an object"),
    ({"segment": [2, 1]}, r"expected start <= end · found \[2, 1\]"),
])
def test_a_bad_row_is_named(tmp_path, change, words):
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"results": {"v": [ROW, ROW | change]}}))
    with pytest.raises(InputError, match=words) as caught:
        read_detections(path)
    assert str(path) in str(caught.value) and "video 'v', detection 1" in str(caught.value)


@pytest.mark.parametrize("text, words", [
    ("[]", "key 'results' · expected an object of videos"),
    ('{"results": []}', r"found \[\]"),
    ('{"database": {}}', "found ground truth .key 'database'. · this must be a detection file"),
    ('{"results": {"v": {}}}', "video 'v' · expected a list of detections · found an object"),
    ('{"results": {"v": [5]}}', "detection 0 · expected an object with label, score and segment · found 5"),
    ('{"results": {"v": [{"label": "a", "score": NaN, "segment": [0, 1]}]}}', "expected finite numbers · found NaN"),
    ('{"results": {"v": [], "v": []}}', "each key once"),
    ('{"results": ', "expected valid JSON"),
])
def test_a_bad_file_is_named(tmp_path, text, words):
    path = tmp_path / "d.json"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        read_detections(path)
    assert str(path) in str(caught.value)
