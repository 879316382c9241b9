"""Random segments and the whole-video oracle."""

import numpy as np
import pytest

from python_tests.evaluation.sets import annotations
from wtal_fast.evaluation import detection_map, random_segments, whole_video_oracle

TRUTH = annotations([("a", "jump", 2, 4), ("a", "jump", 5, 6), ("a", "swim", 0, 1), ("b", "swim", 0, 8)],
                    video_ids=("a", "b", "empty"), class_names=("jump", "never", "swim"), durations=[10, 8, np.nan])


def test_random_segments():
    found = random_segments(TRUTH, [10, 8, 5], seed=3, per_video=50)
    assert np.bincount(found.video_index).tolist() == [50, 50]  # nothing in the video without instances
    assert set(found.classes[found.video_index == 0].tolist()) == {0, 2}
    assert set(found.classes[found.video_index == 1].tolist()) == {2}
    limit = np.array([10, 8, 5])[found.video_index]
    assert (0 <= found.segments[:, 0]).all() and (found.segments[:, 0] <= found.segments[:, 1]).all()
    assert (found.segments[:, 1] <= limit).all() and (found.segments[:, 1] > limit / 2).any()
    assert (found.video_ids, found.class_names) == (TRUTH.video_ids, TRUTH.class_names)
    assert 0 < detection_map(TRUTH, found, (0.3,)).map[0] < 0.9


def test_random_segments_repeat_with_the_seed():
    first, same, other = (random_segments(TRUTH, [10, 8, 5], seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.segments, same.segments)
    np.testing.assert_array_equal(first.scores, same.scores)
    assert not np.array_equal(first.segments, other.segments)


def test_whole_video_oracle():
    found = whole_video_oracle(TRUTH)
    rows = zip(found.video_index.tolist(), found.classes.tolist(), found.segments.tolist(), strict=True)
    assert list(rows) == [(0, 0, [0, 10]), (0, 2, [0, 10]), (1, 2, [0, 8])]
    assert found.scores.tolist() == [1.0] * 3
    assert detection_map(TRUTH, found, (1.0,)).per_class == {"jump": (0.0,), "swim": (pytest.approx(0.25),)}


def test_whole_video_oracle_without_durations_ends_with_the_last_instance():
    found = whole_video_oracle(TRUTH, [np.nan, 9.0, np.nan])
    assert found.segments[:, 1].tolist() == [6, 6, 9]


@pytest.mark.parametrize("call, words", [
    (lambda: random_segments(TRUTH, [1.0], seed=0), "durations must be 3 positive numbers"),
    (lambda: random_segments(TRUTH, [1.0, np.nan, 2.0], seed=0), "durations must be 3 positive numbers"),
    (lambda: random_segments(TRUTH, [1.0, 1.0, 2.0], seed=0, per_video=0), "per_video must be at least 1, got 0"),
    (lambda: whole_video_oracle(TRUTH, [1.0]), r"durations must be \[3\], one a video, got \[1\]"),
])
def test_refusals(call, words):
    with pytest.raises(ValueError, match=words):
        call()
