"""Clicks: single labelled moments in a video. Simulating, checking, and placing them on snippets."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wtal_fast.structures import NO_CLICK, Annotations

BACKGROUND_TAG = "background"


@dataclass(frozen=True)
class Clicks:
    """K clicks in V videos.

    seconds [K] float64; classes [K] int64: 0..C-1 an action, C = len(class_names) background; video_index [K] int64
    into video_ids.
    """

    seconds: np.ndarray
    classes: np.ndarray
    video_index: np.ndarray
    class_names: tuple[str, ...]
    video_ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def is_background(self) -> np.ndarray:
        return self.classes == len(self.class_names)

    def of_kind(self, kinds: str) -> Clicks:
        """The clicks on "background", on "action", "both" or "none" of them."""
        if kinds not in ("none", "background", "action", "both"):
            raise ValueError(f"of_kind: kinds must be none, background, action or both, got {kinds!r}")
        kept = self.is_background if kinds == "background" else ~self.is_background
        return self.rows(np.flatnonzero(kept | (kinds == "both")) if kinds != "none" else np.arange(0))

    def of_videos(self, video_ids: Sequence[str]) -> Clicks:
        """The clicks in the given videos, numbered in that order. A video may have none."""
        number = {video: index for index, video in enumerate(video_ids)}
        renumbered = np.asarray([number.get(video, -1) for video in self.video_ids], dtype=np.int64)
        rows = self.rows(np.flatnonzero(renumbered[self.video_index] >= 0)) if len(self) else self
        return Clicks(rows.seconds, rows.classes, renumbered[rows.video_index], self.class_names, tuple(video_ids))

    def rows(self, index: np.ndarray) -> Clicks:
        """The clicks `index`, in that order."""
        return Clicks(self.seconds[index], self.classes[index], self.video_index[index], self.class_names,
                      self.video_ids)


def join_clicks(parts: Sequence[Clicks]) -> Clicks:
    """All clicks of several files or kinds over the same videos and classes."""
    first = parts[0]
    return Clicks(*(np.concatenate([getattr(part, name) for part in parts])
                    for name in ("seconds", "classes", "video_index")), first.class_names, first.video_ids)


def click_positions(clicks: Clicks, durations: np.ndarray, num_snippets: int,
                    starts: np.ndarray | None = None) -> np.ndarray:
    """Clicks on snippets, [V, T] int64: NO_CLICK, 0..C-1 an action, C background.

    A click at tau seconds is at position floor((tau - start) / duration * T), clamped to 0..T-1; starts [V]: 0 seconds
    where not given. Several on one position become
    one: an action before background, of several actions the first class.
    """
    positions = np.full((len(clicks.video_ids), num_snippets), np.iinfo(np.int64).max)
    seconds = clicks.seconds if starts is None else clicks.seconds - starts[clicks.video_index]
    relative = seconds / np.asarray(durations, dtype=np.float64)[clicks.video_index]
    index = np.clip(np.floor(relative * num_snippets), 0, num_snippets - 1).astype(np.int64)
    np.minimum.at(positions, (clicks.video_index, index), clicks.classes)
    return np.where(positions == np.iinfo(np.int64).max, NO_CLICK, positions)


def background_intervals(segments: np.ndarray, duration: float) -> np.ndarray:
    """The maximal intervals [G, 2] of 0..duration not covered by any of segments [M, 2]; those without length are not
    listed, and segments without length cover nothing."""
    segments = segments[segments[:, 1] > segments[:, 0]]
    segments = segments[np.argsort(segments[:, 0], kind="stable")]
    starts = np.concatenate([[0.0], np.maximum.accumulate(segments[:, 1])]).clip(max=duration)
    ends = np.concatenate([segments[:, 0], [duration]]).clip(max=duration)
    gaps = np.stack([starts, ends], axis=1)
    return gaps[gaps[:, 1] > gaps[:, 0]]


def simulate_background_clicks(annotations: Annotations, durations: np.ndarray, seed: int = 0,
                               min_gap: float = 0.0, noise: float = 0.0, miss: float = 0.0) -> Clicks:
    """One click, uniformly drawn, in every background interval that lasts min_gap seconds or more.

    As BackTAL simulates its ActivityNet and HACS clicks. The draws of a video depend on seed and its id only.
    noise: standard deviation in seconds of a normal error added to each time (then kept within the video), which may
    carry a click into an action. miss: share of intervals that nobody clicks.
    """
    background, found = len(annotations.class_names), []
    for video, name in enumerate(annotations.video_ids):
        gaps = background_intervals(annotations.segments[annotations.video_index == video], float(durations[video]))
        gaps = gaps[gaps[:, 1] - gaps[:, 0] >= min_gap]
        draws = _draw(gaps, seed, name, noise, miss, float(durations[video]))
        found += [(seconds, background, video) for seconds in draws if seconds is not None]
    return clicks_of_rows(found, annotations.class_names, annotations.video_ids)


def simulate_action_clicks(annotations: Annotations, durations: np.ndarray, seed: int = 0, noise: float = 0.0,
                           miss: float = 0.0) -> Clicks:
    """One click, uniformly drawn, in every annotated instance (its part within the video). The draws of a video depend
    on seed and its id only. noise, miss: as for background clicks."""
    found = []
    for video, name in enumerate(annotations.video_ids):
        rows = np.flatnonzero(annotations.video_index == video)
        rows = rows[annotations.segments[rows, 0] < durations[video]]
        within = annotations.segments[rows].clip(max=float(durations[video]))
        draws = _draw(within, seed, name, noise, miss, float(durations[video]))
        found += [(seconds, int(annotations.classes[row]), video)
                  for seconds, row in zip(draws, rows, strict=True) if seconds is not None]
    return clicks_of_rows(found, annotations.class_names, annotations.video_ids)


def contradicted_clicks(clicks: Clicks, annotations: Annotations) -> np.ndarray:
    """Mask [K]: background clicks inside any annotated instance, action clicks outside every one of their class. Both
    ends belong to an instance. The videos of both must be the same, in one order."""
    if clicks.video_ids != annotations.video_ids:
        raise ValueError("contradicted_clicks: clicks and annotations must hold the same videos in the same order")
    wrong = np.zeros(len(clicks), dtype=bool)
    for row in range(len(clicks)):
        seconds, number = clicks.seconds[row], clicks.classes[row]
        here = annotations.video_index == clicks.video_index[row]
        inside = here & (annotations.segments[:, 0] <= seconds) & (seconds <= annotations.segments[:, 1])
        is_background = number == len(clicks.class_names)
        wrong[row] = inside.any() if is_background else not (inside & (annotations.classes == number)).any()
    return wrong


def _draw(intervals: np.ndarray, seed: int, name: str, noise: float, miss: float,
          duration: float) -> list[float | None]:
    """A moment in each interval, None where it is missed. Uniform draws come first, so that they do not depend on noise
    and miss."""
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    moments = random.uniform(intervals[:, 0], intervals[:, 1])
    errors, missed = random.standard_normal(len(moments)), random.random(len(moments)) < miss
    moments = np.clip(moments + noise * errors, 0, duration) if noise else moments
    return [None if gone else float(moment) for moment, gone in zip(moments, missed, strict=True)]


def clicks_of_rows(found: list[tuple[float, int, int]], class_names: Sequence[str],
                   video_ids: Sequence[str]) -> Clicks:
    """Clicks from (seconds, class, video index) rows."""
    seconds, classes, video_index = zip(*found, strict=True) if found else ((), (), ())
    return Clicks(np.asarray(seconds, dtype=np.float64), np.asarray(classes, dtype=np.int64),
                  np.asarray(video_index, dtype=np.int64), tuple(class_names), tuple(video_ids))
