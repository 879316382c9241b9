"""What `wtal-fast check` says of sound and of damaged data."""

import json
import os

import numpy as np
import pytest

from python_tests.data import layout_cases as cases
from wtal_fast.data.check_folder import check_path
from wtal_fast.errors import InputError


def texts(report, level=None):
    return [finding["text"] for finding in report["findings"] if level in (None, finding["level"])]


def finding(report, words):
    found = [one for one in report["findings"] if words in one["text"]]
    assert len(found) == 1, texts(report)
    return found[0]


@pytest.mark.parametrize("name", cases.WRITERS)
def test_sound_data_has_no_errors(tmp_path, name):
    cases.WRITERS[name](tmp_path)
    if name == "hr_pro":  # its folders say train, its ground truth Validation: for data nobody knows that is no answer
        assert "annotated subsets without a folder of features" in texts(check_path(tmp_path), "error")
        return
    done = []
    report = check_path(tmp_path, progress=lambda count, total: done.append((count, total)))
    assert report["layout"] == cases.LAYOUT_OF[name] and report["errors"] == 0, report["findings"]
    assert [part["with_features"] for part in report["parts"]] == [3, 3]
    assert [part["missing"] for part in report["parts"]] == ([0, 0] if name != "opentad" else [1, 0])
    assert done[-1][0] == done[-1][1] == 6 + (name == "opentad")
    assert report["truth"]["classes"] == 2 and report["truth"]["videos"] == 6 + (name == "opentad")
    assert json.loads(json.dumps(report)) == report
    if name == "basnet":
        part = report["parts"][0]
        assert (part["part"], part["role"], part["width"]) == ("train", "train", "4 + 3")
        assert part["streams"] == ["rgb", "flow"]
        assert part["snippets"] == {"min": 3, "median": 5, "max": 8, "total": 16} and part["dtype"] == "float32"
        assert report["truth"]["class_balance"]["run"] == {"train": [2, 3 - 1], "test": [2, 2]}
        assert report["truth"]["subsets"][0]["duration"]["total"] == round(16 * 0.64, 3)


def damaged(tmp_path):
    cases.basnet(tmp_path)
    root = tmp_path / "THUMOS14"
    array = cases.features("vid_a")[:, : cases.RGB].copy()
    array[2, 1] = np.nan
    np.save(root / "features/train/rgb/vid_a.npy", array)
    np.save(root / "features/train/flow/vid_b.npy", np.ones((20, cases.FLOW)))
    (root / "features/train/rgb/vid_c.npy").write_bytes(b"not an array")
    (root / "features/test/flow/vid_d.npy").unlink()
    np.save(root / "features/test/rgb/vid_e.npy", np.ones((40, cases.RGB)))
    np.save(root / "features/test/flow/vid_e.npy", np.ones((40, cases.FLOW)))
    np.save(root / "features/test/rgb/extra.npy", np.ones((4, cases.RGB)))
    content = cases.database()
    content["database"]["vid_f"]["annotations"] += [
        {"segment": [1, 1], "label": "run"}, {"segment": [5, 99], "label": "run"},
        {"segment": [2, 3], "label": "run"}, {"segment": [2, 3], "label": "run"}]
    content["database"]["vid_e"] |= {"annotations": [], "duration": None}
    content["database"]["vid_d"]["duration"] = 77
    cases.write_json(root / "gt.json", content)
    return root


def test_every_defect_is_named(tmp_path):
    report = check_path(damaged(tmp_path))
    assert finding(report, "NaN or infinity")["examples"] == ["vid_a: 1 values"]
    assert finding(report, "streams differ by more than one")["examples"] == ["vid_b: 8 and 20 snippets"]
    assert finding(report, "cannot be used")["examples"][0].startswith("vid_c: expected")
    assert finding(report, "without features (part 'test')")["examples"] == ["vid_d"]
    assert finding(report, "zero length")["examples"] == ["vid_f run [1, 1]"]
    assert finding(report, "end after their video")["examples"][1] == "vid_f run [5, 99] of 5.76 s"
    assert finding(report, "more than once")["count"] == 1
    assert finding(report, "videos without annotations")["examples"] == ["vid_e"]
    assert finding(report, "without a duration")["examples"] == ["vid_e"]
    assert finding(report, "no part uses")["examples"] == ["extra"]
    assert report["errors"] == 4 and report["parts"][0]["with_features"] == 2
    headers = check_path(tmp_path, headers_only=True)
    assert "NaN" not in " ".join(texts(headers))


def test_features_that_disagree_with_the_duration(tmp_path):
    cases.actionformer(tmp_path)
    assert "duration differ" not in " ".join(texts(check_path(tmp_path)))
    report = check_path(tmp_path, snippet_seconds=1.3)
    examples = [one["examples"][0] for one in report["findings"] if "annotated duration differ" in one["text"]]
    assert examples == ["vid_a: 6.5 s of features, 3.2 s of video", "vid_d: 7.8 s of features, 3.84 s of video"]


