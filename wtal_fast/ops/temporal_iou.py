"""Overlap of temporal segments: intersection over union of `[start, end]` pairs."""

from __future__ import annotations

import torch
from torch import Tensor

from wtal_fast.ops import _library


def temporal_iou(a: Tensor, b: Tensor) -> Tensor:
    """Temporal intersection over union of every segment of `a` with every segment of `b`.

    a [N, 2] and b [M, 2]: start and end in seconds (any one unit), end >= start, floating point, one device.
    Returns [N, M] in the promoted dtype, each in 0..1; computed in float64. Two segments of zero length have tIoU 0.
    No gradient. Values are not checked here: NaN or end < start give no meaningful overlap.
    """
    check_segments("temporal_iou", "a", a)
    check_segments("temporal_iou", "b", b)
    if a.device != b.device:
        raise ValueError(f"temporal_iou: a and b must be on one device, got {a.device} and {b.device}")
    return _temporal_iou(a.detach(), b.detach())


def check_segments(op: str, name: str, segments: Tensor) -> None:
    """Raises unless `segments` is a floating point tensor [N, 2]."""
    if not isinstance(segments, Tensor):
        raise TypeError(f"{op}: {name} must be a tensor, got {type(segments).__name__}")
    if segments.ndim != 2 or segments.shape[1] != 2:
        raise ValueError(f"{op}: {name} must be [N, 2] (start, end in seconds), got {list(segments.shape)}")
    if not segments.is_floating_point():
        raise TypeError(f"{op}: {name} must be floating point, got {segments.dtype}")


def may_read(tensor: Tensor) -> bool:
    """Whether values may be looked at: not while torch.compile traces, nor while a CUDA graph is recorded."""
    return not torch.compiler.is_compiling() and not (tensor.is_cuda and torch.cuda.is_current_stream_capturing())


def check_ordered(op: str, name: str, segments: Tensor) -> None:
    """Raises unless every segment is finite with end >= start, where values may be read."""
    if not may_read(segments):
        return
    good = segments.isfinite().all(dim=1) & (segments[:, 1] >= segments[:, 0])  # [N]
    if not bool(good.all()):
        row = int((~good).nonzero()[0])
        raise ValueError(f"{op}: {name} must be finite with end >= start, got {segments[row].tolist()} in row {row}")


def check_scores(op: str, name: str, scores: Tensor, count: int) -> None:
    """Raises unless `scores` is a floating point tensor [count]."""
    if not isinstance(scores, Tensor) or not scores.is_floating_point():
        found = scores.dtype if isinstance(scores, Tensor) else type(scores).__name__
        raise TypeError(f"{op}: {name} must be a floating point tensor, got {found}")
    if scores.shape != (count,):
        raise ValueError(f"{op}: {name} must be [{count}], one a segment, got {list(scores.shape)}")


def check_finite(op: str, name: str, scores: Tensor) -> None:
    """Raises where a score is NaN or infinite, where values may be read."""
    if may_read(scores) and not bool(scores.isfinite().all()):
        row = int((~scores.isfinite()).nonzero()[0])
        raise ValueError(f"{op}: {name} must be finite, got {float(scores[row])} in row {row}")


def check_groups(op: str, name: str, groups: Tensor, count: int) -> None:
    """Raises unless `groups` is an int64 tensor [count]."""
    if not isinstance(groups, Tensor) or groups.dtype != torch.int64:
        found = groups.dtype if isinstance(groups, Tensor) else type(groups).__name__
        raise TypeError(f"{op}: {name} must be an int64 tensor, got {found}")
    if groups.shape != (count,):
        raise ValueError(f"{op}: {name} must be [{count}], one a segment, got {list(groups.shape)}")


def paired_iou(a: Tensor, b: Tensor, offset: float = 0.0) -> Tensor:
    """tIoU of segments `a [..., 2]` and `b [..., 2]` (float64, broadcast against each other), 0 where the union is 0.

    `offset` is added to lengths and overlaps: 1 is the pixel convention that the released NMS codes use on seconds.
    """
    overlap = (torch.minimum(a[..., 1], b[..., 1]) - torch.maximum(a[..., 0], b[..., 0]) + offset).clamp(min=0)
    union = (a[..., 1] - a[..., 0] + offset) + (b[..., 1] - b[..., 0] + offset) - overlap
    return torch.where(union > 0, overlap / union, 0.0)


def _reference(a: Tensor, b: Tensor) -> Tensor:
    iou = paired_iou(a.double()[:, None], b.double()[None])  # [N, 1, 2], [1, M, 2] -> [N, M]
    return iou.to(torch.promote_types(a.dtype, b.dtype))


def _fake(a: Tensor, b: Tensor) -> Tensor:
    return a.new_empty((a.shape[0], b.shape[0]), dtype=torch.promote_types(a.dtype, b.dtype))


_temporal_iou = _library.define("temporal_iou(Tensor a, Tensor b) -> Tensor", reference=_reference, fake=_fake)
