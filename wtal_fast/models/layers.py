"""What the networks share: convolution over time on [B, T, C], dropout that splits over processes, padding, pooling."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from wtal_fast.ops.affinity_conv1d import affinity_conv1d
from wtal_fast.ops.leaky_dropout import leaky_dropout

LEAKY_SLOPE = 0.01


class TemporalConv(nn.Conv1d):
    """nn.Conv1d, parameters and all, that keeps the length and reads and returns [B, T, channels]."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, bias: bool = True):
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return affinity_conv1d(x, None, self.weight, self.bias)


class OutputConv(TemporalConv):
    """The last, narrow convolution of a module, computed in the dtype of its weights under autocast too.

    What it returns is ranked, thresholded, compared or fed to a softmax, sigmoid or cosine: bfloat16 has 128 steps
    from one power of two to the next, so neighbours would tie. With few filters it costs next to nothing.
    """

    def forward(self, x: Tensor) -> Tensor:
        device = x.device.type
        with torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext():
            return super().forward(x.to(self.weight.dtype))


def leaky_relu() -> nn.LeakyReLU:
    """The networks' activation, in place: convolutions do not keep their output."""
    return nn.LeakyReLU(LEAKY_SLOPE, inplace=True)


class ShardedDropout(nn.Module):
    """Dropout whose mask does not depend on how a batch is split over processes.

    shard: (start, total), set where this process holds rows start .. start + B of a batch of `total` videos. The mask
    is then drawn for the whole batch from torch's global generator, equally seeded everywhere, and those rows are used.
    """

    shard: tuple[int, int] | None = None

    def __init__(self, p: float):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout: p must be in [0, 1), got {p}")
        self.p = p

    @property
    def scale(self) -> float:
        """Factor of the values that are kept."""
        return 1 / (1 - self.p) if self.training else 1.0

    def kept(self, x: Tensor) -> Tensor | None:
        """Draws the mask for x, bool of its shape; None where nothing is dropped."""
        if not self.training or self.p == 0:
            return None
        start, total = self.shard or (0, x.shape[0])
        return torch.rand(total, *x.shape[1:], device=x.device)[start : start + x.shape[0]] >= self.p

    def forward(self, x: Tensor) -> Tensor:
        kept = self.kept(x)
        return x if kept is None else x * kept.to(x.dtype).mul_(self.scale)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def activate_branches(hidden: Tensor, dropout: ShardedDropout) -> Tensor:
    """Leaky ReLU and dropout of both branches [2 B, T, H], masks of their own, the first branch's drawn first."""
    kept = [dropout.kept(branch) for branch in hidden.chunk(2)]
    return leaky_dropout(hidden, None if kept[0] is None else torch.cat(kept), LEAKY_SLOPE, dropout.scale)


class FilterModule(nn.Module):
    """Foreground weight of each snippet: [B, T, D] -> [B, T] in (0, 1). BaS-Net paper, "filtering module"."""

    def __init__(self, feature_dim: int, filter_dim: int):
        super().__init__()
        self.conv_1 = nn.Sequential(TemporalConv(feature_dim, filter_dim, 1), leaky_relu())
        self.conv_2 = nn.Sequential(OutputConv(filter_dim, 1, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_2(self.conv_1(x)).squeeze(2)


def check_input(name: str, features: Tensor, lengths: Tensor | None, feature_dim: int) -> None:
    """ValueError where features are not [B, T, feature_dim] or lengths not int64 [B]."""
    if features.dim() != 3 or features.shape[1] == 0 or features.shape[2] != feature_dim:
        raise ValueError(f"{name}: features must be [B, T >= 1, D = {feature_dim}], got {list(features.shape)}")
    if lengths is not None and (tuple(lengths.shape) != (len(features),) or lengths.dtype != torch.int64):
        raise ValueError(f"{name}: lengths must be int64 [B] = [{len(features)}], got {lengths.dtype} "
                         f"{list(lengths.shape)}")


def padding_mask(lengths: Tensor | None, num_snippets: int) -> Tensor | None:
    """[B, T] bool, True from lengths[b] on; None where nothing is padded, as far as that can be told for free."""
    if lengths is None:
        return None
    if lengths.device.type == "cpu" and not torch.compiler.is_compiling() and bool((lengths == num_snippets).all()):
        return None
    return torch.arange(num_snippets, device=lengths.device) >= lengths[:, None]


def magnitudes(features: Tensor) -> Tensor:
    """Norm [B, T] of each row of [B, T, H], at least in float32: it ranks snippets."""
    return torch.linalg.vector_norm(features, dim=-1, dtype=torch.promote_types(features.dtype, torch.float32))


def zero_padding(x: Tensor, padding: Tensor | None) -> Tensor:
    """x [B, T] or [..., B, T, C] with zeros where `padding` is True, as the convolutions see beyond a video's end."""
    if padding is None:
        return x
    return x.masked_fill(padding if x.dim() == 2 else padding.unsqueeze(-1), 0)


def pooled_snippets(lengths: Tensor | None, num_snippets: int, share: float) -> int | Tensor:
    """How many snippets video scores are the mean of: max(1, floor(length * share)), an int or int64 [B]."""
    if lengths is None:
        return max(1, int(num_snippets * share))
    return (lengths.double() * share).long().clamp_min(1)


def divided_snippets(lengths: Tensor | None, num_snippets: int, divisor: int) -> int | Tensor:
    """max(1, length // divisor), an int or int64 [B]."""
    if lengths is None:
        return max(1, num_snippets // divisor)
    return torch.div(lengths, divisor, rounding_mode="floor").clamp_min(1)


def widths(shapes: dict[str, tuple[int, ...]], names: set[str], sources: dict[str, tuple[str, int]]) -> dict | None:
    """{argument: size}, read off `shapes` at (parameter, axis), where the parameters are exactly `names`; else None."""
    if set(shapes) != names or any(len(shapes[name]) <= axis for name, axis in sources.values()):
        return None
    return {argument: shapes[name][axis] for argument, (name, axis) in sources.items()}
