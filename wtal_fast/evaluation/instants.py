"""Mean average precision of instants: single moments scored against instances, as SF-Net's frame mAP."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wtal_fast.evaluation.reference import interpolated_area
from wtal_fast.structures import Annotations, Detections


def frame_map(annotations: Annotations, detections: Detections,
              distances: Sequence[float] = (0.25, 0.5, 0.75, 1.0)) -> tuple[tuple[float, ...], np.ndarray]:
    """mAP at each distance [R] and the average precision [R, C] over the classes with instances, sorted by name.

    The instant of a detection is the middle of its segment: give start = end for a single moment. Its distance to an
    instance is |instant - middle| / half the length, 0 at the middle and 1 at the bounds. By falling score (equal ones:
    the lower index) each detection claims the unclaimed instance of its video and class that is nearest (equal ones:
    the lower index) if that is not farther than the threshold. Precision is interpolated as in detection_map. Instances
    without length cannot be found.
    """
    if not len(annotations):
        raise ValueError("frame_map: annotations must hold at least one instance")
    levels = np.asarray(distances, dtype=np.float64)
    if not np.isfinite(detections.scores).all() or not (levels > 0).all():
        raise ValueError("frame_map: scores must be finite and distances positive")
    labels = sorted({annotations.class_names[label] for label in annotations.classes})
    instants = detections.segments.mean(axis=1)
    video_of = {name: index for index, name in enumerate(annotations.video_ids)}
    per_class = np.zeros((len(levels), len(labels)))
    for place, label in enumerate(labels):
        truth = np.flatnonzero(annotations.classes == annotations.class_names.index(label))
        number = detections.class_names.index(label) if label in detections.class_names else -1
        rows = np.flatnonzero(detections.classes == number)
        rows = rows[np.argsort(-detections.scores[rows], kind="stable")]
        if not len(rows):
            continue
        videos = [video_of.get(detections.video_ids[index], -1) for index in detections.video_index[rows]]
        hit = _claims(instants[rows], videos, annotations.segments[truth], annotations.video_index[truth], levels)
        per_class[:, place] = interpolated_area(hit, len(truth))
    return tuple(per_class.mean(axis=1).tolist()), per_class


def _claims(instants: np.ndarray, videos: list[int], segments: np.ndarray, gt_videos: np.ndarray,
            levels: np.ndarray) -> np.ndarray:
    """Which instants [P], best first, claim an instance at each level, [P, R] bool."""
    half = (segments[:, 1] - segments[:, 0]) / 2
    free = np.repeat((half > 0)[:, None], len(levels), axis=1)  # [J, R]
    hit = np.zeros((len(instants), len(levels)), dtype=bool)
    for row, (instant, video) in enumerate(zip(instants, videos, strict=True)):
        here = np.flatnonzero((gt_videos == video) & (half > 0))
        if not len(here):
            continue
        distance = np.abs(instant - segments[here].mean(axis=1)) / half[here]
        nearest = np.where(free[here], distance[:, None], np.inf)  # [J, R]
        best = nearest.argmin(axis=0)
        hit[row] = nearest.min(axis=0) <= levels
        free[here[best[hit[row]]], hit[row]] = False
    return hit
