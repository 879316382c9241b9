"""The released post-processing of BaS-Net, UM and BackTAL, restated: one video, threshold and run at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.baselines_postprocessing import numpy_nms
from wtal_fast.config import LocalizationConfig


@dataclass(frozen=True)
class Video:
    """What the released code has of a video: cas [T, C] and class scores [C] after softmax, magnitude [T] float32."""

    cas: np.ndarray
    class_scores: np.ndarray
    magnitude: np.ndarray
    duration: float
    frame_count: int


def released_detections(videos: list[Video], method: str, settings: LocalizationConfig) -> tuple[np.ndarray, ...]:
    """Segments [N, 2], scores [N], classes [N] and videos [N] after NMS: by video, class, falling score."""
    sequences = {"basnet": _basnet, "uncertainty": _uncertainty, "backtal": _backtal}[method]
    found = [(np.empty((0, 2)), np.empty(0), np.empty(0, int), np.empty(0, int))]  # there may be no detection
    for index, video in enumerate(videos):
        for label, segments, scores in _one_video(video, settings, sequences):
            kept = numpy_nms(segments, scores, settings.nms_threshold, settings.nms_offset)
            found.append((segments[kept], scores[kept], np.full(len(kept), label), np.full(len(kept), index)))
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))


def _one_video(video: Video, settings: LocalizationConfig, sequences) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Class, segments [P, 2] and scores [P] of each kept class with a proposal."""
    labels = np.where(video.class_scores >= settings.class_threshold)[0]
    if not len(labels) and settings.class_fallback == "argmax":
        labels = np.array([np.argmax(video.class_scores)])
    if settings.skip_index0_only and not labels.any():
        return
    if not len(labels):
        return
    cas, magnitude = sequences(video, labels, settings)  # [N, K], [N] or None
    pools = [[] for _ in labels]
    for threshold in settings.thresholds:
        active = cas.copy()
        active[np.where(active < threshold)] = 0
        for pool, column in zip(pools, active.T, strict=True):
            _add_runs(pool, np.where(column > 0)[0], column, settings)
    for threshold in settings.magnitude_thresholds:
        active = magnitude.copy()
        active[np.where(active < threshold)] = 0
        for pool, column in zip(pools, cas.T, strict=True):
            _add_runs(pool, np.where(active > 0)[0], column, settings)
    for label, pool in zip(labels, pools, strict=True):
        if pool:
            rows = np.array(pool)
            class_score = 1.0 if settings.class_term == "one" else float(video.class_scores[label])
            seconds = rows[:, :2] * video.duration / len(cas)
            yield label, seconds, rows[:, 2] + settings.class_weight * class_score


def _add_runs(pool: list, positions: np.ndarray, column: np.ndarray, settings: LocalizationConfig) -> None:
    """Appends (first, last + 1, inner minus outer mean of column) of each run of consecutive positions."""
    if not positions.any():  # the released test for "no position", which position 0 alone passes for too
        return
    size = len(column)
    for run in np.split(positions, np.where(np.diff(positions) != 1)[0] + 1):
        if len(run) < settings.min_run:
            continue
        first, last = int(run[0]), int(run[-1])
        reach = settings.outer_ratio * len(run)
        left = list(range(max(0, int(first - reach)), first))
        if settings.outer_closed:
            right = list(range(last + 1, min(size - 1, int(last + reach)) + 1))
        else:
            right = list(range(last + 1, min(size, int(last + reach))))
        around = left + right
        outer = np.mean(column[around]) if around else 0.0
        pool.append((first, last + 1, np.mean(column[run]) - outer))


def _bounds(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    zero = np.float32(0)
    return np.maximum(values.min(axis=0), zero), np.maximum(values.max(axis=0), zero)


def _rescaled(values: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    span = upper - lower
    return (values - lower) / np.where(span > 0, span, np.ones_like(span))


def _basnet(video: Video, labels: np.ndarray, settings: LocalizationConfig):
    """The normalised CAS of all classes, that of the kept ones upsampled."""
    return _stpn_upsampled(_rescaled(video.cas, *_bounds(video.cas))[:, labels], settings.upsample_factor), None


def _uncertainty(video: Video, labels: np.ndarray, settings: LocalizationConfig):
    """The normalised product of CAS and gate, and the gate, both upsampled."""
    ordered = np.sort(video.magnitude)
    action, background = (max(1, len(ordered) // divisor)
                          for divisor in (settings.gate_action_divisor, settings.gate_background_divisor))
    gate = np.clip(_rescaled(video.magnitude, ordered[:background].mean(), ordered[-action:].mean()), 0, 1)
    product = video.cas * gate[:, None]
    product = np.clip(_rescaled(product, *_bounds(product)), 0, 1)
    return (_stpn_upsampled(product[:, labels], settings.upsample_factor),
            _stpn_upsampled(gate[:, None], settings.upsample_factor)[:, 0])


def _backtal(video: Video, labels: np.ndarray, settings: LocalizationConfig):
    """The normalised CAS and magnitude, both resized to the frames of the video."""
    cas = _rescaled(video.cas, *_bounds(video.cas))[:, labels]
    magnitude = np.clip(_rescaled(video.magnitude, *_bounds(video.magnitude)), 0, 1)
    return _resized(cas, video.frame_count), _resized(magnitude[:, None], video.frame_count)[:, 0]


def _stpn_upsampled(values: np.ndarray, factor: int) -> np.ndarray:
    """values [T, K] at x = j / factor, extrapolated past the last: float64 [T * factor, K]."""
    x = np.arange(len(values) * factor) * (1 / factor)
    right = np.clip(np.searchsorted(np.arange(len(values)), x), 1, len(values) - 1)
    slope = values[right] - values[right - 1]
    return slope * (x - (right - 1))[:, None] + values[right - 1]


def _resized(values: np.ndarray, size: int) -> np.ndarray:
    """values [T, K] resized to [size, K] between pixel centres, in float32 like OpenCV, given as float64."""
    last = len(values) - 1
    x = ((np.arange(size) + 0.5) * (len(values) / size) - 0.5).astype(np.float32)
    left = np.floor(x)
    fraction = x - left
    fraction[(left < 0) | (left >= last)] = 0
    left = np.clip(left.astype(np.int64), 0, last)
    right = np.minimum(left + 1, last)
    return (values[left] * (1 - fraction)[:, None] + values[right] * fraction[:, None]).astype(np.float64)
