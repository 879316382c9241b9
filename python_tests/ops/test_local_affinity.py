"""ops.local_affinity: hand-computed cosines, edges, gradient, registration."""

import pytest
import torch

from python_tests import tolerances
from python_tests.ops.op_battery import TRITON, OpBattery, Sample
from wtal_fast import ops

KERNEL = torch.ops.wtal_fast.local_affinity.default
BACKWARD = torch.ops.wtal_fast.local_affinity_backward.default


class TestLocalAffinity(OpBattery):
    function = staticmethod(ops.local_affinity)
    kernels_of = triton_kernels_of = ("local_affinity", "local_affinity_backward")
    differentiable = True
    dtypes = (torch.float32, torch.float16) if TRITON else OpBattery.dtypes
    tolerance = tolerances.KERNEL_SUMS

    def samples(self):
        draw = torch.Generator().manual_seed(0)
        samples = [Sample("no video", (torch.zeros(0, 5, 3), 3)), Sample("no snippet", (torch.zeros(2, 0, 3), 3))]
        sizes = [(1, 1, 3), (2, 6, 3), (2, 3, 9), (1, 40, 5), (2, 5, 1)]
        for batch, steps, kernel_size in sizes[:2] if TRITON else sizes:
            embedding = torch.randn(batch, steps, 33, dtype=torch.float64, generator=draw)
            embedding[0, steps // 2] = 0
            samples.append(Sample(f"T={steps} h={kernel_size}", (embedding, kernel_size)))
        return samples

    def smooth_samples(self):
        return [Sample("smooth", (torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1)), 3))]

    def raw_samples(self):
        embedding = torch.randn(2, 5, 3)
        yield BACKWARD, (torch.randn(2, 5, 3), embedding, 3)
        for requires_grad in (False, True):
            yield KERNEL, (embedding.clone().requires_grad_(requires_grad), 3)

    test_wrong_arguments = None  # test_wrong_values and test_wrong_types below


def test_hand_computed():
    embedding = torch.tensor([[[3.0, 0.0], [4.0, 4.0], [0.0, 2.0], [0.0, -1.0]]], dtype=torch.float64)
    half = 0.5**0.5
    rows = [[0, 0, 1, half, 0], [0, half, 1, half, -half], [0, half, 1, -1, 0], [-half, -1, 1, 0, 0]]
    expected = torch.tensor([rows], dtype=torch.float64)
    torch.testing.assert_close(ops.local_affinity(embedding, 5), expected, **tolerances.EXACT_FORMULA)
    torch.testing.assert_close(ops.local_affinity(embedding, 3), expected[..., 1:4], **tolerances.EXACT_FORMULA)
    torch.testing.assert_close(ops.local_affinity(embedding, 1), expected[..., 2:3], **tolerances.EXACT_FORMULA)


def test_zero_embedding_has_no_affinity():
    embedding = torch.tensor([[[1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]], requires_grad=True)
    affinity = ops.local_affinity(embedding, 3)
    assert affinity.tolist() == [[[0, 1, 0], [0, 0, 0], [0, 1, 0]]]
    affinity.sum().backward()
    assert embedding.grad.tolist() == [[[0, 0], [0, 0], [0, 0]]]


@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7, 9])
@pytest.mark.parametrize("steps", [1, 2, 6])
def test_gradient(steps, kernel_size):
    embedding = torch.randn(2, steps, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    embedding = embedding.transpose(0, 1).contiguous().transpose(0, 1).requires_grad_()  # not contiguous
    assert torch.autograd.gradcheck(lambda value: ops.local_affinity(value, kernel_size), (embedding,))


def test_no_videos():
    assert ops.local_affinity(torch.zeros(0, 5, 3)).shape == (0, 5, 3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_the_rounded_result(dtype):
    embedding = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    affinity = ops.local_affinity(embedding)
    assert affinity.dtype == dtype
    assert torch.equal(affinity, ops.local_affinity(embedding.float()).to(dtype))


@pytest.mark.parametrize(("shape", "kernel_size", "message"), [
    ((4, 3), 3, r"embedding must be \[B, T, E\], got \[4, 3\]"),
    ((1, 4, 3), 2, "kernel_size must be odd and >= 1, got 2"),
    ((1, 4, 3), -1, "kernel_size must be odd and >= 1, got -1"),
])
def test_wrong_values(shape, kernel_size, message):
    with pytest.raises(ValueError, match=message):
        ops.local_affinity(torch.zeros(shape), kernel_size)


def test_wrong_types():
    with pytest.raises(TypeError, match="kernel_size must be an int, got float"):
        ops.local_affinity(torch.zeros(1, 4, 3), 3.0)
    with pytest.raises(TypeError, match="floating point, got torch.int64"):
        ops.local_affinity(torch.zeros(1, 4, 3, dtype=torch.int64))
