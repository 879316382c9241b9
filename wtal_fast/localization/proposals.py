"""Proposals in seconds: upsampled class activation sequences and magnitudes through ops.propose."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from wtal_fast.config import LocalizationConfig
from wtal_fast.localization.cas import upsample
from wtal_fast.ops.propose import propose

SAMPLES_PER_CHUNK = 2**22  # of float64 at once: 32 MB for each intermediate


@dataclass(frozen=True)
class Rows:
    """The R (video, class) pairs to localize.

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

    def part(self, start: int, end: int) -> Rows:
        return Rows(**{name: None if value is None else value[start:end] for name, value in vars(self).items()})


@dataclass(frozen=True)
class Segments:
    """Proposals on the device: seconds [N, 2] and score [N] float64, row [N] int64 into Rows."""

    seconds: Tensor
    score: Tensor
    row: Tensor


def proposals(rows: Rows, config: LocalizationConfig) -> Segments:
    """All proposals of all rows: of the CAS in threshold order, then of the magnitudes, then whole videos.

    NMS takes equal scores in this order.
    """
    from_cas, from_magnitude = [], []
    size = max(int(rows.counts.max()), 1)
    step = max(SAMPLES_PER_CHUNK // size, 1)
    for start in range(0, len(rows), step):
        part = rows.part(start, start + step)
        cas = upsample(part.cas, part.lengths, part.counts, config)[:, :, None]  # [r, N, 1]
        from_cas.append(_of_sequence(cas, None, config.thresholds, part, start, config))
        if part.steering is not None:
            gate = upsample(part.steering, part.lengths, part.counts, config)
            from_magnitude.append(_of_sequence(cas, gate, config.magnitude_thresholds, part, start, config))
    found = _join(from_cas)
    if config.shrink:
        margin = config.shrink * (found.seconds[:, 1:] - found.seconds[:, :1])  # [N, 1]
        found = Segments(found.seconds + torch.cat([margin, -margin], dim=1), found.score, found.row)
    whole = [_whole_videos(found, rows, config.whole_video_score)] if config.whole_video_score is not None else []
    return _join([found, *from_magnitude, *whole])


def _of_sequence(cas: Tensor, gate: Tensor | None, thresholds: tuple[float, ...], part: Rows, first_row: int,
                 config: LocalizationConfig) -> Segments:
    """Proposals of cas [r, N, 1] at `thresholds`, or of the gate [r, N] at them: those are scored on the raw CAS."""
    start, end, score, _, row = propose(
        cas, torch.tensor(thresholds, dtype=torch.float64, device=cas.device),
        torch.ones_like(part.label, dtype=torch.bool)[:, None], part.counts, gate=gate, outer_ratio=config.outer_ratio,
        outer_closed=config.outer_closed, outer_source="thresholded" if gate is None else "raw", min_run=config.min_run,
        class_scores=part.class_scores[:, None], class_weight=config.class_weight,
        skip_run_at_zero=config.skip_run_at_zero)
    count, duration = part.counts[row].double(), part.durations[row]
    seconds = torch.stack([start / count * duration, end / count * duration], dim=1)
    return Segments(seconds, score, row + first_row)


def _whole_videos(found: Segments, rows: Rows, score: float) -> Segments:
    """[0, duration] with a constant score for each row that has a proposal."""
    row = found.row.unique()
    seconds = torch.stack([torch.zeros_like(rows.durations[row]), rows.durations[row]], dim=1)
    return Segments(seconds, torch.full_like(rows.durations[row], score), row)


def _join(parts: list[Segments]) -> Segments:
    return Segments(*(torch.cat([getattr(part, name) for part in parts]) for name in ("seconds", "score", "row")))
