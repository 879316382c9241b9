"""Confidence intervals, single videos, average recall, video, instant and snippet measures: hand tables."""

import numpy as np
import pytest

from python_tests.evaluation.sets import annotations, detections
from wtal_fast.evaluation import (
    average_recall,
    background_f1,
    bootstrap,
    detection_map,
    frame_map,
    per_video,
    topk_in_action,
    video_classification_map,
)

TRUTH = [("a", "jump", 0, 10), ("b", "jump", 0, 10), ("b", "swim", 20, 30), ("c", "swim", 0, 10)]
FOUND = [("a", "jump", 0.9, 0, 10), ("b", "jump", 0.8, 50, 60), ("b", "jump", 0.7, 0, 10), ("c", "swim", 0.6, 0, 6)]


def test_per_video():
    scores = per_video(annotations(TRUTH, video_ids=("none", "c", "b", "a")), detections(FOUND), (0.5, 0.75))
    assert scores == {"a": (1.0, 1.0), "b": (0.25, 0.25), "c": (1.0, 0.0)}  # b: jump 1/2, swim 0


@pytest.mark.parametrize("protocol", ["activitynet", "thumos14", "wtalc"])
def test_bootstrap(protocol):
    truth, found = annotations(TRUTH), detections(FOUND)
    interval = bootstrap(truth, found, (0.5, 0.75), protocol, samples=200, seed=1)
    centre = detection_map(truth, found, (0.5, 0.75), protocol).map
    assert all(low <= value <= high for low, value, high in zip(interval.low, centre, interval.high, strict=True))
    assert interval == bootstrap(truth, found, (0.5, 0.75), protocol, samples=200, seed=1)
    assert interval.low[0] < interval.high[0] and interval.average_low < interval.average_high
    assert (interval.protocol, interval.samples, interval.confidence) == (protocol, 200, 0.95)


def test_bootstrap_of_equal_videos_has_no_width():
    truth = annotations([(video, "jump", 0, 10) for video in "abc"])
    found = detections([(video, "jump", 0.9, 0, 10) for video in "abcz"])
    interval = bootstrap(truth, found, (0.5,), samples=20)
    assert (interval.low, interval.high, interval.average_low, interval.average_high) == ((1.0,), (1.0,), 1.0, 1.0)


def test_bootstrap_bounds_by_hand():
    """Two videos, one found: a drawn set of two scores 0, 1/2 or 1 with probability 1/4, 1/2, 1/4."""
    truth, found = annotations([("a", "jump", 0, 1), ("b", "jump", 0, 1)]), detections([("a", "jump", 0.9, 0, 1)])
    wide = bootstrap(truth, found, (0.5,), samples=400, confidence=0.9)
    narrow = bootstrap(truth, found, (0.5,), samples=400, confidence=0.3)
    assert (wide.low, wide.high, narrow.low, narrow.high) == ((0.0,), (1.0,), (0.5,), (0.5,))


def test_ambiguous_stretches_follow_their_video():
    truth = annotations([("a", "jump", 0, 10), ("b", "Ambiguous", 0, 5)])
    found = detections([("a", "jump", 0.9, 20, 30), ("a", "jump", 0.5, 0, 10), ("b", "jump", 0.95, 0, 5)])
    assert per_video(truth, found, (0.5,), "thumos14") == {"a": (0.5,)}
    assert per_video(truth, found, (0.5,), "thumos14", {"a": [[25, 26]]}) == {"a": (1.0,)}
    assert bootstrap(truth, found, (0.5,), "thumos14", 20, ambiguous={"a": [[25, 26]]}).low == (1.0,)


def test_average_recall():
    truth = annotations([("a", "jump", 0, 10), ("a", "swim", 0, 8), ("b", "jump", 0, 10), ("c", "jump", 0, 1)])
    found = detections([("b", "x", 0.9, 50, 60), ("b", "x", 0.8, 0, 6), ("a", "x", 0.5, 0, 10)])
    # n = 1: of a both (1, 0.8), of b none; n = 2: b at 0.6. Levels 0.5, 0.7, 0.9 cover 3, 2, 1 of 4 instances.
    assert average_recall(truth, found, (1, 2, 9), (0.5, 0.7, 0.9)) == pytest.approx(
        {1: (2 + 2 + 1) / 12, 2: (3 + 2 + 1) / 12, 9: (3 + 2 + 1) / 12})


