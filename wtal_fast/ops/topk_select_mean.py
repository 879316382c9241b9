"""Mean feature of the snippets with the largest key."""

from __future__ import annotations

import torch
from torch import Tensor

from wtal_fast.ops import _library
from wtal_fast.ops.topk_mask import selected
from wtal_fast.ops.topk_mean import _check as check_topk
from wtal_fast.ops.topk_mean import sum_dtype


def topk_select_mean(features: Tensor, keys: Tensor, k: int | Tensor, lengths: Tensor | None = None,
                     largest: bool = True) -> Tensor:
    """Mean feature of the k snippets with the largest (or smallest) key.

    features [B, T, D]; keys [B, T]; k int or int64 [B], in 0..T; lengths int64 [B] or None: only snippets
    t < lengths[b] take part. Returns [B, D], the mean over min(k, lengths[b]) snippets, 0 where that is none.
    Ties go to the lower index; NaN counts as the largest key. Differentiable once in features; the selection is
    constant, so keys get no gradient. UM paper Sec. 3.3 (pseudo action and background features).
    Raises ValueError or TypeError for a wrong shape, dtype, device or k.
    """
    if features.dim() != 3 or keys.dim() != 2 or features.shape[:2] != keys.shape:
        raise ValueError(f"topk_select_mean: features must be [B, T, D] and keys [B, T], got {list(features.shape)} "
                         f"and {list(keys.shape)}")
    if not features.is_floating_point():
        raise TypeError(f"topk_select_mean: features must be floating point, got {features.dtype}")
    if features.device != keys.device:
        raise ValueError(f"topk_select_mean: keys must be on the device of features, {features.device}, "
                         f"got {keys.device}")
    chosen = selected(keys[:, :, None], *check_topk(keys[:, :, None], k, lengths, 1), lengths, largest)  # [B, T, 1]
    return _topk_select_mean(features, chosen.squeeze(2))[0]


def _reference(features: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    kept = torch.where(chosen[:, :, None], features, 0)  # not features * 0, which is NaN for infinite features
    count = chosen.sum(1, keepdim=True).clamp_min(1)  # [B, 1]
    mean = kept.sum(1, dtype=sum_dtype(features)) / count  # [B, D]
    return mean.to(features.dtype), chosen.to(features.dtype) / count


def _fake(features: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    batch, steps, channels = features.shape
    return features.new_empty(batch, channels), features.new_empty(batch, steps)


def _backward_reference(grad: Tensor, weights: Tensor) -> Tensor:
    return weights[:, :, None] * grad[:, None]  # [B, T, D]


def _backward_fake(grad: Tensor, weights: Tensor) -> Tensor:
    return grad.new_empty(*weights.shape, grad.shape[1])


def _setup_context(ctx, inputs, output) -> None:
    ctx.save_for_backward(output[1])
    ctx.mark_non_differentiable(output[1])


def _backward(ctx, grad: Tensor, _grad_weights):
    return _topk_select_mean_backward(grad, *ctx.saved_tensors), None


_topk_select_mean = _library.define(
    "topk_select_mean(Tensor features, Tensor chosen) -> (Tensor mean, Tensor weights)",
    reference=_reference, fake=_fake)
_topk_select_mean_backward = _library.define(
    "topk_select_mean_backward(Tensor grad, Tensor weights) -> Tensor",
    reference=_backward_reference, fake=_backward_fake)
_library.differentiable("topk_select_mean", backward=_backward, setup_context=_setup_context)
