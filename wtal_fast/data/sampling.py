"""Which snippets of a video the network sees: T positions of a video of L snippets, for a whole batch at once.

Every function takes lengths [B] int64 (>= 1) and T = num_snippets >= 1 and works on the device of `lengths`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def uniform(lengths: Tensor, num_snippets: int) -> Tensor:
    """Index floor(i*L/T) of position i, [B, T] int64, non-decreasing in 0..L-1. L < T repeats snippets, L == T is the
    identity. Test-time sampling of BaS-Net's released code (the papers say "uniform sampling")."""
    steps = torch.arange(num_snippets, device=lengths.device)
    return steps[None, :] * lengths[:, None] // num_snippets


def uniform_keep_short(lengths: Tensor, num_snippets: int) -> tuple[Tensor, Tensor]:
    """`uniform` for videos longer than T, every snippet once for the others: (index [B, T'], sampled lengths [B]).

    T' is the largest sampled length, min(L, T) over the batch; positions beyond a video's own repeat its last snippet
    and are to be zeroed. Test-time sampling of UM's released code.
    """
    sampled = lengths.clamp(max=num_snippets)
    steps = torch.arange(int(sampled.max()), device=lengths.device)
    index = steps[None, :] * lengths[:, None] // sampled[:, None]  # [B, T']
    return index.minimum(lengths[:, None] - 1), sampled


def stratified_perturb(lengths: Tensor, num_snippets: int, generator: torch.Generator | None = None) -> Tensor:
    """A random snippet near each uniform position, [B, T] int64, non-decreasing in 0..L-1; L == T is the identity.

    With b_i = floor(i*L/T), position i draws from the integers b_i..b_{i+1}, the upper end included; the last one from
    b_{T-1}..L-1. Training-time sampling of BaS-Net's and UM's released code (from STPN). The draws are made on the
    generator's device, the CPU where there is none, so they are equal on every device.
    """
    return perturbed(lengths, num_snippets, random_draws(len(lengths), num_snippets, generator).to(lengths.device))


def perturbed(lengths: Tensor, num_snippets: int, draws: Tensor) -> Tensor:
    """`stratified_perturb` with the given draws [B, T] in [0, 1): the number u picks item floor(u * count)."""
    low = uniform(lengths, num_snippets)
    high = torch.cat([low[:, 1:], lengths[:, None] - 1], dim=1)  # [B, T]
    offset = (draws * (high - low + 1)).long().minimum(high - low)  # u * count may round up to count
    exact = (lengths == num_snippets)[:, None]
    return torch.where(exact, low, low + offset)


def linear(lengths: Tensor, num_snippets: int, resize: str = "half_pixel") -> tuple[Tensor, Tensor]:
    """Positions of a linear rescale from L to T snippets.

    Returns (left index [B, T] int64, weight of its right neighbour [B, T] float32 in 0..1, 0 at the last snippet).

    half_pixel: x = (j + 0.5) * L / T - 0.5, clamped to 0..L-1 (the convention of OpenCV's resize).
    align_corners: x = j * (L - 1) / (T - 1), 0 where T == 1. BackTAL's paper asks for "linear interpolation" only.
    """
    steps = torch.arange(num_snippets, device=lengths.device, dtype=torch.float64)
    size = lengths[:, None].double()
    if resize == "half_pixel":
        x = (steps + 0.5) * size / num_snippets - 0.5
    elif resize == "align_corners":
        x = steps * (size - 1) / max(num_snippets - 1, 1)
    else:
        raise ValueError(f"linear: resize must be half_pixel or align_corners, got {resize!r}")
    x = x.clamp(min=0).minimum(size - 1)
    left = x.floor()
    return left.long(), (x - left).float()


def random_draws(num_videos: int, num_snippets: int, generator: torch.Generator | None = None) -> Tensor:
    """[B, T] float64, uniform in [0, 1), on the generator's device, the CPU where there is none."""
    device = generator.device if generator is not None else "cpu"
    return torch.rand(num_videos, num_snippets, dtype=torch.float64, generator=generator, device=device)
