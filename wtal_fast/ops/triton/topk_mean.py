"""topk_mean in Triton: the algorithm of csrc/core and csrc/cuda, one program a row.

Numbers are loaded as integers and bfloat16 is widened by a shift, so that Triton's interpreter, which cannot compute in
bfloat16, runs the same code.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from wtal_fast.ops.topk_mean import lengths_and_counts, sum_dtype

BITS = {torch.float32: torch.int32, torch.float64: torch.int64, torch.bfloat16: torch.int16, torch.float16: torch.int16}
NAMES = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16", torch.float16: "float16"}
BLOCK_TIME, BLOCK_CHANNELS = 64, 32


@triton.jit
def _number(bits, DTYPE: tl.constexpr):
    """The float32 (float64 for float64) with these bits."""
    if DTYPE == "bfloat16":
        return (bits.to(tl.int32) << 16).to(tl.float32, bitcast=True)
    elif DTYPE == "float16":
        return bits.to(tl.float16, bitcast=True).to(tl.float32)
    elif DTYPE == "float64":
        return bits.to(tl.float64, bitcast=True)
    else:
        return bits.to(tl.float32, bitcast=True)


@triton.jit
def _key(number, LARGEST: tl.constexpr):
    """A signed integer of the same order: NaN above infinity, -0 equal to 0; of the reverse order for the smallest."""
    if number.dtype == tl.float64:
        bits = number.to(tl.int64, bitcast=True)
        magnitude_mask: tl.constexpr = 0x7FFFFFFFFFFFFFFF
    else:
        bits = number.to(tl.int32, bitcast=True)
        magnitude_mask: tl.constexpr = 0x7FFFFFFF
    key = tl.where(bits < 0, bits ^ magnitude_mask, bits)
    key = tl.where(number == 0, 0, key)
    key = tl.where(number != number, magnitude_mask - 1, key)
    return key if LARGEST else ~key


@triton.jit
def _forward(scores, lengths, counts, mean, last, channels, stride_video, stride_time, stride_channel,
             DTYPE: tl.constexpr, LARGEST: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    video, channel = row // channels, row % channels
    length, count = tl.load(lengths + video), tl.load(counts + video)
    time = tl.arange(0, BLOCK)
    valid = time < length
    address = scores + video * stride_video + channel * stride_channel + time.to(tl.int64) * stride_time
    number = _number(tl.load(address, mask=valid, other=0), DTYPE)
    key = _key(number, LARGEST)
    wide: tl.constexpr = key.dtype.primitive_bitwidth
    least: tl.constexpr = -(1 << (wide - 1))
    low = tl.min(tl.where(valid, key, ~least), 0)
    high = tl.max(tl.where(valid, key, least), 0)
    for _ in range(wide):  # the k-th largest key is in [low, high], which halves
        pivot = (low | high) - ((low ^ high) >> 1)
        enough = tl.sum((valid & (key >= pivot)).to(tl.int32), 0) >= count
        low = tl.where(enough, pivot, low)
        high = tl.where(enough, high, pivot - 1)
    above = valid & (key > low)
    tied = valid & (key == low)
    quota = count - tl.sum(above.to(tl.int32), 0)
    tied = tied & (tl.cumsum(tied.to(tl.int32), 0) <= quota)
    total = tl.sum(tl.where(above | tied, number, 0), 0)
    tl.store(mean + row, tl.where(count > 0, total / tl.maximum(count, 1).to(total.dtype), 0))
    tl.store(last + row, tl.where(count > 0, tl.max(tl.where(tied, time, -1), 0), -1))


@triton.jit
def _backward(scores, kth, last, share, lengths, grad, time_steps, channels, stride_video, stride_time, stride_channel,
              grad_video, grad_time, grad_channel, DTYPE: tl.constexpr, LARGEST: tl.constexpr,
              BLOCK_TIME: tl.constexpr, BLOCK_CHANNELS: tl.constexpr):
    video = tl.program_id(0).to(tl.int64)
    time = (tl.program_id(1).to(tl.int64) * BLOCK_TIME + tl.arange(0, BLOCK_TIME))[:, None]
    channel = (tl.program_id(2) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS))[None]
    here = channel < channels
    row = video * channels + channel
    bound = _key(_number(tl.load(kth + row, mask=here, other=0), DTYPE), LARGEST)
    inside = here & (time < time_steps)
    address = scores + video * stride_video + time * stride_time + channel * stride_channel
    key = _key(_number(tl.load(address, mask=inside, other=0), DTYPE), LARGEST)
    selected = (key > bound) | ((key == bound) & (time <= tl.load(last + row, mask=here, other=-1)))
    selected = selected & (time < tl.load(lengths + video))
    gradient = tl.where(selected, tl.load(share + row, mask=here, other=0), 0)
    tl.store(grad + video * grad_video + time * grad_time + channel * grad_channel, gradient, mask=inside)


def topk_mean(scores, k, k_per_video, lengths, largest) -> tuple[Tensor, Tensor]:
    batch, steps, channels = scores.shape
    mean = scores.new_zeros(batch, channels, dtype=sum_dtype(scores))
    last = scores.new_full((batch, channels), -1, dtype=torch.int64)
    if scores.numel():
        length, count = lengths_and_counts(scores, k, k_per_video, lengths)
        _forward[(batch * channels,)](
            scores.view(BITS[scores.dtype]), length, count, mean, last, channels, *scores.stride(),
            DTYPE=NAMES[scores.dtype], LARGEST=largest, BLOCK=triton.next_power_of_2(steps))
    return mean.to(scores.dtype), last


def topk_mean_backward(grad_mean, scores, last, k, k_per_video, lengths, largest) -> Tensor:
    batch, steps, channels = scores.shape
    grad = torch.empty_like(scores)
    if scores.numel():
        bits = BITS[scores.dtype]
        length, count = lengths_and_counts(scores, k, k_per_video, lengths)
        share = (grad_mean.to(sum_dtype(scores)) / count.clamp_min(1)[:, None]).to(scores.dtype)  # [B, C]
        share = share.masked_fill(last < 0, 0).contiguous()
        kth = scores.gather(1, last.clamp_min(0)[:, None]).squeeze(1).contiguous()  # [B, C]
        grid = (batch, triton.cdiv(steps, BLOCK_TIME), triton.cdiv(channels, BLOCK_CHANNELS))
        _backward[grid](
            scores.view(bits), kth.view(bits), last.contiguous(), share.view(bits), length, grad.view(bits), steps,
            channels, *scores.stride(), *grad.stride(), DTYPE=NAMES[scores.dtype], LARGEST=largest,
            BLOCK_TIME=BLOCK_TIME, BLOCK_CHANNELS=BLOCK_CHANNELS)
    return grad


KERNELS = {"topk_mean": topk_mean, "topk_mean_backward": topk_mean_backward}
