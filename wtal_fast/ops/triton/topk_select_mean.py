"""topk_select_mean and its backward in Triton."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from wtal_fast.ops.triton.affinity_columns import wide_type

BLOCK_TIME, BLOCK_CHANNELS = 32, 128


@triton.jit
def _forward(features, chosen, count, mean, steps, channels, WIDE: tl.constexpr, BLOCK_TIME: tl.constexpr,
             BLOCK_CHANNELS: tl.constexpr):
    video = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    total = tl.zeros([BLOCK_CHANNELS], WIDE)
    for first in range(0, steps, BLOCK_TIME):
        time = first + tl.arange(0, BLOCK_TIME)
        member = tl.load(chosen + video * steps + time, mask=time < steps, other=0) != 0
        mask = member[:, None] & (channel < channels)[None]  # unchosen features, NaN perhaps, are not read
        source = features + (video * steps + time)[:, None] * channels + channel[None]
        total += tl.sum(tl.load(source, mask=mask, other=0).to(WIDE), 0)
    tl.store(mean + video * channels + channel, total / tl.load(count + video).to(WIDE), mask=channel < channels)


@triton.jit
def _backward(grad, weights, grad_features, steps, channels, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    snippet = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(grad + snippet // steps * channels + channel, mask=channel < channels, other=0).to(WIDE)
    tl.store(grad_features + snippet * channels + channel, value * tl.load(weights + snippet).to(WIDE),
             mask=channel < channels)


def topk_select_mean(features, chosen) -> tuple[Tensor, Tensor]:
    batch, steps, channels = features.shape
    count = chosen.sum(1).clamp_min(1)  # [B]
    mean = features.new_zeros(batch, channels)
    if features.numel():
        _forward[(batch, triton.cdiv(channels, BLOCK_CHANNELS))](
            features.contiguous(), chosen.to(dtype=count.dtype).contiguous(), count, mean, steps, channels,
            WIDE=wide_type(features), BLOCK_TIME=BLOCK_TIME, BLOCK_CHANNELS=BLOCK_CHANNELS)
    return mean, chosen.to(features.dtype) / count[:, None]


def topk_select_mean_backward(grad, weights) -> Tensor:
    (batch, channels), steps = grad.shape, weights.shape[1]
    grad_features = grad.new_zeros(batch, steps, channels)
    if grad_features.numel():
        block = min(1024, triton.next_power_of_2(channels))
        _backward[(batch * steps, triton.cdiv(channels, block))](
            grad.contiguous(), weights.contiguous(), grad_features, steps, channels, WIDE=wide_type(grad), BLOCK=block)
    return grad_features


KERNELS = {"topk_select_mean": topk_select_mean, "topk_select_mean_backward": topk_select_mean_backward}
