"""NMS and localization against the loops of released code, on simulated inputs of THUMOS'14 size."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from bench import baselines_postprocessing as baselines
from bench.baselines_localization import Video, released_detections
from bench.case import Case, Plan
from wtal_fast import ops
from wtal_fast.config import LocalizationConfig
from wtal_fast.localization import localize
from wtal_fast.preset_files import load_preset
from wtal_fast.structures import Annotations, CASOutput, Detections, FeatureBatch

SAME_INDICES = {"rtol": 0, "atol": 0}
SAME_NUMBERS = {"rtol": 1e-9, "atol": 1e-9}  # float64 sums in another order
ONE_ROUNDING = {"rtol": 1e-6, "atol": 1e-7}  # float32 arithmetic against float64, rounded once
BROADCAST = "plain PyTorch, broadcast"
NUMPY_NMS, SCALAR_NMS = "NumPy (released BackTAL)", "scalar C++ (as ActionFormer), one call a group"
TORCHVISION_NMS, MATRIX_NMS = "C++ on boxes (as torchvision), one call a group", "plain PyTorch, matrix of overlaps"
RELEASED_NAMES = {"basnet": "BaS-Net", "uncertainty": "UM", "backtal": "BackTAL"}


def temporal_nms(plan: Plan) -> Iterator[Case]:
    """Random segments of 1 to 20 s in groups of 150 s (100,000 segments: one hour), float32, tIoU 0.5.

    Bounds are multiples of 1/1024 s and scores distinct, so that float32 and float64 agree on what is kept. The strict
    comparison of torchvision gets the float32 just below the threshold: the same rule.
    """
    in_cpp = {SCALAR_NMS: baselines.compiled_nms(), TORCHVISION_NMS: baselines.compiled_nms(planar=True)}
    targets = {200: {SCALAR_NMS: 4}, 2000: {NUMPY_NMS: 10, SCALAR_NMS: 4}}
    small = ((200, 1, 150), (2000, 1, 150))
    for count, groups, seconds in plan.pick(tiny=((20, 2, 150),), quick=small,
                                            full=(*small, (100_000, 1, 3600), (200, 5000, 150))):
        draw = np.random.default_rng(0)
        start = draw.random(count * groups) * seconds
        bounds = np.stack([start, start + draw.uniform(1, 20, len(start))], axis=1)
        segments = torch.from_numpy(np.round(bounds * 1024) / 1024).float()
        scores = torch.from_numpy(draw.permutation(len(start)) / len(start)).float()
        group = torch.arange(groups).repeat_interleave(count)
        edges = list(range(0, len(start) + 1, count))
        ours = partial(ops.temporal_nms, segments, scores, 0.5, group)
        others = {NUMPY_NMS: [partial(baselines.grouped_numpy_nms, segments.numpy().astype(np.float64),
                                      scores.numpy(), 0.5, edges)]}
        levels = {SCALAR_NMS: 0.5, TORCHVISION_NMS: float(np.nextafter(np.float32(0.5), np.float32(0)))}
        others |= {name: [partial(nms, segments, scores, levels[name], edges)] for name, nms in in_cpp.items() if nms}
        if len(start) <= 2000 and groups == 1:
            others[MATRIX_NMS] = [partial(baselines.matrix_nms, segments, scores, 0.5)]
        name = f"temporal_nms, {groups:,} group{'s' * (groups > 1)} of {count:,}, {len(ours()):,} kept"
        yield Case(name, ours, others, SAME_INDICES,
                   targets.get(len(start), {NUMPY_NMS: 50, SCALAR_NMS: 4}),
                   released={} if (count, groups) != (2000, 1) else {
                       NUMPY_NMS: "NMS of BackTAL in NumPy, n=2000", SCALAR_NMS: "NMS of ActionFormer in C++, n=2000"})


def temporal_iou(plan: Plan) -> Iterator[Case]:
    """Every segment with every other, float32 of multiples of 1/1024 s, as label assignment of a large video asks."""
    for rows, columns in plan.pick(tiny=((20, 7),), quick=((1000, 1000),),
                                   full=((20, 200), (1000, 1000), (20_000, 1000))):
        draw = np.random.default_rng(0)
        start = draw.random(rows + columns) * 150
        bounds = np.stack([start, start + draw.uniform(1, 20, len(start))], axis=1)
        one, other = torch.from_numpy(np.round(bounds * 1024) / 1024).float().split([rows, columns])
        yield Case(f"temporal_iou, {rows:,} x {columns:,}", partial(ops.temporal_iou, one, other),
                   {BROADCAST: [partial(baselines.broadcast_iou, one, other)]}, ONE_ROUNDING, {})


def simulated_truth(draw: np.random.Generator, videos: int, classes: int, per_video: int = 16) -> Annotations:
    """About `per_video` instances of one or two classes in each video of 60 to 500 s."""
    durations = draw.uniform(60, 500, videos)
    counts = draw.poisson(per_video - 1, videos) + 1
    video = np.repeat(np.arange(videos), counts)
    kinds = draw.integers(0, classes, (videos, 2))
    pick = (draw.random(len(video)) < 0.1).astype(np.int64)
    start = draw.random(len(video)) * durations[video]
    return Annotations(
        segments=np.stack([start, start + draw.gamma(2, 2, len(video)) + 0.2], axis=1), classes=kinds[video, pick],
        video_index=video, class_names=tuple(f"class {index}" for index in range(classes)),
        video_ids=tuple(f"video {index}" for index in range(videos)), subsets=("test",) * videos,
        durations=durations, fps=np.full(videos, np.nan))


def simulated_detections(draw: np.random.Generator, truth: Annotations, count: int) -> Detections:
    """`count` detections: half are shifted instances, half lie anywhere in a video under one of its classes."""
    row, near = draw.integers(0, len(truth), count), draw.random(count) < 0.5
    video = truth.video_index[row]
    length = np.where(near, np.diff(truth.segments[row])[:, 0] * draw.uniform(0.6, 1.6, count),
                      draw.gamma(2, 2, count) + 0.2)
    start = np.where(near, truth.segments[row, 0] + draw.normal(0, 0.25, count) * length,
                     draw.random(count) * truth.durations[video])
    return Detections(segments=np.stack([start, start + length], axis=1),
                      scores=draw.random(count) * (0.5 + 0.5 * near), classes=truth.classes[row], video_index=video,
                      class_names=truth.class_names, video_ids=truth.video_ids)


def official_settings(method: str) -> LocalizationConfig:
    """How the released code of `method` localizes THUMOS'14."""
    values = load_preset(f"{method}/thumos14/official").values
    return LocalizationConfig(**{key.removeprefix("localization."): sourced.value for key, sourced in values.items()
                                 if key.startswith("localization.")})


