"""Average recall: how many instances the best-scored segments of each video cover, whatever their label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wtal_fast.evaluation.reference import paired_iou
from wtal_fast.structures import Annotations, Proposals


def average_recall(annotations: Annotations, proposals: Proposals, counts: Sequence[int] = (1, 5, 10, 50, 100),
                   tiou: Sequence[float] = tuple(np.linspace(0.5, 0.95, 10))) -> dict[int, float]:
    """Share of the instances covered by the n best proposals of their video, for each n of `counts`, mean over `tiou`.

    An instance is covered at a threshold where any of these proposals has tIoU >= it; labels are not compared, and one
    proposal may cover several. Equal scores: the lower index first. Videos are matched by name.
    """
    if not len(annotations):
        raise ValueError("average_recall: annotations must hold at least one instance")
    if not all(count >= 1 for count in counts):
        raise ValueError(f"average_recall: counts must be at least 1, got {tuple(counts)}")
    levels = np.asarray(tiou, dtype=np.float64)
    covered = np.zeros((len(counts), len(levels)))
    place_of = {video: index for index, video in enumerate(proposals.video_ids)}
    for video in np.unique(annotations.video_index):
        instances = annotations.segments[annotations.video_index == video]
        rows = np.flatnonzero(proposals.video_index == place_of.get(annotations.video_ids[video], -1))
        rows = rows[np.argsort(-proposals.scores[rows], kind="stable")]
        overlap = paired_iou(instances[:, None], proposals.segments[rows][None])  # [J, 1, 2], [1, N, 2] -> [J, N]
        best = np.maximum.accumulate(overlap, axis=1)  # [J, N] of the first n
        for place, count in enumerate(counts):
            reached = best[:, min(count, len(rows)) - 1] if len(rows) else np.zeros(len(instances))
            covered[place] += (reached[:, None] >= levels).sum(axis=0)
    return dict(zip(counts, (covered.mean(axis=1) / len(annotations)).tolist(), strict=True))
