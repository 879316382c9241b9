"""Settings of the released post-processing, its toy and recorded inputs, and its results as tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from wtal_fast.config import LocalizationConfig
from wtal_fast.structures import CASOutput, Detections, FeatureBatch

BASNET = LocalizationConfig(
    class_threshold=0.25, skip_index0_only=True, normalize="relu", upsample="stpn", upsample_factor=24,
    thresholds="arange(0,0.25,0.025)", outer_ratio=0.25, outer_closed=True, class_weight=0.2, class_term="one",
    nms_threshold=0.7, nms_offset=1.0)
UM = LocalizationConfig(
    class_threshold=0.2, class_fallback="argmax", cas="softmax", gate="mean_act_bkg", normalize="relu_clip",
    upsample="stpn", upsample_factor=24, thresholds="arange(0,0.25,0.025)",
    magnitude_thresholds="arange(0.4,0.625,0.025)", magnitude_source="gate", min_run=2, outer_ratio=0.25,
    outer_closed=True, class_weight=0.2, nms_threshold=0.6, nms_offset=1.0)
BACKTAL_THUMOS = LocalizationConfig(
    class_threshold=0.25, normalize="relu", upsample="half_pixel", thresholds="arange(0,0.25,0.025)",
    magnitude_thresholds="arange(0.3,0.8,0.075)", magnitude_source="minmax", outer_ratio=0.25, outer_closed=False,
    class_weight=0.2, nms_threshold=0.55, nms_offset=1.0)
BACKTAL_ACTIVITYNET = LocalizationConfig(
    class_threshold=0.1, normalize="relu", upsample="half_pixel", thresholds="arange(0,0.15,0.025)", outer_ratio=20.0,
    outer_closed=False, class_weight=0.6, shrink=0.02, whole_video_score=0.6, nms_threshold=0.7, nms_offset=1.0)

SECONDS_PER_SNIPPET = 16 / 25


def wave(shape: tuple[int, ...], a: float, b: float, s: float = 1.0) -> torch.Tensor:
    """s * sin(a * i + b) over the flat index i: the deterministic inputs of the toy vectors."""
    flat = torch.arange(int(np.prod(shape)), dtype=torch.float64)
    return (s * torch.sin(a * flat + b)).reshape(shape)


def batch(cas: torch.Tensor, durations, **fields) -> FeatureBatch:
    """A batch of full-length videos for cas [B, T, C]."""
    videos, snippets = cas.shape[:2]
    return FeatureBatch(features=cas, lengths=torch.full((videos,), snippets),
                        durations=torch.as_tensor(durations, dtype=torch.float64), **fields)


def recorded(folder: Path, method: str) -> tuple[CASOutput, FeatureBatch, LocalizationConfig, tuple[str, ...]]:
    """The 30 recorded videos as `method` ("basnet", "um" or "backtal") localizes them."""
    stored = np.load(folder / "official/loc_inputs.npz")
    cas, magnitude = torch.from_numpy(stored["cas"]), torch.from_numpy(stored["features"]).norm(dim=2)
    scores = torch.from_numpy(stored["score"])
    durations = stored["num_snippets"] * SECONDS_PER_SNIPPET
    settings = {"basnet": BASNET, "um": UM, "backtal": BACKTAL_THUMOS}[method]
    if method == "um":
        cas, scores = torch.from_numpy(stored["um_cas_softmax"]).log(), torch.from_numpy(stored["um_score"])
    if method == "backtal":
        durations = stored["duration"]
    videos = batch(cas, durations, video_ids=tuple(stored["video"].tolist()),
                   frame_counts=torch.from_numpy(stored["backtal_frame_num"]))
    output = CASOutput(cas_logits=cas, video_logits=scores.log(), magnitude=magnitude)
    return output, videos, settings, tuple(stored["class_names"].tolist())


def table(detections: Detections) -> dict[tuple[str, str], np.ndarray]:
    """(video, label) -> rows (start, end, score), sorted."""
    rows = np.concatenate([detections.segments, detections.scores[:, None]], axis=1)
    keys = {(detections.video_ids[v], detections.class_names[c])
            for v, c in zip(detections.video_index, detections.classes, strict=True)}
    return {(video, label): _sorted(rows[(detections.video_index == detections.video_ids.index(video))
                                         & (detections.classes == detections.class_names.index(label))])
            for video, label in keys}


def released_table(path: Path) -> dict[tuple[str, str], np.ndarray]:
    """The same of a result file."""
    found: dict[tuple[str, str], list] = {}
    for video, rows in json.loads(path.read_text())["results"].items():
        for row in rows:
            found.setdefault((video, row["label"]), []).append([*row["segment"], row["score"]])
    return {key: _sorted(np.asarray(rows)) for key, rows in found.items()}


def _sorted(rows: np.ndarray) -> np.ndarray:
    """By score, falling; equal scores by start. Rounded first, so that float noise does not swap rows."""
    return rows[np.lexsort((np.round(rows[:, 0], 4), -np.round(rows[:, 2], 5)))]
