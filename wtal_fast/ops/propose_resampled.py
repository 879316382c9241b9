"""Proposals in seconds of sequences that are resampled in time first, without the resampled sequences in memory."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from wtal_fast.ops import _library
from wtal_fast.ops.propose import _propose, unusable
from wtal_fast.ops.temporal_iou import may_read

_RESIZES = ("stpn", "half_pixel", "none")
SAMPLES_PER_CHUNK = 2**22  # of the reference, float64 at once: 32 MB for each intermediate


def propose_resampled(sequences: Tensor, lengths: Tensor, counts: Tensor, durations: Tensor, thresholds: Tensor,
                      resize: Literal["stpn", "half_pixel", "none"], gate: Tensor | None = None,
                      gate_thresholds: Tensor | None = None, outer_ratio: float = 0.25, outer_closed: bool = True,
                      min_run: int = 1, class_scores: Tensor | None = None, class_weight: float = 0.2,
                      skip_run_at_zero: bool = False,
                      max_count: int | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Proposals of R (video, class) pairs: each sequence is resampled as `resample` does and given to `propose`.

    sequences [R, T] float32 or float64, of at most an eighth of the largest number; lengths [R] int64 in 1..T, valid
    snippets; counts [R] int64, samples after resampling (a multiple of lengths for "stpn", lengths for "none");
    durations [R], the seconds the samples cover; thresholds [M] as in propose, with outer_source "thresholded";
    class_scores [R] (None: 1).
    gate [R, T]: a second sequence, resampled alike, whose runs above gate_thresholds [G] are proposals too, with
    outer_source "raw". max_count: no count is larger than this (None: what fits in 31 bits). The other arguments are
    those of propose.
    Returns segments [N, 2] float64 in seconds (start / count * duration), score [N] float64, row [N] int64 into
    sequences and gated [N] bool, true for a proposal of the gate; ordered by row, gated, threshold, start. No gradient.
    On a GPU the host waits once, to read how many proposals there are, and once more for the largest count where
    resize is not "none" and max_count is not given; `propose_resampled_padded` reads nothing. Scratch memory there is a
    bit for each sample and threshold.
    """
    gate_thresholds, class_scores = check_resampled(
        "propose_resampled", sequences, lengths, counts, durations, thresholds, resize, gate, gate_thresholds,
        outer_ratio, min_run, class_scores)
    try:
        return _propose_resampled(sequences.detach(), lengths, counts, durations, thresholds, resize, gate,
                                  gate_thresholds, outer_ratio, outer_closed, min_run, skip_run_at_zero,
                                  class_scores.detach(), class_weight, max_count)
    except RuntimeError:
        _check_values(sequences, lengths, counts, thresholds, resize, gate, gate_thresholds, max_count)
        raise


def check_resampled(op, sequences, lengths, counts, durations, thresholds, resize, gate, gate_thresholds, outer_ratio,
                    min_run, class_scores) -> tuple[Tensor, Tensor]:
    """Validates all but the values of tensors; returns gate_thresholds [G] and class_scores [R]."""
    if not isinstance(sequences, Tensor) or sequences.ndim != 2:
        found = list(sequences.shape) if isinstance(sequences, Tensor) else type(sequences).__name__
        raise ValueError(f"{op}: sequences must be [R, T], got {found}")
    rows = len(sequences)
    if gate_thresholds is None:
        gate_thresholds = thresholds.new_empty(0)
    if class_scores is None:
        class_scores = torch.ones(rows, dtype=torch.float64, device=sequences.device)
    shapes = {"lengths": (lengths, (rows,)), "counts": (counts, (rows,)), "durations": (durations, (rows,)),
              "class_scores": (class_scores, (rows,)), "gate": (gate, tuple(sequences.shape))}
    for name, (tensor, shape) in shapes.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ValueError(f"{op}: {name} must be {list(shape)} as sequences is {list(sequences.shape)}, "
                             f"got {list(tensor.shape)}")
    levels = {"thresholds": thresholds, "gate_thresholds": gate_thresholds}
    for name, tensor in levels.items():
        if tensor.ndim != 1 or not tensor.is_floating_point():
            raise ValueError(f"{op}: {name} must be floating point [M], got {tensor.dtype} {list(tensor.shape)}")
    for name, tensor in (("sequences", sequences), ("gate", gate)):
        if tensor is not None and tensor.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"{op}: {name} must be float32 or float64, got {tensor.dtype}")
    for name, tensor in (("lengths", lengths), ("counts", counts)):
        if tensor.dtype != torch.int64:
            raise TypeError(f"{op}: {name} must be int64, got {tensor.dtype}")
    for name, tensor in (levels | {name: tensor for name, (tensor, _) in shapes.items()}).items():
        if tensor is not None and tensor.device != sequences.device:
            raise ValueError(f"{op}: {name} must be on the device of sequences, {sequences.device}, "
                             f"got {tensor.device}")
    if resize not in _RESIZES:
        raise ValueError(f"{op}: resize must be one of {_RESIZES}, got {resize!r}")
    if not outer_ratio >= 0:
        raise ValueError(f"{op}: outer_ratio must be >= 0, got {outer_ratio}")
    if min_run < 1:
        raise ValueError(f"{op}: min_run must be at least 1 sample, got {min_run}")
    return gate_thresholds, class_scores


