"""Class activation sequences before proposals: min-max normalisation, foreground gate, number of samples."""

from __future__ import annotations

import torch
from torch import Tensor

from wtal_fast.config import LocalizationConfig
from wtal_fast.ops.topk_mean import topk_mean


def valid_snippets(lengths: Tensor, size: int) -> Tensor:
    """[B, size] bool, True for the first `lengths` positions of each row."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def minmax(values: Tensor, lengths: Tensor, clip: bool) -> Tensor:
    """Min-max normalisation over time of values [B, T], each row over its first `lengths` positions.

    The upper bound is at least 0 and so is the lower one (the released codes pass both through ReLU), so a row with
    negative values goes below 0 unless `clip` cuts the result to 0..1. A constant row divides by 1.
    """
    below, above = values, values
    if bool((lengths < values.shape[1]).any()):
        valid = valid_snippets(lengths, values.shape[1])
        below, above = values.masked_fill(~valid, float("inf")), values.masked_fill(~valid, float("-inf"))
    return rescale(values, below.amin(dim=1).clamp(min=0), above.amax(dim=1).clamp(min=0), clip)


def rescale(values: Tensor, lower: Tensor, upper: Tensor, clip: bool) -> Tensor:
    """(values [B, T] - lower [B]) / (upper [B] - lower), divided by 1 where the range is not positive."""
    span = upper - lower
    span = torch.where(span > 0, span, torch.ones_like(span))
    scaled = (values - lower[:, None]) / span[:, None]
    return scaled.clamp(0, 1) if clip else scaled


def foreground_gate(magnitude: Tensor, lengths: Tensor, config: LocalizationConfig) -> Tensor:
    """Foreground probability [B, T] in 0..1 from the feature magnitudes [B, T], as `config.gate` says.

    "bounded" is Eq. 4 of the UM paper; "mean_act_bkg", with the mean of the largest and that of the smallest magnitudes
    as bounds, is the released UM code; "minmax" takes the video's own extremes.
    """
    if config.gate == "bounded":
        return magnitude.clamp(0, config.gate_bound) / config.gate_bound
    if config.gate == "minmax":
        return minmax(magnitude, lengths, clip=True)
    upper = _mean_extreme(magnitude, lengths, config.gate_action_divisor, largest=True)
    lower = _mean_extreme(magnitude, lengths, config.gate_background_divisor, largest=False)
    return rescale(magnitude, lower, upper, clip=True)


def _mean_extreme(magnitude: Tensor, lengths: Tensor, divisor: int, largest: bool) -> Tensor:
    """Mean [B] of the lengths // divisor (at least 1) largest or smallest of each row of magnitude [B, T]."""
    k = (lengths // divisor).clamp(min=1)
    return topk_mean(magnitude[:, :, None], k, lengths, largest)[:, 0]  # [B, T, 1] -> [B, 1] -> [B]


def sample_counts(lengths: Tensor, frame_counts: Tensor | None, config: LocalizationConfig) -> Tensor:
    """Samples [B] of each video after config.upsample."""
    if config.upsample == "stpn":
        return lengths * config.upsample_factor
    if config.upsample == "none":
        return lengths
    if frame_counts is None:
        raise ValueError("localize: upsample='half_pixel' needs batch.frame_counts, got None")
    if bool((frame_counts < 1).any()):
        raise ValueError(f"localize: batch.frame_counts must be at least 1, got {int(frame_counts.min())}")
    return frame_counts
