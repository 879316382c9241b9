"""Measures on single snippets: is background told from action, do the strongest snippets lie in the action."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from wtal_fast.structures import Annotations, Proposals


def background_f1(annotations: Annotations, background: Mapping[str, np.ndarray], snippet_seconds: float) -> float:
    """F-measure of background snippets over all videos of `background` together, in 0..1.

    background: for each video [T] true where a snippet is called background. A snippet is action where its middle lies
    in an instance of any class; snippet i spans [i, i + 1) * snippet_seconds. Precision and recall are those of
    background; 0 where no background snippet is found. The BaS-Net paper reports such a number without its threshold:
    say with yours how `background` was made.
    """
    found = called = present = 0
    for video, values in background.items():
        said = np.asarray(values) > 0
        if said.ndim != 1:
            raise ValueError(f"background_f1: background of {video!r} must be [T], got {list(said.shape)}")
        true = ~_inside(annotations, video, None, len(said), snippet_seconds)
        found, called, present = found + (said & true).sum(), called + said.sum(), present + true.sum()
    return float(2 * found / (called + present)) if called + present else 0.0


def outside_detections(annotations: Annotations, found: Proposals, snippet_seconds: float) -> dict[str, np.ndarray]:
    """For each annotated video [T]: which snippets have their middle in no detection.

    T = duration / snippet_seconds, rounded down, at least 1; durations must be known. Detections count whatever their
    score and class.
    """
    number_of = {video: number for number, video in enumerate(found.video_ids)}
    result = {}
    for video, duration in zip(annotations.video_ids, annotations.durations, strict=True):
        middle = (np.arange(max(1, int(duration // snippet_seconds))) + 0.5)[:, None] * snippet_seconds  # [T, 1]
        start, end = found.segments[found.video_index == number_of.get(video, -1)].T  # [N]
        result[video] = ~((middle >= start) & (middle < end)).any(axis=1)
    return result


def topk_in_action(annotations: Annotations, scores: Mapping[str, np.ndarray], snippet_seconds: float,
                   divisor: int = 8) -> float:
    """Mean share of the T // divisor (at least 1) strongest snippets of a class that lie in its instances, in 0..1.

    scores: for each video [T, C], classes as in annotations.class_names. The mean is over the pairs of a video and a
    class that occurs in it; equal scores go to the lower index. A snippet lies in an instance where its middle does.
    """
    shares = []
    for video, values in scores.items():
        values = np.asarray(values, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != len(annotations.class_names) or not len(values):
            raise ValueError(f"topk_in_action: scores of {video!r} must be [T, {len(annotations.class_names)}] with "
                             f"T >= 1, got {list(values.shape)}")
        k = max(1, len(values) // divisor)
        for label in np.unique(annotations.classes[annotations.video_index == _number(annotations, video)]):
            best = np.argsort(-values[:, label], kind="stable")[:k]
            shares.append(_inside(annotations, video, label, len(values), snippet_seconds)[best].mean())
    if not shares:
        raise ValueError("topk_in_action: no video of scores holds an instance")
    return float(np.mean(shares))


def _number(annotations: Annotations, video: str) -> int:
    if video not in annotations.video_ids:
        raise ValueError(f"video {video!r} is not annotated")
    return annotations.video_ids.index(video)


def _inside(annotations: Annotations, video: str, label: int | None, count: int, snippet_seconds: float) -> np.ndarray:
    """Which of `count` snippets have their middle in an instance of the class (None: of any), [count] bool."""
    if not snippet_seconds > 0:
        raise ValueError(f"snippet_seconds must be positive, got {snippet_seconds}")
    rows = annotations.video_index == _number(annotations, video)
    if label is not None:
        rows &= annotations.classes == label
    middle = (np.arange(count) + 0.5)[:, None] * snippet_seconds  # [T, 1]
    start, end = annotations.segments[rows].T  # [M]
    return ((middle >= start) & (middle < end)).any(axis=1)
