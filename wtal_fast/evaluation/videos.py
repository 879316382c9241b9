"""Mean average precision of video-level class scores."""

from __future__ import annotations

import numpy as np

from wtal_fast.structures import Annotations, Proposals


def video_classification_map(labels: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """mAP in 0..1 and the average precision [C] of each class, NaN for a class without a positive video.

    labels [V, C] true or 1 where the video holds the class, scores [V, C]. For each class the videos go by falling
    score (equal ones: the lower index first); AP is the sum of the precision at each positive over their number, as
    W-TALC and SF-Net compute it. The mean is over the classes with a positive video.
    """
    labels, scores = np.asarray(labels) > 0, np.asarray(scores, dtype=np.float64)
    if labels.ndim != 2 or labels.shape != scores.shape:
        raise ValueError(f"video_classification_map: labels and scores must both be [V, C], got {list(labels.shape)} "
                         f"and {list(scores.shape)}")
    if not np.isfinite(scores).all():
        raise ValueError("video_classification_map: scores must be finite")
    if not labels.any():
        raise ValueError("video_classification_map: labels must hold at least one positive")
    order = np.argsort(-scores, axis=0, kind="stable")
    hit = np.take_along_axis(labels, order, axis=0)  # [V, C]
    precision = np.cumsum(hit, axis=0) / np.arange(1, len(hit) + 1)[:, None]
    positives = labels.sum(axis=0)
    found = np.where(hit, precision, 0.0).sum(axis=0)
    per_class = np.divide(found, positives, out=np.full(len(positives), np.nan), where=positives > 0)
    return float(np.nanmean(per_class)), per_class


def best_of_each_video(annotations: Annotations, found: Proposals) -> tuple[np.ndarray, np.ndarray]:
    """Labels [V, C] bool of the annotated videos and scores [V, C]: of a class's best detection in the video.

    Where a class has no detection in a video its score is one below the lowest of all. Videos and classes are matched
    by name; detections of others are left out.
    """
    shape = len(annotations.video_ids), len(annotations.class_names)
    labels = np.zeros(shape, dtype=bool)
    labels[annotations.video_index, annotations.classes] = True
    row_of = {video: row for row, video in enumerate(annotations.video_ids)}
    column_of = {name: column for column, name in enumerate(annotations.class_names)}
    rows = np.array([row_of.get(video, -1) for video in found.video_ids], dtype=np.int64)[found.video_index]
    columns = np.array([column_of.get(name, -1) for name in found.class_names], dtype=np.int64)[found.classes]
    known = (rows >= 0) & (columns >= 0)
    scores = np.full(shape, found.scores[known].min() - 1 if known.any() else 0.0)
    np.maximum.at(scores, (rows[known], columns[known]), found.scores[known])
    return labels, scores
