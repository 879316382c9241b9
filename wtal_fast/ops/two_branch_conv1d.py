"""First layer of a two-branch network: the convolution of x and of foreground * x from one matrix product.

Why this is exact. The foreground is one number per snippet and the affinity one per output snippet and tap (or block of
channels), so both leave the sum over channels:

    base[t]       = sum_i a[t, i]      W_i x[s]      = sum_i a[t, i]      Z_i[s],     s = t + i - h // 2,
    suppressed[t] = sum_i a[t, i] W_i (f[s] x[s])    = sum_i a[t, i] f[s] Z_i[s],     Z_i[s] = W_i x[s].

Z = x [W_0 | ... | W_h-1] is one product for both branches, and each output is a shifted, weighted sum of it. Backwards,
with g' the gradients before the bias,

    dZ_i[s] = a[t, i] (g'_base[t] + f[s] g'_suppressed[t])        dW_i = dZ_i^T x: one product for both branches,
    da[t, i] = <g'_base[t] + f[s] g'_suppressed[t], Z_i[s]>       df[s] = sum_i a[t, i] <g'_suppressed[t], Z_i[s]>

are dot products with the saved Z, and without a gradient for x there is no third product: 2 where the plain form, two
convolutions, takes 6. In the official layout the affinity column is that of the channel block, so Z falls into h blocks
of channels with h taps each; as each block has 1 / h of the channels, the product costs the same.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from wtal_fast.ops import _library
from wtal_fast.ops._products import ROWS, SUMMED_ROWS, SumOfProducts, by_onednn, product, video_blocks
from wtal_fast.ops.affinity_columns import affinity_columns, channel_blocks
from wtal_fast.ops.affinity_conv1d import check_convolution, plain_affinity_conv1d
from wtal_fast.ops.branch_combine import branch_combine, branch_combine_backward


def two_branch_conv1d(x: Tensor, foreground: Tensor, weight: Tensor, bias: Tensor | None = None,
                      affinity: Tensor | None = None, layout: Literal["paper", "official"] = "paper",
                      slope: float = 1.0) -> Tensor:
    """leaky(affinity_conv1d(x, ...)) and leaky(affinity_conv1d(foreground * x, ...)) as one tensor [2, B, T, Cout].

    x [B, T, Cin]; foreground [B, T]; weight [Cout, Cin, h], bias, affinity and layout as in affinity_conv1d.
    slope: of the leaky ReLU for negative values, in 0..1; 1 leaves it out.
    Differentiable once in all tensors; the gradient of x costs one product more and is computed only where it is
    needed. Runs in bfloat16 under autocast. Raises ValueError or TypeError for wrong shapes, dtypes, devices or values.
    """
    check_convolution("two_branch_conv1d", x, weight, bias, layout, affinity=affinity, foreground=foreground)
    if not 0 <= slope <= 1:
        raise ValueError(f"two_branch_conv1d: slope must be in 0..1, got {slope}")
    official = layout == "official" and affinity is not None
    return _two_branch_conv1d(x, foreground, affinity, weight, bias, official, slope)[0]


def plain_two_branch_conv1d(x: Tensor, foreground: Tensor, affinity: Tensor | None, weight: Tensor, bias: Tensor | None,
                            official: bool, slope: float) -> Tensor:
    """What two_branch_conv1d equals, as two convolutions."""
    both = [plain_affinity_conv1d(each, affinity, weight, bias, official) for each in (x, foreground[..., None] * x)]
    return torch.nn.functional.leaky_relu(torch.stack(both), slope)


def _groups(channels: int, taps: int, official: bool) -> list[slice]:
    """The channels that any tap gives to one affinity column, of each column; all of them where columns are taps."""
    if not official:
        return [slice(0, channels)]
    return [slice(column * channels // taps, -(-(column + 1) * channels // taps)) for column in range(taps)]


def _mask(weight: Tensor, official: bool) -> Tensor | None:
    """[h, Cin, h] 1 where tap (last axis) and channel belong to the affinity column (first axis), else 0."""
    if not official:
        return None
    _, channels, taps = weight.shape
    mask = weight.new_zeros(taps, channels, taps)
    for tap, column, channel in channel_blocks(channels, taps, official):
        mask[column, channel, tap] = 1
    return mask


def _matrices(weight: Tensor, official: bool) -> list[Tensor]:
    """Right factors of the product, [h * Cout, channels of the group] of each group."""
    filters, channels, taps = weight.shape
    mask = _mask(weight, official)
    matrices = []
    for group, channel in enumerate(_groups(channels, taps, official)):
        part = weight[:, channel] if mask is None else weight[:, channel] * mask[group, channel]
        matrices.append(part.permute(2, 0, 1).reshape(taps * filters, -1))  # [Cout, C', h] -> [h * Cout, C']
    return matrices


def _reference(x: Tensor, foreground: Tensor, affinity: Tensor | None, weight: Tensor, bias: Tensor | None,
               official: bool, slope: float) -> tuple[Tensor, Tensor]:
    (batch, steps, channels), (filters, _, count) = x.shape, weight.shape
    groups, matrices = _groups(channels, count, official), _matrices(weight, official)
    taps = x.new_empty(len(groups), batch, steps, count, filters)
    for block in video_blocks(x, ROWS):
        for group, channel in enumerate(groups):
            rows = x[block, :, channel].flatten(0, 1).contiguous()  # [B * T, C']
            taps[group, block] = product(rows, matrices[group]).view(-1, steps, count, filters)
    return branch_combine(taps, affinity, foreground, bias, official, slope), taps


def _fake(x, foreground, affinity, weight, bias, official, slope) -> tuple[Tensor, Tensor]:
    (batch, steps, _), (filters, _, count) = x.shape, weight.shape
    return (x.new_empty(2, batch, steps, filters),
            x.new_empty(count if official else 1, batch, steps, count, filters))


def _backward_reference(grad: Tensor, out: Tensor, taps: Tensor, x: Tensor, foreground: Tensor,
                        affinity: Tensor | None, weight: Tensor, official: bool, slope: float, input_grad: bool,
                        bias_grad: bool) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    filters, channels, count = weight.shape
    groups, time_last = _groups(channels, count, official), by_onednn(x)
    wide = torch.promote_types(x.dtype, torch.float32)  # sums over blocks
    grad_x = x.new_zeros(x.shape if input_grad else 0)
    grad_foreground = x.new_empty(foreground.shape)
    grad_affinity = x.new_empty(0 if affinity is None else affinity.shape)
    totals = [SumOfProducts(x) for _ in groups]
    grad_bias = x.new_zeros(filters if bias_grad else 0, dtype=wide)
    back = [matrix.t().contiguous() for matrix in _matrices(weight, official)] if input_grad else None
    for block in video_blocks(x, SUMMED_ROWS):
        of_part = None if affinity is None else affinity[block]
        of_taps, of_affinity, grad_foreground[block] = branch_combine_backward(
            grad[:, block], out[:, block], taps[:, block], of_part, foreground[block], official, slope, time_last)
        if affinity is not None:
            grad_affinity[block] = of_affinity
        if bias_grad:
            grad_bias += torch.where(out[:, block] > 0, grad[:, block], slope * grad[:, block]).sum((0, 1, 2))
        for group, channel in enumerate(groups):
            part = x[block, :, channel].contiguous()
            columns = affinity_columns(part, None, 1, False, True) if time_last else part.flatten(0, 1).t()
            rows = of_taps[group] if time_last else of_taps[group].t()  # [h * Cout, B * T]
            totals[group].add(product(rows, columns))
            if input_grad:
                grad_x[block, :, channel] += product(rows.t().contiguous(), back[group]).view_as(part)
    grad_weight = _weight_gradient(totals, weight, official)
    return grad_x, grad_foreground, grad_affinity, grad_weight, grad_bias.to(x.dtype)


def _weight_gradient(totals: list[SumOfProducts], weight: Tensor, official: bool) -> Tensor:
    """[Cout, Cin, h] from the gradients of _matrices."""
    filters, channels, taps = weight.shape
    grad = torch.zeros_like(weight, memory_format=torch.contiguous_format)
    mask = _mask(weight, official)
    for group, (channel, total) in enumerate(zip(_groups(channels, taps, official), totals, strict=True)):
        if total.value is not None:
            part = total.value.to(weight.dtype).view(taps, filters, -1).permute(1, 2, 0)  # [Cout, C', h]
            grad[:, channel] += part if mask is None else part * mask[group, channel]
    return grad


def _backward_fake(grad, out, taps, x, foreground, affinity, weight, official, slope, input_grad, bias_grad):
    return (x.new_empty(x.shape if input_grad else 0), x.new_empty(foreground.shape),
            x.new_empty(0 if affinity is None else affinity.shape), torch.empty_like(weight),
            x.new_empty(weight.shape[0] if bias_grad else 0))


def _setup_context(ctx, inputs, output) -> None:
    x, foreground, affinity, weight, _, ctx.official, ctx.slope = inputs
    out, taps = output
    ctx.save_for_backward(out, taps, x, foreground, affinity, weight)
    ctx.mark_non_differentiable(taps)


def _backward(ctx, grad: Tensor, _grad_taps):
    out, taps, x, foreground, affinity, weight = ctx.saved_tensors
    wanted = ctx.needs_input_grad
    grad_x, grad_foreground, grad_affinity, grad_weight, grad_bias = _two_branch_conv1d_backward(
        grad, out, taps, x, foreground, affinity, weight, ctx.official, ctx.slope, wanted[0], wanted[4])
    return (grad_x if wanted[0] else None, grad_foreground, None if affinity is None else grad_affinity, grad_weight,
            grad_bias if wanted[4] else None, None, None)


_two_branch_conv1d = _library.define(
    "two_branch_conv1d(Tensor x, Tensor foreground, Tensor? affinity, Tensor weight, Tensor? bias, bool official, "
    "float slope) -> (Tensor out, Tensor taps)", reference=_reference, fake=_fake)
_two_branch_conv1d_backward = _library.define(
    "two_branch_conv1d_backward(Tensor grad, Tensor out, Tensor taps, Tensor x, Tensor foreground, Tensor? affinity, "
    "Tensor weight, bool official, float slope, bool input_grad, bool bias_grad) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)", reference=_backward_reference, fake=_backward_fake)
_library.differentiable("two_branch_conv1d", backward=_backward, setup_context=_setup_context)
for _device in ("cpu", "cuda"):
    torch.library.register_autocast("wtal_fast::two_branch_conv1d", _device, torch.bfloat16)
