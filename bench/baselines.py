"""What the ops are compared with, restated: stock PyTorch in its fastest spelling, and what released code does."""

from __future__ import annotations

from torch import Tensor


def topk_then_mean(scores: Tensor, k: int, dim: int) -> Tensor:
    """The mean of the k largest through torch.topk, which need not sort them."""
    return scores.topk(k, dim, sorted=False).values.mean(dim)


def sort_then_mean(scores: Tensor, k: int, dim: int) -> Tensor:
    """The mean of the k largest as the released BaS-Net computes it: sort everything, keep the first k."""
    return scores.sort(dim, descending=True).values.narrow(dim, 0, k).mean(dim)
