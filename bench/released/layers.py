"""What the released networks share, on [B, channels, T]."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SLOPE = 0.01


class FilterModule(nn.Module):
    """Foreground weight [B, 1, T] of features [B, D, T]."""

    def __init__(self, feature_dim: int, filter_dim: int):
        super().__init__()
        self.conv_1 = nn.Sequential(nn.Conv1d(feature_dim, filter_dim, 1), nn.LeakyReLU(SLOPE))
        self.conv_2 = nn.Sequential(nn.Conv1d(filter_dim, 1, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_2(self.conv_1(x))


def normalized_labels(labels: Tensor, *background: float) -> Tensor:
    """Labels [B, C], with a column of `background` where given, divided by their sum."""
    columns = [labels.new_full((len(labels), 1), value) for value in background]
    labels = torch.cat([labels, *columns], 1)
    return labels / labels.sum(1, keepdim=True)
