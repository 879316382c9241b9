"""Suppression and proposals with outputs of a size that is known beforehand, for CUDA graphs.

`temporal_nms`, `soft_temporal_nms`, `propose` and `propose_resampled` return as many entries as they find, so on a GPU
the host waits once to read that number. The forms here return arrays of fixed size and the number as a tensor: nothing
is read, and a CUDA graph can record them. Values are checked where they are used: a number of -1 says that one of them
is refused, and all entries are padding then.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from wtal_fast.ops import _library
from wtal_fast.ops.propose import check_propose, refused
from wtal_fast.ops.propose_resampled import check_resampled, refused_resampled
from wtal_fast.ops.soft_temporal_nms import check_decay
from wtal_fast.ops.temporal_nms import check_suppression


def temporal_nms_padded(segments: Tensor, scores: Tensor, tiou_threshold: float, groups: Tensor | None = None,
                        offset: float = 0.0) -> tuple[Tensor, Tensor]:
    """What `temporal_nms` keeps, padded to the number of segments.

    Arguments as there. Returns the kept indices followed by -1, int64 [N], and how many are kept, int64 []: -1 where a
    segment or score is not finite or a segment ends before it starts. Wrong shapes, dtypes and devices raise as there.
    """
    groups = check_suppression("temporal_nms_padded", segments, scores, tiou_threshold, groups, offset)
    return _temporal_nms_padded(segments.detach(), scores.detach(), groups, float(tiou_threshold), float(offset))


def soft_temporal_nms_padded(
        segments: Tensor, scores: Tensor, tiou_threshold: float = 0.5, groups: Tensor | None = None,
        offset: float = 0.0, method: Literal["linear", "gaussian"] = "gaussian", sigma: float = 0.5,
        min_score: float = 1e-3) -> tuple[Tensor, Tensor, Tensor]:
    """What `soft_temporal_nms` keeps, padded to the number of segments.

    Arguments as there. Returns the kept indices followed by -1, int64 [N], their new scores followed by 0 [N], and how
    many are kept, int64 []: -1 where a segment or score is not finite or a segment ends before it starts.
    """
    groups = check_suppression("soft_temporal_nms_padded", segments, scores, tiou_threshold, groups, offset)
    check_decay("soft_temporal_nms_padded", method, sigma, min_score)
    return _soft_temporal_nms_padded(segments.detach(), scores.detach(), groups, float(tiou_threshold), float(offset),
                                     method, float(sigma), float(min_score))


def propose_padded(cas: Tensor, thresholds: Tensor, class_mask: Tensor, capacity: int, lengths: Tensor | None = None,
                   gate: Tensor | None = None, outer_ratio: float = 0.25, outer_closed: bool = True,
                   outer_source: Literal["thresholded", "raw"] = "thresholded", min_run: int = 1,
                   class_scores: Tensor | None = None, class_weight: float = 0.2,
                   skip_run_at_zero: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The first `capacity` proposals of `propose`, padded to that many.

    Arguments as there. Returns start, end, score, class and video [capacity] and how many proposals there are, int64
    []: more than `capacity` where some did not fit, -1 where a value that takes part is not finite, a threshold is
    negative or a length is not in 0..T. Behind the last proposal start, end and score are 0, class and video -1.
    """
    if capacity < 0:
        raise ValueError(f"propose_padded: capacity must be at least 0, got {capacity}")
    lengths, class_scores = check_propose("propose_padded", cas, thresholds, class_mask, lengths, gate, outer_ratio,
                                          outer_source, min_run, class_scores)
    gate = None if gate is None else gate.detach()
    return _propose_padded(cas.detach(), thresholds.detach(), class_mask, lengths, gate, float(outer_ratio),
                           bool(outer_closed), outer_source == "raw", int(min_run),
                           bool(skip_run_at_zero), class_scores.detach(), float(class_weight), int(capacity))


