"""A data set of THUMOS'14's size in memory: random features that are brighter inside actions."""

from __future__ import annotations

import numpy as np
import torch

from bench.cases_postprocessing import simulated_truth
from wtal_fast.config import DataConfig
from wtal_fast.data.clicks import simulate_background_clicks
from wtal_fast.data.dataset import Dataset
from wtal_fast.data.features import FeatureSet

SNIPPET_SECONDS = 0.64
SIZES = {"full": (200, 210, 2048), "quick": (40, 20, 256), "tiny": (6, 4, 16)}


def simulated_sets(size: str, config: DataConfig) -> tuple[Dataset, Dataset]:
    """(train, test): 200 and 210 videos of 60 to 500 s, 2,048 channels, 20 classes, background clicks on the first."""
    train, test, width = SIZES[size]
    return _simulated(train, width, 0, config), _simulated(test, width, 1, config)


def _simulated(videos: int, width: int, seed: int, config: DataConfig) -> Dataset:
    truth = simulated_truth(np.random.default_rng(seed), videos, 20)
    lengths = torch.from_numpy(np.ceil(truth.durations / SNIPPET_SECONDS)).long()
    starts = lengths.cumsum(0) - lengths
    draw = torch.Generator().manual_seed(seed)
    values = torch.randn(int(lengths.sum()), width, generator=draw).abs_().mul_(0.5)
    channels = width // 20
    for (begin, end), kind, video in zip(truth.segments, truth.classes, truth.video_index, strict=True):
        first = int(starts[video]) + int(begin / SNIPPET_SECONDS)
        last = min(int(starts[video]) + int(end / SNIPPET_SECONDS) + 1, int(starts[video] + lengths[video]))
        if channels:
            values[first:last, kind * channels : (kind + 1) * channels] += 0.5
    labels = torch.zeros(videos, 20)
    labels[truth.video_index, truth.classes] = 1
    clicks = simulate_background_clicks(truth, truth.durations) if config.click_kinds != "none" else None
    return Dataset(features=FeatureSet(values, starts, lengths), video_ids=truth.video_ids,
                   class_names=truth.class_names, durations=torch.from_numpy(truth.durations), frame_counts=lengths,
                   labels=labels, annotations=truth, clicks=clicks)
