"""From a trained model and a data set to detections and their mAP."""

from __future__ import annotations

from dataclasses import replace

import torch

from wtal_fast.config import Config
from wtal_fast.data.dataset import Dataset
from wtal_fast.engine.precision import autocast, matrix_mode
from wtal_fast.engine.progress import progress
from wtal_fast.evaluation import DetectionMetrics, detection_map
from wtal_fast.localization import localize
from wtal_fast.structures import Detections, FeatureBatch, join_detections

VIDEOS_PER_BATCH = 16


def given_lengths(batch: FeatureBatch) -> torch.Tensor | None:
    """The lengths of a batch, or None where no row is padded: models then skip the masking."""
    return None if bool((batch.lengths == batch.features.shape[1]).all()) else batch.lengths


@torch.no_grad()
def detect(model: torch.nn.Module, dataset: Dataset, config: Config, device="cpu", show: bool = False) -> Detections:
    """The detections of every video of `dataset`, in its order."""
    device, was_training = torch.device(device), model.training
    model.eval()
    parts = []
    with progress("localize", len(dataset), show) as bar:
        for start in range(0, len(dataset), VIDEOS_PER_BATCH):
            index = torch.arange(start, min(start + VIDEOS_PER_BATCH, len(dataset)))
            batch = dataset.batch(index, config.data.num_snippets, config.data.test_sampling, resize=config.data.resize)
            batch = batch.to(device)
            with autocast(device, config.train.precision), matrix_mode(config.train.precision):
                output = model(batch.features, given_lengths(batch))
            parts.append(localize(output, batch, config.localization, dataset.class_names))
            bar.update(int(index[-1]) + 1)
    model.train(was_training)
    found = join_detections(parts)
    if dataset.starts is None:
        return found
    starts = dataset.starts.cpu().numpy()[found.video_index]
    return replace(found, segments=found.segments + starts[:, None])


def score(detections: Detections, dataset: Dataset, config: Config, subset: str) -> DetectionMetrics:
    """mAP of the detections against the annotated instances of the same videos."""
    rules = config.evaluation
    return detection_map(dataset.annotations, detections, rules.tiou, rules.protocol, subset=subset)
