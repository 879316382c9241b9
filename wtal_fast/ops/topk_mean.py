"""Mean of the k largest scores over time: the pooling that turns a class activation sequence into video scores."""

from __future__ import annotations

import torch
from torch import Tensor

from wtal_fast.ops import _library

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def topk_mean(
    scores: Tensor,  # [B, T, C]
    k: int | Tensor,  # or [B]
    lengths: Tensor | None = None,  # [B]
    largest: bool = True,
    dim: int = 1,
) -> Tensor:  # [B, C]
    """Mean over time of the k largest scores of each video and class (multiple-instance pooling, BaS-Net paper Eq. 3).

    Args:
        scores: float32, float64, bfloat16 or float16 [B, T, C] with dim=1, [B, C, T] with dim=2. Any strides.
        k: how many scores are averaged, 0 <= k <= T; an int64 [B] gives each video its own.
        lengths: int64 [B], valid snippets of each video, 0 <= lengths <= T. Snippets t >= lengths[b] never take part.
            None: all T are valid.
        largest: False averages the k smallest.
        dim: the axis of time, 1 or 2.

    Returns [B, C] in the dtype of scores; sums are kept in float32 (float64 for float64). A video with fewer than k
    valid snippets averages those it has; the mean of none (k = 0 or length 0) is 0.
    Among equal scores the lower index is selected (-0 equals 0). NaN counts as larger than every number, as in
    torch.topk: the mean is NaN where one is selected.

    The gradient with respect to scores is grad / k at the selected snippets and 0 elsewhere; there is no second
    derivative. Under autocast the op runs in the dtype it is given.
    Raises TypeError for a wrong dtype, ValueError for a wrong shape, device or value. Values of k and lengths in a
    tensor are checked where reading them is free (on the CPU, not compiled), else clamped into range.
    """
    count, k_per_video = _check(scores, k, lengths, dim)
    by_time = scores if dim == 1 else scores.transpose(1, 2)  # [B, T, C], a view
    mean, _ = _topk_mean(by_time, count, k_per_video, lengths, largest)
    return mean


def _check(scores: Tensor, k: int | Tensor, lengths: Tensor | None, dim: int) -> tuple[int, Tensor | None]:
    """k as (the number of all videos, None) or (0, the number of each video)."""
    if not isinstance(scores, Tensor):
        raise TypeError(f"topk_mean: scores must be a tensor, got {type(scores).__name__}")
    if scores.dtype not in DTYPES:
        raise TypeError(f"topk_mean: scores must be float32, float64, bfloat16 or float16, got {scores.dtype}")
    if dim not in (1, 2):
        raise ValueError(f"topk_mean: dim must be 1 for [B, T, C] or 2 for [B, C, T], got {dim}")
    if scores.dim() != 3:
        axes = "[B, T, C]" if dim == 1 else "[B, C, T]"
        raise ValueError(f"topk_mean: scores must be {axes}, got {list(scores.shape)}")
    steps = scores.shape[dim]
    if lengths is not None:
        _check_counts("lengths", lengths, scores, steps)
    if isinstance(k, Tensor):
        _check_counts("k", k, scores, steps)
        return 0, k
    if isinstance(k, bool) or not isinstance(k, (int, torch.SymInt)):
        raise TypeError(f"topk_mean: k must be an int or an int64 tensor [B], got {type(k).__name__}")
    if not 0 <= k <= steps:
        raise ValueError(f"topk_mean: k must be in 0..T = 0..{steps}, got {k}")
    return k, None


def _check_counts(name: str, counts: Tensor, scores: Tensor, steps: int) -> None:
    if not isinstance(counts, Tensor):
        raise TypeError(f"topk_mean: {name} must be an int64 tensor [B], got {type(counts).__name__}")
    if counts.dtype != torch.int64:
        raise TypeError(f"topk_mean: {name} must be int64, got {counts.dtype}")
    if counts.shape != scores.shape[:1]:
        raise ValueError(f"topk_mean: {name} must be [B] = [{scores.shape[0]}], got {list(counts.shape)}")
    if counts.device != scores.device:
        raise ValueError(f"topk_mean: {name} must be on the device of scores, {scores.device}, got {counts.device}")
    if counts.device.type == "cpu" and not torch.compiler.is_compiling() and len(counts):
        least, most = (int(bound) for bound in counts.aminmax())
        if least < 0 or most > steps:
            raise ValueError(f"topk_mean: {name} must be in 0..T = 0..{steps}, got values from {least} to {most}")


