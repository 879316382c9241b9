"""Soft non-maximum suppression of temporal segments: overlapping scores decay instead of vanishing."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from wtal_fast.ops import _library
from wtal_fast.ops.temporal_iou import paired_iou
from wtal_fast.ops.temporal_nms import check_suppression, check_values, leaders, rank

_METHODS = ("linear", "gaussian")


def soft_temporal_nms(segments: Tensor, scores: Tensor, tiou_threshold: float = 0.5, groups: Tensor | None = None,
                      offset: float = 0.0, method: Literal["linear", "gaussian"] = "gaussian", sigma: float = 0.5,
                      min_score: float = 1e-3) -> tuple[Tensor, Tensor]:
    """Kept indices and decayed scores (Bodla et al. 2017), all groups at once.

    segments, scores, groups, offset as in temporal_nms. Within a group the best remaining segment is kept; the score of
    each other is multiplied by 1 - tIoU where tIoU >= `tiou_threshold` ("linear"), or by exp(-tIoU^2 / sigma)
    ("gaussian", which reads no threshold). A segment whose score is or falls below `min_score` is dropped.
    Decay is accumulated in float64. Returns int64 indices, groups ascending, by falling new score inside a group
    (equal scores: the lower index first), and the new scores in the dtype of `scores`.
    On a GPU the host waits once, to read how many are kept; `soft_temporal_nms_padded` reads nothing.
    """
    groups = check_suppression("soft_temporal_nms", segments, scores, tiou_threshold, groups, offset)
    check_decay("soft_temporal_nms", method, sigma, min_score)
    try:
        return _soft_temporal_nms(segments.detach(), scores.detach(), groups, tiou_threshold, offset, method, sigma,
                                  min_score)
    except RuntimeError:
        check_values("soft_temporal_nms", segments, scores)
        raise


def check_decay(op: str, method: str, sigma: float, min_score: float) -> None:
    """Raises ValueError for a method, sigma or least score that soft suppression does not have."""
    if method not in _METHODS:
        raise ValueError(f"{op}: method must be one of {_METHODS}, got {method!r}")
    if not sigma > 0:
        raise ValueError(f"{op}: sigma must be > 0, got {sigma}")
    if not min_score >= 0:
        raise ValueError(f"{op}: min_score must be >= 0, got {min_score}")


def _reference(segments: Tensor, scores: Tensor, groups: Tensor, tiou_threshold: float, offset: float, method: str,
               sigma: float, min_score: float) -> tuple[Tensor, Tensor]:
    check_values("soft_temporal_nms", segments, scores)
    new_scores = scores.double()
    waiting = torch.nonzero(new_scores >= min_score).squeeze(1)  # [N'] rising index
    kept = []
    while len(waiting):
        waiting = _ranked(waiting, new_scores, groups)
        first, rival = leaders(waiting, groups)
        kept.append(waiting[first])
        iou = paired_iou(segments[waiting].double(), segments[rival].double(), offset)
        if method == "linear":
            weight = torch.where(iou >= tiou_threshold, 1 - iou, torch.ones_like(iou))
        else:
            weight = torch.exp(-(iou * iou) / sigma)
        waiting, weight = waiting[~first], weight[~first]
        new_scores = new_scores.index_put((waiting,), new_scores[waiting] * weight)
        waiting = waiting[new_scores[waiting] >= min_score]
    kept = _ranked(torch.cat(kept), new_scores, groups) if kept else waiting
    return kept, new_scores[kept].to(scores.dtype)


def _ranked(index: Tensor, scores: Tensor, groups: Tensor) -> Tensor:
    index = index.sort().values  # rank breaks ties by position: make that the lower index
    return index[rank(scores[index], groups[index])]


def _fake(segments: Tensor, scores: Tensor, groups: Tensor, tiou_threshold: float, offset: float, method: str,
          sigma: float, min_score: float) -> tuple[Tensor, Tensor]:
    kept = torch.library.get_ctx().new_dynamic_size()
    return scores.new_empty(kept, dtype=torch.int64), scores.new_empty(kept)


_soft_temporal_nms = _library.define(
    "soft_temporal_nms(Tensor segments, Tensor scores, Tensor groups, float tiou_threshold, float offset, str method, "
    "float sigma, float min_score) -> (Tensor, Tensor)", reference=_reference, fake=_fake)
