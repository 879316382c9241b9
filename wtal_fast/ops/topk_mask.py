"""Which snippets belong to the k largest, exactly."""

from __future__ import annotations

import torch
from torch import Tensor

from wtal_fast.ops.topk_mean import _check as check_topk
from wtal_fast.ops.topk_mean import _topk_mean


def topk_mask(scores: Tensor, k: int | Tensor, lengths: Tensor | None = None, largest: bool = True) -> Tensor:
    """True at the snippets whose mean topk_mean(scores, k, lengths, largest) is: bool of the shape of scores [B, T, C].

    Exactly min(k, lengths[b]) values are true for each video and class. Arguments, tie order, NaN order and errors are
    those of topk_mean. Not differentiable.
    """
    return selected(scores, *check_topk(scores, k, lengths, 1), lengths, largest)


def selected(scores: Tensor, k: int, k_per_video: Tensor | None, lengths: Tensor | None, largest: bool) -> Tensor:
    """topk_mask of checked arguments: every snippet before the last selected one in the order of selection."""
    if scores.numel() == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    scores = scores.detach()
    _, last = _topk_mean(scores, k, k_per_video, lengths, largest)
    last = last[:, None]  # [B, 1, C], -1 where nothing is selected
    bound = scores.gather(1, last.clamp_min(0))
    if largest:
        ahead = (scores > bound) | (scores.isnan() & ~bound.isnan())
    else:
        ahead = (scores < bound) | (~scores.isnan() & bound.isnan())
    equal = (scores == bound) | (scores.isnan() & bound.isnan())
    time = torch.arange(scores.shape[1], device=scores.device)[:, None]  # [T, 1]
    mask = (ahead | (equal & (time <= last))) & (last >= 0)
    return mask if lengths is None else mask & (time < lengths[:, None, None])
