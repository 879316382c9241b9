"""Compiled suppression against its reference: groups that are searched by time, names and layouts of any kind."""

import pytest
import torch

from python_tests.tolerances import KERNEL
from wtal_fast.ops import soft_temporal_nms, temporal_nms, use_backend


def crowd(kind: str, count: int = 450):
    """Segments [N, 2] and scores [N] of one group large enough to be searched by time."""
    draw = torch.Generator().manual_seed(len(kind))
    start = (torch.rand(count, generator=draw, dtype=torch.float64) * 120).mul(16).round() / 16
    length = (torch.rand(count, generator=draw, dtype=torch.float64) * 10).mul(16).round() / 16
    scores = torch.rand(count, generator=draw, dtype=torch.float64)
    if kind == "equal scores":
        scores = (scores * 3).round()
    elif kind == "one outlier":
        start[5], length[9] = 1e9, 1e8
    elif kind == "zero lengths":
        length[::2] = 0
    elif kind == "before zero":
        start -= 60
    elif kind == "huge":
        start, length = start * 1e300, length * 1e300
    elif kind == "tiny":
        start, length = start * 1e-300, length * 1e-300
    elif kind == "scores in the last bits":
        scores = 1 + scores * 1e-12
    return torch.stack([start, start + length], dim=1), scores


@pytest.mark.parametrize("threshold, offset", [(0.3, 0.0), (0.7, 1.0), (1e-9, 0.0), (2.0, 1.0)])
@pytest.mark.parametrize("kind", ["plain", "equal scores", "one outlier", "zero lengths", "before zero", "huge", "tiny",
                                  "scores in the last bits"])
def test_large_groups(kernels, kind, threshold, offset):
    segments, scores = crowd(kind)
    kept = temporal_nms(segments, scores, threshold, offset=offset)
    with use_backend("reference"):
        assert torch.equal(kept, temporal_nms(segments, scores, threshold, offset=offset))


@pytest.mark.parametrize("offset", [0.0, 1.0, 0.1])  # 0.1 is no number of float32
@pytest.mark.parametrize("count", [90, 450])
@pytest.mark.parametrize("kind", ["on the threshold", "just below", "thin", "huge", "late"])
def test_float32_decides_as_float64_does(kernels, kind, count, offset):
    """Overlaps of exactly, and a rounding below, the threshold among segments that float32 holds."""
    draw = torch.Generator().manual_seed(count)
    start = torch.randint(0, 60, (count,), generator=draw).float()
    length = 2.0 ** torch.randint(0, 4, (count,), generator=draw).float()  # tIoU 1/2, 1/4, ... wherever starts agree
    if kind == "just below":
        start, length = start * 1.25, length * (1 + torch.randint(-2, 3, (count,), generator=draw) * 2.0**-23)
    elif kind == "thin":
        start, length = start * 2.0**-140, length * 2.0**-140
    elif kind == "huge":
        start, length = start * 2.0**110, length * 2.0**110
    elif kind == "late":
        start = start + 2.0**20
    segments = torch.stack([start, start + length], dim=1)
    scores = torch.rand(count, generator=draw)
    for threshold in (0.5, 0.25, 1 / 3, 1e-7, 1.0):
        kept = temporal_nms(segments, scores, threshold, offset=offset)
        assert torch.equal(kept, temporal_nms(segments.double(), scores.double(), threshold, offset=offset))
        with use_backend("reference"):
            assert torch.equal(kept, temporal_nms(segments, scores, threshold, offset=offset))


@pytest.mark.parametrize("method, threshold, offset, least", [
    ("linear", 0.3, 0.0, 0.05), ("linear", 0.7, 1.0, 0.0), ("gaussian", 0.5, 0.0, 1e-3), ("gaussian", 0.5, 1.0, 0.2)])
@pytest.mark.parametrize("kind", ["plain", "equal scores", "one outlier", "zero lengths", "before zero", "huge",
                                  "tiny"])
def test_large_groups_softly(kernels, kind, method, threshold, offset, least):
    segments, scores = crowd(kind)
    arguments = (segments, scores, threshold, None, offset, method, 0.4, least)
    kept, values = soft_temporal_nms(*arguments)
    with use_backend("reference"):
        expected, wanted = soft_temporal_nms(*arguments)
    assert torch.equal(kept, expected)
    torch.testing.assert_close(values, wanted, **KERNEL["float64"])


@pytest.mark.parametrize("names", ["in order", "shuffled", "far apart", "negative"])
def test_groups_of_any_name_and_order_on_any_number_of_threads(kernels, names):
    segments, scores = crowd("plain", 4500)
    draw = torch.Generator().manual_seed(3)
    groups = torch.randint(0, 40, (len(scores),), generator=draw)
    if names == "in order":
        groups = groups.sort().values
    elif names == "far apart":
        groups = groups * 2**57 - 2**61
    elif names == "negative":
        groups = -groups
    threads, found = torch.get_num_threads(), []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        found.append(temporal_nms(segments, scores, 0.4, groups))
    torch.set_num_threads(threads)
    with use_backend("reference"):
        found.append(temporal_nms(segments, scores, 0.4, groups))
    assert all(torch.equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_strided_arguments_of_every_type(kernels, dtype):
    segments, scores = crowd("plain", 500)
    segments, scores = segments.to(dtype), scores.to(dtype)
    kept = temporal_nms(segments, scores, 0.4)
    assert torch.equal(temporal_nms(segments.T.contiguous().T, scores.repeat_interleave(2)[::2], 0.4), kept)
    assert torch.equal(temporal_nms(segments.double(), scores.double(), 0.4), kept)


def test_no_gradient_is_asked_for(kernels):
    segments, scores = crowd("plain", 20)
    plain = temporal_nms(segments, scores, 0.5)
    assert torch.equal(temporal_nms(segments.requires_grad_() * 1, scores.requires_grad_() * 1, 0.5), plain)
