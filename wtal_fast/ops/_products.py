"""The matrix products behind the convolutions, each by the fastest library at hand."""

from __future__ import annotations

import torch
from torch import Tensor

# Rows of a product on a CPU: enough for full speed, few enough that its operands stay in the cache. The products for
# weight gradients sum over rows, and want more of them.
ROWS = 700
SUMMED_ROWS = 3000


def by_onednn(tensor: Tensor) -> bool:
    """Whether float32 products go to oneDNN: faster than the MKL behind PyTorch's own on AMD, as fast on Intel. It
    wants both factors contiguous along the axis that is summed over."""
    return (tensor.device.type == "cpu" and tensor.dtype == torch.float32 and torch.backends.mkldnn.enabled
            and hasattr(torch.ops.mkldnn, "_linear_pointwise"))


def product(rows: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    """rows [M, K] times the transpose of matrix [N, K], plus bias [N]: [M, N]."""
    if by_onednn(rows) and rows.numel() and matrix.numel():
        return torch.ops.mkldnn._linear_pointwise(rows, matrix, bias, "none", [], "")
    return rows @ matrix.t() if bias is None else torch.addmm(bias, rows, matrix.t())


def video_blocks(x: Tensor, rows: int) -> list[slice]:
    """The videos of x [B, T, C] in the groups that share a product: all of them on a GPU, on a CPU so many that they
    have at least `rows` snippets."""
    videos, steps = x.shape[:2]
    count = max(1, videos if x.device.type != "cpu" else -(-rows // max(1, steps)))
    return [slice(start, min(start + count, videos)) for start in range(0, videos, count)]


class SumOfProducts:
    """A sum over blocks of videos, at least in float32; None while it is empty."""

    def __init__(self, like: Tensor):
        self.dtype = torch.promote_types(like.dtype, torch.float32)
        self.value: Tensor | None = None

    def add(self, part: Tensor) -> None:
        self.value = part.to(self.dtype) if self.value is None else self.value.add_(part)