def refused_resampled(sequences: Tensor, lengths: Tensor, counts: Tensor, thresholds: Tensor, resize: str,
                      gate: Tensor | None, gate_thresholds: Tensor, max_count: int | None) -> dict[str, Tensor]:
    """Which values of each argument no proposal can be made of, as bool tensors."""
    size, limit = sequences.shape[1], 2**31 - 1 if max_count is None else min(max_count, 2**31 - 1)
    fits = {"stpn": counts % lengths.clamp(min=1) == 0, "none": counts == lengths, "half_pixel": counts >= 0}[resize]
    valid = torch.arange(size, device=sequences.device) < lengths[:, None]  # [R, T]
    found = {"lengths": (lengths < 1) | (lengths > size), "counts": ~fits | (counts < 0) | (counts > limit),
             "thresholds": unusable(thresholds), "sequences": ~_may_resample(sequences) & valid}
    if gate is not None:
        found |= {"gate_thresholds": unusable(gate_thresholds), "gate": ~_may_resample(gate) & valid}
    return found


def _may_resample(values: Tensor) -> Tensor:
    """Where no line through neighbours leaves the range of the dtype (csrc/core/resample_rules.h)."""
    return values.abs() <= torch.finfo(values.dtype).max / 8


def _check_values(sequences: Tensor, lengths: Tensor, counts: Tensor, thresholds: Tensor, resize: str,
                  gate: Tensor | None, gate_thresholds: Tensor, max_count: int | None) -> None:
    """Raises ValueError where `refused_resampled` finds something and values may be read."""
    if not may_read(sequences):
        return
    found = refused_resampled(sequences, lengths, counts, thresholds, resize, gate, gate_thresholds, max_count)
    for name, wrong in found.items():
        if not bool(wrong.any()):
            continue
        first = int(wrong.flatten().nonzero()[0])
        if name == "lengths":
            raise ValueError(f"propose_resampled: lengths must be in 1..{sequences.shape[1]}, "
                             f"got {int(lengths.min())}..{int(lengths.max())}")
        if name == "counts":
            limit = "" if max_count is None else f", max_count={max_count}"
            raise ValueError(f"propose_resampled: counts do not fit resize={resize!r}{limit}: "
                             f"{int(counts[first])} samples of {int(lengths[first])} snippets in row {first}")
        if name in ("thresholds", "gate_thresholds"):
            levels = thresholds if name == "thresholds" else gate_thresholds
            raise ValueError(f"propose_resampled: {name} must be finite and >= 0, got {float(levels[first])}")
        raise ValueError(f"propose_resampled: {name} must be finite and far from overflow, got "
                         f"{float((sequences if name == 'sequences' else gate)[wrong][0])}")


def resample(values: Tensor, lengths: Tensor, counts: Tensor, resize: str) -> Tensor:
    """values [R, T], of which `lengths` [R] are valid, as counts [R] samples: float64 [R, max(counts)].

    "stpn": linear interpolation with snippet t at x = t and counts / lengths samples a snippet, the first at x = 0;
    past the last snippet the line through the last two goes on (SciPy's interp1d with fill_value="extrapolate", as STPN
    and its successors call it). The difference of neighbours is taken in the dtype of `values`, the rest in float64.
    "half_pixel": linear interpolation with pixel centres at half integers, edges repeated (OpenCV's INTER_LINEAR), in
    the dtype of `values`; positions are rounded to float32 like there. "none": the values.
    """
    if resize == "stpn":
        return _resample_stpn(values, lengths, counts)
    if resize == "half_pixel":
        return _resample_half_pixel(values, lengths, counts)
    return values.double()


