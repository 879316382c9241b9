"""ops.affinity_columns: the op battery on its kernels, and the transposed form."""

import pytest
import torch

from python_tests import tolerances
from python_tests.ops.op_battery import TRITON, OpBattery, Sample, product
from wtal_fast.ops.affinity_columns import affinity_columns, affinity_columns_backward

DTYPES = (torch.float32, torch.float16) if TRITON else (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def inputs(batch, steps, channels, taps):
    draw = torch.Generator().manual_seed(steps + channels + taps)
    return [torch.randn(shape, dtype=torch.float64, generator=draw)
            for shape in ((batch, steps, taps * channels), (batch, steps, channels), (batch, steps, taps))]


def cases():
    sizes = [(2, 1, 1, 3), (2, 7, 5, 3), (1, 70, 40, 3), (2, 9, 3, 5), (3, 5, 8, 1), (1, 4, 2, 9)]
    for size in [(1, 3, 5, 3)] if TRITON else sizes:
        for official, with_affinity in ((False, False), (False, True), (True, True)):
            grad, x, affinity = inputs(*size)
            name = f"{size} official={official} affinity={with_affinity}"
            yield name, grad, x, affinity if with_affinity else None, (size[3], official)


class TestAffinityColumns(OpBattery):
    function = staticmethod(affinity_columns)
    kernels_of = triton_kernels_of = ("affinity_columns",)
    dtypes = DTYPES

    def samples(self):
        empty = [Sample("no video", (torch.zeros(0, 5, 3), None, 3, False)),
                 Sample("no snippet", (torch.zeros(2, 0, 3), torch.zeros(2, 0, 3), 3, True))]
        layouts = product(time_last=[False] if TRITON else [False, True])
        return empty + [Sample(f"{name} {options}", (x, affinity, *rest), options)
                        for name, _, x, affinity, rest in cases() for options in layouts]

    def raw_samples(self):
        for _, _, x, affinity, rest in list(cases())[:6]:
            for time_last in (False, True):
                yield torch.ops.wtal_fast.affinity_columns.default, (x, affinity, *rest, time_last)

    test_wrong_arguments = None  # the convolutions check what users give


class TestAffinityColumnsBackward(OpBattery):
    function = staticmethod(affinity_columns_backward)
    kernels_of = triton_kernels_of = ("affinity_columns_backward",)
    dtypes = DTYPES
    # dot products over up to 40 channels and 5 taps of numbers of the order of 1
    tolerance = tolerances.KERNEL_SUMS

    def samples(self):
        return [Sample(name, (grad, x, affinity, *rest)) for name, grad, x, affinity, rest in cases()]

    def raw_samples(self):
        for _, grad, x, affinity, rest in list(cases())[:6]:
            yield torch.ops.wtal_fast.affinity_columns_backward.default, (grad, x, affinity, *rest)

    test_wrong_arguments = None


@pytest.mark.parametrize("official", [False, True])
def test_backward_is_the_gradient(kernels, official):
    grad, x, affinity = inputs(2, 9, 7, 3)
    x.requires_grad_()
    affinity.requires_grad_()
    scaled = torch.stack([torch.nn.functional.pad(x, (0, 0, 1, 1))[:, tap: tap + 9] for tap in range(3)], 2)
    tap = torch.arange(3)[:, None].expand(3, 7)
    column = (torch.arange(7) * 3 + tap) // 7 if official else tap
    columns = (scaled * affinity[:, :, column]).flatten(2)  # [B, T, h, Cin] -> [B, T, h * Cin]
    with torch.no_grad():
        torch.testing.assert_close(affinity_columns(x, affinity, 3, official), columns, **tolerances.KERNEL["float64"])
        actual = affinity_columns_backward(grad, x, affinity, 3, official)
    for value, wanted in zip(actual, torch.autograd.grad(columns, (x, affinity), grad), strict=True):
        torch.testing.assert_close(value, wanted, rtol=1e-12, atol=1e-12)