def test_video_classification():
    labels = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]])
    scores = np.array([[0.9, 0.5, 0.1], [0.8, 0.4, 0.1], [0.7, 0.4, 0.1]])
    mean, per_class = video_classification_map(labels, scores)
    # Class 0: hits at places 1 and 3; class 1: places 2 and 3, equal scores by index; class 2 has no positive.
    assert per_class[:2] == pytest.approx([(1 + 2 / 3) / 2, (1 / 2 + 2 / 3) / 2]) and np.isnan(per_class[2])
    assert mean == pytest.approx(per_class[:2].mean())


def test_frame_map():
    truth = annotations([("a", "jump", 0, 10), ("a", "jump", 20, 30), ("b", "swim", 0, 10), ("b", "swim", 5, 5)])
    found = detections([("a", "jump", 0.9, 2, 2), ("a", "jump", 0.8, 4, 6), ("a", "jump", 0.7, 26, 26),
                        ("b", "swim", 0.6, 5, 5), ("z", "swim", 0.7, 5, 5)])
    # Distances: 0.6, 0 and 0.2. At 0.25 the first misses, at 1 it takes the instance the second would have.
    mean, per_class = frame_map(truth, found, (0.25, 1.0))
    assert per_class.tolist() == [pytest.approx([2 / 3, 0.25]), pytest.approx([(1 + 2 / 3) / 2, 0.25])]
    assert mean == pytest.approx(per_class.mean(axis=1).tolist())


def test_frame_map_without_detections():
    assert frame_map(annotations([("a", "jump", 0, 1)]), detections([]))[0] == (0.0,) * 4


def test_background_f1():
    truth = annotations([("a", "jump", 1, 3), ("b", "swim", 0, 2)], video_ids=("a", "b", "c"))
    said = {"a": [True, True, False, False], "b": [False, False], "c": [1]}
    # Background is snippets 0 and 3 of a, and c; called are 0 and 1 of a, and c: 2 found of 3 and 3.
    assert background_f1(truth, said, 1.0) == pytest.approx(2 / 3)
    assert background_f1(truth, {"b": [False, False]}, 1.0) == 0.0


def test_topk_in_action():
    truth = annotations([("a", "jump", 0, 2), ("a", "swim", 6, 8)])
    scores = np.zeros((4, 2))  # 2 s a snippet, k = 2
    scores[:, 0], scores[:, 1] = [0.9, 0.1, 0.1, 0.8], [0.5, 0.6, 0.0, 0.0]
    assert topk_in_action(truth, {"a": scores}, 2.0, divisor=2) == pytest.approx((1 / 2 + 0) / 2)
    assert topk_in_action(truth, {"a": scores}, 2.0) == pytest.approx((1 + 0) / 2)


@pytest.mark.parametrize("call, words", [
    (lambda truth, found: bootstrap(truth, found, (0.5,), samples=0), "samples must be at least 1"),
    (lambda truth, found: bootstrap(annotations([]), found, (0.5,)), "at least one instance"),
    (lambda truth, found: average_recall(truth, found, (0,)), "counts must be at least 1"),
    (lambda truth, found: average_recall(annotations([]), found), "at least one instance"),
    (lambda truth, found: frame_map(truth, found, (0.0,)), "distances positive"),
    (lambda truth, found: video_classification_map(np.ones((2, 3)), np.ones((2, 2))), r"must both be \[V, C\]"),
    (lambda truth, found: video_classification_map(np.ones((1, 1)), np.full((1, 1), np.nan)), "finite"),
    (lambda truth, found: video_classification_map(np.zeros((1, 1)), np.ones((1, 1))), "at least one positive"),
    (lambda truth, found: background_f1(truth, {"a": np.ones((2, 2))}, 1.0), r"must be \[T\]"),
    (lambda truth, found: background_f1(truth, {"z": np.ones(2)}, 1.0), "not annotated"),
    (lambda truth, found: background_f1(truth, {"a": np.ones(2)}, 0.0), "snippet_seconds must be positive"),
    (lambda truth, found: topk_in_action(truth, {"a": np.ones((2, 5))}, 1.0), r"must be \[T, 2\]"),
    (lambda truth, found: topk_in_action(truth, {}, 1.0), "no video of scores"),
])
def test_refusals(call, words):
    with pytest.raises(ValueError, match=words):
        call(annotations(TRUTH), detections(FOUND))
