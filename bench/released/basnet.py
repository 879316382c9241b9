"""BaS-Net as released: each branch runs all convolutions, scores are pooled by sorting everything."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.baselines import sort_then_mean
from bench.released.layers import SLOPE, FilterModule, normalized_labels
from wtal_fast.structures import FeatureBatch


class CASModule(nn.Module):
    """Class activations [B, T, C + 1] of features [B, D, T]."""

    def __init__(self, feature_dim: int, hidden_dim: int, outputs: int, dropout: float):
        super().__init__()
        self.conv_1 = nn.Sequential(nn.Conv1d(feature_dim, hidden_dim, 3, padding=1), nn.LeakyReLU(SLOPE))
        self.conv_2 = nn.Sequential(nn.Conv1d(hidden_dim, hidden_dim, 3, padding=1), nn.LeakyReLU(SLOPE))
        self.conv_3 = nn.Sequential(nn.Conv1d(hidden_dim, outputs, 1, bias=False))
        self.drop_out = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_3(self.drop_out(self.conv_2(self.conv_1(x)))).permute(0, 2, 1)


class BaSNet(nn.Module):
    """forward(features [B, T, D]) -> video probabilities and CAS of both branches, foreground [B, T]."""

    def __init__(self, feature_dim: int, hidden_dim: int, num_classes: int, filter_dim: int, dropout: float):
        super().__init__()
        self.filter_module = FilterModule(feature_dim, filter_dim)
        self.cas_module = CASModule(feature_dim, hidden_dim, num_classes + 1, dropout)

    def forward(self, features: Tensor):
        x = features.permute(0, 2, 1)  # [B, D, T]
        foreground = self.filter_module(x)  # [B, 1, T]
        k = max(1, features.shape[1] // 8)
        base, suppressed = self.cas_module(x), self.cas_module(x * foreground)
        scores = [sort_then_mean(cas, k, 1).softmax(1) for cas in (base, suppressed)]
        return *scores, base, suppressed, foreground.squeeze(1)


def loss(output, batch: FeatureBatch) -> Tensor:
    """Binary cross-entropy of both branches and the L1 norm of the foreground weights."""
    base, suppressed, _, _, foreground = output
    return (F.binary_cross_entropy(base, normalized_labels(batch.labels, 1.0))
            + F.binary_cross_entropy(suppressed, normalized_labels(batch.labels, 0.0))
            + 1e-4 * torch.norm(foreground, p=1, dim=1).mean())
