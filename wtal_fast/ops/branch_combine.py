"""From one product to both branches of a two-branch layer: shifted, weighted sums over taps, and their gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from wtal_fast.ops import _library
from wtal_fast.ops.affinity_columns import windows


@torch.no_grad()
def branch_combine(taps: Tensor, affinity: Tensor | None, foreground: Tensor, bias: Tensor | None, official: bool,
                   slope: float) -> Tensor:
    """[2, B, T, H]: leaky(sum over g, i of a w taps[g, t + i - h // 2, i] + bias), without and with the foreground.

    taps [G, B, T, h, H], zero outside 0..T-1; a = affinity[t, g if official else i], 1 where affinity [B, T, h] is
    None; w = 1 in the first branch, foreground[t + i - h // 2] [B, T] in the second; bias [H] or None.
    leaky(v) = v if v > 0 else slope * v; slope >= 0, 1 for no activation.
    """
    return _branch_combine(taps, affinity, foreground, bias, official, slope)


@torch.no_grad()
def branch_combine_backward(grad: Tensor, out: Tensor, taps: Tensor, affinity: Tensor | None, foreground: Tensor,
                            official: bool, slope: float, time_last: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients with respect to taps, affinity (empty for None) and foreground.

    grad and out [2, B, T, H]. The first is [G, B * T, h * H], with time_last [G, h * H, B * T].
    With grad' = grad where out > 0, else slope * grad, s = t + i - h // 2 and j the affinity column of (g, i):
    grad_taps[g, s, i] = a[t, j] (grad'[0, t] + foreground[s] grad'[1, t]),
    grad_affinity[t, j] += <grad'[0, t] + foreground[s] grad'[1, t], taps[g, s, i]>,
    grad_foreground[s] += a[t, j] <grad'[1, t], taps[g, s, i]>.
    """
    return _branch_combine_backward(grad, out, taps, affinity, foreground, official, slope, time_last)


def _reference(taps: Tensor, affinity: Tensor | None, foreground: Tensor, bias: Tensor | None, official: bool,
               slope: float) -> Tensor:
    groups, batch, steps, count, filters = taps.shape
    wide = torch.promote_types(taps.dtype, torch.float32)
    out = taps.new_zeros(2, batch, steps, filters, dtype=wide)
    if bias is not None:
        out += bias
    for group in range(groups):
        for tap in range(count):
            at, neighbour = windows(steps, tap, count)
            part = taps[group, :, neighbour, tap].to(wide)  # [B, T', H]
            if affinity is not None:
                part = part * affinity[:, at, group if official else tap, None]
            out[0, :, at] += part
            out[1, :, at] += part * foreground[:, neighbour, None]
    return torch.where(out > 0, out, slope * out).to(taps.dtype)


def _fake(taps, affinity, foreground, bias, official, slope) -> Tensor:
    _, batch, steps, _, filters = taps.shape
    return taps.new_empty(2, batch, steps, filters)


def _backward_reference(grad: Tensor, out: Tensor, taps: Tensor, affinity: Tensor | None, foreground: Tensor,
                        official: bool, slope: float, time_last: bool) -> tuple[Tensor, Tensor, Tensor]:
    groups, batch, steps, count, _ = taps.shape
    wide = torch.promote_types(taps.dtype, torch.float32)
    base, suppressed = torch.where(out > 0, grad, slope * grad).to(wide)  # [B, T, H] each
    grad_taps = torch.zeros_like(taps, dtype=wide)
    grad_affinity = taps.new_zeros(0 if affinity is None else affinity.shape, dtype=wide)
    grad_foreground = taps.new_zeros(foreground.shape, dtype=wide)
    for group in range(groups):
        for tap in range(count):
            at, neighbour = windows(steps, tap, count)
            column = group if official else tap
            scale = 1 if affinity is None else affinity[:, at, column, None]
            both = base[:, at] + foreground[:, neighbour, None] * suppressed[:, at]
            part = taps[group, :, neighbour, tap].to(wide)
            grad_taps[group, :, neighbour, tap] = scale * both
            grad_foreground[:, neighbour] += (scale * suppressed[:, at] * part).sum(-1)
            if affinity is not None:
                grad_affinity[:, at, column] += (both * part).sum(-1)
    grad_taps = grad_taps.to(taps.dtype).flatten(1, 2).flatten(2)  # [G, B, T, h, H] -> [G, B * T, h * H]
    if time_last:
        grad_taps = grad_taps.transpose(1, 2).contiguous()
    return grad_taps, grad_affinity.to(taps.dtype), grad_foreground.to(taps.dtype)


def _backward_fake(grad, out, taps, affinity, foreground, official, slope, time_last):
    groups, batch, steps, count, filters = taps.shape
    rows, columns = (count * filters, batch * steps) if time_last else (batch * steps, count * filters)
    return (taps.new_empty(groups, rows, columns), taps.new_empty(0 if affinity is None else affinity.shape),
            taps.new_empty(foreground.shape))


_branch_combine = _library.define(
    "branch_combine(Tensor taps, Tensor? affinity, Tensor foreground, Tensor? bias, bool official, float slope) "
    "-> Tensor", reference=_reference, fake=_fake)
_branch_combine_backward = _library.define(
    "branch_combine_backward(Tensor grad, Tensor out, Tensor taps, Tensor? affinity, Tensor foreground, bool official, "
    "float slope, bool time_last) -> (Tensor, Tensor, Tensor)", reference=_backward_reference, fake=_backward_fake)
