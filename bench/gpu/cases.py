"""Calls of every op on the device: those of bench.cases_ops, and post-processing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from bench.case import Plan
from bench.cases_ops import CASES
from wtal_fast import ops


@dataclass(frozen=True)
class Call:
    """One call of ours and, by name, of the baselines; num_bytes: of the tensors it is given, 0 where they are hidden
    in a closure."""

    name: str
    ours: Callable[[], object]
    baselines: dict[str, Callable[[], object]]
    num_bytes: int = 0


def calls(device: str, size: str) -> Iterator[tuple[str, Callable[[], Iterator[Call]]]]:
    """(op, its calls); the inputs are made when the calls are asked for, so one op that fails leaves the others."""
    for name, cases in CASES.items():
        yield name, partial(_of_cases, cases, Plan(size, device))
    yield "temporal_nms", partial(_nms, device, size)
    yield "temporal_iou", partial(_iou, device, size)
    yield "average_precision", partial(_average_precision, device, size)
    yield "propose", partial(_propose, device, size)
    yield "propose_resampled", partial(_propose_resampled, device, size)


def _of_cases(cases, plan: Plan) -> Iterator[Call]:
    for case in cases(plan):
        baselines = {name: spellings[0] for name, spellings in case.baselines.items()}
        yield Call(case.name, case.ours, baselines, _given(case.ours))


def _given(call: Callable) -> int:
    if not isinstance(call, partial):
        return 0
    tensors = [value for value in (*call.args, *call.keywords.values()) if isinstance(value, Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors) + _given(call.func)


def _segments(count: int, device: str, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    start = torch.rand(count, generator=draw) * 150
    return torch.stack([start, start + 1 + 19 * torch.rand(count, generator=draw)], 1).to(device)


def _nms(device: str, size: str) -> Iterator[Call]:
    for groups, each in ((2, 20),) if size == "tiny" else ((1, 2_000), (1, 100_000), (5_000, 200)):
        segments = _segments(groups * each, device)
        scores = torch.rand(len(segments), generator=torch.Generator().manual_seed(1)).to(device)
        index = torch.arange(groups, device=device).repeat_interleave(each)
        name = f"{groups:,} groups of {each:,}"
        yield Call(f"temporal_nms, {name}", partial(ops.temporal_nms, segments, scores, 0.5, index), {})
        if each <= 2_000:
            yield Call(f"soft_temporal_nms, gaussian, {name}",
                       partial(ops.soft_temporal_nms, segments, scores, 0.5, index, method="gaussian"), {})


def _iou(device: str, size: str) -> Iterator[Call]:
    rows, columns = (8, 5) if size == "tiny" else (20_000, 1_000)
    one, many = _segments(rows, device), _segments(columns, device, 1)
    yield Call(f"temporal_iou, {rows:,} x {columns:,}", partial(ops.temporal_iou, one, many), {},
               4 * (2 * rows + 2 * columns + rows * columns))


def _average_precision(device: str, size: str) -> Iterator[Call]:
    found, truth, groups = (40, 10, 6) if size == "tiny" else (16_763, 3_311, 4_200)
    draw = torch.Generator().manual_seed(2)
    found_groups, truth_groups = (torch.randint(groups, (count,), generator=draw).to(device)
                                  for count in (found, truth))
    scores = torch.rand(found, generator=draw).to(device)
    arguments = (_segments(found, device).double(), scores.double(), found_groups, _segments(truth, device, 1).double(),
                 truth_groups, 2 if size == "tiny" else 20, torch.linspace(0.1, 0.9, 9, dtype=torch.float64))
    yield Call(f"average_precision, {found:,} detections, {truth:,} instances, 9 tIoU",
               partial(ops.average_precision, *arguments), {})


def _propose(device: str, size: str) -> Iterator[Call]:
    videos, steps, classes = (2, 40, 3) if size == "tiny" else (210, 18_000, 20)
    draw = torch.Generator().manual_seed(3)
    coarse = torch.rand(videos, classes, max(2, steps // 24), generator=draw)
    cas = torch.nn.functional.interpolate(coarse, steps, mode="linear").transpose(1, 2).contiguous().to(device)
    mask = torch.zeros(videos, classes, dtype=torch.bool)
    mask[torch.arange(videos), torch.randint(classes, (videos,), generator=draw)] = True
    thresholds = torch.arange(0, 0.25, 0.025, dtype=torch.float64)
    yield Call(f"propose, {videos} videos of {steps:,} samples, 10 thresholds",
               partial(ops.propose, cas, thresholds.to(device), mask.to(device)), {})


def _propose_resampled(device: str, size: str) -> Iterator[Call]:
    """As `localize` calls it for a test set of THUMOS'14's size."""
    rows, snippets, factor = (3, 20, 4) if size == "tiny" else (250, 750, 24)
    draw = torch.Generator().manual_seed(4)
    sequences, gate = torch.rand(2, rows, snippets, generator=draw).to(device)
    lengths = torch.randint(1, snippets + 1, (rows,), generator=draw).to(device)
    levels = torch.arange(0, 0.25, 0.025, dtype=torch.float64).to(device)
    given = (sequences, lengths, lengths * factor, lengths.double(), levels, "stpn")
    name = f"{rows} rows of {snippets} snippets, x {factor}, 10 thresholds"
    yield Call(f"propose_resampled, {name}", partial(ops.propose_resampled, *given, max_count=snippets * factor), {})
    for gated in (None, gate):
        yield Call(f"propose_resampled_padded, {name}{', gate' if gated is not None else ''}",
                   partial(ops.propose_resampled_padded, *given, 500_000, snippets * factor, gated, levels), {})
