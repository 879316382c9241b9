"""temporal_nms against hand tables and a loop."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from python_tests.ops import segment_oracles as oracle
from wtal_fast.ops import _library, temporal_nms, use_backend

seconds = st.integers(0, 40).map(lambda n: n / 4)
segment = st.tuples(seconds, seconds).map(sorted)
row = st.tuples(segment, st.integers(0, 6).map(lambda n: n / 8), st.integers(0, 2))  # few scores: many ties


@pytest.fixture(autouse=True, params=oracle.backends("temporal_nms"))
def backend(request):
    with use_backend(request.param):
        assert _library.backend_of("temporal_nms") == request.param
        yield


def nms(segments, scores, *args, **kwargs):
    return temporal_nms(torch.tensor(segments, dtype=torch.float64).reshape(-1, 2),
                        torch.tensor(scores, dtype=torch.float64), *args, **kwargs).tolist()


def test_keeps_the_best_and_drops_what_overlaps_it():
    assert nms([[0, 10], [1, 10], [20, 30]], [0.5, 0.9, 0.1], 0.5) == [1, 2]


def test_suppresses_at_the_threshold_and_not_just_below():
    segments, scores = [[0, 3], [0, 6]], [1.0, 0.5]  # tIoU exactly 0.5
    assert nms(segments, scores, 0.5) == [0]
    assert nms(segments, scores, 0.5 + 1e-12) == [0, 1]


def test_a_suppressed_segment_suppresses_nothing():
    assert nms([[0, 10], [4, 14], [8, 18]], [3.0, 2.0, 1.0], 0.4) == [0, 2]


def test_equal_scores_keep_the_lower_index():
    assert nms([[0, 10], [0, 10], [0, 10]], [0.5, 0.5, 0.5], 0.9) == [0]
    assert nms([[50, 60], [0, 10]], [0.5, 0.5], 0.9) == [0, 1]


@pytest.mark.parametrize("a, b, overlap", [
    ([0.0, 0.5], [1.2, 1.7], 0.3 / 2.7),  # apart by 0.7 s, yet they overlap with one second added
    ([0.0, 1.0], [0.0, 1.5], 2.0 / 2.5),
])
def test_offset_of_the_released_codes(a, b, overlap):
    assert nms([a, b], [2.0, 1.0], overlap - 1e-9, offset=1.0) == [0]
    assert nms([a, b], [2.0, 1.0], overlap + 1e-9, offset=1.0) == [0, 1]


def test_groups_do_not_touch_each_other_and_come_in_order():
    groups = torch.tensor([7, 2, 7, 2])
    assert nms([[0, 10]] * 4, [0.1, 0.2, 0.3, 0.4], 0.5, groups) == [3, 2]


def test_empty_and_single():
    assert nms([], [], 0.5) == []
    assert nms([[3, 3]], [0.0], 0.5) == [0]


@given(st.lists(row, max_size=14), st.sampled_from([0.1, 0.25, 0.5, 1.0, 2.0]), st.sampled_from([0.0, 1.0]))
def check_against_oracle(rows, threshold, offset):
    segments, scores, groups = ([r[i] for r in rows] for i in range(3))
    kept = nms(segments, scores, threshold, torch.tensor(groups, dtype=torch.int64), offset=offset)
    assert kept == oracle.nms(segments, scores, threshold, groups, offset)


def test_equals_the_oracle():
    check_against_oracle()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_larger_random_sets(dtype):
    draw = torch.Generator().manual_seed(0)
    start = torch.rand(400, generator=draw, dtype=dtype) * 60
    segments = torch.stack([start, start + torch.rand(400, generator=draw, dtype=dtype) * 12], dim=1)
    scores, groups = torch.rand(400, generator=draw, dtype=dtype), torch.randint(0, 5, (400,), generator=draw)
    kept = temporal_nms(segments, scores, 0.3, groups)
    assert kept.tolist() == oracle.nms(segments.double().tolist(), scores.tolist(), 0.3, groups.tolist())
    assert 5 < len(kept) < 400
    assert torch.equal(kept, temporal_nms(segments.flip(1).flip(1), scores[:], 0.3, groups))  # other strides
    permuted = torch.randperm(400, generator=draw)
    assert set(permuted[temporal_nms(segments[permuted], scores[permuted], 0.3, groups[permuted])].tolist()) == set(
        kept.tolist())
