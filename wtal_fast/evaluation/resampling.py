"""How certain an mAP is, and which videos make it: confidence intervals over videos, scores of single videos."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wtal_fast.evaluation.detection import WITH_AMBIGUOUS, detection_map
from wtal_fast.evaluation.thumos14 import split_ambiguous
from wtal_fast.structures import Annotations, Detections


@dataclass(frozen=True)
class Interval:
    """Bounds of the mean average precision at each tIoU [Q] and of their mean, in 0..1, and what they rest on."""

    protocol: str
    confidence: float
    samples: int
    low: tuple[float, ...]
    high: tuple[float, ...]
    average_low: float
    average_high: float


def bootstrap(annotations: Annotations, detections: Detections, tiou: Sequence[float], protocol: str = "activitynet",
              samples: int = 1000, confidence: float = 0.95, seed: int = 0,
              ambiguous: Mapping[str, np.ndarray] | None = None) -> Interval:
    """Percentile interval of the mAP over sets of as many videos drawn with replacement.

    It says how far the number depends on which videos the set happens to hold, not on the seed of a training. A drawn
    set is scored over the classes it holds; detections of videos that are not annotated are left out. Sets without
    instances are drawn again. The same seed gives the same interval.
    """
    if samples < 1 or not 0 < confidence < 1:
        raise ValueError(f"bootstrap: samples must be at least 1 and confidence in (0, 1), got {samples}, {confidence}")
    annotations, ambiguous = _without_ambiguous(annotations, protocol, ambiguous)
    draw, count = np.random.default_rng(seed), len(annotations.video_ids)
    if not len(annotations):
        raise ValueError("bootstrap: annotations must hold at least one instance")
    maps: list[tuple[float, ...]] = []
    while len(maps) < samples:
        chosen = draw.integers(0, count, count)
        if np.isin(annotations.video_index, chosen).any():
            maps.append(_score(annotations, detections, chosen, tiou, protocol, ambiguous))
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(maps, [tail, 100 - tail], axis=0)
    average_low, average_high = np.percentile(np.mean(maps, axis=1), [tail, 100 - tail])
    return Interval(protocol, confidence, samples, tuple(low.tolist()), tuple(high.tolist()), float(average_low),
                    float(average_high))


def per_video(annotations: Annotations, detections: Detections, tiou: Sequence[float], protocol: str = "activitynet",
              ambiguous: Mapping[str, np.ndarray] | None = None) -> dict[str, tuple[float, ...]]:
    """The mAP [Q] of each video with instances as if it were the whole set: the mean over the classes it holds."""
    annotations, ambiguous = _without_ambiguous(annotations, protocol, ambiguous)
    return {annotations.video_ids[video]: _score(annotations, detections, np.array([video]), tiou, protocol, ambiguous)
            for video in np.unique(annotations.video_index)}


def _without_ambiguous(annotations: Annotations, protocol: str, ambiguous: Mapping[str, np.ndarray] | None):
    """Instances labelled "Ambiguous" moved to the stretches, so that a video that holds nothing else is known."""
    return split_ambiguous(annotations, ambiguous or {}) if protocol in WITH_AMBIGUOUS else (annotations, ambiguous)


def _score(annotations: Annotations, detections: Detections, chosen: np.ndarray, tiou: Sequence[float], protocol: str,
           ambiguous: Mapping[str, np.ndarray] | None) -> tuple[float, ...]:
    """mAP [Q] of the videos `chosen` (indices, any of them several times), each time as a video of its own."""
    names = tuple(f"{place:08d}" for place in range(len(chosen)))
    here = [annotations.video_ids[video] for video in chosen]
    place_of = {video: index for index, video in enumerate(detections.video_ids)}
    found = np.array([place_of.get(video, -1) for video in here], dtype=np.int64)
    gt_rows, gt_videos = _rows(annotations.video_index, chosen)
    rows, videos = _rows(detections.video_index, found)
    truth = replace(annotations, segments=annotations.segments[gt_rows], classes=annotations.classes[gt_rows],
                    video_index=gt_videos, video_ids=names, fps=annotations.fps[chosen],
                    subsets=tuple(annotations.subsets[video] for video in chosen),
                    durations=annotations.durations[chosen])
    drawn = replace(detections.take(rows), video_index=videos, video_ids=names)
    if ambiguous is not None:
        ambiguous = {name: ambiguous[video] for name, video in zip(names, here, strict=True) if video in ambiguous}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "ignored .* labels without ground truth")
        return detection_map(truth, drawn, tiou, protocol, ambiguous=ambiguous).map


def _rows(video_index: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the videos `chosen` in their order, and the place in `chosen` each belongs to."""
    order = np.argsort(video_index, kind="stable")
    start, end = (np.searchsorted(video_index[order], chosen, side) for side in ("left", "right"))
    counts = end - start
    places = np.repeat(np.arange(len(chosen)), counts)
    inside = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return order[np.repeat(start, counts) + inside], places
