"""The operand of an affinity convolution's matrix product: every snippet's neighbours, scaled by the affinity.

The affinity is one number per output snippet and tap, so scaling the neighbours first leaves an ordinary product:
out[t, o] = sum_{i, c} columns[t, i, c] weight[o, c, i], columns[t, i, c] = affinity[t, q(c, i)] x[t + i - h // 2, c].
"""

from __future__ import annotations

import torch
from torch import Tensor

from wtal_fast.ops import _library


@torch.no_grad()
def affinity_columns(x: Tensor, affinity: Tensor | None, taps: int, official: bool, time_last: bool = False) -> Tensor:
    """columns [B, T, h * Cin], tap by tap; with time_last [h * Cin, B * T], their transpose.

    x [B, T, Cin], zero outside 0..T-1; affinity [B, T, h] or None for ones; q(c, i) as in affinity_conv1d.
    """
    return _affinity_columns(x, affinity, taps, official, time_last)


@torch.no_grad()
def affinity_columns_backward(grad: Tensor, x: Tensor, affinity: Tensor | None, taps: int,
                              official: bool) -> tuple[Tensor, Tensor]:
    """Gradients of columns with respect to x [B, T, Cin] and affinity [B, T, h] (empty for None).

    grad [B, T, h * Cin]. grad_x[s, c] = sum_i affinity[t, q(c, i)] grad[t, i, c] at t = s - i + h // 2, and
    grad_affinity[t, q] = sum_{(c, i): q(c, i) = q} grad[t, i, c] x[t + i - h // 2, c].
    """
    return _affinity_columns_backward(grad, x, affinity, taps, official)


def channel_blocks(channels: int, taps: int, official: bool) -> list[tuple[int, int, slice]]:
    """(tap, affinity column, channels) triples that together cover every channel of every tap once."""
    if not official:
        return [(tap, tap, slice(0, channels)) for tap in range(taps)]
    blocks = []
    for tap in range(taps):
        # (c * taps + tap) // channels == column, solved for c
        edges = [max(0, -(-(column * channels - tap) // taps)) for column in range(taps)] + [channels]
        blocks += [(tap, column, slice(edges[column], edges[column + 1])) for column in range(taps)]
    return [block for block in blocks if block[2].start < block[2].stop]


def windows(steps: int, tap: int, taps: int) -> tuple[slice, slice]:
    """Output snippets whose neighbour at `tap` exists, and those neighbours."""
    shift = tap - taps // 2
    start, stop = min(max(0, -shift), steps), max(0, steps - max(0, shift))
    return slice(start, max(start, stop)), slice(start + shift, max(start, stop) + shift)


def _reference(x: Tensor, affinity: Tensor | None, taps: int, official: bool, time_last: bool) -> Tensor:
    batch, steps, channels = x.shape
    columns = x.new_zeros(batch, steps, taps, channels)
    for tap, column, channel in channel_blocks(channels, taps, official):
        out, neighbour = windows(steps, tap, taps)
        scale = 1 if affinity is None else affinity[:, out, column, None]
        columns[:, out, tap, channel] = x[:, neighbour, channel] * scale
    columns = columns.flatten(2)  # [B, T, h * Cin]
    return columns.flatten(0, 1).t().contiguous() if time_last else columns


def _fake(x: Tensor, affinity: Tensor | None, taps: int, official: bool, time_last: bool) -> Tensor:
    batch, steps, channels = x.shape
    return x.new_empty(taps * channels, batch * steps) if time_last else x.new_empty(batch, steps, taps * channels)


def _backward_reference(grad: Tensor, x: Tensor, affinity: Tensor | None, taps: int,
                        official: bool) -> tuple[Tensor, Tensor]:
    batch, steps, channels = x.shape
    grad = grad.reshape(batch, steps, taps, channels)  # [B, T, h * Cin] -> [B, T, h, Cin]
    wide = torch.promote_types(x.dtype, torch.float32)  # sums over taps and channels
    grad_x = x.new_zeros(x.shape, dtype=wide)
    grad_affinity = x.new_zeros((batch, steps, taps) if affinity is not None else 0, dtype=wide)
    for tap, column, channel in channel_blocks(channels, taps, official):
        out, neighbour = windows(steps, tap, taps)
        part = grad[:, out, tap, channel].to(wide)
        if affinity is None:
            grad_x[:, neighbour, channel] += part
        else:
            grad_x[:, neighbour, channel] += part * affinity[:, out, column, None]
            grad_affinity[:, out, column] += (part * x[:, neighbour, channel]).sum(-1)
    return grad_x.to(x.dtype), grad_affinity.to(x.dtype)


def _backward_fake(grad: Tensor, x: Tensor, affinity: Tensor | None, taps: int,
                   official: bool) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), x.new_empty(0 if affinity is None else affinity.shape)


_affinity_columns = _library.define(
    "affinity_columns(Tensor x, Tensor? affinity, int taps, bool official, bool time_last) -> Tensor",
    reference=_reference, fake=_fake)
_affinity_columns_backward = _library.define(
    "affinity_columns_backward(Tensor grad, Tensor x, Tensor? affinity, int taps, bool official) -> (Tensor, Tensor)",
    reference=_backward_reference, fake=_backward_fake)
