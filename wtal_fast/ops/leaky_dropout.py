"""Leaky ReLU and dropout in one pass that keeps one tensor for the gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from wtal_fast.ops import _library


def leaky_dropout(x: Tensor, keep: Tensor | None, slope: float, scale: float) -> Tensor:
    """scale * leaky(x) where `keep` is True, else 0; leaky(v) = v if v > 0 else slope * v.

    x float of any shape; keep bool of that shape, None for all True; slope > 0; scale > 0, in training 1 / (1 - p).
    Differentiable once in x. The result and `keep` are all the gradient needs, because a kept value has the sign of x.
    Raises ValueError or TypeError for a wrong shape, dtype or value.
    """
    if not x.is_floating_point():
        raise TypeError(f"leaky_dropout: x must be floating point, got {x.dtype}")
    if keep is not None and (keep.shape != x.shape or keep.dtype != torch.bool):
        raise ValueError(f"leaky_dropout: keep must be bool {list(x.shape)}, got {keep.dtype} {list(keep.shape)}")
    if not (slope > 0 and scale > 0):
        raise ValueError(f"leaky_dropout: slope and scale must be > 0, got {slope} and {scale}")
    return _leaky_dropout(x, keep, slope, scale)


def _reference(x: Tensor, keep: Tensor | None, slope: float, scale: float) -> Tensor:
    out = torch.nn.functional.leaky_relu(x, slope)
    if scale != 1:
        out.mul_(scale)
    return out if keep is None else out.masked_fill_(keep.logical_not(), 0)


def _fake(x: Tensor, keep: Tensor | None, slope: float, scale: float) -> Tensor:
    return torch.empty_like(x)


def _backward_reference(grad: Tensor, out: Tensor, keep: Tensor | None, slope: float, scale: float) -> Tensor:
    part = torch.ops.aten.leaky_relu_backward(grad, out, slope, True)  # by the sign of the result
    if scale != 1:
        part.mul_(scale)
    return part if keep is None else part.masked_fill_(keep.logical_not(), 0)


def _backward_fake(grad: Tensor, out: Tensor, keep: Tensor | None, slope: float, scale: float) -> Tensor:
    return torch.empty_like(grad)


def _setup_context(ctx, inputs, output) -> None:
    _, keep, ctx.slope, ctx.scale = inputs
    ctx.save_for_backward(output, keep)


def _backward(ctx, grad: Tensor):
    return _leaky_dropout_backward(grad, *ctx.saved_tensors, ctx.slope, ctx.scale), None, None, None


_leaky_dropout = _library.define(
    "leaky_dropout(Tensor x, Tensor? keep, float slope, float scale) -> Tensor", reference=_reference, fake=_fake)
_leaky_dropout_backward = _library.define(
    "leaky_dropout_backward(Tensor grad, Tensor out, Tensor? keep, float slope, float scale) -> Tensor",
    reference=_backward_reference, fake=_backward_fake)
_library.differentiable("leaky_dropout", backward=_backward, setup_context=_setup_context)
