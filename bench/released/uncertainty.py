"""UM as released: sorted selections, and the selected features copied before their mean is taken."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.baselines import sort_then_mean
from bench.released.layers import normalized_labels
from wtal_fast.structures import FeatureBatch


class CASModule(nn.Module):
    """Embedded features [B, T, H] and class activations [B, T, C] of features [B, D, T]."""

    def __init__(self, feature_dim: int, hidden_dim: int, num_classes: int, dropout: float):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv1d(feature_dim, hidden_dim, 3, padding=1), nn.ReLU())
        self.classifier = nn.Sequential(nn.Conv1d(hidden_dim, num_classes, 1, bias=False))
        self.drop_out = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.conv(x)
        return features.permute(0, 2, 1), self.classifier(self.drop_out(features)).permute(0, 2, 1)


class UncertaintyModel(nn.Module):
    """forward(features [B, T, D]) -> action and background probabilities [B, C] and features [B, k, H], CAS."""

    def __init__(self, feature_dim: int, hidden_dim: int, num_classes: int, dropout: float, selection_dropout: float):
        super().__init__()
        self.cas_module = CASModule(feature_dim, hidden_dim, num_classes, dropout)
        self.selection = nn.Dropout(selection_dropout)

    def forward(self, features: Tensor):
        steps = features.shape[1]
        action_k, background_k = max(1, steps // 9), max(1, steps // 4)
        embedded, cas = self.cas_module(features.permute(0, 2, 1))
        magnitude = torch.norm(embedded, p=2, dim=2)  # [B, T]
        mask = self.selection(torch.ones_like(magnitude))
        opposite = magnitude.max(1, keepdim=True).values - magnitude
        action = (magnitude * mask).sort(1, descending=True).indices[:, :action_k]
        background = (opposite * mask).sort(1, descending=True).indices[:, :background_k]
        action_features = _gathered(embedded, action)  # [B, k_act, H]
        background_features = _gathered(embedded, background)  # [B, k_bkg, H]
        action_score = sort_then_mean(cas, action_k, 1).softmax(1)
        background_score = _gathered(cas, background).mean(1).softmax(1)
        return action_score, background_score, action_features, background_features, cas.softmax(2)


def _gathered(rows: Tensor, index: Tensor) -> Tensor:
    """rows [B, T, K] at index [B, k]: [B, k, K]."""
    return torch.gather(rows, 1, index.unsqueeze(2).expand(-1, -1, rows.shape[2]))


def loss(output, batch: FeatureBatch) -> Tensor:
    """Classification, feature magnitude (m = 100) and background entropy."""
    action, background, action_features, background_features, _ = output
    classification = F.binary_cross_entropy(action, normalized_labels(batch.labels))
    missing = torch.relu(100 - torch.norm(action_features.mean(1), p=2, dim=1))
    magnitude = ((missing + torch.norm(background_features.mean(1), p=2, dim=1)) ** 2).mean()
    uniform = torch.ones_like(background) / background.shape[1]
    return classification + 5e-4 * magnitude + F.binary_cross_entropy(background, uniform)
