"""What `wtal-fast evaluate` adds to the mAP: hand-computed tables through the command, with the protocol of each."""

import json

import pytest

from wtal_fast.cli.main import run

#                                                          v: jump [0, 10), jump [20, 30); w: swim [0, 8), nothing in x
TRUTH = {"database": {
    "v": {"subset": "test", "duration": 40, "annotations": [{"label": "jump", "segment": [0, 10]},
                                                            {"label": "jump", "segment": [20, 30]}]},
    "w": {"subset": "test", "duration": 10, "annotations": [{"label": "swim", "segment": [0, 8]}]},
    "x": {"subset": "test", "duration": 10, "annotations": []},
    "trained on": {"subset": "train", "annotations": []}}}
FOUND = {"results": {
    "v": [{"label": "jump", "score": 0.9, "segment": [0, 10]}, {"label": "jump", "score": 0.8, "segment": [12, 18]},
          {"label": "jump", "score": 0.7, "segment": [20, 26]}],
    "w": [{"label": "jump", "score": 0.6, "segment": [0, 8]}, {"label": "swim", "score": 0.5, "segment": [4, 8]}],
    "elsewhere": [{"label": "swim", "score": 0.4, "segment": [0, 1]}]}}


@pytest.fixture
def evaluate(tmp_path, capsys):
    """Runs the command; returns metrics.json and what it printed."""

    def call(*words, truth=TRUTH, found=FOUND, code=0):
        for name, content in (("truth", truth), ("found", found)):
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
        output = tmp_path / "metrics.json"
        output.unlink(missing_ok=True)
        paths = [str(tmp_path / "found.json"), str(tmp_path / "truth.json")]
        assert run(["evaluate", *paths, "--tiou", "0.5,0.75", "--output", str(output), *words]) == code
        said = capsys.readouterr()
        return (json.loads(output.read_text()), said.out) if code == 0 else (None, said.err)

    return call


def test_without_more(evaluate):
    content, said = evaluate()
    assert content["video_ids"] == ["v", "w", "x"] and content["num_videos"] == 3
    # jump at .5: hits at 1 and 3 of 4: (1 + 2/3) / 2; at .75 the first only. swim: [4, 8) is half of [0, 8).
    assert content["per_class"] == {"jump": [pytest.approx(5 / 6), 0.5], "swim": [1.0, 0.0]}
    assert "activitynet protocol" in said
    assert not content.keys() & {"bootstrap", "per_video", "average_recall", "frame_map", "video_map", "background_f1"}


def test_other_videos(evaluate):
    both = [evaluate("--other-videos", name)[0] for name in ("false_positives", "ignore")]
    assert [content["num_detections"] for content in both] == [6, 5]
    assert "other_videos" in evaluate("--other-videos", "x", code=2)[1]


def test_per_video_and_per_class(evaluate):
    content, said = evaluate("--per-video", "--per-class")
    # v: hits at 1 and 3 of 3; w: swim alone.
    assert content["per_video"] == {"protocol": "activitynet",
                                    "map": {"v": [pytest.approx(5 / 6), 0.5], "w": [1.0, 0.0]}}
    assert "average precision (%) of each class, activitynet protocol" in said and "83.3" in said
    assert "of each video with instances, activitynet protocol" in said


def test_bootstrap(evaluate):
    content, said = evaluate("--bootstrap", "50", "--protocol", "thumos14")
    interval = content["bootstrap"]
    assert (interval["protocol"], interval["samples"], interval["confidence"]) == ("thumos14", 50, 0.95)
    for low, value, high in zip(interval["low"], content["map"], interval["high"], strict=True):
        assert 0 <= low <= value <= high <= 1
    assert "95 % interval of the mAP (%), 50 drawn sets of videos, thumos14 protocol" in said


def test_average_recall(evaluate):
    content, said = evaluate("--recall", "1,3")
    found = content["average_recall"]
    # Best tIoU of the instances with 1 proposal: 1, 0, 1 (labels aside); with 3: 1, 0.6, 1. Ten levels .5 to .95.
    assert found["recall"] == {"1": pytest.approx(20 / 30), "3": pytest.approx((10 + 3 + 10) / 30)}
    assert "average recall (%) at n proposals a video, tIoU 0.5 to 0.95, labels aside" in said


