"""ops.topk_mask and ops.topk_select_mean: sorted lists in Python are the oracle."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from python_tests import tolerances
from python_tests.ops.op_battery import TRITON, OpBattery, Sample
from wtal_fast import ops

KERNEL = torch.ops.wtal_fast.topk_select_mean.default
BACKWARD = torch.ops.wtal_fast.topk_select_mean_backward.default


def mean_of_chosen(features, chosen):
    return KERNEL(features, chosen)[0]


class TestTopkSelectMean(OpBattery):
    """The kernels, given what is chosen; tests of the choice are below."""

    function = staticmethod(mean_of_chosen)
    kernels_of = triton_kernels_of = ("topk_select_mean", "topk_select_mean_backward")
    differentiable = True
    dtypes = (torch.float32, torch.float16) if TRITON else OpBattery.dtypes
    tolerance = tolerances.KERNEL_SUMS

    def samples(self):
        draw = torch.Generator().manual_seed(0)
        samples = [Sample("no video", (torch.zeros(0, 5, 3), torch.zeros(0, 5, dtype=torch.bool))),
                   Sample("no snippet", (torch.zeros(2, 0, 3), torch.zeros(2, 0, dtype=torch.bool)))]
        for steps, channels in [(1, 1), (40, 7), (9, 300)]:
            chosen = torch.rand(3, steps, generator=draw) < 0.4
            chosen[0] = False
            features = torch.randn(3, steps, channels, dtype=torch.float64, generator=draw)
            features[0] = math.nan
            samples.append(Sample(f"T={steps} D={channels}", (features, chosen)))
        return samples

    def smooth_samples(self):
        features = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1))
        return [Sample("smooth", (features, torch.tensor([[True, False, True, True], [False] * 4])))]

    def raw_samples(self):
        features, chosen = torch.randn(2, 5, 3), torch.rand(2, 5) < 0.5
        yield BACKWARD, (torch.randn(2, 3), torch.rand(2, 5))
        for requires_grad in (False, True):
            yield KERNEL, (features.clone().requires_grad_(requires_grad), chosen)

    test_wrong_arguments = None  # the public function checks them, below


def chosen(keys: list[float], k: int, length: int, largest: bool) -> set[int]:
    """Indices of the k largest keys; NaN above all numbers, the lower index first among equals."""
    def order(index):
        nan = math.isnan(keys[index])
        value = (nan, 0.0 if nan else keys[index])
        return ((not value[0], -value[1]) if largest else value), index
    return set(sorted(range(length), key=order)[:k])


VALUES = st.sampled_from([0.0, -0.0, 1.0, 1.5, -1.0, -2.0, math.inf, -math.inf, math.nan])


@st.composite
def selections(draw):
    steps = draw(st.integers(1, 8))
    keys = [draw(st.lists(VALUES, min_size=steps, max_size=steps)) for _ in range(2)]
    lengths = draw(st.lists(st.integers(0, steps), min_size=2, max_size=2))
    counts = draw(st.lists(st.integers(0, steps), min_size=2, max_size=2))
    return keys, lengths, counts, draw(st.booleans())


@given(selections(), st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
def test_members_and_mean(case, dtype):
    keys, lengths, counts, largest = case
    tensor, length, k = torch.tensor(keys, dtype=dtype), torch.tensor(lengths), torch.tensor(counts)
    expected = [chosen(row, *limits, largest) for row, *limits in zip(keys, counts, lengths, strict=True)]
    mask = ops.topk_mask(tensor[..., None], k, length, largest)[..., 0]
    assert [set(row.nonzero()[:, 0].tolist()) for row in mask] == expected
    features = torch.arange(tensor.numel() * 3, dtype=torch.float64).view(2, -1, 3).square()
    mean = ops.topk_select_mean(features, tensor, k, length, largest)
    for row, members, result in zip(features, expected, mean, strict=True):
        wanted = row[sorted(members)].mean(0) if members else torch.zeros(3, dtype=torch.float64)
        torch.testing.assert_close(result, wanted, **tolerances.EXACT_FORMULA)


def test_mask_of_classes_is_what_topk_mean_averages():
    scores = torch.randn(3, 20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    k, lengths = torch.tensor([5, 3, 9]), torch.tensor([20, 11, 7])
    mask = ops.topk_mask(scores, k, lengths)
    assert mask.sum(1).tolist() == [[5] * 4, [3] * 4, [7] * 4]
    torch.testing.assert_close((scores * mask).sum(1) / mask.sum(1), ops.topk_mean(scores, k, lengths),
                               **tolerances.EXACT_FORMULA)


def test_unselected_features_never_enter():
    features = torch.tensor([[[1.0], [math.nan], [3.0], [math.inf]]])
    assert ops.topk_select_mean(features, torch.tensor([[2.0, 1.0, 2.0, 0.0]]), 2).tolist() == [[2.0]]


def test_gradient_goes_to_the_selected_features_only():
    features = torch.randn(3, 6, 4, dtype=torch.float64, requires_grad=True)
    keys = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    k, lengths = torch.tensor([2, 0, 6]), torch.tensor([6, 3, 4])
    assert torch.autograd.gradcheck(lambda value: ops.topk_select_mean(value, keys.detach(), k, lengths), (features,))
    ops.topk_select_mean(features, keys, k, lengths).sum().backward()
    assert keys.grad is None
    assert (features.grad != 0).any(2).sum(1).tolist() == [2, 0, 4]


def test_slices_of_larger_tensors():
    features, keys = torch.randn(4, 9, 8), torch.randn(4, 18)
    assert torch.equal(ops.topk_select_mean(features[::2, :, ::2], keys[::2, ::2], 3),
                       ops.topk_select_mean(features[::2, :, ::2].contiguous(), keys[::2, ::2].contiguous(), 3))


def test_empty():
    assert ops.topk_select_mean(torch.zeros(0, 5, 3), torch.zeros(0, 5), 2).shape == (0, 3)
    assert ops.topk_mask(torch.zeros(2, 5, 0), 2).shape == (2, 5, 0)


def test_wrong_arguments():
    features, keys = torch.zeros(2, 5, 3), torch.zeros(2, 5)
    with pytest.raises(ValueError, match=r"keys \[B, T\], got \[2, 5, 3\] and \[2, 4\]"):
        ops.topk_select_mean(features, keys[:, :4], 2)
    with pytest.raises(ValueError, match="k must be in 0..T = 0..5, got 6"):
        ops.topk_select_mean(features, keys, 6)
    with pytest.raises(TypeError, match="features must be floating point, got torch.int64"):
        ops.topk_select_mean(features.long(), keys, 2)