def test_clicks_are_compared_with_the_ground_truth(tmp_path):
    cases.basnet(tmp_path)
    path = tmp_path / "clicks.txt"
    path.write_text("vid_a,0.7,jump\n\nvid_a,3,jump\nid_b,1,run\nvid_b,99,run\nvid_b,1,swim\nvid_c,0.5,run\nvid_c,0.5,run\n")
    report = check_path(tmp_path, clicks=[str(path)])
    assert finding(report, "not in the ground truth")["examples"] == ["line 4: 'id_b', did you mean 'vid_b'?"]
    assert finding(report, "outside their video")["count"] == 1
    assert finding(report, "no class")["examples"] == ["line 6: 'swim'"]
    assert finding(report, "outside every instance")["count"] == 2
    assert finding(report, "clicks that are in the file more than once")["count"] == 1
    assert report["files"][0]["kind"] == "clicks (sfnet)" and report["files"][0]["clicks"] == 7
    (tmp_path / "bad.txt").write_text("vid_a,soon,jump\n")
    report = check_path(tmp_path, clicks=[str(tmp_path / "bad.txt")])
    assert "rows that cannot be read" in texts(report, "error")[0]


def test_no_ground_truth_and_nothing_there(tmp_path):
    cases.basnet(tmp_path)
    (tmp_path / "THUMOS14/gt.json").unlink()
    report = check_path(tmp_path)
    assert "no ground truth" in texts(report, "error")
    assert [part["with_features"] for part in report["parts"]] == [3, 3]
    with pytest.raises(InputError, match="nothing there"):
        check_path(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    assert "no data set and no file of a known kind" in texts(check_path(tmp_path / "empty"), "error")


def test_files_of_every_kind(tmp_path):
    cases.wtalc(tmp_path)
    files = {
        "split.txt": ("a\nb\n", "list of videos"),
        "ambiguous.txt": ("a  1 2\n", "stretches that are no false positives"),
        "labels.csv": ("video,label\na,run\n", "ground truth"), "notes.txt": ("a b c d\n", "text of another kind"),
        "labels.json": ('{"a": ["run"]}', "ground truth"), "other.json": ("[1]", "JSON of another kind"),
        "found.json": ('{"results": {"a": [{"segment": [0, 1], "score": 1, "label": "run"}]}}', "detections"),
        "clicks.json": ('{"clicks": {"a": [{"seconds": 1, "label": "run"}]}}', "clicks (json)"),
        "points.csv": ("class,class_index,start_frame,stop_frame,video_id,point\nrun,0,1,9,a,4\n", "clicks (lacp)"),
        "bad.json": ('{"a": NaN}', "unreadable"), "film.mp4": ("x", "video, not read"),
        "a.md": ("", "another kind, not read")}
    for name, (text, kind) in files.items():
        (tmp_path / name).write_text(text)
        assert check_path(tmp_path / name)["files"][0]["kind"] == kind, name
    assert check_path(tmp_path / "Tiny-Annotations")["files"][0]["videos"] == 6
    report = check_path(tmp_path / "Tiny-I3D-JOINTFeatures.npy")
    assert report["files"][0]["kind"] == "arrays" and report["files"][0]["arrays"] == 6


def test_known_oddities_of_thumos14(tmp_path):
    entries = {"video_test_0000270": {"subset": "test", "fps": 30, "frames": 300, "duration": 10},
               "video_test_0001207": {"subset": "test", "fps": 30, "frames": 240, "duration": 8},
               "video_validation_0000051": {"subset": "validation", "fps": 30, "duration": 9, "annotations": [
                   {"segment": [1, 2], "label": "Ambiguous"}, {"segment": [1, 2], "label": "Diving"}]}}
    cases.write_json(tmp_path / "gt.json", {"database": entries})
    report = check_path(tmp_path / "gt.json")
    assert report["files"][0]["dataset"] == "THUMOS'14"
    assert finding(report, "frame rates")["examples"] == ["video_test_0001207: 30, known to be 24"]
    assert "240 frames at 24 a second are 10.00 s" in finding(report, "frames / frame rate")["examples"][0]
    assert finding(report, "protocols leave out")["examples"] == ["video_test_0000270"]
    assert finding(report, 'labelled "Ambiguous"')["count"] == 1


def test_links_in_a_circle_and_pipes_end_the_search(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/up").symlink_to(tmp_path)
    (tmp_path / "a/here").symlink_to(".")
    os.mkfifo(tmp_path / "a/pipe.npy")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    (tmp_path / "a/x.json").write_text("{")
    report = check_path(tmp_path)
    assert [entry["file"] for entry in report["files"]] == [str(tmp_path / "a/x.json")] and report["errors"] == 1