def _resample_stpn(values: Tensor, lengths: Tensor, counts: Tensor) -> Tensor:
    index = torch.arange(int(counts.max()), device=values.device, dtype=torch.float64)
    x = index * (1 / (counts // lengths).double())[:, None]  # [R, N]
    right = torch.minimum(x.ceil().long(), lengths[:, None] - 1).clamp(min=1)  # [R, N]
    left_values, right_values = values.gather(1, right - 1), values.gather(1, right.clamp(max=values.shape[1] - 1))
    slope = torch.where(lengths[:, None] > 1, right_values - left_values, 0.0)  # a single snippet stays constant
    return slope.double() * (x - (right - 1)) + left_values.double()


def _resample_half_pixel(values: Tensor, lengths: Tensor, counts: Tensor) -> Tensor:
    index = torch.arange(int(counts.max()), device=values.device, dtype=torch.float64)
    x = (index + 0.5) * (lengths.double() / counts.double())[:, None] - 0.5  # [R, N]
    x = x.float()
    left = x.floor()
    fraction = (x - left).to(values.dtype)
    last = lengths[:, None] - 1
    left = left.long()
    fraction = torch.where((left < 0) | (left >= last), 0.0, fraction)
    left = torch.minimum(left.clamp(min=0), last)
    right = torch.minimum(left + 1, last)
    return (values.gather(1, left) * (1 - fraction) + values.gather(1, right) * fraction).double()


def _reference(sequences: Tensor, lengths: Tensor, counts: Tensor, durations: Tensor, thresholds: Tensor, resize: str,
               gate: Tensor | None, gate_thresholds: Tensor, outer_ratio: float, outer_closed: bool, min_run: int,
               skip_run_at_zero: bool, class_scores: Tensor, class_weight: float,
               max_count: int | None) -> tuple[Tensor, ...]:
    _check_values(sequences, lengths, counts, thresholds, resize, gate, gate_thresholds, max_count)
    step = max(SAMPLES_PER_CHUNK // max(int(counts.max()), 1), 1) if len(counts) else 1
    parts = [[], []]  # of the sequences, of the gate
    for first in range(0, len(sequences), step):
        part = slice(first, first + step)
        count, mask = counts[part], torch.ones_like(counts[part], dtype=torch.bool)[:, None]
        cas = resample(sequences[part], lengths[part], count, resize)[:, :, None]  # [r, N, 1]
        kinds = [(None, thresholds)]
        if gate is not None:
            kinds.append((resample(gate[part], lengths[part], count, resize), gate_thresholds))
        for found, (steering, levels) in zip(parts, kinds, strict=False):
            start, end, score, _, row = _propose(
                cas, levels, mask, count, steering, outer_ratio, outer_closed, steering is not None, min_run,
                skip_run_at_zero, class_scores[part, None], class_weight)
            found.append((start, end, score, row + first))
    gated = [torch.full_like(row, bool(kind), dtype=torch.bool) for kind in (0, 1) for *_, row in parts[kind]]
    if not gated:
        nothing = durations.new_empty(0, dtype=torch.float64)
        return nothing.reshape(0, 2), nothing, lengths.new_empty(0), lengths.new_empty(0, dtype=torch.bool)
    start, end, score, row = (torch.cat(column) for column in zip(*parts[0], *parts[1], strict=True))
    order = torch.argsort(row, stable=True)  # those of the sequence before those of the gate
    start, end, score, row, gated = (column[order] for column in (start, end, score, row, torch.cat(gated)))
    count, duration = counts[row].double(), durations[row].double()
    return torch.stack([start / count * duration, end / count * duration], dim=1), score, row, gated


def _fake(sequences, lengths, counts, durations, thresholds, resize, gate, gate_thresholds, outer_ratio, outer_closed,
          min_run, skip_run_at_zero, class_scores, class_weight, max_count):
    found = torch.library.get_ctx().new_dynamic_size()
    return (sequences.new_empty((found, 2), dtype=torch.float64), sequences.new_empty(found, dtype=torch.float64),
            sequences.new_empty(found, dtype=torch.int64), sequences.new_empty(found, dtype=torch.bool))


_propose_resampled = _library.define(
    "propose_resampled(Tensor sequences, Tensor lengths, Tensor counts, Tensor durations, Tensor thresholds, "
    "str resize, Tensor? gate, Tensor gate_thresholds, float outer_ratio, bool outer_closed, int min_run, "
    "bool skip_run_at_zero, Tensor class_scores, float class_weight, int? max_count) "
    "-> (Tensor, Tensor, Tensor, Tensor)",
    reference=_reference, fake=_fake)
