"""Average precision by the evaluation kit of the THUMOS'14 challenge, in plain NumPy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from wtal_fast.errors import InputError
from wtal_fast.evaluation.reference import summed_precision
from wtal_fast.structures import Annotations

AMBIGUOUS = "Ambiguous"  # the label of stretches that the kit neither rewards nor punishes


def read_ambiguous(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Stretches [A, 2] in seconds of each video of an `Ambiguous_test.txt`: one `video start end` a line.

    Raises InputError that names the file and the first line that is not of this form.
    """
    stretches: dict[str, list] = {}
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, expected="a readable text file", found=str(error)) from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            video, start, end = line.split()
            bounds = [float(start), float(end)]
        except ValueError:
            bounds = [np.nan, np.nan]
        if not (np.isfinite(bounds).all() and bounds[0] <= bounds[1]):
            raise InputError(path, f"line {number}", expected="video start end, with end >= start in seconds",
                             found=ascii(line.strip()))
        stretches.setdefault(video, []).append(bounds)
    return {video: np.asarray(rows, dtype=np.float64) for video, rows in stretches.items()}


def split_ambiguous(annotations: Annotations,
                    stretches: Mapping[str, np.ndarray]) -> tuple[Annotations, dict[str, np.ndarray]]:
    """The annotations without their instances labelled "Ambiguous", and `stretches` with those instances added.

    Raises InputError where nothing else is annotated.
    """
    joined = {video: np.asarray(rows, dtype=np.float64).reshape(-1, 2) for video, rows in stretches.items()}
    if AMBIGUOUS not in annotations.class_names:
        return annotations, joined
    rows = annotations.classes == annotations.class_names.index(AMBIGUOUS)
    if rows.all():
        raise InputError("annotations", expected="at least one instance", found="ambiguous stretches only")
    for video in np.unique(annotations.video_index[rows]):
        name, here = annotations.video_ids[video], annotations.segments[rows & (annotations.video_index == video)]
        joined[name] = np.concatenate([joined.get(name, np.zeros((0, 2))), here])
    kept = replace(annotations, segments=annotations.segments[~rows], classes=annotations.classes[~rows],
                   video_index=annotations.video_index[~rows])
    return kept, joined


def average_precision(pred_segments: np.ndarray, pred_scores: np.ndarray, pred_groups: np.ndarray,
                      gt_segments: np.ndarray, gt_groups: np.ndarray, num_classes: int, tiou_thresholds: np.ndarray,
                      ignored: np.ndarray) -> np.ndarray:
    """Average precision [Q, num_classes] by the rules of the kit.

    Arguments as in reference.average_precision; ignored [N] bool: predictions that touch an ambiguous stretch. In a
    group every instance, in its order, takes the free prediction with the largest tIoU (equal ones: the higher score,
    then the lower index) if that is > the threshold. Predictions left over are false positives unless ignored. AP is
    the sum of the precision at each true positive over the number of instances: no interpolation. Equal scores go by
    index. 0 for a class nobody found, NaN for a class without ground truth.
    """
    taken = _taken(pred_segments, pred_scores, pred_groups, gt_segments, gt_groups, tiou_thresholds)  # [N, Q]
    instances = np.bincount(gt_groups % num_classes, minlength=num_classes)
    pred_classes = pred_groups % num_classes
    result = np.full((len(tiou_thresholds), num_classes), np.nan)
    for label in np.flatnonzero(instances):
        rows = np.flatnonzero(pred_classes == label)
        rows = rows[np.argsort(-pred_scores[rows], kind="stable")]
        for level in range(len(tiou_thresholds)):
            hit = taken[rows, level]
            counted = hit[hit | ~ignored[rows]]
            result[level, label] = summed_precision(counted[:, None], instances[label])[0]
    return result


def touches(segments: np.ndarray, videos: np.ndarray, stretches: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which segments [N, 2] of `videos` [N] share time with a stretch of theirs, [N] bool; a common end is not enough.
    """
    result = np.zeros(len(segments), dtype=bool)
    for video, bounds in stretches.items():
        rows = np.flatnonzero(videos == video)
        result[rows] = (_shared(segments[rows][:, None], bounds) > 0).any(axis=1)  # [n, 1, 2], [A, 2] -> [n, A]
    return result


def _taken(pred_segments, pred_scores, pred_groups, gt_segments, gt_groups, thresholds) -> np.ndarray:
    """Which predictions an instance takes at each threshold, [N, Q] bool."""
    taken = np.zeros((len(pred_segments), len(thresholds)), dtype=bool)
    order = np.lexsort((-pred_scores, pred_groups))
    names = np.unique(gt_groups)
    bounds = [np.searchsorted(pred_groups[order], names, side) for side in ("left", "right")]
    for name, start, end in zip(names, *bounds, strict=True):
        rows = order[start:end]
        if not len(rows):
            continue
        overlaps = _overlap(gt_segments[gt_groups == name][:, None], pred_segments[rows])  # [J, 1, 2], [P, 2] -> [J, P]
        for level, threshold in enumerate(thresholds):
            free = np.ones(len(rows), dtype=bool)
            for overlap in overlaps:
                best = np.where(free, overlap, -1.0).argmax()
                if free[best] and overlap[best] > threshold:
                    free[best] = False
            taken[rows, level] = ~free
    return taken


def _overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """tIoU as the kit divides it: shared time by the time from the first start to the last end, 0 where none is shared.

    The same number as intersection over union but for the last bit, which a strict threshold can see.
    """
    shared = _shared(a, b)
    hull = np.maximum(a[..., 1], b[..., 1]) - np.minimum(a[..., 0], b[..., 0])
    return np.divide(shared, hull, out=np.zeros_like(shared), where=shared > 0)


def _shared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Time that segments a and b [..., 2] share; not above 0 where they share none."""
    return np.minimum(a[..., 1], b[..., 1]) - np.maximum(a[..., 0], b[..., 0])
