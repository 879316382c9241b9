"""What the ops are compared with, restated in stock PyTorch: its fastest spelling, and what released code does."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def topk_then_mean(scores: Tensor, k: int, dim: int) -> Tensor:
    """The mean of the k largest through torch.topk, which need not sort them."""
    return scores.topk(k, dim, sorted=False).values.mean(dim)


def sort_then_mean(scores: Tensor, k: int, dim: int) -> Tensor:
    """The mean of the k largest as the released BaS-Net computes it: sort everything, keep the first k."""
    return scores.sort(dim, descending=True).values.narrow(dim, 0, k).mean(dim)


def sort_then_gather(features: Tensor, keys: Tensor, k: int) -> Tensor:
    """Mean feature [B, D] of the k largest keys [B, T] as the released UM computes it: sort, copy the rows, average."""
    index = keys.sort(1, descending=True).indices[:, :k]
    return features.gather(1, index.unsqueeze(2).expand(-1, -1, features.shape[2])).mean(1)


def topk_then_select(features: Tensor, keys: Tensor, k: int) -> Tensor:
    """The same as one product with the row of chosen snippets, which copies no features."""
    chosen = torch.zeros_like(keys).scatter_(1, keys.topk(k, 1, sorted=False).indices, 1.0)
    return (chosen.unsqueeze(1) @ features).squeeze(1) / k


def neighbour_cosines(embedding: Tensor) -> Tensor:
    """Cosine [B, T, 3] of each embedding [B, T, E] with its left neighbour, itself and its right one."""
    unit = F.normalize(embedding, dim=2)
    pairs = F.pad((unit[:, 1:] * unit[:, :-1]).sum(2), (1, 1))  # [B, T + 1], 0 at both ends
    return torch.stack([pairs[:, :-1], (unit * unit).sum(2), pairs[:, 1:]], 2)


def affinity_after_products(x: Tensor, affinity: Tensor, weight: Tensor) -> Tensor:
    """BackTAL's paper convolution, [B, T, Cin] -> [B, T, Cout]: a plain product for each tap, scaled afterwards."""
    padded = F.pad(x, (0, 0, 1, 1))  # [B, T + 2, Cin]
    steps = x.shape[1]
    taps = [affinity[:, :, i, None] * (padded[:, i : i + steps] @ weight[:, :, i].t()) for i in range(3)]
    return taps[0] + taps[1] + taps[2]
