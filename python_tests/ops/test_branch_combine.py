"""ops.branch_combine: the op battery on its kernels."""

import torch

from python_tests import tolerances
from python_tests.ops.op_battery import TRITON, OpBattery, Sample, product
from wtal_fast.ops.branch_combine import branch_combine, branch_combine_backward

DTYPES = (torch.float32, torch.float16) if TRITON else (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def cases():
    """name, taps, affinity, foreground, bias, official, slope, and grad and out of both branches."""
    sizes = [(2, 1, 1, 3), (2, 20, 5, 3), (1, 37, 70, 3), (2, 9, 3, 5)]
    for batch, steps, channels, taps in [(1, 3, 5, 3)] if TRITON else sizes:
        for official, with_affinity, slope in ((False, False, 1.0), (False, True, 0.25), (True, True, 0.25)):
            draw = torch.Generator().manual_seed(steps + channels + taps)
            shapes = ((taps if official else 1, batch, steps, taps, channels), (batch, steps, taps), (batch, steps),
                      (channels,), (2, batch, steps, channels), (2, batch, steps, channels))
            products, affinity, foreground, bias, grad, out = (
                torch.randn(shape, dtype=torch.float64, generator=draw) for shape in shapes)
            yield (f"T={steps} H={channels} h={taps} official={official} slope={slope}", products,
                   affinity if with_affinity else None, foreground, bias if with_affinity else None, official, slope,
                   grad, out)


class TestBranchCombine(OpBattery):
    function = staticmethod(branch_combine)
    kernels_of = triton_kernels_of = ("branch_combine",)
    dtypes = DTYPES
    tolerance = tolerances.KERNEL_SUMS

    def samples(self):
        empty = Sample("no video", (torch.zeros(1, 0, 5, 3, 4), None, torch.zeros(0, 5), None, False, 1.0))
        return [empty] + [Sample(name, tuple(arguments[:6])) for name, *arguments in cases()]

    def raw_samples(self):
        for _, *arguments in list(cases())[:6]:
            yield torch.ops.wtal_fast.branch_combine.default, tuple(arguments[:6])

    test_wrong_arguments = None  # two_branch_conv1d checks what users give


class TestBranchCombineBackward(OpBattery):
    function = staticmethod(branch_combine_backward)
    kernels_of = triton_kernels_of = ("branch_combine_backward",)
    dtypes = DTYPES
    tolerance = tolerances.KERNEL_SUMS

    @staticmethod
    def arguments():
        for name, products, affinity, foreground, _, official, slope, grad, out in cases():
            for options in product(time_last=[False] if TRITON else [False, True]):
                yield name, (grad, out, products, affinity, foreground, official, slope), options

    def samples(self):
        return [Sample(f"{name} {options}", arguments, options) for name, arguments, options in self.arguments()]

    def raw_samples(self):
        for _, arguments, options in list(self.arguments())[:8]:
            yield torch.ops.wtal_fast.branch_combine_backward.default, (*arguments, options["time_last"])

    test_wrong_arguments = None


def test_a_part_of_the_batch_is_read_in_place(kernels):
    """The gradient of a block of videos, given as slices with the strides of the whole batch."""
    _, products, affinity, foreground, _, official, slope, grad, out = list(cases())[-1]
    grad, out, products, affinity, foreground = (
        torch.cat([tensor, tensor + 1], dim) for tensor, dim in
        ((grad, 1), (out, 1), (products, 1), (affinity, 0), (foreground, 0)))
    whole = branch_combine_backward(grad, out, products, affinity, foreground, official, slope, False)
    part = branch_combine_backward(grad[:, 1:], out[:, 1:], products[:, 1:], affinity[1:], foreground[1:], official,
                                   slope, False)
    steps = products.shape[2]
    assert torch.equal(part[0], whole[0][:, steps:])
    assert torch.equal(part[1], whole[1][1:]) and torch.equal(part[2], whole[2][1:])
