"""The matrix products that nothing can do without, timed at their bare rate."""

from __future__ import annotations

from collections.abc import Callable

import torch

from bench.case import Floor
from bench.training import Shape
from wtal_fast.models.cost import flops_of, model_cost


def product_floor(rows: int, inner: int, columns: int, dtype: torch.dtype, device: str, flops: float = 0) -> Floor:
    """The time that `flops`, by default its own, take at the rate of a product [rows, inner] x [inner, columns]."""
    left = torch.randn(rows, inner, device=device).to(dtype)
    right = torch.randn(columns, inner, device=device).to(dtype)
    calls: list[Callable[[], object]] = [lambda: left @ right.t()]
    if device == "cpu":  # oneDNN, which is faster than the matrix product of float32 on some processors
        image = left.view(1, 1, rows, inner).permute(0, 3, 1, 2)  # [1, inner, 1, rows], channels last
        calls.append(lambda: torch.conv2d(image, right[:, :, None, None]))
    own = 2 * rows * inner * columns
    return Floor(calls, (flops or own) / own)


def step_floor(model: torch.nn.Module, shape: Shape, dtype: torch.dtype, device: str) -> Floor:
    """All products of a training step in its exact form (models.cost) at the rate of one convolution's."""
    flops = flops_of(model_cost(model, shape.videos, shape.snippets).step)
    return product_floor(shape.videos * shape.snippets, 3 * shape.features, shape.hidden, dtype, device, flops)
