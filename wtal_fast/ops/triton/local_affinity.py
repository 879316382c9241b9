"""local_affinity and its backward in Triton: one program a snippet."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from wtal_fast.ops.local_affinity import EPS
from wtal_fast.ops.triton.affinity_columns import wide_type


@triton.jit
def _row(embedding, snippet, inside, channels, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    channel = tl.arange(0, BLOCK)
    return tl.load(embedding + snippet * channels + channel, mask=(channel < channels) & inside, other=0).to(WIDE)


@triton.jit
def _forward(embedding, affinity, steps, channels, TAPS: tl.constexpr, SMALLEST: tl.constexpr, WIDE: tl.constexpr,
             BLOCK: tl.constexpr):
    snippet = tl.program_id(0).to(tl.int64)
    u = _row(embedding, snippet, True, channels, WIDE, BLOCK)
    norm = tl.sqrt(tl.sum(u * u, 0))
    for tap in tl.static_range(TAPS):
        time = snippet % steps + tap - TAPS // 2
        v = _row(embedding, snippet + tap - TAPS // 2, (time >= 0) & (time < steps), channels, WIDE, BLOCK)
        product = norm * tl.sqrt(tl.sum(v * v, 0))
        tl.store(affinity + snippet * TAPS + tap, tl.sum(u * v, 0) / tl.maximum(product, SMALLEST))


@triton.jit
def _backward(grad, embedding, grad_embedding, steps, channels, TAPS: tl.constexpr, SMALLEST: tl.constexpr,
              WIDE: tl.constexpr, BLOCK: tl.constexpr):
    snippet = tl.program_id(0).to(tl.int64)
    u = _row(embedding, snippet, True, channels, WIDE, BLOCK)
    norm = tl.sqrt(tl.sum(u * u, 0))
    total = tl.zeros([BLOCK], WIDE)
    for tap in tl.static_range(TAPS):
        if tap != TAPS // 2:
            time = snippet % steps + tap - TAPS // 2
            other = snippet + tap - TAPS // 2
            inside = (time >= 0) & (time < steps)
            v = _row(embedding, other, inside, channels, WIDE, BLOCK)
            product = norm * tl.sqrt(tl.sum(v * v, 0))
            pair = tl.load(grad + snippet * TAPS + tap, mask=inside, other=0).to(WIDE)
            pair += tl.load(grad + other * TAPS + TAPS - 1 - tap, mask=inside, other=0).to(WIDE)
            known = product > SMALLEST
            product = tl.where(known, product, 1.0)
            square = tl.where(known, norm * norm, 1.0)
            part = (v / product - tl.sum(u * v, 0) / product * u / square) * pair
            total += tl.where(known, part, 0.0)
    channel = tl.arange(0, BLOCK)
    tl.store(grad_embedding + snippet * channels + channel, total, mask=channel < channels)


def local_affinity(embedding, kernel_size) -> Tensor:
    batch, steps, channels = embedding.shape
    affinity = embedding.new_zeros(batch, steps, kernel_size)
    if embedding.numel():
        _forward[(batch * steps,)](embedding.contiguous(), affinity, steps, channels, TAPS=kernel_size, SMALLEST=EPS,
                                   WIDE=wide_type(embedding), BLOCK=triton.next_power_of_2(channels))
    return affinity


def local_affinity_backward(grad, embedding, kernel_size) -> Tensor:
    batch, steps, channels = embedding.shape
    grad_embedding = torch.zeros_like(embedding, memory_format=torch.contiguous_format)
    if embedding.numel():
        _backward[(batch * steps,)](
            grad.contiguous(), embedding.contiguous(), grad_embedding, steps, channels, TAPS=kernel_size, SMALLEST=EPS,
            WIDE=wide_type(embedding), BLOCK=triton.next_power_of_2(channels))
    return grad_embedding


KERNELS = {"local_affinity": local_affinity, "local_affinity_backward": local_affinity_backward}
