"""branch_combine and its backward in Triton: one program a snippet."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from wtal_fast.ops.topk_mean import sum_dtype
from wtal_fast.ops.triton.affinity_columns import BLOCK, wide_type


@triton.jit
def _scalar(pointer, index, inside, WIDE: tl.constexpr):
    return tl.load(pointer + index, mask=inside, other=0).to(WIDE)


@triton.jit
def _combine(products, affinity, foreground, bias, out, snippets, steps, channels, slope, GROUPS: tl.constexpr,
             TAPS: tl.constexpr, OFFICIAL: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    snippet = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    here = channel < channels
    base = tl.zeros([BLOCK], WIDE)
    if bias is not None:
        base += tl.load(bias + channel, mask=here, other=0).to(WIDE)
    suppressed = base
    for group in tl.static_range(GROUPS):
        for tap in tl.static_range(TAPS):
            time = snippet % steps + tap - TAPS // 2
            neighbour = snippet + tap - TAPS // 2
            inside = (time >= 0) & (time < steps)
            source = products + ((group * snippets + neighbour) * TAPS + tap) * channels + channel
            part = tl.load(source, mask=here & inside, other=0).to(WIDE)
            if affinity is not None:
                part *= _scalar(affinity, snippet * TAPS + (group if OFFICIAL else tap), inside, WIDE)
            base += part
            suppressed += part * _scalar(foreground, neighbour, inside, WIDE)
    target = out + snippet * channels + channel
    tl.store(target, tl.where(base > 0, base, slope * base), mask=here)
    tl.store(target + snippets * channels, tl.where(suppressed > 0, suppressed, slope * suppressed), mask=here)


@triton.jit
def _before_activation(grad, out, index, mask, slope, WIDE: tl.constexpr):
    value = tl.load(grad + index, mask=mask, other=0).to(WIDE)
    return tl.where(tl.load(out + index, mask=mask, other=0).to(WIDE) > 0, value, slope * value)


@triton.jit
def _combine_backward(grad, out, products, affinity, foreground, grad_products, parts, grad_foreground, snippets, steps,
                      channels, slope, GROUPS: tl.constexpr, TAPS: tl.constexpr, OFFICIAL: tl.constexpr,
                      WIDE: tl.constexpr, BLOCK: tl.constexpr):
    snippet = tl.program_id(0).to(tl.int64)
    weight = tl.load(foreground + snippet).to(WIDE)
    of_foreground = tl.sum(tl.zeros([BLOCK], WIDE), 0)
    for group in tl.static_range(GROUPS):
        for tap in tl.static_range(TAPS):
            time = snippet % steps - tap + TAPS // 2  # of the output snippet that has this one as its neighbour
            at = snippet - tap + TAPS // 2
            inside = (time >= 0) & (time < steps)
            scale = 1.0
            if affinity is not None:
                scale = _scalar(affinity, at * TAPS + (group if OFFICIAL else tap), inside, WIDE)
            of_affinity = tl.zeros([BLOCK], WIDE)
            of_suppressed = tl.zeros([BLOCK], WIDE)
            for first in range(0, channels, BLOCK):
                channel = first + tl.arange(0, BLOCK)
                here = channel < channels
                index = at * channels + channel
                base = _before_activation(grad, out, index, here & inside, slope, WIDE)
                suppressed = _before_activation(grad, out, index + snippets * channels, here & inside, slope, WIDE)
                place = ((group * snippets + snippet) * TAPS + tap) * channels + channel
                part = tl.load(products + place, mask=here, other=0).to(WIDE)
                both = base + weight * suppressed
                tl.store(grad_products + place, scale * both, mask=here)
                of_affinity += both * part
                of_suppressed += suppressed * part
            of_foreground += scale * tl.sum(of_suppressed, 0)
            if affinity is not None:
                target = (at * TAPS + tap) * TAPS + (group if OFFICIAL else tap)
                tl.store(parts + target, tl.sum(of_affinity, 0), mask=inside)
    tl.store(grad_foreground + snippet, of_foreground)


def _block(channels: int) -> int:
    return min(BLOCK, triton.next_power_of_2(channels))


def branch_combine(taps, affinity, foreground, bias, official, slope) -> Tensor:
    groups, batch, steps, count, channels = taps.shape
    out = taps.new_empty(2, batch, steps, channels)
    if out.numel():
        affinity, bias = (None if each is None else each.contiguous() for each in (affinity, bias))
        _combine[(batch * steps, triton.cdiv(channels, _block(channels)))](
            taps.contiguous(), affinity, foreground.contiguous(), bias, out, batch * steps, steps, channels, slope,
            GROUPS=groups, TAPS=count, OFFICIAL=official, WIDE=wide_type(taps), BLOCK=_block(channels))
    return out


def branch_combine_backward(grad, out, taps, affinity, foreground, official, slope,
                            time_last) -> tuple[Tensor, Tensor, Tensor]:
    groups, batch, steps, count, channels = taps.shape
    grad_taps = taps.new_empty(groups, batch * steps, count * channels)
    parts = taps.new_zeros(batch, steps, count, count if affinity is not None else 0, dtype=sum_dtype(taps))
    grad_foreground = torch.zeros_like(foreground, memory_format=torch.contiguous_format)
    if grad_taps.numel():
        affinity = None if affinity is None else affinity.contiguous()
        _combine_backward[(batch * steps,)](
            grad.contiguous(), out.contiguous(), taps.contiguous(), affinity, foreground.contiguous(), grad_taps, parts,
            grad_foreground, batch * steps, steps, channels, slope, GROUPS=groups, TAPS=count, OFFICIAL=official,
            WIDE=wide_type(taps), BLOCK=_block(channels))
    if time_last:
        grad_taps = grad_taps.transpose(1, 2).contiguous()
    grad_affinity = taps.new_empty(0) if affinity is None else parts.sum(2).to(taps.dtype)  # [B, T, h, h] -> [B, T, h]
    return grad_taps, grad_affinity, grad_foreground


KERNELS = {"branch_combine": branch_combine, "branch_combine_backward": branch_combine_backward}
