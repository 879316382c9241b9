"""Temporal convolution whose taps are weighted, snippet by snippet, by the affinity with the neighbours."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from wtal_fast.ops import _library
from wtal_fast.ops.local_affinity import check_kernel_size

LAYOUTS = ("paper", "official")


def affinity_conv1d(x: Tensor, affinity: Tensor, weight: Tensor, bias: Tensor | None = None,
                    layout: Literal["paper", "official"] = "paper") -> Tensor:
    """Temporal convolution of features that are first scaled by the affinity with the output snippet.

    x [B, T, Cin]; affinity [B, T, h] of the output snippet t with its neighbours t - h // 2 .. t + h // 2, h odd;
    weight [Cout, Cin, h]; bias [Cout] or None. x is zero outside 0..T-1. Returns [B, T, Cout]:
    out[t, o] = bias[o] + sum_{c, i} weight[o, c, i] x[t + i - h // 2, c] affinity[t, q(c, i)].
    layout "paper" (BackTAL paper Eq. 15-16): q = i, each tap has its own neighbour's affinity.
    layout "official" (BackTAL's released code and checkpoints): q = (c h + i) // Cin, so the first of h blocks of
    channels takes the affinity of the leftmost neighbour at every tap, and so on.
    Differentiable once in all four tensors. Runs in bfloat16 under autocast.
    Raises ValueError or TypeError for wrong shapes, dtypes, devices or layout.
    """
    _check(x, affinity, weight, bias, layout)
    out = _affinity_conv1d(x, affinity, weight, layout == "official")
    return out if bias is None else out + bias


def _check(x: Tensor, affinity: Tensor, weight: Tensor, bias: Tensor | None, layout: str) -> None:
    if x.dim() != 3:
        raise ValueError(f"affinity_conv1d: x must be [B, T, Cin], got {list(x.shape)}")
    if weight.dim() != 3 or weight.shape[1] != x.shape[2]:
        raise ValueError(f"affinity_conv1d: weight must be [Cout, {x.shape[2]}, h], got {list(weight.shape)}")
    check_kernel_size("affinity_conv1d", int(weight.shape[2]))
    wanted = (x.shape[0], x.shape[1], weight.shape[2])
    if tuple(affinity.shape) != wanted:
        raise ValueError(f"affinity_conv1d: affinity must be [B, T, h] = {list(wanted)}, got {list(affinity.shape)}")
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise ValueError(f"affinity_conv1d: bias must be [Cout] = [{weight.shape[0]}], got {list(bias.shape)}")
    tensors = {"x": x, "affinity": affinity, "weight": weight} | ({} if bias is None else {"bias": bias})
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise TypeError(f"affinity_conv1d: {name} must be floating point, got {tensor.dtype}")
        if tensor.device != x.device:
            raise ValueError(f"affinity_conv1d: {name} must be on the device of x, {x.device}, got {tensor.device}")
        if tensor.dtype != x.dtype and not torch.is_autocast_enabled(x.device.type):
            raise TypeError(f"affinity_conv1d: {name} must have the dtype of x, {x.dtype}, got {tensor.dtype}")
    if layout not in LAYOUTS:
        raise ValueError(f"affinity_conv1d: layout must be one of {LAYOUTS}, got {layout!r}")


def _blocks(channels: int, taps: int, official: bool) -> list[tuple[int, int, slice]]:
    """(tap, affinity column, channels) triples that together cover every channel of every tap once."""
    if not official:
        return [(tap, tap, slice(0, channels)) for tap in range(taps)]
    blocks = []
    for tap in range(taps):
        # (c * taps + tap) // channels == column, solved for c
        edges = [max(0, -(-(column * channels - tap) // taps)) for column in range(taps)] + [channels]
        blocks += [(tap, column, slice(edges[column], edges[column + 1])) for column in range(taps)]
    return [block for block in blocks if block[2].start < block[2].stop]


def _windows(steps: int, tap: int, taps: int) -> tuple[slice, slice]:
    """Output snippets whose neighbour at `tap` exists, and those neighbours."""
    shift = tap - taps // 2
    start, stop = min(max(0, -shift), steps), max(0, steps - max(0, shift))
    return slice(start, max(start, stop)), slice(start + shift, max(start, stop) + shift)


def _modulated(x: Tensor, affinity: Tensor, official: bool) -> Tensor:
    """[B, T, h, Cin] features each output snippet multiplies with the weight, scaled by the affinity (paper Eq. 15)."""
    (batch, steps, channels), taps = x.shape, affinity.shape[2]
    scaled = x.new_empty(batch, steps, taps, channels)
    for tap in range(taps):
        out, _ = _windows(steps, tap, taps)
        scaled[:, : out.start, tap] = 0
        scaled[:, out.stop :, tap] = 0
    for tap, column, channel in _blocks(channels, taps, official):
        out, neighbour = _windows(steps, tap, taps)
        torch.mul(x[:, neighbour, channel], affinity[:, out, column, None], out=scaled[:, out, tap, channel])
    return scaled


def _matrix(weight: Tensor) -> Tensor:
    """The weight as [Cout, h * Cin], tap by tap."""
    return weight.transpose(1, 2).reshape(weight.shape[0], -1)


def _as_image(rows: Tensor) -> Tensor:
    """[B, T, K] as [B, K, 1, T] in channels-last memory, without a copy."""
    return rows.transpose(1, 2).unsqueeze(2)


def _as_rows(image: Tensor) -> Tensor:
    return image.squeeze(2).transpose(1, 2)


def _by_convolution(rows: Tensor) -> bool:
    """Whether a product of float32 matrices goes through a 1x1 convolution: on CPUs PyTorch runs those with oneDNN,
    twice as fast on AMD as the MKL behind its matrix product and equal on Intel."""
    return rows.device.type == "cpu" and rows.dtype == torch.float32 and rows.numel() > 0


def _product(rows: Tensor, matrix: Tensor) -> Tensor:
    """[B, T, K] times [N, K] -> [B, T, N]."""
    if _by_convolution(rows):
        return _as_rows(torch.conv2d(_as_image(rows), matrix[:, :, None, None]))
    return rows @ matrix.t()


def _product_backward(grad: Tensor, rows: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of _product with respect to rows [B, T, K] and matrix [N, K]."""
    if _by_convolution(rows):
        grad_image, grad_kernel, _ = torch.ops.aten.convolution_backward(
            _as_image(grad), _as_image(rows), matrix[:, :, None, None], None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1,
            [True, True, False])
        return _as_rows(grad_image), grad_kernel[:, :, 0, 0]
    return grad @ matrix, grad.flatten(0, 1).t() @ rows.flatten(0, 1)


def _reference(x: Tensor, affinity: Tensor, weight: Tensor, official: bool) -> Tensor:
    return _product(_modulated(x, affinity, official).flatten(2), _matrix(weight)).contiguous()


def _fake(x: Tensor, affinity: Tensor, weight: Tensor, official: bool) -> Tensor:
    return x.new_empty(x.shape[0], x.shape[1], weight.shape[0])


def _backward_reference(grad: Tensor, x: Tensor, affinity: Tensor, weight: Tensor, official: bool,
                        input_grad: bool) -> tuple[Tensor, Tensor, Tensor]:
    (batch, steps, channels), (filters, _, taps) = x.shape, weight.shape
    scaled = _modulated(x, affinity, official).flatten(2)
    grad_scaled, grad_weight = _product_backward(grad.contiguous(), scaled, _matrix(weight))
    grad_scaled = grad_scaled.reshape(batch, steps, taps, channels)
    wide = torch.promote_types(affinity.dtype, torch.float32)  # sums over all channels
    grad_affinity = torch.zeros(affinity.shape, dtype=wide, device=affinity.device)
    grad_x = x.new_zeros(x.shape if input_grad else 0)
    for tap, column, channel in _blocks(channels, taps, official):
        out, neighbour = _windows(steps, tap, taps)
        part = grad_scaled[:, out, tap, channel]
        grad_affinity[:, out, column] += (part * x[:, neighbour, channel]).sum(-1, dtype=wide)
        if input_grad:
            grad_x[:, neighbour, channel].addcmul_(part, affinity[:, out, column, None])
    grad_weight = grad_weight.reshape(filters, taps, channels).transpose(1, 2)  # [Cout, Cin, h]
    return grad_x, grad_affinity.to(affinity.dtype), grad_weight.contiguous()


def _backward_fake(grad: Tensor, x: Tensor, affinity: Tensor, weight: Tensor, official: bool,
                   input_grad: bool) -> tuple[Tensor, Tensor, Tensor]:
    return x.new_empty(x.shape if input_grad else 0), affinity.new_empty(affinity.shape), weight.new_empty(weight.shape)


def _setup_context(ctx, inputs, output) -> None:
    *tensors, ctx.official = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx, grad: Tensor):
    input_grad = ctx.needs_input_grad[0]
    grad_x, grad_affinity, grad_weight = _affinity_conv1d_backward(grad, *ctx.saved_tensors, ctx.official, input_grad)
    return grad_x if input_grad else None, grad_affinity, grad_weight, None


_affinity_conv1d = _library.define(
    "affinity_conv1d(Tensor x, Tensor affinity, Tensor weight, bool official) -> Tensor",
    reference=_reference, fake=_fake)
_affinity_conv1d_backward = _library.define(
    "affinity_conv1d_backward(Tensor grad, Tensor x, Tensor affinity, Tensor weight, bool official, bool input_grad) "
    "-> (Tensor, Tensor, Tensor)", reference=_backward_reference, fake=_backward_fake)
_library.differentiable("affinity_conv1d", backward=_backward, setup_context=_setup_context)
for _device in ("cpu", "cuda"):
    torch.library.register_autocast("wtal_fast::affinity_conv1d", _device, torch.bfloat16)
