"""ops.two_branch_conv1d against two convolutions, in every layout, with all gradients."""

import itertools

import pytest
import torch

from python_tests import tolerances
from wtal_fast import ops
from wtal_fast.ops.two_branch_conv1d import plain_two_branch_conv1d

KERNEL = torch.ops.wtal_fast.two_branch_conv1d.default
BACKWARD = torch.ops.wtal_fast.two_branch_conv1d_backward.default
FORMS = [None, "paper", "official"]  # None: without affinity


def inputs(batch, steps, channels, filters, taps, dtype=torch.float64):
    """x, foreground, affinity, weight, bias."""
    draw = torch.Generator().manual_seed(batch + steps + channels + taps)
    shapes = (batch, steps, channels), (batch, steps), (batch, steps, taps), (filters, channels, taps), (filters,)
    return [torch.randn(shape, dtype=dtype, generator=draw).requires_grad_() for shape in shapes]


def both_forms(tensors, form, slope, with_bias):
    """Results and gradients of the fused and of the plain form."""
    x, foreground, affinity, weight, bias = tensors
    affinity, bias = affinity if form else None, bias if with_bias else None
    fused = ops.two_branch_conv1d(x, foreground, weight, bias, affinity, form or "paper", slope)
    plain = plain_two_branch_conv1d(x, foreground, affinity, weight, bias, form == "official", slope)
    leaves = [tensor for tensor in (x, foreground, affinity, weight, bias) if tensor is not None]
    grad = torch.linspace(-1, 1, fused.numel(), dtype=fused.dtype).view(fused.shape)
    return [[out, *torch.autograd.grad(out, leaves, grad)] for out in (fused, plain)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("taps", [1, 3, 5])
def test_equals_two_convolutions(form, taps):
    for steps, channels, slope, with_bias in itertools.product((1, 2, 7), (1, 5, 6), (1.0, 0.01), (False, True)):
        fused, plain = both_forms(inputs(2, steps, channels, 3, taps), form, slope, with_bias)
        for value, wanted in zip(fused, plain, strict=True):
            torch.testing.assert_close(value, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_float32_equals_float64(form):
    """float32 on a CPU takes other products than float64; enough snippets for two blocks of videos."""
    double = inputs(3, 1600, 12, 8, 3)
    single = [tensor.detach().float().requires_grad_() for tensor in double]
    for value, wanted in zip(both_forms(single, form, 0.01, True)[0], both_forms(double, form, 0.01, True)[1],
                             strict=True):
        torch.testing.assert_close(value.double() / wanted.abs().max(), wanted / wanted.abs().max(),
                                   **tolerances.FLOAT32_SUMS)


@pytest.mark.parametrize("form", FORMS)
def test_gradcheck(form):
    x, foreground, affinity, weight, bias = inputs(2, 4, 3, 2, 3)
    affinity = affinity if form else None
    assert torch.autograd.gradcheck(
        lambda *values: ops.two_branch_conv1d(*values, layout=form or "paper", slope=0.1),
        (x, foreground, weight, bias, affinity))


def test_no_gradient_of_x_where_none_is_needed():
    x, foreground, affinity, weight, _ = inputs(2, 5, 4, 3, 3)
    ops.two_branch_conv1d(x.detach(), foreground, weight, None, affinity).sum().backward()
    assert x.grad is None and all(tensor.grad is not None for tensor in (foreground, affinity, weight))


def test_autocast_runs_in_bfloat16():
    x, foreground, affinity, weight, bias = inputs(2, 9, 8, 4, 3, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        out = ops.two_branch_conv1d(x, foreground, weight, bias, affinity, slope=0.01)
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert weight.grad.dtype == torch.float32
    exact = ops.two_branch_conv1d(x, foreground, weight, bias, affinity, slope=0.01)
    torch.testing.assert_close(out.float() / exact.abs().max(), exact / exact.abs().max(), **tolerances.BFLOAT16)


def test_compiles_as_one_graph():
    tensors = inputs(2, 6, 4, 3, 3, torch.float32)
    x, foreground, affinity, weight, bias = tensors
    compiled = torch.compile(ops.two_branch_conv1d, fullgraph=True, backend="aot_eager")
    results = []
    for function in (ops.two_branch_conv1d, compiled):
        out = function(x, foreground, weight, bias, affinity, "official", 0.01)
        results.append([out, *torch.autograd.grad(out.square().sum(), tensors)])
    for value, wanted in zip(*results, strict=True):
        torch.testing.assert_close(value, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("form", FORMS)
def test_registration(form):
    x, foreground, affinity, weight, bias = inputs(2, 4, 3, 2, 3, torch.float32)
    affinity, official = affinity if form else None, form == "official"
    torch.library.opcheck(KERNEL, (x, foreground, affinity, weight, bias, official, 0.1))
    x, foreground, weight, bias = (tensor.detach() for tensor in (x, foreground, weight, bias))
    affinity = None if affinity is None else affinity.detach()
    out, taps = KERNEL(x, foreground, affinity, weight, bias, official, 0.1)
    for input_grad, bias_grad in ((True, False), (False, True)):
        torch.library.opcheck(BACKWARD, (torch.randn_like(out), out, taps, x, foreground, affinity, weight, official,
                                         0.1, input_grad, bias_grad))


def test_no_videos():
    assert ops.two_branch_conv1d(torch.zeros(0, 5, 4), torch.zeros(0, 5), torch.zeros(2, 4, 3)).shape == (2, 0, 5, 2)


def test_wrong_arguments():
    x, foreground, affinity, weight, bias = inputs(2, 5, 4, 3, 3)
    with pytest.raises(ValueError, match=r"two_branch_conv1d: foreground must be \[B, T\] = \[2, 5\], got \[2, 4\]"):
        ops.two_branch_conv1d(x, foreground[:, :4], weight)
    with pytest.raises(ValueError, match=r"affinity must be \[B, T, h\] = \[2, 5, 3\], got \[2, 5, 2\]"):
        ops.two_branch_conv1d(x, foreground, weight, None, affinity[..., :2])
    with pytest.raises(ValueError, match="slope must be in 0..1, got -1"):
        ops.two_branch_conv1d(x, foreground, weight, bias, slope=-1)
    with pytest.raises(TypeError, match="foreground must have the dtype of x, torch.float64, got torch.float32"):
        ops.two_branch_conv1d(x, foreground.float(), weight)
