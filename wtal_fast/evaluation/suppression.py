"""Hard and soft NMS in plain NumPy: what the compiled module must give."""

from __future__ import annotations

import numpy as np

from wtal_fast.evaluation.reference import paired_iou


def temporal_nms(segments: np.ndarray, scores: np.ndarray, groups: np.ndarray, tiou_threshold: float,
                 offset: float) -> np.ndarray:
    """Kept indices [K] int64, as ops.temporal_nms: groups ascending, inside one by falling score, then rising index.

    segments [N, 2] and scores [N] float64, groups [N] int64. Every segment with tIoU >= `tiou_threshold` to a better
    kept one of its group is removed; `offset` is added to lengths and overlaps.
    """
    kept = []
    order = np.lexsort((-scores, groups))
    for waiting in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        while len(waiting):
            best, waiting = waiting[0], waiting[1:]
            kept.append(best)
            waiting = waiting[paired_iou(segments[waiting], segments[best], offset) < tiou_threshold]
    return np.asarray(kept, dtype=np.int64)


def soft_temporal_nms(segments: np.ndarray, scores: np.ndarray, groups: np.ndarray, tiou_threshold: float,
                      offset: float, method: str, sigma: float, min_score: float) -> tuple[np.ndarray, np.ndarray]:
    """Kept indices [K] int64 and decayed scores [K] float64, as ops.soft_temporal_nms."""
    kept, new_scores = [], np.array(scores, dtype=np.float64)
    for group in np.unique(groups):
        waiting = np.flatnonzero((groups == group) & (new_scores >= min_score))
        while len(waiting):
            best = waiting[new_scores[waiting].argmax()]
            kept.append(best)
            waiting = waiting[waiting != best]
            iou = paired_iou(segments[waiting], segments[best], offset)
            weight = np.where(iou >= tiou_threshold, 1 - iou, 1.0) if method == "linear" else np.exp(-iou * iou / sigma)
            new_scores[waiting] *= weight
            waiting = waiting[new_scores[waiting] >= min_score]
    index = np.asarray(kept, dtype=np.int64)
    return index, new_scores[index]
