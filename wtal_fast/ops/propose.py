"""Proposals: runs of a class activation sequence above each threshold, scored by inner minus outer contrast."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from wtal_fast.ops import _library
from wtal_fast.ops.temporal_iou import may_read

_SOURCES = ("thresholded", "raw")


def propose(cas: Tensor, thresholds: Tensor, class_mask: Tensor, lengths: Tensor | None = None,
            gate: Tensor | None = None, outer_ratio: float = 0.25, outer_closed: bool = True,
            outer_source: Literal["thresholded", "raw"] = "thresholded", min_run: int = 1,
            class_scores: Tensor | None = None, class_weight: float = 0.2,
            skip_run_at_zero: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Proposals of all videos, classes and thresholds at once (outer-inner contrast of AutoLoc and CMCS).

    cas [V, T, C] floating point, finite where it takes part; thresholds [M] >= 0, compared in float64; class_mask
    [V, C] bool, the classes to propose for; lengths [V] int64, valid samples of each video (None: all T); class_scores
    [V, C] (None: 1).
    A sample is above a threshold where its value is >= the threshold and > 0. Each maximal run of n samples [j0, j1]
    above it, n >= `min_run`, is one proposal with score = inner - outer + class_weight * class_score:
    inner is the mean over the run, outer the mean over [j0 - outer_ratio * n, j0) and (j1, j1 + outer_ratio * n]
    together, both cut at the video's ends and to whole samples; 0 where that is empty. The right part includes its
    last sample if `outer_closed` (BaS-Net, UM) and not otherwise (BackTAL). With `outer_source` "thresholded" the
    samples not above the threshold count as 0, with "raw" as they are.
    gate [V, T]: what is compared with the thresholds instead of the cas, the same for each class of a video; the scores
    are still means of the cas.
    `skip_run_at_zero` drops a run that is sample 0 alone and the only one of its threshold, as the released codes do.
    Returns start, end int64 [N] (samples start..end-1), score float64 [N], class and video int64 [N]; ordered by video,
    class, threshold (as given), start. No gradient.
    On a GPU the host waits once, to read how many proposals there are; `propose_padded` reads nothing. Scratch memory
    there is a bit for each number of cas and threshold.
    """
    lengths, class_scores = check_propose("propose", cas, thresholds, class_mask, lengths, gate, outer_ratio,
                                          outer_source, min_run, class_scores)
    gate = None if gate is None else gate.detach()
    try:
        return _propose(cas.detach(), thresholds.detach(), class_mask, lengths, gate, float(outer_ratio),
                        bool(outer_closed), outer_source == "raw", int(min_run), bool(skip_run_at_zero),
                        class_scores.detach(), float(class_weight))
    except RuntimeError:
        _check_values(cas, thresholds, class_mask, lengths, gate, class_scores)
        raise


def check_propose(op, cas, thresholds, class_mask, lengths, gate, outer_ratio, outer_source, min_run,
                  class_scores) -> tuple[Tensor, Tensor]:
    """Validates all but the values of tensors; returns lengths [V] and class_scores [V, C]."""
    if not isinstance(cas, Tensor) or cas.ndim != 3:
        found = list(cas.shape) if isinstance(cas, Tensor) else type(cas).__name__
        raise ValueError(f"{op}: cas must be [V, T, C], got {found}")
    videos, samples, classes = cas.shape
    if lengths is None:
        lengths = torch.full((videos,), samples, dtype=torch.int64, device=cas.device)
    if class_scores is None:
        class_scores = torch.ones((videos, classes), dtype=torch.float64, device=cas.device)
    shapes = {"class_mask": (class_mask, (videos, classes)), "lengths": (lengths, (videos,)),
              "class_scores": (class_scores, (videos, classes)), "gate": (gate, (videos, samples))}
    for name, (tensor, shape) in shapes.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ValueError(f"{op}: {name} must be {list(shape)} as cas is {list(cas.shape)}, "
                             f"got {list(tensor.shape)}")
    if not isinstance(thresholds, Tensor) or thresholds.ndim != 1:
        found = list(thresholds.shape) if isinstance(thresholds, Tensor) else type(thresholds).__name__
        raise ValueError(f"{op}: thresholds must be a tensor [M], got {found}")
    floating = {"cas": cas, "thresholds": thresholds, "class_scores": class_scores, "gate": gate}
    for name, tensor in floating.items():
        if tensor is not None and not tensor.is_floating_point():
            raise TypeError(f"{op}: {name} must be floating point, got {tensor.dtype}")
    if class_mask.dtype != torch.bool or lengths.dtype != torch.int64:
        raise TypeError(f"{op}: class_mask must be bool and lengths int64, got {class_mask.dtype}, {lengths.dtype}")
    tensors = {**floating, "class_mask": class_mask, "lengths": lengths}
    for name, tensor in tensors.items():
        if tensor is not None and tensor.device != cas.device:
            raise ValueError(f"{op}: {name} must be on the device of cas, {cas.device}, got {tensor.device}")
    if outer_source not in _SOURCES:
        raise ValueError(f"{op}: outer_source must be one of {_SOURCES}, got {outer_source!r}")
    if not outer_ratio >= 0:
        raise ValueError(f"{op}: outer_ratio must be >= 0, got {outer_ratio}")
    if min_run < 1:
        raise ValueError(f"{op}: min_run must be at least 1 sample, got {min_run}")
    return lengths, class_scores