def propose_resampled_padded(
        sequences: Tensor, lengths: Tensor, counts: Tensor, durations: Tensor, thresholds: Tensor,
        resize: Literal["stpn", "half_pixel", "none"], capacity: int, max_count: int, gate: Tensor | None = None,
        gate_thresholds: Tensor | None = None, outer_ratio: float = 0.25, outer_closed: bool = True, min_run: int = 1,
        class_scores: Tensor | None = None, class_weight: float = 0.2,
        skip_run_at_zero: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The first `capacity` proposals of `propose_resampled`, padded to that many.

    Arguments as there; max_count, the largest count there may be, sizes the scratch memory. Returns segments
    [capacity, 2], score, row and gated [capacity] and how many proposals there are, int64 []: more than `capacity`
    where some did not fit, -1 where `propose_resampled` would raise for a value. Behind the last proposal segments and
    score are 0, row -1 and gated False.
    """
    op = "propose_resampled_padded"
    for name, value in (("capacity", capacity), ("max_count", max_count)):
        if value < 0:
            raise ValueError(f"{op}: {name} must be at least 0, got {value}")
    gate_thresholds, class_scores = check_resampled(
        op, sequences, lengths, counts, durations, thresholds, resize, gate, gate_thresholds, outer_ratio, min_run,
        class_scores)
    gate = None if gate is None else gate.detach()
    return _propose_resampled_padded(
        sequences.detach(), lengths, counts, durations, thresholds.detach(), resize, gate, gate_thresholds.detach(),
        float(outer_ratio), bool(outer_closed), int(min_run), bool(skip_run_at_zero), class_scores.detach(),
        float(class_weight), int(max_count), int(capacity))


def _padded(values: Tensor, size: int, padding: float) -> Tensor:
    kept = values[:size]
    return torch.cat([kept, kept.new_full((size - len(kept), *kept.shape[1:]), padding)])


def _good_segments(segments: Tensor, scores: Tensor) -> bool:
    ordered = (segments[:, 1] >= segments[:, 0]).all()
    return bool(segments.isfinite().all() & scores.isfinite().all() & ordered)


def _temporal_nms_reference(segments: Tensor, scores: Tensor, groups: Tensor, tiou_threshold: float,
                            offset: float) -> tuple[Tensor, Tensor]:
    kept, number = groups.new_empty(0), -1
    if _good_segments(segments, scores):
        kept = torch.ops.wtal_fast.temporal_nms(segments, scores, groups, tiou_threshold, offset)
        number = len(kept)
    return _padded(kept, len(segments), -1), groups.new_tensor(number)


def _temporal_nms_fake(segments: Tensor, scores: Tensor, groups: Tensor, tiou_threshold: float,
                       offset: float) -> tuple[Tensor, Tensor]:
    return groups.new_empty(segments.shape[0]), groups.new_empty(())


def _soft_temporal_nms_reference(segments: Tensor, scores: Tensor, groups: Tensor,
                                 *rule) -> tuple[Tensor, Tensor, Tensor]:
    kept, new_scores, number = groups.new_empty(0), scores.new_empty(0), -1
    if _good_segments(segments, scores):
        kept, new_scores = torch.ops.wtal_fast.soft_temporal_nms(segments, scores, groups, *rule)
        number = len(kept)
    return _padded(kept, len(segments), -1), _padded(new_scores, len(segments), 0), groups.new_tensor(number)


def _soft_temporal_nms_fake(segments: Tensor, scores: Tensor, groups: Tensor,
                            *rule) -> tuple[Tensor, Tensor, Tensor]:
    return groups.new_empty(segments.shape[0]), scores.new_empty(segments.shape[0]), groups.new_empty(())


def _propose_reference(cas: Tensor, thresholds: Tensor, class_mask: Tensor, lengths: Tensor, gate: Tensor | None,
                       outer_ratio: float, outer_closed: bool, outer_raw: bool, min_run: int, skip_run_at_zero: bool,
                       class_scores: Tensor, class_weight: float, capacity: int) -> tuple[Tensor, ...]:
    wrong = refused(cas, thresholds, class_mask, lengths, gate, class_scores)
    found, number = [lengths.new_empty(0), lengths.new_empty(0), lengths.new_empty(0, dtype=torch.float64),
                     lengths.new_empty(0), lengths.new_empty(0)], -1
    if not any(values.any() for values in wrong.values()):
        found = torch.ops.wtal_fast.propose(
            cas, thresholds, class_mask, lengths, gate, outer_ratio, outer_closed, outer_raw, min_run, skip_run_at_zero,
            class_scores, class_weight)
        number = len(found[0])
    padding = (0, 0, 0, -1, -1)
    return (*(_padded(part, capacity, value) for part, value in zip(found, padding, strict=True)),
            lengths.new_tensor(number))


def _propose_fake(cas, thresholds, class_mask, lengths, gate, outer_ratio, outer_closed, outer_raw, min_run,
                  skip_run_at_zero, class_scores, class_weight, capacity):
    start, end, label, video = (lengths.new_empty(capacity) for _ in range(4))
    return start, end, lengths.new_empty(capacity, dtype=torch.float64), label, video, lengths.new_empty(())


def _propose_resampled_reference(
        sequences: Tensor, lengths: Tensor, counts: Tensor, durations: Tensor, thresholds: Tensor, resize: str,
        gate: Tensor | None, gate_thresholds: Tensor, outer_ratio: float, outer_closed: bool, min_run: int,
        skip_run_at_zero: bool, class_scores: Tensor, class_weight: float, max_count: int,
        capacity: int) -> tuple[Tensor, ...]:
    wrong = refused_resampled(sequences, lengths, counts, thresholds, resize, gate, gate_thresholds, max_count)
    found, number = [durations.new_empty((0, 2), dtype=torch.float64), durations.new_empty(0, dtype=torch.float64),
                     lengths.new_empty(0), lengths.new_empty(0, dtype=torch.bool)], -1
    if not any(values.any() for values in wrong.values()):
        found = torch.ops.wtal_fast.propose_resampled(
            sequences, lengths, counts, durations, thresholds, resize, gate, gate_thresholds, outer_ratio, outer_closed,
            min_run, skip_run_at_zero, class_scores, class_weight, max_count)
        number = len(found[0])
    padding = (0, 0, -1, False)
    return (*(_padded(part, capacity, value) for part, value in zip(found, padding, strict=True)),
            lengths.new_tensor(number))


def _propose_resampled_fake(sequences, lengths, counts, durations, thresholds, resize, gate, gate_thresholds,
                            outer_ratio, outer_closed, min_run, skip_run_at_zero, class_scores, class_weight, max_count,
                            capacity):
    score = sequences.new_empty(capacity, dtype=torch.float64)
    return (score.new_empty((capacity, 2)), score, lengths.new_empty(capacity),
            lengths.new_empty(capacity, dtype=torch.bool), lengths.new_empty(()))


_temporal_nms_padded = _library.define(
    "temporal_nms_padded(Tensor segments, Tensor scores, Tensor groups, float tiou_threshold, float offset) "
    "-> (Tensor, Tensor)", reference=_temporal_nms_reference, fake=_temporal_nms_fake)
_soft_temporal_nms_padded = _library.define(
    "soft_temporal_nms_padded(Tensor segments, Tensor scores, Tensor groups, float tiou_threshold, float offset, "
    "str method, float sigma, float min_score) -> (Tensor, Tensor, Tensor)",
    reference=_soft_temporal_nms_reference, fake=_soft_temporal_nms_fake)
_propose_padded = _library.define(
    "propose_padded(Tensor cas, Tensor thresholds, Tensor class_mask, Tensor lengths, Tensor? gate, float outer_ratio, "
    "bool outer_closed, bool outer_raw, int min_run, bool skip_run_at_zero, Tensor class_scores, float class_weight, "
    "int capacity) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    reference=_propose_reference, fake=_propose_fake)
_propose_resampled_padded = _library.define(
    "propose_resampled_padded(Tensor sequences, Tensor lengths, Tensor counts, Tensor durations, Tensor thresholds, "
    "str resize, Tensor? gate, Tensor gate_thresholds, float outer_ratio, bool outer_closed, int min_run, "
    "bool skip_run_at_zero, Tensor class_scores, float class_weight, int max_count, int capacity) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    reference=_propose_resampled_reference, fake=_propose_resampled_fake)
