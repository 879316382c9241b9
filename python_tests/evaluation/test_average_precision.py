"""The NumPy reference against loops over everything, and the compiled module against the reference, bit for bit."""

import random

import numpy as np
import pytest

from python_tests.conftest import require
from python_tests.evaluation.sets import random_arrays
from python_tests.ops import segment_oracles as oracle
from python_tests.tolerances import ROUNDING
from wtal_fast.evaluation import _door, reference


@pytest.fixture(scope="module")
def compiled():
    require("native", _door.BACKEND == "native", "wtal_fast._numpy is not built")
    return _door.average_precision


def check_reference(count, seed):
    draw = random.Random(seed)
    for _ in range(count):
        *arrays, classes, levels = random_arrays(draw)
        found = reference.average_precision(*arrays, classes, levels)
        for level, row in zip(levels.tolist(), found.tolist(), strict=True):
            expected = oracle.average_precision(*(array.tolist() for array in arrays), classes, level)
            assert row == pytest.approx(expected, nan_ok=True, **ROUNDING)


def check_compiled(compiled, count, seed):
    draw = random.Random(seed)
    for _ in range(count):
        arguments = random_arrays(draw)
        np.testing.assert_array_equal(compiled(*arguments), reference.average_precision(*arguments))


def test_reference_equals_the_loops():
    check_reference(500, seed=0)


@pytest.mark.slow
def test_reference_equals_the_loops_on_ten_thousand_sets():
    check_reference(10_000, seed=1)


def test_compiled_equals_the_reference(compiled):
    check_compiled(compiled, 500, seed=2)


@pytest.mark.slow
def test_compiled_equals_the_reference_on_ten_thousand_sets(compiled):
    check_compiled(compiled, 10_000, seed=3)


@pytest.mark.parametrize("levels", [63, 64, 65, 200])
def test_more_thresholds_than_bits(compiled, levels):
    *arrays, classes, _ = random_arrays(random.Random(11))
    tiou = np.linspace(1 / levels, 1, levels)
    np.testing.assert_array_equal(compiled(*arrays, classes, tiou), reference.average_precision(*arrays, classes, tiou))


def test_larger_continuous_sets(compiled):
    draw = np.random.default_rng(0)

    def segments(count):
        return np.sort(draw.random((count, 2)) * [200, 200], axis=1)

    arguments = (segments(3000), draw.normal(size=3000), draw.integers(0, 80, 3000), segments(400),
                 draw.integers(0, 80, 400), 8, np.linspace(0.1, 0.9, 9))
    found = compiled(*arguments)
    np.testing.assert_array_equal(found, reference.average_precision(*arguments))
    assert 0 < found.min() < found.max() < 1
    backwards = tuple(np.asarray(array[::-1]) for array in arguments[:3])  # distinct scores: order does not matter
    np.testing.assert_array_equal(compiled(*backwards, *arguments[3:]), found)


def test_other_layouts_and_dtypes(compiled):
    pred, scores, groups, gt, gt_groups, classes, levels = random_arrays(random.Random(4))
    wide = np.asfortranarray(np.concatenate([pred, pred], axis=1))
    found = compiled(wide[:, :2], scores.astype(np.float32), groups.astype(np.int32), gt, gt_groups, classes, levels)
    plain = reference.average_precision(pred, scores, groups, gt, gt_groups, classes, levels)
    np.testing.assert_array_equal(found, plain)


@pytest.mark.parametrize("position, value, words", [
    (0, np.zeros((2, 3)), r"segments must be \[N, 2\]"),
    (1, np.zeros(3), r"pred_scores must be \[N\]"),
    (1, np.array([np.nan, 0.0]), "pred_scores must not be NaN"),
    (2, np.zeros(3, dtype=np.int64), r"pred_groups must be \[N\]"),
    (2, np.array([0, -1]), "groups must be >= 0"),
    (4, np.zeros(0, dtype=np.int64), r"gt_groups must be \[M\]"),
    (5, 0, "num_classes must be at least 1"),
    (6, np.zeros((1, 1)), r"tiou_thresholds must be \[Q\]"),
])
def test_compiled_refuses_what_would_read_outside(compiled, position, value, words):
    arguments = [np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([0.5, 0.25]), np.array([0, 0]), np.array([[0.0, 1.0]]),
                 np.array([0]), 1, np.array([0.5])]
    arguments[position] = value
    with pytest.raises(ValueError, match=words):
        compiled(*arguments)


def test_claims_name_the_instance():
    segments = np.array([[0.0, 10.0], [0.0, 10.0], [0.0, 4.0]])
    claimed = reference.claims(segments, np.array([0.5, 0.9, 0.1]), np.zeros(3, dtype=np.int64),
                               np.array([[2.0, 12.0], [0.0, 10.0]]), np.zeros(2, dtype=np.int64), np.array([0.3, 0.9]))
    assert claimed.tolist() == [[0, -1], [1, 1], [-1, -1]]