def test_frame_map(evaluate):
    content, said = evaluate("--frame-map")
    # Middles 5 (distance 0), 15 (2 from [0, 10) and [20, 30)), 23 (0.4); swim 6 in [0, 8): 0.5.
    found = content["frame_map"]
    assert found["per_class"] == {"jump": [0.5, *[pytest.approx(5 / 6)] * 3], "swim": [0.0, 1.0, 1.0, 1.0]}
    assert found["map"] == pytest.approx([0.25, *[11 / 12] * 3]) and found["protocol"] == "sfnet_frame"
    assert "frame mAP (%) at each distance, sfnet_frame protocol" in said


def test_video_map(evaluate):
    content, said = evaluate("--video-map")
    # jump: v .9 (right), w .6, x lowest: 1. swim: w .5 (right) first: 1.
    assert content["video_map"] == {"protocol": "best detection of each class", "map": 1.0,
                                    "per_class": {"jump": 1.0, "swim": 1.0}}
    worse = {"results": {"w": [{"label": "jump", "score": 0.95, "segment": [0, 1]}], "v": FOUND["results"]["v"]}}
    content, _ = evaluate("--video-map", found=worse)
    # jump: w, then v: 1/2. swim: all three score alike, by order of the file: v, w: 1/2.
    assert content["video_map"]["per_class"] == {"jump": 0.5, "swim": 0.5}
    assert "video classification mAP 100.0 %, best detection of each class" in said


def test_background(evaluate):
    content, said = evaluate("--background", "2")
    # Snippets of 2 s. v: 20, background true 10-19 and 30-39: 10; called 10-12, 18-20, 26-40: 1 + 1 + 7 = 9, of these
    # right 1 + 1 + 5 = 7. w: 5, true 1, called 1, right. x: 5, all true and called. F = 2 * 13 / (15 + 16).
    assert content["background_f1"]["f1"] == pytest.approx(2 * 13 / 31)
    assert "background F-measure 83.9 %, snippets outside every detection, snippets of 2 s" in said


def test_ambiguous_instances_are_no_instances(evaluate):
    rows = [*TRUTH["database"]["w"]["annotations"], {"label": "Ambiguous", "segment": [8, 10]}]
    truth = {"database": TRUTH["database"] | {"w": TRUTH["database"]["w"] | {"annotations": rows}}}
    words = ("--protocol", "thumos14", "--recall", "1,3", "--frame-map", "--background", "2", "--video-map")
    content, plain = evaluate(*words, truth=truth)[0], evaluate(*words)[0]
    for name in ("average_recall", "frame_map", "background_f1", "video_map"):
        assert content[name] == plain[name]


@pytest.mark.parametrize("words, expected", [
    (["--recall", "0,5"], "--recall"), (["--recall", "x"], "whole numbers"), (["--background", "0"], "positive number"),
    (["--background", "-1"], "positive number"), (["--bootstrap", "-5"], "bootstrap"), (["--tiou", "0,0.5"], "(0, 1]"),
    (["--tiou", "-0.5"], "(0, 1]"), (["--tiou", "1.5"], "(0, 1]"), (["--tiou", "nan"], "tiou"),
    (["--tiou", ""], "tiou"), (["--protocol", "coco"], "activitynet or"), (["--subset", "val"], "subset 'val'"),
    (["--protocol", "wtalc", "--ambiguous", "absent.txt"], "absent.txt · expected a readable text file"),
])
def test_refusals(evaluate, words, expected):
    said = " ".join(evaluate(*words, code=2)[1].split())
    assert expected in said and "Traceback" not in said


def test_ambiguous_stretches_need_a_protocol_that_reads_them(evaluate, tmp_path):
    (tmp_path / "ambiguous.txt").write_text("v 0 1\n")
    assert "thumos14 or" in evaluate("--ambiguous", str(tmp_path / "ambiguous.txt"), code=2)[1]


def test_background_needs_durations(evaluate):
    truth = {"database": {"v": {key: value for key, value in TRUTH["database"]["v"].items() if key != "duration"}}}
    assert "video 'v'" in evaluate("--background", "2", truth=truth, code=2)[1]
