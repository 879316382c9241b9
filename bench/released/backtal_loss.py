"""The loss of BackTAL as released: Python loops over videos, classes and selected snippets, one host read each."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.released.layers import normalized_labels
from wtal_fast.structures import NO_CLICK, FeatureBatch

TAU_SAME, TAU_DIFFERENT = 0.5, 0.1


def loss(output, batch: FeatureBatch) -> Tensor:
    """All terms of the THUMOS'14 settings."""
    (base_score, base_cas), (suppressed_score, suppressed_cas), foreground, embedding = output
    classification = sum(
        -(normalized_labels(batch.labels, present) * score.log_softmax(1)).sum(1).mean()
        for present, score in ((1.0, base_score), (0.0, suppressed_score)))
    norm = torch.norm(foreground, p=1, dim=1).mean()
    frame = F.cross_entropy(base_cas, batch.clicks, ignore_index=NO_CLICK)
    separation = _separation(base_score, base_cas, batch)
    affinity = _affinity(suppressed_cas, embedding, batch)
    return classification + 1e-4 * norm + frame + separation + 0.8 * affinity


def _clicked(batch: FeatureBatch, video: int) -> list[int]:
    """Positions clicked as background."""
    background = batch.labels.shape[1]
    return [position.item() for position in torch.nonzero(batch.clicks[video] == background).squeeze(1)]


def _classes(batch: FeatureBatch, video: int) -> list[int]:
    return [label.item() for label in torch.nonzero(batch.labels[video]).squeeze(1)]


def _separation(score: Tensor, cas: Tensor, batch: FeatureBatch) -> Tensor:
    """Video scores of the true classes against their mean activation at clicks."""
    videos = []
    for video in range(len(score)):
        clicks = _clicked(batch, video)
        if not clicks:
            continue
        terms = []
        for label in _classes(batch, video):
            background = torch.stack([cas[video, label, position] for position in clicks]).mean()
            pair = torch.stack([score[video, label], background])
            terms.append(-F.log_softmax(pair, 0)[0])
        videos.append(torch.stack(terms).mean())
    return torch.stack(videos).mean()


def _affinity(cas: Tensor, embedding: Tensor, batch: FeatureBatch) -> Tensor:
    """How far the hardest pairs of action and background embeddings miss the thresholds."""
    k = int(cas.shape[2] * 0.125)
    videos = []
    for video in range(len(cas)):
        clicks = _clicked(batch, video)
        if not clicks:
            continue
        chosen = []
        for label in _classes(batch, video):
            positions = torch.topk(cas[video, label], k).indices
            chosen += [embedding[video, :, position.item()] for position in positions]
        action = torch.stack(chosen)  # [N, E]
        background = torch.stack([embedding[video, :, position] for position in clicks])  # [M, E]
        videos.append(_pairs(action, background))
    return torch.stack(videos).mean()


def _pairs(action: Tensor, background: Tensor) -> Tensor:
    between = _cosines(action, background)
    return (torch.relu(TAU_SAME - _cosines(background, background).min(1).values).mean()
            + torch.relu(TAU_SAME - _cosines(action, action).min(1).values).mean()
            + torch.relu(between.max(1).values - TAU_DIFFERENT).mean()
            + torch.relu(between.max(0).values - TAU_DIFFERENT).mean())


def _cosines(left: Tensor, right: Tensor) -> Tensor:
    """[N, M] of every pair."""
    return F.cosine_similarity(left.unsqueeze(1), right.unsqueeze(0), dim=2)