def refused(cas: Tensor, thresholds: Tensor, class_mask: Tensor, lengths: Tensor, gate: Tensor | None,
            class_scores: Tensor) -> dict[str, Tensor]:
    """Which values of each argument no proposal can be made of, as bool tensors; of samples, those that take part."""
    valid = torch.arange(cas.shape[1], device=cas.device) < lengths[:, None]  # [V, T]
    found = {"lengths": (lengths < 0) | (lengths > cas.shape[1]), "thresholds": unusable(thresholds),
             "cas": ~cas.isfinite() & valid[:, :, None] & class_mask[:, None],
             "class_scores": ~class_scores.isfinite() & class_mask}
    if gate is not None:
        found["gate"] = ~gate.isfinite() & valid & class_mask.any(dim=1, keepdim=True)
    return found


def unusable(thresholds: Tensor) -> Tensor:
    """Which thresholds [M] are not finite or negative."""
    return ~(thresholds.isfinite() & (thresholds >= 0))


def _check_values(cas, thresholds, class_mask, lengths, gate, class_scores) -> None:
    """Raises ValueError where `refused` finds something and values may be read."""
    if not may_read(cas):
        return
    for name, wrong in refused(cas, thresholds, class_mask, lengths, gate, class_scores).items():
        if not bool(wrong.any()):
            continue
        if name == "lengths":
            raise ValueError(f"propose: lengths must be in 0..{cas.shape[1]}, got {int(lengths.min())}.."
                             f"{int(lengths.max())}")
        if name == "thresholds":
            raise ValueError("propose: thresholds must be finite and >= 0, got "
                             f"{float(thresholds[wrong][0])}")
        raise ValueError(f"propose: {name} must be finite, got {int(wrong.sum())} values that are NaN or infinite")


def _reference(cas: Tensor, thresholds: Tensor, class_mask: Tensor, lengths: Tensor, gate: Tensor | None,
               outer_ratio: float, outer_closed: bool, outer_raw: bool, min_run: int, skip_run_at_zero: bool,
               class_scores: Tensor, class_weight: float) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    _check_values(cas, thresholds, class_mask, lengths, gate, class_scores)
    video, label = class_mask.nonzero(as_tuple=True)  # [R] rows: the (video, class) pairs to propose for
    values = cas[video, :, label].double()  # [R, T]
    steering = values if gate is None else gate[video].double()  # [R, T]
    length = lengths[video]
    valid = torch.arange(cas.shape[1], device=cas.device) < length[:, None]  # [R, T]
    raw_sums = _prefix_sums(torch.where(valid, values, 0.0))
    rows, starts, ends, scores = [], [], [], []
    for threshold in thresholds.double():
        above = (steering >= threshold) & (steering > 0) & valid
        row, start, end = _runs(above, min_run, skip_run_at_zero)
        outer_sums = raw_sums if outer_raw else _prefix_sums(torch.where(above, values, 0.0))
        inner = (raw_sums[row, end] - raw_sums[row, start]) / (end - start)
        outer = _outer_mean(outer_sums, row, start, end, length[row], outer_ratio, outer_closed)
        rows.append(row)
        starts.append(start)
        ends.append(end)
        scores.append(inner - outer + class_weight * class_scores[video, label].double()[row])
    if not rows:
        none = video.new_empty(0)
        return none, none.clone(), values.new_empty(0), none.clone(), none.clone()
    row, start, end, score = torch.cat(rows), torch.cat(starts), torch.cat(ends), torch.cat(scores)
    order = torch.argsort(row, stable=True)  # threshold order inside a row
    row = row[order]
    return start[order], end[order], score[order], label[row], video[row]


def _prefix_sums(values: Tensor) -> Tensor:
    """[R, T] -> [R, T + 1], entry j is the sum of the first j values."""
    return torch.nn.functional.pad(values.cumsum(dim=1), (1, 0))


def _runs(above: Tensor, min_run: int, skip_run_at_zero: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Row, start and exclusive end of each maximal run of True in above [R, T], by row, then start."""
    padded = torch.nn.functional.pad(above, (1, 1))  # [R, T + 2]
    row, start = (padded[:, 1:] & ~padded[:, :-1]).nonzero(as_tuple=True)
    end = (padded[:, :-1] & ~padded[:, 1:]).nonzero(as_tuple=True)[1]
    keep = end - start >= min_run
    if skip_run_at_zero:
        keep &= ~((start == 0) & (end == 1) & (above.sum(dim=1) == 1)[row])
    return row[keep], start[keep], end[keep]


def _outer_mean(sums: Tensor, row: Tensor, start: Tensor, end: Tensor, length: Tensor, ratio: float,
                closed: bool) -> Tensor:
    """Mean over the window around each run, read from prefix sums; 0 where the window is empty."""
    reach = ratio * (end - start).double()
    left = (start - reach).clamp(min=0).long()  # .long() cuts toward zero, as the released codes do
    right = torch.minimum(end - 1 + reach, length.double()).long()
    right = torch.minimum(right + 1, length) if closed else torch.maximum(right, end)
    count = (start - left) + (right - end)
    total = (sums[row, start] - sums[row, left]) + (sums[row, right] - sums[row, end])
    return torch.where(count > 0, total / count.clamp(min=1), 0.0)


def _fake(cas, thresholds, class_mask, lengths, gate, outer_ratio, outer_closed, outer_raw, min_run, skip_run_at_zero,
          class_scores, class_weight):
    found = torch.library.get_ctx().new_dynamic_size()
    start, end, label, video = (cas.new_empty(found, dtype=torch.int64) for _ in range(4))
    return start, end, cas.new_empty(found, dtype=torch.float64), label, video


_propose = _library.define(
    "propose(Tensor cas, Tensor thresholds, Tensor class_mask, Tensor lengths, Tensor? gate, float outer_ratio, "
    "bool outer_closed, bool outer_raw, int min_run, bool skip_run_at_zero, Tensor class_scores, float class_weight) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)", reference=_reference, fake=_fake)