def lengths_and_counts(scores, k, k_per_video, lengths) -> tuple[Tensor, Tensor]:
    """Valid snippets [B] and selected snippets [B] of each video, within range."""
    batch, steps, _ = scores.shape
    length = torch.full((batch,), steps, device=scores.device) if lengths is None else lengths.clamp(0, steps)
    wanted = torch.full_like(length, k) if k_per_video is None else k_per_video.clamp_min(0)
    return length, torch.minimum(wanted, length)


def sum_dtype(scores: Tensor) -> torch.dtype:
    """What sums of scores are kept in."""
    return torch.promote_types(scores.dtype, torch.float32)


def _rank(scores, k, k_per_video, lengths, largest) -> tuple[Tensor, Tensor]:
    """Place of each snippet in the order of selection [B, T, C], and how many are selected [B, 1, 1]."""
    length, count = (each[:, None, None] for each in lengths_and_counts(scores, k, k_per_video, lengths))
    time = torch.arange(scores.shape[1], device=scores.device)[:, None]  # [T, 1]
    padding = (time >= length).expand_as(scores)
    canonical = torch.where(scores.isnan(), torch.nan, scores + 0.0)  # one NaN, no -0: nothing to order but values
    order = canonical.argsort(dim=1, descending=largest, stable=True)
    order = order.gather(1, padding.gather(1, order).argsort(dim=1, stable=True))  # padding behind everything
    return order.argsort(dim=1), count


def _reference(scores, k, k_per_video, lengths, largest) -> tuple[Tensor, Tensor]:
    rank, count = _rank(scores, k, k_per_video, lengths, largest)
    exact = scores.to(sum_dtype(scores))
    mean = torch.where(rank < count, exact, 0).sum(1) / count[:, 0].clamp_min(1)  # [B, C]
    time = torch.arange(scores.shape[1], device=scores.device)[:, None]
    last = torch.where(rank == count - 1, time + 1, 0).sum(1) - 1  # [B, C]
    return mean.to(scores.dtype), last


def _fake(scores, k, k_per_video, lengths, largest) -> tuple[Tensor, Tensor]:
    batch, _, classes = scores.shape
    return scores.new_empty(batch, classes), scores.new_empty(batch, classes, dtype=torch.int64)


def _backward_reference(grad_mean, scores, last, k, k_per_video, lengths, largest) -> Tensor:
    rank, count = _rank(scores, k, k_per_video, lengths, largest)
    share = (grad_mean.to(sum_dtype(scores))[:, None] / count.clamp_min(1)).to(scores.dtype)  # [B, 1, C]
    return torch.empty_like(scores).copy_(torch.where(rank < count, share, 0))


def _backward_fake(grad_mean, scores, last, k, k_per_video, lengths, largest) -> Tensor:
    return torch.empty_like(scores)


def _setup_context(ctx, inputs, output) -> None:
    scores, ctx.k, k_per_video, lengths, ctx.largest = inputs
    _, last = output
    ctx.save_for_backward(scores, last, k_per_video, lengths)
    ctx.mark_non_differentiable(last)


def _backward(ctx, grad_mean, _grad_last):
    scores, last, k_per_video, lengths = ctx.saved_tensors
    grad_scores = _topk_mean_backward(grad_mean, scores, last, ctx.k, k_per_video, lengths, ctx.largest)
    return grad_scores, None, None, None, None


# k holds for every video unless k_per_video [B] is given. last [B, C] is the index of the k-th selected snippet, -1
# where none is: all a gradient kernel needs besides the scores.
_topk_mean = _library.define(
    "topk_mean(Tensor scores, int k, Tensor? k_per_video, Tensor? lengths, bool largest) -> (Tensor mean, Tensor last)",
    reference=_reference, fake=_fake)
_topk_mean_backward = _library.define(
    "topk_mean_backward(Tensor grad_mean, Tensor scores, Tensor last, int k, Tensor? k_per_video, Tensor? lengths, "
    "bool largest) -> Tensor",
    reference=_backward_reference, fake=_backward_fake)
_library.differentiable("topk_mean", backward=_backward, setup_context=_setup_context)
