"""The network of BackTAL as released: both branches unfold their input and tile the affinities."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.released.layers import SLOPE, FilterModule


def similarity(embedding: Tensor) -> Tensor:
    """Cosine of each embedding [B, E, T] with its left neighbour, itself and its right one, [B, 3, T]; 0 outside."""
    edge = torch.zeros_like(embedding[:, :, :1])
    left = torch.cat([edge, embedding[:, :, :-1]], 2)
    right = torch.cat([embedding[:, :, 1:], edge], 2)
    return torch.stack([F.cosine_similarity(embedding, other, dim=1) for other in (left, embedding, right)], 1)


class AttentionConv1d(nn.Module):
    """Convolution [B, Cin, T] -> [B, Cout, T] of three taps, its unfolded input multiplied with tiled similarities."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.weight = nn.Conv1d(in_channels, out_channels, 3, bias=False).weight

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return attention_conv1d(x, similarity(embedding), self.weight)


def attention_conv1d(x: Tensor, affinity: Tensor, weight: Tensor) -> Tensor:
    """x [B, Cin, T], affinity [B, 3, T], weight [Cout, Cin, 3] -> [B, Cout, T]."""
    columns = F.unfold(x.unsqueeze(3), (3, 1), padding=(1, 0))  # [B, 3 * Cin, T], the taps of a channel together
    tiled = torch.cat([affinity[:, i : i + 1].repeat(1, x.shape[1], 1) for i in range(3)], 1)  # block by block
    # The product as a 1x1 convolution: on CPUs the fastest of PyTorch's spellings of it, forward and backward.
    return F.conv1d(columns * tiled, weight.flatten(1).unsqueeze(2))


class BaseModule(nn.Module):
    """Hidden features of both layers, [B, H, T] each."""

    def __init__(self, feature_dim: int, hidden_dim: int, dropout: float):
        super().__init__()
        self.conv_1 = AttentionConv1d(feature_dim, hidden_dim)
        self.conv_2 = AttentionConv1d(hidden_dim, hidden_dim)
        self.drop_out = nn.Dropout(dropout)

    def forward(self, x: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        first = F.leaky_relu(self.conv_1(x, embedding), SLOPE)
        return first, self.drop_out(F.leaky_relu(self.conv_2(first, embedding), SLOPE))


class EmbeddingModule(nn.Module):
    """Unit vectors [B, E, T]."""

    def __init__(self, feature_dim: int, hidden_dim: int, embedding_dim: int):
        super().__init__()
        self.conv_1 = nn.Conv1d(feature_dim, hidden_dim, 3, padding=1)
        self.conv_2 = nn.Conv1d(hidden_dim, embedding_dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.conv_2(F.leaky_relu(self.conv_1(x), SLOPE)), dim=1)


class ClassifierModule(nn.Module):
    """Class activations [B, C + 1, T]."""

    def __init__(self, hidden_dim: int, outputs: int):
        super().__init__()
        self.conv = nn.Conv1d(hidden_dim, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class BackTAL(nn.Module):
    """forward(features [B, T, D]) -> (video logits, CAS [B, C + 1, T]) of both branches, foreground, embedding."""

    def __init__(self, feature_dim: int, hidden_dim: int, num_classes: int, filter_dim: int, embedding_hidden_dim: int,
                 embedding_dim: int, dropout: float):
        super().__init__()
        self.filter_module = FilterModule(feature_dim, filter_dim)
        self.base_module = BaseModule(feature_dim, hidden_dim, dropout)
        self.classifier_module = ClassifierModule(hidden_dim, num_classes + 1)
        self.embedding_module = EmbeddingModule(feature_dim, embedding_hidden_dim, embedding_dim)

    def forward(self, features: Tensor):
        x = features.permute(0, 2, 1).contiguous()  # [B, D, T], as the released data sets store it
        foreground = self.filter_module(x)  # [B, 1, T]
        embedding = self.embedding_module(x)
        k = int(x.shape[2] * 0.125)
        branches = []
        for branch in (x, x * foreground):
            cas = self.classifier_module(self.base_module(branch, embedding)[1])
            branches.append((torch.topk(cas, k, dim=2).values.mean(2), cas))
        return *branches, foreground.squeeze(1), embedding
