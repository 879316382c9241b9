"""What the losses share: video classification from pooled scores, and the counts that batch means divide by."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from wtal_fast.structures import NO_CLICK, BatchTotals, FeatureBatch

LOG_FLOOR = -100.0  # lower bound of a logarithm, that of PyTorch's binary cross-entropy
ClassLoss = Literal["bce", "ce"]


def single_precision(tensor: Tensor) -> Tensor:
    """float64 as it is, anything narrower as float32: sums over classes and time need it."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def bounded_log(probability: Tensor) -> Tensor:
    """log p, at least -100; no gradient where it is bounded."""
    positive = probability > 0
    return torch.where(positive, torch.where(positive, probability, 1).log(), LOG_FLOOR).clamp_min(LOG_FLOOR)


def batch_totals(batch: FeatureBatch) -> BatchTotals:
    """Videos, clicks and videos with a background click that means divide by: those of the whole optimizer batch where
    this is a share of it, else of this batch (0-dim tensors, which need no read from the device); at least 1."""
    if batch.totals is not None:
        return BatchTotals(*map(_at_least_one, vars(batch.totals).values()))
    videos = max(1, len(batch.features))
    if batch.clicks is None:
        return BatchTotals(videos, 1, 1)
    background = batch.clicks == required_labels(batch).shape[1]
    return BatchTotals(videos, (batch.clicks != NO_CLICK).sum().clamp_min(1), background.any(1).sum().clamp_min(1))


def _at_least_one(count: int | Tensor) -> int | Tensor:
    return count.clamp_min(1) if isinstance(count, Tensor) else max(1, count)


def required_labels(batch: FeatureBatch) -> Tensor:
    """Video labels [B, C]; ValueError where the batch has none."""
    if batch.labels is None:
        raise ValueError("loss: batch.labels must be [B, C] multi-hot, got None")
    return batch.labels


def with_background(labels: Tensor, present: bool) -> Tensor:
    """[B, C + 1]: labels and, last, whether the background class counts as present."""
    return torch.cat([labels, labels.new_full((len(labels), 1), float(present))], 1)


def class_loss(logits: Tensor, labels: Tensor, videos: int, form: ClassLoss, normalize_labels: bool) -> Tensor:
    """Classification loss of video scores: softmax over the K columns of logits [B, K] against labels [B, K].

    "ce": sum_c -y_c log p_c, mean over `videos`. "bce": -y log p - (1 - y) log(1 - p), mean over `videos` and K.
    normalize_labels: labels divided by their sum first.
    """
    logits = single_precision(logits)
    labels = labels.to(logits.dtype)
    if normalize_labels:
        labels = labels / (labels.sum(1, keepdim=True) + 1e-10)
    if form == "ce":
        return -(labels * logits.log_softmax(1)).sum() / videos
    probability = logits.softmax(1)
    terms = labels * bounded_log(probability) + (1 - labels) * bounded_log(1 - probability)
    return -terms.sum() / (videos * logits.shape[1])


def weighted_total(terms: dict[str, Tensor], weights: dict[str, float]) -> dict[str, Tensor]:
    """The terms and, under "total", their weighted sum."""
    return {**terms, "total": sum(weights[name] * term for name, term in terms.items())}


def check_choice(loss: str, name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises ValueError where `value` is none of `choices`."""
    if value not in choices:
        raise ValueError(f"{loss}: {name} must be one of {choices}, got {value!r}")