def simulated_output(videos: int = 210, snippets: int = 750, classes: int = 20) -> tuple[CASOutput, FeatureBatch]:
    """Model output with about as many detections as recorded ones, one or two likely classes a video, 30 to 400 s.

    Magnitudes are multiples of 1/64, so that their sums are exact in any order.
    """
    draw = np.random.default_rng(0)
    kernel = np.hanning(31) / np.hanning(31).sum()
    noise = draw.standard_normal((videos, classes + 2, snippets + len(kernel) - 1))
    smooth = np.apply_along_axis(np.convolve, 2, noise, kernel, "valid") + 0.02 * draw.standard_normal(
        (videos, classes + 2, snippets))
    cas = torch.from_numpy(smooth[:, :-1]).float().transpose(1, 2).contiguous()  # [B, T, C + 1]
    magnitude = torch.from_numpy(np.round((20 + 20 * smooth[:, -1]).clip(1, 90) * 64) / 64).float()
    logits = torch.from_numpy(draw.standard_normal((videos, classes + 1))).float()
    rows, kinds = np.arange(videos), draw.integers(0, classes, (videos, 2))
    logits[rows, kinds[:, 0]] = 8.0
    logits[rows[::5], kinds[::5, 1]] = 8.0
    durations = torch.from_numpy(draw.uniform(30, 400, videos))
    batch = FeatureBatch(features=cas, lengths=torch.full((videos,), snippets), durations=durations,
                         frame_counts=(durations * 25).long())
    return CASOutput(cas_logits=cas, video_logits=logits, magnitude=magnitude), batch


def _ours_localize(output: CASOutput, batch: FeatureBatch, settings: LocalizationConfig, names: list[str]):
    found = localize(output, batch, settings, names)
    return [torch.from_numpy(part) for part in (found.segments, found.scores, found.classes, found.video_index)]


def _released(videos: list[Video], method: str, settings: LocalizationConfig):
    return [torch.from_numpy(part) for part in released_detections(videos, method, settings)]


def localize_case(method: str, videos: int, snippets: int) -> Case:
    """From model output to detections, with the settings of the released code."""
    output, batch = simulated_output(videos, snippets)
    names = [f"class {index}" for index in range(output.cas_logits.shape[2] - 1)]
    scores = output.video_logits.softmax(dim=1)[:, :len(names)].numpy()
    logits = output.cas_logits[:, :, :len(names)]
    settings = official_settings(method)
    cas = logits.softmax(dim=2) if settings.cas == "softmax" else logits
    parts = zip(cas.numpy(), scores, output.magnitude.numpy(), batch.durations.tolist(), batch.frame_counts.tolist(),
                strict=True)
    count = len(localize(output, batch, settings, names))
    baseline = f"released {method} post-processing, restated"
    released = {baseline: f"{RELEASED_NAMES[method]} post-processing, 210 videos"}
    return Case(f"localize {method}, {videos} videos of {snippets} snippets, {count:,} detections",
                partial(_ours_localize, output, batch, settings, names),
                {baseline: [partial(_released, [Video(*part) for part in parts], method, settings)]}, SAME_NUMBERS,
                {baseline: 150}, released=released if (videos, snippets) == (210, 750) else {})


def localize_cases(plan: Plan) -> Iterator[Case]:
    """All test videos of THUMOS'14."""
    for method in ("basnet", "uncertainty", "backtal"):
        yield localize_case(method, plan.pick(tiny=3, quick=40, full=210), plan.pick(tiny=40, quick=750, full=750))


CASES = {"temporal_iou": temporal_iou, "temporal_nms": temporal_nms, "localize": localize_cases}
