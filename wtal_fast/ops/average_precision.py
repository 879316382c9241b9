"""Interpolated average precision of temporal detections, every class and tIoU threshold at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from wtal_fast.ops import _library
from wtal_fast.ops.temporal_iou import (
    check_finite,
    check_groups,
    check_ordered,
    check_scores,
    check_segments,
    may_read,
    paired_iou,
)
from wtal_fast.ops.temporal_nms import rank


def average_precision(pred_segments: Tensor, pred_scores: Tensor, pred_groups: Tensor, gt_segments: Tensor,
                      gt_groups: Tensor, num_classes: int, tiou_thresholds: Sequence[float] | Tensor,
                      validate: bool = True) -> Tensor:
    """Average precision by the ActivityNet protocol.

    pred_segments [N, 2] and gt_segments [M, 2] seconds, end >= start; pred_scores [N]; groups int64,
    group = video * num_classes + class. Predictions are taken by falling score (equal scores: the lower index first);
    each claims, for each threshold on its own, the unclaimed instance of its group with the largest tIoU (equal tIoU:
    the higher index, since the official evaluation reads an ascending sort backwards) if that is >= the threshold, and
    is a false positive otherwise. The precision-recall curve is
    interpolated as in PASCAL VOC 2010 and later (precision made non-increasing, summed over the recall steps).
    Returns float64 [Q, num_classes]: 0 for a class nobody predicted, NaN for a class without ground truth.
    Everything is computed in float64. NaN, infinity, end < start, negative groups and thresholds outside (0, 1] raise
    ValueError; to know, the host waits once for a GPU. With `validate` False, and where a CUDA graph records the op, it
    never does, and a refused value makes every entry NaN. tiou_thresholds must be on the GPU where a graph records.
    """
    thresholds = _thresholds(tiou_thresholds, pred_segments)
    _check(pred_segments, pred_scores, pred_groups, gt_segments, gt_groups, num_classes, thresholds)
    try:
        return _average_precision(pred_segments.detach(), pred_scores.detach(), pred_groups, gt_segments.detach(),
                                  gt_groups, int(num_classes), thresholds, bool(validate))
    except RuntimeError:
        _check_values(pred_segments, pred_scores, pred_groups, gt_segments, gt_groups, thresholds)
        raise


def _thresholds(tiou_thresholds: Sequence[float] | Tensor, like: Tensor) -> Tensor:
    """The thresholds [Q] in float64 on the device of `like`; from pinned memory, since the host waits for any other."""
    values = torch.as_tensor(tiou_thresholds, dtype=torch.float64).detach()
    if not isinstance(like, Tensor) or values.device == like.device:
        return values
    if like.is_cuda and torch.cuda.is_available():
        if torch.cuda.is_current_stream_capturing():
            raise ValueError(f"average_precision: tiou_thresholds must be on {like.device} where a CUDA graph records, "
                             f"got {values.device}")
        values = values.pin_memory()
    return values.to(like.device, non_blocking=True)


def _check(pred_segments, pred_scores, pred_groups, gt_segments, gt_groups, num_classes, thresholds) -> None:
    op = "average_precision"
    for name, segments in (("pred_segments", pred_segments), ("gt_segments", gt_segments)):
        check_segments(op, name, segments)
    check_scores(op, "pred_scores", pred_scores, len(pred_segments))
    check_groups(op, "pred_groups", pred_groups, len(pred_segments))
    check_groups(op, "gt_groups", gt_groups, len(gt_segments))
    devices = {str(t.device) for t in (pred_segments, pred_scores, pred_groups, gt_segments, gt_groups)}
    if len(devices) > 1:
        raise ValueError(f"{op}: all tensors must be on one device, got {', '.join(sorted(devices))}")
    if num_classes < 1:
        raise ValueError(f"{op}: num_classes must be at least 1, got {num_classes}")
    if thresholds.ndim != 1:
        raise ValueError(f"{op}: tiou_thresholds must be [Q], got {list(thresholds.shape)}")


def _check_values(pred_segments, pred_scores, pred_groups, gt_segments, gt_groups, thresholds) -> None:
    """Raises ValueError where a value is refused, where values may be read."""
    op = "average_precision"
    check_ordered(op, "pred_segments", pred_segments)
    check_ordered(op, "gt_segments", gt_segments)
    check_finite(op, "pred_scores", pred_scores)
    if not may_read(pred_scores):
        return
    if not bool(((thresholds > 0) & (thresholds <= 1)).all()):
        raise ValueError(f"{op}: tiou_thresholds must be in (0, 1], got {thresholds.tolist()}")
    for name, groups in (("pred_groups", pred_groups), ("gt_groups", gt_groups)):
        if len(groups) and int(groups.min()) < 0:
            raise ValueError(f"{op}: {name} must be >= 0, got {int(groups.min())}")


def _reference(pred_segments: Tensor, pred_scores: Tensor, pred_groups: Tensor, gt_segments: Tensor, gt_groups: Tensor,
               num_classes: int, tiou_thresholds: Tensor, validate: bool) -> Tensor:
    tiou_thresholds = tiou_thresholds.double()
    try:
        _check_values(pred_segments, pred_scores, pred_groups, gt_segments, gt_groups, tiou_thresholds)
    except ValueError:
        if validate:
            raise
        return tiou_thresholds.new_full((len(tiou_thresholds), num_classes), float("nan"))
    matched = _match(pred_segments.double(), pred_scores, pred_groups, gt_segments.double(), gt_groups, tiou_thresholds)
    pred_classes, instances = pred_groups % num_classes, torch.bincount(gt_groups % num_classes, minlength=num_classes)
    result = tiou_thresholds.new_zeros((len(tiou_thresholds), num_classes))
    order = rank(pred_scores, pred_classes)
    bounds = torch.bincount(pred_classes, minlength=num_classes).cumsum(0).tolist()
    for label, (start, end) in enumerate(zip([0, *bounds], bounds, strict=False)):
        if end > start:
            result[:, label] = _interpolated_area(matched[order[start:end]], instances[label])
    return result.masked_fill(instances == 0, float("nan"))


def _match(pred_segments: Tensor, pred_scores: Tensor, pred_groups: Tensor, gt_segments: Tensor, gt_groups: Tensor,
           thresholds: Tensor) -> Tensor:
    """Which predictions claim an instance, [N, Q] bool. All groups go through their predictions in step."""
    matched = torch.zeros((len(pred_segments), len(thresholds)), dtype=torch.bool, device=pred_segments.device)
    if len(pred_segments) == 0 or len(gt_segments) == 0:
        return matched
    names, gt_row = torch.unique(gt_groups, return_inverse=True)
    gt, present = _pad(gt_segments, gt_row, len(names))  # [G, J, 2], [G, J]
    free = present[:, :, None].expand(-1, -1, len(thresholds)).clone()  # [G, J, Q] instances nobody has claimed

    row = torch.searchsorted(names, pred_groups).clamp(max=len(names) - 1)
    order = rank(pred_scores, pred_groups)
    order = order[names[row[order]] == pred_groups[order]]  # groups without instances hold false positives only
    turn = _position_in_group(row[order])
    by_turn = order[torch.argsort(turn, stable=True)]
    for pred in by_turn.split(torch.bincount(turn).tolist()):  # [A] at most one prediction of each group
        group = row[pred]
        iou = paired_iou(pred_segments[pred][:, None], gt[group])  # [A, 1, 2], [A, J, 2] -> [A, J]
        open_iou = torch.where(free[group], iou[:, :, None], -1.0)  # [A, J, Q]
        best, from_end = open_iou.flip(1).max(dim=1)  # [A, Q], the last of equal ones
        instance = gt.shape[1] - 1 - from_end
        hit = best >= thresholds
        matched[pred] = hit
        which, level = hit.nonzero(as_tuple=True)
        free[group[which], instance[which, level], level] = False
    return matched


def _position_in_group(sorted_groups: Tensor) -> Tensor:
    """0, 1, 2, ... inside each run of equal values."""
    index = torch.arange(len(sorted_groups), device=sorted_groups.device)
    return index - torch.searchsorted(sorted_groups, sorted_groups)


def _pad(segments: Tensor, row: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Segments [M, 2] of `rows` groups as [rows, J, 2] in index order, and which entries hold one [rows, J]."""
    order = torch.argsort(row, stable=True)
    column = _position_in_group(row[order])
    padded = segments.new_zeros((rows, int(column.max()) + 1, 2))
    present = torch.zeros(padded.shape[:2], dtype=torch.bool, device=segments.device)
    padded[row[order], column] = segments[order]
    present[row[order], column] = True
    return padded, present


def _interpolated_area(matched: Tensor, instances: Tensor) -> Tensor:
    """Area [Q] under the interpolated precision-recall curve of one class; matched [P, Q] by falling score."""
    hits = matched.cumsum(0).double()  # [P, Q]
    recall = hits / instances
    precision = hits / torch.arange(1, len(matched) + 1, device=matched.device, dtype=torch.float64)[:, None]
    precision = precision.flip(0).cummax(0).values.flip(0)
    step = torch.diff(recall, dim=0, prepend=recall.new_zeros((1, recall.shape[1])))
    return (step * precision).sum(0)


def _fake(pred_segments, pred_scores, pred_groups, gt_segments, gt_groups, num_classes, tiou_thresholds, validate):
    return tiou_thresholds.new_empty((tiou_thresholds.shape[0], num_classes), dtype=torch.float64)


_average_precision = _library.define(
    "average_precision(Tensor pred_segments, Tensor pred_scores, Tensor pred_groups, Tensor gt_segments, "
    "Tensor gt_groups, SymInt num_classes, Tensor tiou_thresholds, bool validate) -> Tensor",
    reference=_reference, fake=_fake)
