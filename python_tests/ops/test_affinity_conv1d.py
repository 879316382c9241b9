"""ops.affinity_conv1d against the sum it is defined by, PyTorch's convolution and the released layout."""

import pytest
import torch
import torch.nn.functional as F

from python_tests import tolerances
from wtal_fast import ops

KERNEL = torch.ops.wtal_fast.affinity_conv1d.default
BACKWARD = torch.ops.wtal_fast.affinity_conv1d_backward.default
LAYOUTS = ["paper", "official"]


def inputs(batch, steps, channels, filters, taps, dtype=torch.float64):
    draw = torch.Generator().manual_seed(batch + steps + channels + taps)
    shapes = (batch, steps, channels), (batch, steps, taps), (filters, channels, taps), (filters,)
    return [torch.randn(shape, dtype=dtype, generator=draw) for shape in shapes]


def by_definition(x, affinity, weight, bias, layout):
    (_, steps, channels), (filters, _, taps) = x.shape, weight.shape
    out = bias.expand(len(x), steps, filters).clone()
    for t in range(steps):
        for c in range(channels):
            for i in range(taps):
                source = t + i - taps // 2
                if 0 <= source < steps:
                    column = i if layout == "paper" else (c * taps + i) // channels
                    out[:, t] += (x[:, source, c] * affinity[:, t, column])[:, None] * weight[:, c, i]
    return out


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("taps", [1, 3, 5, 7, 9])
@pytest.mark.parametrize(("steps", "channels"), [(1, 1), (2, 2), (3, 7), (6, 4), (6, 9)])
def test_definition_and_gradient(steps, channels, taps, layout):
    tensors = [tensor.requires_grad_() for tensor in inputs(2, steps, channels, 2, taps)]
    torch.testing.assert_close(ops.affinity_conv1d(*tensors, layout=layout), by_definition(*tensors, layout),
                               **tolerances.EXACT_FORMULA)
    assert torch.autograd.gradcheck(lambda *values: ops.affinity_conv1d(*values, layout=layout), tensors)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_unit_affinity_is_a_convolution(layout):
    x, affinity, weight, bias = inputs(2, 11, 6, 4, 5, torch.float32)
    expected = F.conv1d(x.transpose(1, 2), weight, bias, padding=2).transpose(1, 2)
    out = ops.affinity_conv1d(x, torch.ones_like(affinity), weight, bias, layout)
    torch.testing.assert_close(out, expected, **tolerances.FLOAT32_SUMS)


def test_released_layout_is_the_tiled_unfold():
    """The released code multiplies channel-major unfolded columns with a similarity repeated tap by tap."""
    x, affinity, weight, _ = inputs(2, 7, 5, 3, 3)
    columns = F.unfold(x.transpose(1, 2).unsqueeze(2), (1, 3), padding=(0, 1))  # [B, 3 Cin, T]
    tiled = affinity.transpose(1, 2).repeat_interleave(5, dim=1)  # [B, 3 Cin, T]
    expected = torch.einsum("ok,bkt->bto", weight.flatten(1), columns * tiled)
    torch.testing.assert_close(ops.affinity_conv1d(x, affinity, weight, layout="official"), expected,
                               **tolerances.EXACT_FORMULA)


def test_float32_and_float64_agree():
    """float32 on a CPU takes another path than float64."""
    tensors = inputs(2, 40, 24, 16, 3)
    for layout in LAYOUTS:
        gradients = []
        for dtype in (torch.float64, torch.float32):
            leaves = [tensor.to(dtype).requires_grad_() for tensor in tensors]
            out = ops.affinity_conv1d(*leaves, layout=layout)
            gradients.append([out, *torch.autograd.grad(out.square().sum(), leaves)])
        for exact, single in zip(*gradients, strict=True):
            torch.testing.assert_close(single.double() / exact.abs().max(), exact / exact.abs().max(),
                                       **tolerances.FLOAT32_SUMS)


def test_slices_of_larger_tensors():
    x, affinity, weight, bias = inputs(4, 12, 8, 6, 3)
    whole = ops.affinity_conv1d(x[::2, 1:9, ::2].contiguous(), affinity[::2, 1:9].contiguous(),
                                weight[:, ::2].contiguous(), bias)
    assert torch.equal(ops.affinity_conv1d(x[::2, 1:9, ::2], affinity[::2, 1:9], weight[:, ::2], bias), whole)


def test_no_videos():
    assert ops.affinity_conv1d(torch.zeros(0, 5, 4), torch.zeros(0, 5, 3), torch.zeros(2, 4, 3)).shape == (0, 5, 2)


def test_autocast_runs_in_bfloat16():
    x, affinity, weight, _ = inputs(1, 6, 4, 3, 3, torch.float32)
    weight.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = ops.affinity_conv1d(x, affinity, weight)
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert weight.grad.dtype == torch.float32
    torch.testing.assert_close(out.float(), ops.affinity_conv1d(x, affinity, weight), **tolerances.BFLOAT16)


@pytest.mark.parametrize("official", [False, True])
def test_registration(official):
    x, affinity, weight, _ = (tensor.requires_grad_() for tensor in inputs(2, 5, 4, 3, 3, torch.float32))
    torch.library.opcheck(KERNEL, (x, affinity, weight, None, official))
    for input_grad in (True, False):
        torch.library.opcheck(BACKWARD, (torch.randn(2, 5, 3), x.detach(), affinity.detach(), weight.detach(), official,
                                         input_grad))


@pytest.mark.parametrize(("argument", "shape", "message"), [
    (0, (5, 4), r"x must be \[B, T, Cin\], got \[5, 4\]"),
    (1, (2, 5, 5), r"affinity must be \[B, T, h\] = \[2, 5, 3\], got \[2, 5, 5\]"),
    (2, (3, 5, 3), r"weight must be \[Cout, 4, h\], got \[3, 5, 3\]"),
    (2, (3, 4, 2), "kernel_size must be odd and >= 1, got 2"),
    (3, (2,), r"bias must be \[Cout\] = \[3\], got \[2\]"),
])
def test_wrong_shapes(argument, shape, message):
    tensors = inputs(2, 5, 4, 3, 3)
    tensors[argument] = torch.zeros(shape, dtype=torch.float64)
    with pytest.raises(ValueError, match=message):
        ops.affinity_conv1d(*tensors)


def test_wrong_types_and_layout():
    x, affinity, weight, bias = inputs(2, 5, 4, 3, 3)
    with pytest.raises(TypeError, match="affinity must have the dtype of x, torch.float64, got torch.float32"):
        ops.affinity_conv1d(x, affinity.float(), weight, bias)
    with pytest.raises(TypeError, match="weight must be floating point, got torch.int64"):
        ops.affinity_conv1d(x, affinity, weight.long(), bias)
    with pytest.raises(ValueError, match="layout must be one of .*, got 'keras'"):
        ops.affinity_conv1d(x, affinity, weight, bias, layout="keras")
