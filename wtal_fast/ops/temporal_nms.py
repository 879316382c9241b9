"""Greedy non-maximum suppression of temporal segments, all groups (video x class) at once."""

from __future__ import annotations

import torch
from torch import Tensor

from wtal_fast.ops import _library
from wtal_fast.ops.temporal_iou import (
    check_finite,
    check_groups,
    check_ordered,
    check_scores,
    check_segments,
    paired_iou,
)


def temporal_nms(segments: Tensor, scores: Tensor, tiou_threshold: float, groups: Tensor | None = None,
                 offset: float = 0.0) -> Tensor:
    """Indices of the segments that greedy suppression keeps.

    segments [N, 2] start and end in seconds, end >= start; scores [N]; groups [N] int64 or None (all in one group).
    Within a group the best remaining segment is kept and every other with tIoU >= `tiou_threshold` to it is removed.
    tIoU is computed in float64; `offset` seconds are added to lengths and overlaps (the released codes use 1).
    Returns int64 indices, groups ascending, by falling score inside a group; among equal scores the lower index comes
    first.
    On a GPU the host waits once, to read how many are kept; `temporal_nms_padded` reads nothing.
    Raises ValueError or TypeError for wrong shapes, dtypes, devices, NaN, infinity, or end < start.
    """
    groups = check_suppression("temporal_nms", segments, scores, tiou_threshold, groups, offset)
    try:
        return _temporal_nms(segments, scores, groups, tiou_threshold, offset)
    except RuntimeError:
        check_values("temporal_nms", segments, scores)
        raise


def check_suppression(op: str, segments: Tensor, scores: Tensor, tiou_threshold: float, groups: Tensor | None,
                      offset: float) -> Tensor:
    """Validates the arguments NMS and soft-NMS share; returns the groups.

    The values of tensors are left to the kernels, which refuse bad ones while they read them.
    """
    check_segments(op, "segments", segments)
    count = segments.shape[0]
    check_scores(op, "scores", scores, count)
    if groups is None:
        groups = torch.zeros(count, dtype=torch.int64, device=segments.device)
    check_groups(op, "groups", groups, count)
    if not (segments.device == scores.device == groups.device):
        raise ValueError(f"{op}: segments, scores and groups must be on one device, got {segments.device}, "
                         f"{scores.device}, {groups.device}")
    if not tiou_threshold > 0:
        raise ValueError(f"{op}: tiou_threshold must be > 0, got {tiou_threshold}")
    if not 0 <= offset < float("inf"):
        raise ValueError(f"{op}: offset must be >= 0 seconds, got {offset}")
    return groups


def check_values(op: str, segments: Tensor, scores: Tensor) -> None:
    """Raises ValueError where a segment or score is not finite or a segment ends before it starts."""
    check_ordered(op, "segments", segments)
    check_finite(op, "scores", scores)


def rank(scores: Tensor, groups: Tensor) -> Tensor:
    """Permutation [N]: groups ascending, inside a group by falling score, equal scores by rising index."""
    order = torch.argsort(scores, descending=True, stable=True)
    return order[torch.argsort(groups[order], stable=True)]


def leaders(ranked: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """Of indices in `rank` order: which of them lead their group [N] bool, and the leader of each one's group [N]."""
    group = groups[ranked]
    first = torch.ones_like(group, dtype=torch.bool)
    first[1:] = group[1:] != group[:-1]
    return first, ranked[first][first.cumsum(0) - 1]


def _reference(segments: Tensor, scores: Tensor, groups: Tensor, tiou_threshold: float, offset: float) -> Tensor:
    check_values("temporal_nms", segments, scores)
    order = rank(scores, groups)
    waiting, kept = order, []
    while len(waiting):
        first, rival = leaders(waiting, groups)
        kept.append(waiting[first])
        iou = paired_iou(segments[waiting].double(), segments[rival].double(), offset)
        waiting = waiting[~first & (iou < tiou_threshold)]
    if not kept:
        return order
    keep = torch.zeros_like(order, dtype=torch.bool)
    keep[torch.cat(kept)] = True
    return order[keep[order]]


def _fake(segments: Tensor, scores: Tensor, groups: Tensor, tiou_threshold: float, offset: float) -> Tensor:
    return scores.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=torch.int64)


_temporal_nms = _library.define(
    "temporal_nms(Tensor segments, Tensor scores, Tensor groups, float tiou_threshold, float offset) -> Tensor",
    reference=_reference, fake=_fake)
