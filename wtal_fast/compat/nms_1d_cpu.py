"""The extension module nms_1d_cpu of ActionFormer and OpenTAD: nms and softnms on torch tensors.

Overlaps are computed in float64 and without the 1e-6 that the original adds to every length: results differ only where
an overlap is within about 1e-6 of the threshold.
"""

from __future__ import annotations

import torch
from torch import Tensor

from wtal_fast import ops

_METHODS = {1: "linear", 2: "gaussian"}


def nms(segs: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Kept indices [K] int64 by falling score. segs [N, 2], scores [N]; removed at overlap >= iou_threshold."""
    return ops.temporal_nms(segs, scores, float(iou_threshold))


def softnms(segs: Tensor, scores: Tensor, dets: Tensor, iou_threshold: float, sigma: float, min_score: float,
            method: int) -> Tensor:
    """Kept indices [K] int64 by falling new score; the first K rows of dets [N, 3] become start, end, new score.

    method: 0 removes at overlap >= iou_threshold, 1 multiplies the score by 1 - overlap there, 2 by
    exp(-overlap^2 / sigma) everywhere. What falls below min_score is dropped, but the best segment always stays.
    """
    if method not in (0, *_METHODS):
        raise ValueError(f"softnms: method must be 0, 1 or 2, got {method}")
    if len(scores) == 0:
        return torch.zeros(0, dtype=torch.int64)
    if method == 0:
        kept = ops.temporal_nms(segs, scores, float(iou_threshold))
        new_scores = scores[kept]
        kept, new_scores = kept[new_scores >= min_score], new_scores[new_scores >= min_score]
    else:
        threshold = float(iou_threshold) if method == 1 else 1.0  # the Gaussian reads none
        kept, new_scores = ops.soft_temporal_nms(segs, scores, threshold, method=_METHODS[method], sigma=float(sigma),
                                                 min_score=float(min_score))
    if len(kept) == 0:
        kept = scores.argmax(0, keepdim=True)
        new_scores = scores[kept]
    dets[: len(kept), :2] = segs[kept].to(dets.dtype)
    dets[: len(kept), 2] = new_scores.to(dets.dtype)
    return kept
