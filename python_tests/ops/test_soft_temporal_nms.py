"""soft_temporal_nms against hand tables and a loop."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from python_tests.ops import segment_oracles as oracle
from python_tests.ops.test_temporal_nms import row
from python_tests.tolerances import ROUNDING
from wtal_fast.ops import _library, soft_temporal_nms, temporal_nms, use_backend


@pytest.fixture(autouse=True, params=oracle.backends("soft_temporal_nms"))
def backend(request):
    with use_backend(request.param):
        assert _library.backend_of("soft_temporal_nms") == request.param
        yield


def soft(segments, scores, *args, **kwargs):
    kept, values = soft_temporal_nms(torch.tensor(segments, dtype=torch.float64).reshape(-1, 2),
                                     torch.tensor(scores, dtype=torch.float64), *args, **kwargs)
    return kept.tolist(), values.tolist()


def test_linear_by_hand():
    # tIoU of the first with the second 0.5, with the third 0; the second with the third 0.
    kept, values = soft([[0, 3], [0, 6], [10, 12]], [0.8, 0.6, 0.4], 0.5, method="linear")
    assert (kept, values) == ([0, 2, 1], [0.8, 0.4, pytest.approx(0.3, **ROUNDING)])
    assert soft([[0, 3], [0, 6]], [0.8, 0.6], 0.51, method="linear") == ([0, 1], [0.8, 0.6])


def test_gaussian_by_hand():
    kept, values = soft([[0, 3], [0, 6]], [0.8, 0.6], method="gaussian", sigma=0.5)
    assert (kept, values) == ([0, 1], [0.8, pytest.approx(0.6 * math.exp(-0.5), **ROUNDING)])


@pytest.mark.parametrize("sigma", [1e-4, 7e-4, 1e-3, 0.02, 0.3, 1.0, 50.0])
def test_gaussian_to_the_last_place(sigma):
    for end in [n / 16 for n in range(16, 192)]:  # their overlaps are rounded once
        _, values = soft([[0, 6], [0, end]], [1.0, 1.0], method="gaussian", sigma=sigma, min_score=0.0)
        overlap = min(6.0, end) / max(6.0, end)
        exact = math.exp(-(overlap * overlap) / sigma)  # down to 0
        assert abs(values[1] - exact) <= 2 * math.ulp(exact)


def test_min_score_drops_decayed_and_given_scores():
    assert soft([[0, 3], [0, 6], [9, 10]], [0.8, 0.6, 0.2], 0.5, method="linear", min_score=0.35) == ([0], [0.8])


def test_equal_scores_take_the_lower_index_first():
    kept, values = soft([[0, 10], [0, 10]], [0.5, 0.5], 0.5, method="linear", min_score=0.0)
    assert (kept, values) == ([0, 1], [0.5, 0.0])


@given(st.lists(row, max_size=12), st.sampled_from([0.25, 0.5, 1.0]), st.sampled_from([0.0, 1.0]),
       st.sampled_from(["linear", "gaussian"]), st.sampled_from([0.0, 1e-3, 0.3]))
def check_against_oracle(rows, threshold, offset, method, min_score):
    segments, scores, groups = ([r[i] for r in rows] for i in range(3))
    rest = (offset, method, 0.4, min_score)
    kept, values = soft(segments, scores, threshold, torch.tensor(groups, dtype=torch.int64), *rest)
    expected = oracle.soft_nms(segments, scores, threshold, groups, *rest)
    assert kept == expected[0]
    assert values == pytest.approx(expected[1], **ROUNDING)


def test_equals_the_oracle():
    check_against_oracle()


def test_hard_suppression_is_the_linear_limit_of_duplicates():
    segments = torch.tensor([[0.0, 4.0], [0.0, 4.0], [8.0, 9.0], [8.0, 9.0]])
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6])
    kept, values = soft_temporal_nms(segments, scores, 0.5, method="linear")
    assert torch.equal(kept, temporal_nms(segments, scores, 0.5))
    assert values.dtype == torch.float32 and torch.equal(values, scores[kept])


def test_empty():
    assert soft([], []) == ([], [])
    assert soft([[0, 1]], [1e-4]) == ([], [])
