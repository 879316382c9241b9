"""Temporal convolution, its taps weighted, snippet by snippet, by the affinity with the neighbours."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from wtal_fast.ops import _library
from wtal_fast.ops._products import ROWS, SUMMED_ROWS, SumOfProducts, by_onednn, product, video_blocks
from wtal_fast.ops.affinity_columns import affinity_columns, affinity_columns_backward, channel_blocks, windows
from wtal_fast.ops.local_affinity import check_kernel_size

LAYOUTS = ("paper", "official")


def affinity_conv1d(x: Tensor, affinity: Tensor | None, weight: Tensor, bias: Tensor | None = None,
                    layout: Literal["paper", "official"] = "paper") -> Tensor:
    """Temporal convolution of features that are first scaled by the affinity with the output snippet.

    x [B, T, Cin]; affinity [B, T, h] of the output snippet t with its neighbours t - h // 2 .. t + h // 2, h odd, or
    None for an ordinary convolution; weight [Cout, Cin, h]; bias [Cout] or None. x is zero outside 0..T-1.
    Returns [B, T, Cout]: out[t, o] = bias[o] + sum_{c, i} weight[o, c, i] x[t + i - h // 2, c] affinity[t, q(c, i)].
    layout "paper" (BackTAL paper Eq. 15-16): q = i, each tap has its own neighbour's affinity.
    layout "official" (BackTAL's released code and checkpoints): q = (c h + i) // Cin, so the first of h blocks of
    channels takes the affinity of the leftmost neighbour at every tap, and so on.
    Computed as one matrix product of the scaled neighbours, a few videos at a time on a CPU: nothing is unfolded for
    the whole batch or kept for the gradient. Differentiable once in all tensors. Runs in bfloat16 under autocast.
    Raises ValueError or TypeError for wrong shapes, dtypes, devices or layout.
    """
    check_convolution("affinity_conv1d", x, weight, bias, layout, affinity=affinity)
    return _affinity_conv1d(x, affinity, weight, bias, layout == "official")


def check_convolution(op: str, x: Tensor, weight: Tensor, bias: Tensor | None, layout: str,
                      **of_snippets: Tensor | None) -> None:
    """Raises what affinity_conv1d says. of_snippets: affinity [B, T, h] and foreground [B, T], as far as there are."""
    if x.dim() != 3:
        raise ValueError(f"{op}: x must be [B, T, Cin], got {list(x.shape)}")
    if weight.dim() != 3 or weight.shape[1] != x.shape[2]:
        raise ValueError(f"{op}: weight must be [Cout, {x.shape[2]}, h], got {list(weight.shape)}")
    check_kernel_size(op, int(weight.shape[2]))
    shapes = {"affinity": ("[B, T, h]", (x.shape[0], x.shape[1], weight.shape[2])),
              "foreground": ("[B, T]", (x.shape[0], x.shape[1])), "bias": ("[Cout]", (weight.shape[0],))}
    tensors = {name: tensor for name, tensor in (of_snippets | {"bias": bias}).items() if tensor is not None}
    for name, tensor in tensors.items():
        axes, wanted = shapes[name]
        if tuple(tensor.shape) != wanted:
            raise ValueError(f"{op}: {name} must be {axes} = {list(wanted)}, got {list(tensor.shape)}")
    for name, tensor in ({"x": x, "weight": weight} | tensors).items():
        if not tensor.is_floating_point():
            raise TypeError(f"{op}: {name} must be floating point, got {tensor.dtype}")
        if tensor.device != x.device:
            raise ValueError(f"{op}: {name} must be on the device of x, {x.device}, got {tensor.device}")
        if tensor.dtype != x.dtype and not torch.is_autocast_enabled(x.device.type):
            raise TypeError(f"{op}: {name} must have the dtype of x, {x.dtype}, got {tensor.dtype}")
    if layout not in LAYOUTS:
        raise ValueError(f"{op}: layout must be one of {LAYOUTS}, got {layout!r}")


def plain_affinity_conv1d(x: Tensor, affinity: Tensor | None, weight: Tensor, bias: Tensor | None,
                          official: bool) -> Tensor:
    """The formula as a sum over taps and affinity columns, for tests and comparison: one product for each."""
    out = x.new_zeros(*x.shape[:2], weight.shape[0])
    for tap, column, channel in channel_blocks(x.shape[2], weight.shape[2], official):
        at, neighbour = windows(x.shape[1], tap, weight.shape[2])
        part = x[:, neighbour, channel] @ weight[:, channel, tap].t()
        out[:, at] += part if affinity is None else part * affinity[:, at, column, None]
    return out if bias is None else out + bias


def _columns(x: Tensor, affinity: Tensor | None, taps: int, official: bool) -> Tensor:
    """[B * T, h * Cin], the left factor of the product; of one tap without affinity x itself."""
    if taps == 1 and affinity is None:
        return x.flatten(0, 1).contiguous()
    return affinity_columns(x, affinity, taps, official).flatten(0, 1)


def _columns_time_last(x: Tensor, affinity: Tensor | None, taps: int, official: bool) -> Tensor:
    """Their transpose [h * Cin, B * T], as the product for the weight's gradient reads it."""
    if by_onednn(x):
        return affinity_columns(x, affinity, taps, official, time_last=True)
    return _columns(x, affinity, taps, official).t()


def _part(tensor: Tensor | None, block: slice) -> Tensor | None:
    return None if tensor is None else tensor[block]


def _reference(x: Tensor, affinity: Tensor | None, weight: Tensor, bias: Tensor | None, official: bool) -> Tensor:
    filters, _, taps = weight.shape
    matrix = weight.transpose(1, 2).reshape(filters, -1)  # [Cout, Cin, h] -> [Cout, h * Cin]
    out = x.new_empty(*x.shape[:2], filters)
    for block in video_blocks(x, ROWS):
        columns = _columns(x[block], _part(affinity, block), taps, official)
        out[block] = product(columns, matrix, bias).view(-1, x.shape[1], filters)
    return out


def _fake(x: Tensor, affinity: Tensor | None, weight: Tensor, bias: Tensor | None, official: bool) -> Tensor:
    return x.new_empty(x.shape[0], x.shape[1], weight.shape[0])


def _backward_reference(grad: Tensor, x: Tensor, affinity: Tensor | None, weight: Tensor, official: bool,
                        input_grad: bool) -> tuple[Tensor, Tensor, Tensor]:
    grad_x, grad_affinity = x.new_empty(0), x.new_empty(0)
    if input_grad or affinity is not None:
        grad_x, grad_affinity = _input_gradients(grad, x, affinity, weight, official)
    return (grad_x if input_grad else x.new_empty(0), grad_affinity,
            _weight_gradient(grad, x, affinity, weight, official))


def _input_gradients(grad: Tensor, x: Tensor, affinity: Tensor | None, weight: Tensor,
                     official: bool) -> tuple[Tensor, Tensor]:
    filters, channels, taps = weight.shape
    by_channel = _columns_time_last(weight.flatten(1)[None], None, 1, False)  # [Cout, Cin, h] -> [Cin * h, Cout]
    back = by_channel.unflatten(0, (channels, taps)).transpose(0, 1).flatten(0, 1)  # [h * Cin, Cout]
    grad_x, grad_affinity = torch.empty_like(x), x.new_empty(0 if affinity is None else affinity.shape)
    for block in video_blocks(x, ROWS):
        rows = grad[block].flatten(0, 1).contiguous()  # [B * T, Cout]
        grad_columns = product(rows, back).view(-1, x.shape[1], taps * channels)
        if taps == 1 and affinity is None:
            grad_x[block] = grad_columns
            continue
        grad_x[block], of_affinity = affinity_columns_backward(grad_columns, x[block], _part(affinity, block), taps,
                                                               official)
        if affinity is not None:
            grad_affinity[block] = of_affinity
    return grad_x, grad_affinity


def _weight_gradient(grad: Tensor, x: Tensor, affinity: Tensor | None, weight: Tensor, official: bool) -> Tensor:
    filters, channels, taps = weight.shape
    total = SumOfProducts(x)
    for block in video_blocks(x, SUMMED_ROWS):
        rows = _columns_time_last(grad[block], None, 1, False)  # [Cout, B * T]
        total.add(product(rows, _columns_time_last(x[block], _part(affinity, block), taps, official)))
    grad_matrix = x.new_zeros(filters, taps * channels) if total.value is None else total.value
    grad_weight = grad_matrix.to(x.dtype).view(filters, taps, channels).transpose(1, 2)  # [Cout, Cin, h]
    return grad_weight.contiguous()


def _backward_fake(grad: Tensor, x: Tensor, affinity: Tensor | None, weight: Tensor, official: bool,
                   input_grad: bool) -> tuple[Tensor, Tensor, Tensor]:
    return (x.new_empty(x.shape if input_grad else 0), x.new_empty(0 if affinity is None else affinity.shape),
            weight.new_empty(weight.shape))


def _setup_context(ctx, inputs, output) -> None:
    x, affinity, weight, _, ctx.official = inputs
    ctx.save_for_backward(x, affinity, weight)


def _backward(ctx, grad: Tensor):
    x, affinity, weight = ctx.saved_tensors
    input_grad = ctx.needs_input_grad[0]
    grad_x, grad_affinity, grad_weight = _affinity_conv1d_backward(grad, x, affinity, weight, ctx.official, input_grad)
    return (grad_x if input_grad else None, None if affinity is None else grad_affinity, grad_weight,
            grad.sum((0, 1)) if ctx.needs_input_grad[3] else None, None)


_affinity_conv1d = _library.define(
    "affinity_conv1d(Tensor x, Tensor? affinity, Tensor weight, Tensor? bias, bool official) -> Tensor",
    reference=_reference, fake=_fake)
_affinity_conv1d_backward = _library.define(
    "affinity_conv1d_backward(Tensor grad, Tensor x, Tensor? affinity, Tensor weight, bool official, bool input_grad) "
    "-> (Tensor, Tensor, Tensor)", reference=_backward_reference, fake=_backward_fake)
_library.differentiable("affinity_conv1d", backward=_backward, setup_context=_setup_context)
for _device in ("cpu", "cuda"):
    torch.library.register_autocast("wtal_fast::affinity_conv1d", _device, torch.bfloat16)
