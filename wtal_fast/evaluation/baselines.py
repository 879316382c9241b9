"""What a method must beat: random segments, and one whole-video detection with the true label."""

from __future__ import annotations

import numpy as np

from wtal_fast.structures import Annotations, Detections


def random_segments(annotations: Annotations, durations: np.ndarray, seed: int, per_video: int = 20) -> Detections:
    """`per_video` segments in each annotated video with random bounds, class and score, the same for the same seed.

    durations [V] seconds, one for each of annotations.video_ids. Bounds are two uniform draws over the video, classes
    are drawn from those that occur in `annotations`, scores from 0..1.
    """
    durations = np.asarray(durations, dtype=np.float64)
    videos = len(annotations.video_ids)
    if durations.shape != (videos,) or not (durations > 0).all() or not np.isfinite(durations).all():
        raise ValueError(f"random_segments: durations must be {videos} positive numbers, got {durations}")
    if per_video < 1:
        raise ValueError(f"random_segments: per_video must be at least 1, got {per_video}")
    draw = np.random.default_rng(seed)
    count = videos * per_video
    video_index = np.repeat(np.arange(videos), per_video)
    bounds = np.sort(draw.random((count, 2)), axis=1) * durations[video_index, None]
    present = np.unique(annotations.classes)
    classes = draw.choice(present, count) if len(present) else np.zeros(0, dtype=np.int64)
    if not len(present):
        bounds, video_index, count = bounds[:0], video_index[:0], 0
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
