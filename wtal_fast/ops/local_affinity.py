"""Cosine similarity of each snippet with its neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from wtal_fast.ops import _library

EPS = 1e-8  # lower bound of the product of two norms, that of PyTorch's cosine similarity


def local_affinity(embedding: Tensor, kernel_size: int = 3) -> Tensor:
    """Cosine of every snippet's embedding with those of its `kernel_size` neighbours, itself in the middle.

    embedding [B, T, E] float, any length; kernel_size h odd. Returns [B, T, h] in -1..1: column i is the cosine of
    snippets t and t + i - h // 2. It is 0 where that neighbour lies outside 0..T-1 or where an embedding is zero.
    Differentiable once; no gradient passes through the middle column, which is constant, nor where the product of
    the two norms is 1e-8 or less.
    BackTAL paper Eq. 9. Raises ValueError or TypeError for a wrong shape, dtype or kernel size.
    """
    _check(embedding, kernel_size)
    return _local_affinity(embedding, kernel_size)


def check_kernel_size(op: str, kernel_size: int) -> None:
    """Raises TypeError or ValueError where `kernel_size` is no odd positive int; `op` is named in the message."""
    if isinstance(kernel_size, bool) or not isinstance(kernel_size, int):
        raise TypeError(f"{op}: kernel_size must be an int, got {type(kernel_size).__name__}")
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"{op}: kernel_size must be odd and >= 1, got {kernel_size}")


def _check(embedding: Tensor, kernel_size: int) -> None:
    if embedding.dim() != 3:
        raise ValueError(f"local_affinity: embedding must be [B, T, E], got {list(embedding.shape)}")
    if not embedding.is_floating_point():
        raise TypeError(f"local_affinity: embedding must be floating point, got {embedding.dtype}")
    check_kernel_size("local_affinity", kernel_size)


def _wide(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _normalized(embedding: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors [B, T, E] and norms [B, T, 1]; a zero embedding stays zero."""
    norm = torch.linalg.vector_norm(embedding, dim=-1, keepdim=True)
    return embedding / norm.clamp_min(torch.finfo(norm.dtype).tiny), norm


def _pair_cosine(unit: Tensor, norm: Tensor, offset: int) -> Tensor:
    """[B, T - offset] cosine of snippets t and t + offset."""
    steps = unit.shape[1]
    product = norm[:, : steps - offset, 0] * norm[:, offset:, 0]
    cosine = (unit[:, : steps - offset] * unit[:, offset:]).sum(-1)
    return cosine * (product / product.clamp_min(EPS))


def _reference(embedding: Tensor, kernel_size: int) -> Tensor:
    batch, steps, _ = embedding.shape
    unit, norm = _normalized(_wide(embedding))
    half = kernel_size // 2
    affinity = unit.new_zeros(batch, steps, kernel_size)
    for offset in range(min(half + 1, steps)):
        cosine = _pair_cosine(unit, norm, offset)
        affinity[:, : steps - offset, half + offset] = cosine
        affinity[:, offset:, half - offset] = cosine
    return affinity.to(embedding.dtype)


def _fake(embedding: Tensor, kernel_size: int) -> Tensor:
    batch, steps, _ = embedding.shape
    return embedding.new_empty(batch, steps, kernel_size)


def _backward_reference(grad: Tensor, embedding: Tensor, kernel_size: int) -> Tensor:
    """d cos(u, v) / du = (v / |v| - cos u / |u|) / |u|, and the same with u and v exchanged."""
    steps = embedding.shape[1]
    unit, norm = _normalized(_wide(embedding))
    half = kernel_size // 2
    result = torch.zeros_like(unit)
    for offset in range(1, min(half + 1, steps)):
        left, right = slice(0, steps - offset), slice(offset, steps)
        pair = (grad[:, left, half + offset] + grad[:, right, half - offset]).to(unit.dtype).unsqueeze(-1)
        pair = torch.where(norm[:, left] * norm[:, right] > EPS, pair, torch.zeros_like(pair))
        cosine = (unit[:, left] * unit[:, right]).sum(-1, keepdim=True)
        tiny = torch.finfo(norm.dtype).tiny
        result[:, left] += pair * (unit[:, right] - cosine * unit[:, left]) / norm[:, left].clamp_min(tiny)
        result[:, right] += pair * (unit[:, left] - cosine * unit[:, right]) / norm[:, right].clamp_min(tiny)
    return result.to(embedding.dtype)


def _backward_fake(grad: Tensor, embedding: Tensor, kernel_size: int) -> Tensor:
    return torch.empty_like(embedding, memory_format=torch.contiguous_format)


def _setup_context(ctx, inputs, output) -> None:
    embedding, ctx.kernel_size = inputs
    ctx.save_for_backward(embedding)


def _backward(ctx, grad: Tensor):
    return _local_affinity_backward(grad, *ctx.saved_tensors, ctx.kernel_size), None


_local_affinity = _library.define(
    "local_affinity(Tensor embedding, int kernel_size) -> Tensor", reference=_reference, fake=_fake)
_local_affinity_backward = _library.define(
    "local_affinity_backward(Tensor grad, Tensor embedding, int kernel_size) -> Tensor",
    reference=_backward_reference, fake=_backward_fake)
_library.differentiable("local_affinity", backward=_backward, setup_context=_setup_context)
