"""Average precision in plain NumPy: what the compiled module must give, bit for bit."""

from __future__ import annotations

import numpy as np


def average_precision(pred_segments: np.ndarray, pred_scores: np.ndarray, pred_groups: np.ndarray,
                      gt_segments: np.ndarray, gt_groups: np.ndarray, num_classes: int,
                      tiou_thresholds: np.ndarray, unstable: bool = False) -> np.ndarray:
    """Average precision [Q, num_classes] by the ActivityNet protocol, as wtal_fast.ops.average_precision.

    Segments [N, 2], [M, 2] and scores [N] float64, groups [N], [M] int64 = video * num_classes + class.
    0 for a class nobody predicted, NaN for a class without ground truth. unstable: as in claims.
    """
    claimed = claims(pred_segments, pred_scores, pred_groups, gt_segments, gt_groups, tiou_thresholds, unstable)
    pred_classes, instances = pred_groups % num_classes, np.bincount(gt_groups % num_classes, minlength=num_classes)
    result = np.zeros((len(tiou_thresholds), num_classes))
    order = np.lexsort((-pred_scores, pred_classes))  # by class, falling score, index
    bounds = np.searchsorted(pred_classes[order], np.arange(num_classes + 1))
    for label in range(num_classes):
        rows = order[bounds[label]:bounds[label + 1]]
        if instances[label] == 0:
            result[:, label] = np.nan
        elif len(rows):
            result[:, label] = interpolated_area(claimed[rows] >= 0, instances[label])
    return result


def claims(pred_segments: np.ndarray, pred_scores: np.ndarray, pred_groups: np.ndarray, gt_segments: np.ndarray,
           gt_groups: np.ndarray, tiou_thresholds: np.ndarray, unstable: bool = False) -> np.ndarray:
    """Which instance each prediction claims at each threshold: row of gt_segments or -1, [N, Q] int64.

    Predictions of a group go by falling score (equal scores: the lower index first). Each takes, of the instances
    nobody has claimed at this threshold, the one with the largest tIoU if that is >= the threshold; of equal tIoU the
    higher index, since the official evaluation reads an ascending sort backwards (an unstable one: with more than 16
    instances its choice depends on the NumPy build and the processor, ours does not). unstable=True sorts as it does.
    """
    claimed = np.full((len(pred_segments), len(tiou_thresholds)), -1, dtype=np.int64)
    pred_order, gt_order = np.lexsort((-pred_scores, pred_groups)), np.argsort(gt_groups, kind="stable")
    names = np.unique(gt_groups)
    pred_bounds = [np.searchsorted(pred_groups[pred_order], names, side) for side in ("left", "right")]
    gt_bounds = [np.searchsorted(gt_groups[gt_order], names, side) for side in ("left", "right")]
    levels = np.arange(len(tiou_thresholds))
    for p0, p1, g0, g1 in zip(*pred_bounds, *gt_bounds, strict=True):
        instances = gt_order[g0:g1]
        free = np.ones((g1 - g0, len(tiou_thresholds)), dtype=bool)
        for pred in pred_order[p0:p1]:
            iou = paired_iou(gt_segments[instances], pred_segments[pred])  # [J]
            falling = np.argsort(iou, kind="quicksort" if unstable else "stable")[::-1]
            candidates = np.where(free[falling], iou[falling, None], -1.0)  # [J, Q]
            first = candidates.argmax(axis=0)  # [Q], the first of equal ones
            hit, best = candidates[first, levels] >= tiou_thresholds, falling[first]
            claimed[pred, hit] = instances[best[hit]]
            free[best[hit], levels[hit]] = False
    return claimed


def paired_iou(a: np.ndarray, b: np.ndarray, offset: float = 0.0) -> np.ndarray:
    """Temporal intersection over union of segments a [..., 2] and b [..., 2], broadcast; 0 where the union is 0.

    `offset` is added to lengths and overlaps.
    """
    shared = np.minimum(a[..., 1], b[..., 1]) - np.maximum(a[..., 0], b[..., 0])
    overlap = np.maximum(shared + offset, 0.0)
    union = (a[..., 1] - a[..., 0] + offset) + (b[..., 1] - b[..., 0] + offset) - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)


def interpolated_area(hit: np.ndarray, instances: int) -> np.ndarray:
    """Area [Q] under the interpolated precision-recall curve of one class; hit [P, Q] by falling score."""
    hits = np.cumsum(hit, axis=0)
    recall = hits / instances
    precision = hits / np.arange(1, len(hit) + 1)[:, None]
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    step = np.diff(recall, axis=0, prepend=0.0)
    return np.cumsum(step * precision, axis=0)[-1]  # added in order: a pairwise sum would differ in the last bit


def summed_precision(hit: np.ndarray, instances: int) -> np.ndarray:
    """Sum [Q] of the precision at each hit of one class over its instances; hit [P, Q] by falling score."""
    if not len(hit):
        return np.zeros(hit.shape[1])
    precision = np.cumsum(hit, axis=0) / np.arange(1, len(hit) + 1)[:, None]
    return np.cumsum(np.where(hit, precision, 0.0), axis=0)[-1] / instances  # in order, as in interpolated_area
