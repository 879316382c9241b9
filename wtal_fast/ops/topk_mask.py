"""Which snippets belong to the k largest, exactly."""

from __future__ import annotations

import torch
from torch import Tensor

from wtal_fast.ops import _library


def topk_mask(scores: Tensor, k: int | Tensor, lengths: Tensor | None = None, largest: bool = True) -> Tensor:
    """True at the k largest (or smallest) values over time.

    scores [B, T] or [B, T, C]; k int >= 0 or int64 [B]; lengths int64 [B] or None: only snippets t < lengths[b] take
    part.
    Returns a bool tensor of the shape of scores with exactly min(k, lengths[b]) true values per row over dim 1.
    Ties go to the lower index. NaN counts as the largest value: first among the largest, last among the smallest.
    Not differentiable. Raises ValueError or TypeError for a wrong shape, dtype, device or k.
    """
    k, lengths = check_selection("topk_mask", "scores", scores, k, lengths)
    return _topk_mask(scores.detach(), k, lengths, largest)


def check_selection(op: str, name: str, scores: Tensor, k: int | Tensor,
                    lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """Validates the arguments of a top-k selection over dim 1; returns k and lengths as int64 [B]."""
    if scores.dim() not in (2, 3):
        raise ValueError(f"{op}: {name} must be [B, T] or [B, T, C], got {list(scores.shape)}")
    if not scores.is_floating_point():
        raise TypeError(f"{op}: {name} must be floating point, got {scores.dtype}")
    batch, steps = scores.shape[:2]
    if isinstance(k, bool) or not isinstance(k, (int, Tensor)):
        raise TypeError(f"{op}: k must be an int or an int64 tensor [B], got {type(k).__name__}")
    if isinstance(k, int):
        if not 0 <= k <= steps:
            raise ValueError(f"{op}: k must be in 0..T = 0..{steps}, got {k}")
        k = torch.full((batch,), k, dtype=torch.int64, device=scores.device)
    if lengths is None:
        lengths = torch.full((batch,), steps, dtype=torch.int64, device=scores.device)
    for argument, value in (("k", k), ("lengths", lengths)):
        if value.dtype != torch.int64:
            raise TypeError(f"{op}: {argument} must be int64, got {value.dtype}")
        if tuple(value.shape) != (batch,):
            raise ValueError(f"{op}: {argument} must be [B] = [{batch}], got {list(value.shape)}")
        if value.device != scores.device:
            raise ValueError(f"{op}: {argument} must be on the device of {name}, {scores.device}, got {value.device}")
    return k, lengths


def _ordered_keys(scores: Tensor, largest: bool) -> Tensor:
    """Integers in the order of the values (reversed for the smallest): equal for -0 and +0, the maximum for NaN."""
    scores = (scores if scores.dtype == torch.float64 else scores.float()) + 0.0  # -0 + 0 = +0
    integers, sign = (torch.int64, 63) if scores.dtype == torch.float64 else (torch.int32, 31)
    maximum = torch.iinfo(integers).max
    bits = scores.view(integers)
    keys = (bits ^ ((bits >> sign) & maximum)).masked_fill(torch.isnan(scores), maximum)
    return keys if largest else ~keys


def _reference(scores: Tensor, k: Tensor, lengths: Tensor, largest: bool) -> Tensor:
    steps = scores.shape[1]
    if scores.numel() == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    trailing = (1,) * (scores.dim() - 2)
    time = torch.arange(steps, device=scores.device)
    lengths = lengths.clamp(0, steps)
    valid = (time < lengths[:, None]).view(-1, steps, *trailing)
    keys = _ordered_keys(scores, largest)
    keys = keys.masked_fill(~valid, torch.iinfo(keys.dtype).min)
    count = torch.minimum(k.clamp_min(0), lengths).view(-1, 1, *trailing)
    ranked = keys.sort(dim=1, descending=True).values
    last = (count - 1).clamp_min(0).expand(-1, 1, *scores.shape[2:])
    threshold = ranked.gather(1, last)  # [B, 1(, C)] the smallest selected value
    above, tied = keys > threshold, keys == threshold
    quota = count - above.sum(1, keepdim=True)
    return (above & (count > 0)) | (tied & (tied.cumsum(1) <= quota))


def _fake(scores: Tensor, k: Tensor, lengths: Tensor, largest: bool) -> Tensor:
    return scores.new_empty(scores.shape, dtype=torch.bool)


_topk_mask = _library.define(
    "topk_mask(Tensor scores, Tensor k, Tensor lengths, bool largest) -> Tensor", reference=_reference, fake=_fake)
