"""Ground truth and detections for tests, and real ones of the reference folder."""

from __future__ import annotations

import random

import numpy as np

from wtal_fast.structures import Annotations, Detections


def annotations(rows, video_ids=None, class_names=None, subset="test", durations=None) -> Annotations:
    """rows: (video, label, start, end)."""
    video_ids = tuple(video_ids or sorted({row[0] for row in rows}))
    class_names = tuple(class_names or sorted({row[1] for row in rows}))
    durations = np.full(len(video_ids), np.nan) if durations is None else np.asarray(durations, dtype=np.float64)
    return Annotations(
        segments=np.asarray([row[2:] for row in rows], dtype=np.float64).reshape(-1, 2),
        classes=np.asarray([class_names.index(row[1]) for row in rows], dtype=np.int64),
        video_index=np.asarray([video_ids.index(row[0]) for row in rows], dtype=np.int64),
        class_names=class_names, video_ids=video_ids, subsets=(subset,) * len(video_ids), durations=durations,
        fps=np.full(len(video_ids), np.nan))


def detections(rows, video_ids=None, class_names=None) -> Detections:
    """rows: (video, label, score, start, end)."""
    video_ids = tuple(video_ids or sorted({row[0] for row in rows}))
    class_names = tuple(class_names or sorted({row[1] for row in rows}))
    return Detections(
        segments=np.asarray([row[3:] for row in rows], dtype=np.float64).reshape(-1, 2),
        scores=np.asarray([row[2] for row in rows], dtype=np.float64),
        classes=np.asarray([class_names.index(row[1]) for row in rows], dtype=np.int64),
        video_index=np.asarray([video_ids.index(row[0]) for row in rows], dtype=np.int64),
        class_names=class_names, video_ids=video_ids)


def random_arrays(draw: random.Random):
    """Arguments of average_precision with few distinct times and scores: ties, duplicates, empty segments."""

    def segments(count):
        return np.asarray([sorted(draw.randint(0, 8) / 2 for _ in range(2)) for _ in range(count)]).reshape(-1, 2)

    classes, videos = draw.randint(1, 3), draw.randint(1, 3)
    preds, instances = draw.randint(0, 12), draw.randint(0, 8)
    scores = np.asarray([draw.randint(0, 5) / 4 for _ in range(preds)], dtype=np.float64)
    groups = [np.asarray([draw.randrange(videos * classes) for _ in range(count)], dtype=np.int64)
              for count in (preds, instances)]
    levels = np.asarray(draw.sample([0.1, 0.2, 0.25, 0.3, 1 / 3, 0.5, 0.6, 0.75, 0.9, 1.0], draw.randint(1, 6)))
    return segments(preds), scores, groups[0], segments(instances), groups[1], classes, levels
