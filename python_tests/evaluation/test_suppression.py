"""NMS and soft-NMS on NumPy arrays: loops over every segment, and the compiled module against the reference."""

import random

import numpy as np
import pytest

from python_tests.conftest import require
from python_tests.evaluation.sets import random_arrays
from python_tests.ops import segment_oracles as oracle
from python_tests.tolerances import EXACT_FORMULA
from wtal_fast.evaluation import _door, suppression


@pytest.fixture(params=["reference", "native"])
def functions(request):
    if request.param == "native":
        require("native", _door.temporal_nms is not suppression.temporal_nms, "wtal_fast._numpy is not built")
        return _door
    return suppression


def cases(count):
    draw = random.Random(8)
    for _ in range(count):
        segments, scores, groups, *_ = random_arrays(draw)
        yield segments, scores, groups, draw.choice([0.25, 0.5, 1.0]), draw.choice([0.0, 1.0])


def test_nms(functions):
    for segments, scores, groups, threshold, offset in cases(300):
        found = functions.temporal_nms(segments, scores, groups, threshold, offset)
        lists = segments.tolist(), scores.tolist()
        assert found.tolist() == oracle.nms(*lists, threshold, groups.tolist(), offset)
        assert found.dtype == np.int64


@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_soft_nms(functions, method):
    for segments, scores, groups, threshold, offset in cases(300):
        index, found = functions.soft_temporal_nms(segments, scores, groups, threshold, offset, method, 0.5, 0.2)
        kept, values = oracle.soft_nms(segments.tolist(), scores.tolist(), threshold, groups.tolist(), offset, method,
                                       0.5, 0.2)
        assert index.tolist() == kept
        np.testing.assert_allclose(found, values, **EXACT_FORMULA)


@pytest.mark.parametrize("order", ["sorted", "shuffled"])
def test_many_groups_in_threads_equal_one_at_a_time(order):
    require("native", _door.temporal_nms is not suppression.temporal_nms, "wtal_fast._numpy is not built")
    random_state = np.random.default_rng(0)
    start = random_state.random(30_000) * 90
    segments = np.stack([start, start + random_state.random(30_000) * 9], axis=1)
    scores, groups = random_state.random(30_000), np.arange(30_000) // 151
    if order == "shuffled":
        random_state.shuffle(groups)
    kept = _door.temporal_nms(segments, scores, groups, 0.4, 0.0)
    softly, values = _door.soft_temporal_nms(segments, scores, groups, 0.4, 0.0, "gaussian", 0.5, 0.01)
    assert (np.diff(groups[kept]) >= 0).all() and (np.diff(groups[softly]) >= 0).all()
    for group in (0, 77, 198):
        rows = np.flatnonzero(groups == group)
        alone = segments[rows], scores[rows], np.zeros(len(rows), dtype=np.int64), 0.4, 0.0
        assert (kept[groups[kept] == group] == rows[_door.temporal_nms(*alone)]).all()
        index, expected = _door.soft_temporal_nms(*alone, "gaussian", 0.5, 0.01)
        assert (softly[groups[softly] == group] == rows[index]).all()
        assert (values[groups[softly] == group] == expected).all()


@pytest.mark.parametrize("position, value, words", [
    (0, np.zeros((2, 3)), r"segments must be \[N, 2\]"), (0, np.full((2, 2), np.nan), "segments must be finite"),
    (1, np.zeros(3), r"scores must be \[N\]"), (1, np.array([np.nan, 0.0]), "scores must be finite"),
    (2, np.zeros(1, dtype=np.int64), r"groups must be \[N\]"),
])
def test_compiled_refuses_what_would_read_outside(position, value, words):
    require("native", _door.temporal_nms is not suppression.temporal_nms, "wtal_fast._numpy is not built")
    arguments = [np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([0.5, 0.25]), np.array([0, 0])]
    arguments[position] = value
    with pytest.raises(ValueError, match=words):
        _door.temporal_nms(*arguments, 0.5, 0.0)
    with pytest.raises(ValueError, match=words):
        _door.soft_temporal_nms(*arguments, 0.5, 0.0, "linear", 0.5, 0.1)
