"""affinity_columns and its backward in Triton: one program a snippet."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from wtal_fast.ops.topk_mean import sum_dtype

BLOCK = 1024


@triton.jit
def _weight(affinity, at, column, inside, TAPS: tl.constexpr, WIDE: tl.constexpr):
    """Affinity of the output snippets `at` with the neighbours that `column` names; 1 where there is none."""
    if affinity is None:
        return tl.where(inside, 1.0, 0.0).to(WIDE)
    return tl.load(affinity + at * TAPS + column, mask=inside, other=0).to(WIDE)


@triton.jit
def _columns(x, affinity, columns, steps, channels, TAPS: tl.constexpr, OFFICIAL: tl.constexpr, WIDE: tl.constexpr,
             BLOCK: tl.constexpr):
    snippet = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    for tap in tl.static_range(TAPS):
        time = snippet % steps + tap - TAPS // 2
        inside = (channel < channels) & (time >= 0) & (time < steps)
        value = tl.load(x + (snippet + tap - TAPS // 2) * channels + channel, mask=inside, other=0).to(WIDE)
        if OFFICIAL:
            column = (channel * TAPS + tap) // channels
        else:
            column = tl.zeros_like(channel) + tap
        scaled = value * _weight(affinity, snippet, column, inside, TAPS, WIDE)
        tl.store(columns + (snippet * TAPS + tap) * channels + channel, scaled, mask=channel < channels)


@triton.jit
def _columns_backward(grad, x, affinity, grad_x, parts, steps, channels, TAPS: tl.constexpr, OFFICIAL: tl.constexpr,
                      WIDE: tl.constexpr, BLOCK: tl.constexpr):
    snippet = tl.program_id(0).to(tl.int64)
    for first in range(0, channels, BLOCK):
        channel = first + tl.arange(0, BLOCK)
        total = tl.zeros([BLOCK], WIDE)
        for tap in tl.static_range(TAPS):
            out = snippet % steps - tap + TAPS // 2
            at = snippet - tap + TAPS // 2
            inside = (channel < channels) & (out >= 0) & (out < steps)
            if OFFICIAL:
                column = (channel * TAPS + tap) // channels
            else:
                column = tl.zeros_like(channel) + tap
            value = tl.load(grad + (at * TAPS + tap) * channels + channel, mask=inside, other=0).to(WIDE)
            total += value * _weight(affinity, at, column, inside, TAPS, WIDE)
        tl.store(grad_x + snippet * channels + channel, total, mask=channel < channels)
    if affinity is not None:
        for tap in tl.static_range(TAPS):
            out = snippet % steps - tap + TAPS // 2
            at = snippet - tap + TAPS // 2
            if (out >= 0) & (out < steps):
                for column in tl.static_range(TAPS if OFFICIAL else 1):
                    products = tl.zeros([BLOCK], WIDE)
                    for first in range(0, channels, BLOCK):
                        channel = first + tl.arange(0, BLOCK)
                        inside = channel < channels
                        if OFFICIAL:
                            inside = inside & ((channel * TAPS + tap) // channels == column)
                        value = tl.load(grad + (at * TAPS + tap) * channels + channel, mask=inside, other=0).to(WIDE)
                        products += value * tl.load(x + snippet * channels + channel, mask=inside, other=0).to(WIDE)
                    target = (at * TAPS + tap) * TAPS + (column if OFFICIAL else tap)
                    tl.store(parts + target, tl.sum(products, 0))


def wide_type(tensor: Tensor):
    """Triton's name of what sums are kept in."""
    return tl.float64 if tensor.dtype == torch.float64 else tl.float32


def affinity_columns(x, affinity, taps, official, time_last) -> Tensor:
    batch, steps, channels = x.shape
    x, affinity = x.contiguous(), None if affinity is None else affinity.contiguous()
    columns = x.new_empty(batch, steps, taps * channels)
    if columns.numel():
        block = min(BLOCK, triton.next_power_of_2(channels))
        _columns[(batch * steps, triton.cdiv(channels, block))](
            x, affinity, columns, steps, channels, TAPS=taps, OFFICIAL=official, WIDE=wide_type(x), BLOCK=block)
    return columns.flatten(0, 1).t().contiguous() if time_last else columns


def affinity_columns_backward(grad, x, affinity, taps, official) -> tuple[Tensor, Tensor]:
    batch, steps, channels = x.shape
    grad, x, affinity = grad.contiguous(), x.contiguous(), None if affinity is None else affinity.contiguous()
    grad_x = torch.empty_like(x)
    parts = x.new_zeros(batch, steps, taps, taps if affinity is not None else 0, dtype=sum_dtype(x))
    if x.numel():
        _columns_backward[(batch * steps,)](
            grad, x, affinity, grad_x, parts, steps, channels, TAPS=taps, OFFICIAL=official, WIDE=wide_type(x),
            BLOCK=min(BLOCK, triton.next_power_of_2(channels)))
    return grad_x, x.new_empty(0) if affinity is None else parts.sum(2).to(x.dtype)  # [B, T, h, h] -> [B, T, h]


KERNELS = {"affinity_columns": affinity_columns, "affinity_columns_backward": affinity_columns_backward}
