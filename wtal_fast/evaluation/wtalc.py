"""Average precision as W-TALC and the methods that followed it compute it: on snippet indices, in plain NumPy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from wtal_fast.evaluation import thumos14
from wtal_fast.evaluation.reference import paired_iou, summed_precision

SNIPPETS_PER_SECOND = {"wtalc": 25 / 16, "wtalc_unt": 10 / 4}


def average_precision(pred_segments: np.ndarray, pred_scores: np.ndarray, pred_groups: np.ndarray,
                      gt_segments: np.ndarray, gt_groups: np.ndarray, num_classes: int, tiou_thresholds: np.ndarray,
                      ignored: np.ndarray, rate: float) -> np.ndarray:
    """Average precision [Q, num_classes].

    Arguments as in reference.average_precision; ignored [N] bool: predictions left out; rate: snippets per second.
    Bounds in seconds are rounded to snippet indices (half to even), a segment is [start, end) of them. By falling score
    (equal ones: the lower index) each prediction claims the first unclaimed instance of its group that has
    IoU >= the threshold. AP is the sum of the precision at each true positive over the number of instances.
    0 for a class nobody found, NaN for a class without ground truth.
    """
    pred, gt = in_snippets(pred_segments, rate), in_snippets(gt_segments, rate)
    instances_of = {group: np.flatnonzero(gt_groups == group) for group in np.unique(gt_groups).tolist()}
    instances = np.bincount(gt_groups % num_classes, minlength=num_classes)
    result = np.full((len(tiou_thresholds), num_classes), np.nan)
    for label in np.flatnonzero(instances):
        rows = np.flatnonzero((pred_groups % num_classes == label) & ~ignored)
        rows = rows[np.argsort(-pred_scores[rows], kind="stable")]
        hit = np.zeros((len(rows), len(tiou_thresholds)), dtype=bool)
        free = np.ones((len(gt), len(tiou_thresholds)), dtype=bool)
        for place, row in enumerate(rows):
            here = instances_of.get(int(pred_groups[row]))
            if here is None:
                continue
            fits = free[here] & (paired_iou(gt[here], pred[row])[:, None] >= tiou_thresholds)  # [J, Q]
            hit[place] = fits.any(axis=0)
            level = np.flatnonzero(hit[place])
            free[here[fits[:, level].argmax(axis=0)], level] = False
        result[:, label] = summed_precision(hit, instances[label])
    return result


def touches(segments: np.ndarray, videos: np.ndarray, stretches: Mapping[str, np.ndarray], rate: float) -> np.ndarray:
    """Which segments [N, 2] of `videos` [N] share a snippet with a stretch of theirs, [N] bool."""
    rounded = {video: in_snippets(bounds, rate) for video, bounds in stretches.items()}
    return thumos14.touches(in_snippets(segments, rate), videos, rounded)


def in_snippets(segments: np.ndarray, rate: float) -> np.ndarray:
    """Bounds in seconds as whole snippet indices, halves to the even one."""
    return np.rint(segments * rate)
