"""What a method must beat: random segments and one whole-video detection, both with the true labels."""

from __future__ import annotations

import numpy as np

from wtal_fast.structures import Annotations, Detections


def random_segments(annotations: Annotations, durations: np.ndarray, seed: int, per_video: int = 20) -> Detections:
    """`per_video` segments with random bounds, class and score in each video with instances, by seed.

    durations [V] seconds, one for each of annotations.video_ids. Bounds are two uniform draws over the video, scores
    come from 0..1 and classes from those that truly occur in the video: this baseline knows the labels, not the times.
    """
    durations = np.asarray(durations, dtype=np.float64)
    videos = len(annotations.video_ids)
    if durations.shape != (videos,) or not (durations > 0).all() or not np.isfinite(durations).all():
        raise ValueError(f"random_segments: durations must be {videos} positive numbers, got {durations}")
    if per_video < 1:
        raise ValueError(f"random_segments: per_video must be at least 1, got {per_video}")
    draw = np.random.default_rng(seed)
    pairs = np.unique(np.stack([annotations.video_index, annotations.classes], axis=1), axis=0)  # [P, 2]
    labelled, first, kinds = np.unique(pairs[:, 0], return_index=True, return_counts=True)
    video_index, count = np.repeat(labelled, per_video), len(labelled) * per_video
    bounds = np.sort(draw.random((count, 2)), axis=1) * durations[video_index, None]
    pick = np.floor(draw.random(count) * np.repeat(kinds, per_video)).astype(np.int64)
    classes = pairs[np.repeat(first, per_video) + pick, 1]
    return Detections(segments=bounds, scores=draw.random(count), classes=classes, video_index=video_index,
                      class_names=annotations.class_names, video_ids=annotations.video_ids)


def whole_video_oracle(annotations: Annotations, durations: np.ndarray | None = None) -> Detections:
    """One detection of the whole video, score 1, for each class that truly occurs in it.

    durations [V] seconds; None: those of `annotations`. A video whose duration is unknown (NaN) ends with its last
    instance.
    """
    durations = np.array(annotations.durations if durations is None else durations, dtype=np.float64)
    if durations.shape != (len(annotations.video_ids),):
        raise ValueError(f"whole_video_oracle: durations must be [{len(annotations.video_ids)}], one a video, "
                         f"got {list(durations.shape)}")
    last_end = np.zeros(len(durations))
    np.maximum.at(last_end, annotations.video_index, annotations.segments[:, 1])
    durations = np.where(np.isnan(durations), last_end, durations)
    pairs = np.unique(np.stack([annotations.video_index, annotations.classes], axis=1), axis=0)  # [P, 2]
    video_index, classes = pairs[:, 0], pairs[:, 1]
    segments = np.stack([np.zeros(len(pairs)), durations[video_index]], axis=1)
    return Detections(segments=segments, scores=np.ones(len(pairs)), classes=classes, video_index=video_index,
                      class_names=annotations.class_names, video_ids=annotations.video_ids)
