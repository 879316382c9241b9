"""Simulated features of any size, for benchmarks and trials: what they hold is stated, nothing of it is real."""

from __future__ import annotations

import numpy as np

from wtal_fast.config import DataConfig
from wtal_fast.data.dataset import Dataset, from_arrays
from wtal_fast.data.training_clicks import training_clicks
from wtal_fast.structures import Annotations


def simulate_features(num_videos: int = 200, num_classes: int = 20, feature_dim: int = 2048, mean_length: int = 320,
                      seed: int = 0, *, instances: float = 15.0, action_snippets: float = 7.0, context: float = 0.6,
                      contrast: float = 6.0, extra_label: float = 0.15, subset: str = "train",
                      config: DataConfig | None = None) -> Dataset:
    """A Dataset shaped like THUMOS'14 I3D features, by default in the number and length of videos and instances.

    A snippet is standard normal noise plus a scene, a random direction of its video. Inside an instance the prototype
    of its class is added; for one instance length on both sides of it the class's context direction, scaled by
    `context`: like a diving board around a dive, it hints at the class without being the action. Directions are random;
    prototypes and contexts have length `contrast` (in standard deviations of the noise along them), scenes a quarter of
    it. Every video has one class, and a second one with probability extra_label.

    mean_length: snippets, lengths are log-normal as those of THUMOS'14 (factor e^0.8 at one sigma), at least 8.
    instances: mean number in a video of mean_length; action_snippets: their mean length (exponential, at least 1).
    subset "train" and any other share prototypes for equal seeds but not videos. Equal arguments give equal data.
    """
    config = config or DataConfig()
    directions = np.random.default_rng([seed, 0])
    prototypes, contexts = (_directions(directions, num_classes, feature_dim, contrast) for _ in range(2))
    random = np.random.default_rng([seed, 1 if subset == "train" else 2])
    lengths = np.maximum(8, np.round(mean_length * np.exp(random.normal(-0.32, 0.8, num_videos)))).astype(int)
    ids = tuple(f"simulated_{subset}_{number:05d}" for number in range(num_videos))
    features, rows = [], []
    for video, length in enumerate(lengths):
        classes = [video % num_classes]
        if num_classes > 1 and random.random() < extra_label:
            classes.append(int((classes[0] + random.integers(1, num_classes)) % num_classes))
        array = random.standard_normal((length, feature_dim), dtype=np.float32)
        array += _directions(random, 1, feature_dim, contrast / 4)
        count = max(len(classes), random.poisson(instances * length / mean_length))
        for start, end, number in _instances(random, length, count, action_snippets, classes):
            array[start:end] += prototypes[number]
            margin = end - start
            for low, high in ((max(0, start - margin), start), (end, min(length, end + margin))):
                array[low:high] += context * contexts[number]
            rows.append((start, end, number, video))
        features.append(array)
    snippet_seconds = config.snippet_stride / config.fps
    durations = lengths * snippet_seconds
    annotations = Annotations(
        segments=np.array([row[:2] for row in rows]) * snippet_seconds, classes=np.array([row[2] for row in rows]),
        video_index=np.array([row[3] for row in rows]), subsets=(subset,) * num_videos, video_ids=ids,
        class_names=tuple(f"class_{number:02d}" for number in range(num_classes)), durations=durations,
        fps=np.full(num_videos, float(config.fps)))
    clicks = training_clicks(config, annotations, durations) if subset == "train" else None
    return from_arrays(features, annotations=annotations, clicks=clicks, video_ids=ids, durations=durations,
                       config=config)


def _directions(random: np.random.Generator, count: int, feature_dim: int, norm: float) -> np.ndarray:
    vectors = random.standard_normal((count, feature_dim))
    return (vectors * (norm / np.linalg.norm(vectors, axis=1, keepdims=True))).astype(np.float32)


def _instances(random: np.random.Generator, length: int, count: int, mean: float, classes: list[int]):
    """Up to `count` disjoint (start, end, class) in 0..length snippets, at least one of each class, in order of time.

    The video is cut into `count` equal slots; an instance lies anywhere in its slot, with one free snippet after it
    where the slot has room.
    """
    count = min(count, length)
    edges = np.arange(count + 1) * length // count
    numbers = [classes[i % len(classes)] if i < len(classes) else int(random.choice(classes)) for i in range(count)]
    numbers = random.permutation(numbers).tolist()
    found = []
    for low, high, number in zip(edges[:-1].tolist(), edges[1:].tolist(), numbers, strict=True):
        room = max(1, high - low - 1)
        size = min(room, max(1, round(random.exponential(mean))))
        start = low + int(random.integers(room - size + 1))
        found.append((start, start + size, number))
    return found
