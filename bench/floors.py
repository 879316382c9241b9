"""The matrix products that a training step cannot do without, and the time a machine needs for them."""

from __future__ import annotations

from collections.abc import Callable

import torch

from bench.case import Floor
from bench.training import Shape


def step_flops(method: str, shape: Shape) -> int:
    """FLOPs of the products of one step in the exact form that shares the first layer of both branches.

    A layer costs its forward product, the gradient of its weight, and, but for layers that read the features, the
    gradient of its input. Of a 2048-wide BaS-Net that is 8 times the forward pass of one convolution, and the filter.
    """
    rows, taps = 2 * shape.videos * shape.snippets, shape.kernel_size if method == "backtal" else 3
    first = rows * shape.features * shape.hidden * taps
    if method == "uncertainty":
        return 2 * first + 3 * rows * shape.hidden * shape.classes
    narrow = max(8, shape.features // 4)
    second = rows * shape.hidden * shape.hidden * taps
    branches = 2 * (3 * second + 3 * rows * shape.hidden * (shape.classes + 1))
    embedding = 0
    if method == "backtal":
        embedding = 2 * rows * shape.features * narrow * 3 + 3 * rows * narrow * 32 * 3
    return 2 * first + branches + 2 * rows * shape.features * narrow + embedding


def product_floor(rows: int, inner: int, columns: int, dtype: torch.dtype, flops: float, device: str = "cpu") -> Floor:
    """The time `flops` take at the rate of one product [rows, inner] x [inner, columns], its fastest spelling."""
    left = torch.randn(rows, inner, device=device).to(dtype)
    right = torch.randn(columns, inner, device=device).to(dtype)
    calls: list[Callable[[], object]] = [lambda: left @ right.t()]
    if device == "cpu":  # oneDNN, which is faster than the matrix product of float32 on some processors
        image = left.view(1, 1, rows, inner).permute(0, 3, 1, 2)  # [1, inner, 1, rows], channels last
        calls.append(lambda: torch.conv2d(image, right[:, :, None, None]))
    return Floor(calls, flops / (2 * rows * inner * columns))


def step_floor(method: str, shape: Shape, dtype: torch.dtype, device: str = "cpu") -> Floor:
    """The products of one step at the rate of one convolution's."""
    return product_floor(shape.videos * shape.snippets, 3 * shape.features, shape.hidden, dtype,
                         step_flops(method, shape), device)
