"""Proposals in seconds: class activation sequences and magnitudes through ops.propose_resampled."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from wtal_fast.config import LocalizationConfig
from wtal_fast.ops.propose_resampled import propose_resampled


@dataclass(frozen=True)
class Rows:
    """The R (video, class) pairs to localize, by video, then class.

    video, label, lengths (snippets), counts (samples) [R] int64; cas [R, T] normalised; steering [R, T] or None, the
    gate or normalised magnitude that the magnitude thresholds apply to; class_scores [R] and durations [R] (seconds)
    float64.
    """

    video: Tensor
    label: Tensor
    lengths: Tensor
    counts: Tensor
    cas: Tensor
    steering: Tensor | None
    class_scores: Tensor
    durations: Tensor

    def __len__(self) -> int:
        return len(self.video)


@dataclass(frozen=True)
class Segments:
    """Proposals on the device: seconds [N, 2] and score [N] float64, row [N] int64 into Rows."""

    seconds: Tensor
    score: Tensor
    row: Tensor


def proposals(rows: Rows, config: LocalizationConfig) -> Segments:
    """All proposals: in a row those of the CAS in threshold order, then of the magnitudes, then the whole video.

    NMS takes equal scores in this order.
    """
    thresholds, magnitude_thresholds = (torch.tensor(values, dtype=torch.float64, device=rows.cas.device)
                                        for values in (config.thresholds, config.magnitude_thresholds))
    seconds, score, row, gated = propose_resampled(
        rows.cas, rows.lengths, rows.counts, rows.durations, thresholds, config.upsample, rows.steering,
        magnitude_thresholds, config.outer_ratio, config.outer_closed, config.min_run, rows.class_scores,
        config.class_weight, config.skip_run_at_zero,
        max_count=rows.cas.shape[1] * config.upsample_factor if config.upsample == "stpn" else None)
    if config.shrink:
        margin = config.shrink * (seconds[:, 1:] - seconds[:, :1]).masked_fill(gated[:, None], 0.0)  # [N, 1]
        seconds = seconds + torch.cat([margin, -margin], dim=1)
    found = Segments(seconds, score, row)
    if config.whole_video_score is None:
        return found
    return _join(found, _whole_videos(found, rows, config.whole_video_score))


def _whole_videos(found: Segments, rows: Rows, score: float) -> Segments:
    """[0, duration] with a constant score for each row that has a proposal."""
    row = found.row.unique()
    seconds = torch.stack([torch.zeros_like(rows.durations[row]), rows.durations[row]], dim=1)
    return Segments(seconds, torch.full_like(rows.durations[row], score), row)


def _join(a: Segments, b: Segments) -> Segments:
    return Segments(*(torch.cat([getattr(a, name), getattr(b, name)]) for name in ("seconds", "score", "row")))
