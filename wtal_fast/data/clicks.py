"""Clicks: single labelled moments in a video. Reading, simulating, checking, and placing them on snippets."""

from __future__ import annotations

import csv
import math
import os
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wtal_fast.data.problems import ProblemList
from wtal_fast.errors import InputError, nearest_name
from wtal_fast.structures import NO_CLICK, Annotations

BACKGROUND_TAG = "background"
_BACKTAL_HEADER = ["URLID", "URL", "TagID", "Tag", "Start", "End", "Time", "State"]
MAX_CLICK_FILE_BYTES = 64 * 2**20


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
        return self._rows(np.flatnonzero(kept | (kinds == "both")) if kinds != "none" else np.arange(0))

    def of_videos(self, video_ids: Sequence[str]) -> Clicks:
        """The clicks in the given videos, numbered in that order. A video may have none."""
        number = {video: index for index, video in enumerate(video_ids)}
        renumbered = np.asarray([number.get(video, -1) for video in self.video_ids], dtype=np.int64)
        rows = self._rows(np.flatnonzero(renumbered[self.video_index] >= 0)) if len(self) else self
        return Clicks(rows.seconds, rows.classes, renumbered[rows.video_index], self.class_names, tuple(video_ids))

    def _rows(self, index: np.ndarray) -> Clicks:
        return Clicks(self.seconds[index], self.classes[index], self.video_index[index], self.class_names,
                      self.video_ids)


def read_clicks(path: str | os.PathLike, class_names: Sequence[str], video_ids: Sequence[str], durations: np.ndarray,
                ranges: str = "midpoint", tolerance: float = 1.0) -> Clicks:
    """Clicks of a text file, in file order.

    Two forms are known. BackTAL's background clicks, the export of the COIN annotation tool: a header
    URLID,URL,TagID,Tag,Start,End,Time,State, times in seconds, Tag "background_background" or a class name; Start < End
    is a range, taken at its "midpoint" or every "half_seconds" from its start. SF-Net's action clicks: rows
    video,seconds,class without header, blank lines between.
    durations [V] seconds of video_ids: a click before 0 or more than `tolerance` seconds after the end is an error
    (features often end a little before the video does). Rows of other videos are left out with a warning.
    Raises InputError that lists every bad row with its number.
    """
    rows = _rows_of(path)
    problems = ProblemList(path)
    header = rows[0][1] if rows and rows[0][1] == _BACKTAL_HEADER else None
    known = {video: index for index, video in enumerate(video_ids)}
    numbers = {name: index for index, name in enumerate(class_names)}
    found, others = [], []
    for line, row in rows[1:] if header else rows:
        where = f"line {line}"
        if len(row) != (8 if header else 3):
            problems.add(where, expected="8 cells as in the header" if header else "video,seconds,class",
                         found=f"{len(row)} cells")
            continue
        video, tag, start, end = (row[0], row[3], row[4], row[5]) if header else (row[0], row[2], row[1], row[1])
        number = _class_number(tag, numbers, where, problems)
        span = _span(start, end, where, problems)
        if video not in known:
            others.append(video)
        elif number is not None and span is not None:
            limit = durations[known[video]]
            if not 0 <= span[0] <= span[1] <= limit + tolerance:
                problems.add(f"{where}, video '{video}'", expected=f"a time within 0..{limit:g} s",
                             found=" to ".join(f"{seconds:g}" for seconds in dict.fromkeys(span)) + " s",
                             fix="are the times seconds, not frames?")
            else:
                found += [(seconds, number, known[video]) for seconds in _moments(*span, ranges)]
    problems.raise_any()
    if others:
        warnings.warn(f"{path}: {len(others)} clicks are in videos that are not used, such as '{others[0]}'",
                      stacklevel=2)
    return clicks_of_rows(found, class_names, video_ids)


def join_clicks(parts: Sequence[Clicks]) -> Clicks:
    """All clicks of several files or kinds over the same videos and classes."""
    first = parts[0]
    return Clicks(*(np.concatenate([getattr(part, name) for part in parts])
                    for name in ("seconds", "classes", "video_index")), first.class_names, first.video_ids)


def click_positions(clicks: Clicks, durations: np.ndarray, num_snippets: int) -> np.ndarray:
    """Clicks on snippets, [V, T] int64: NO_CLICK, 0..C-1 an action, C background.

    A click at tau seconds is at position floor(tau / duration * T), clamped to 0..T-1. Several on one position become
    one: an action before background, of several actions the first class.
    """
    positions = np.full((len(clicks.video_ids), num_snippets), np.iinfo(np.int64).max)
    relative = clicks.seconds / np.asarray(durations, dtype=np.float64)[clicks.video_index]
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
                               min_gap: float = 0.0) -> Clicks:
    """One click, uniformly drawn, in every background interval that lasts min_gap seconds or more.

    As BackTAL simulates its ActivityNet and HACS clicks. The draws of a video depend on seed and its id only.
    """
    background, found = len(annotations.class_names), []
    for video, name in enumerate(annotations.video_ids):
        gaps = background_intervals(annotations.segments[annotations.video_index == video], float(durations[video]))
        gaps = gaps[gaps[:, 1] - gaps[:, 0] >= min_gap]
        found += [(seconds, background, video) for seconds in _draw(gaps, seed, name)]
    return clicks_of_rows(found, annotations.class_names, annotations.video_ids)


def simulate_action_clicks(annotations: Annotations, durations: np.ndarray, seed: int = 0) -> Clicks:
    """One click, uniformly drawn, in every annotated instance (its part within the video). The draws of a video depend
    on seed and its id only."""
    found = []
    for video, name in enumerate(annotations.video_ids):
        rows = np.flatnonzero(annotations.video_index == video)
        rows = rows[annotations.segments[rows, 0] < durations[video]]
        within = annotations.segments[rows].clip(max=float(durations[video]))
        found += [(seconds, int(annotations.classes[row]), video)
                  for seconds, row in zip(_draw(within, seed, name), rows, strict=True)]
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


def _rows_of(path) -> list[tuple[int, list[str]]]:
    """(line number, cells without spaces around them) of every line that is not blank."""
    path = Path(path)
    if not path.is_file():
        raise InputError(path, expected="a click file", found="a folder" if path.is_dir() else "nothing there",
                         fix="check data.clicks")
    if path.stat().st_size > MAX_CLICK_FILE_BYTES:
        raise InputError(path, expected=f"at most {MAX_CLICK_FILE_BYTES} bytes", found=f"{path.stat().st_size} bytes")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(path, f"byte {error.start}", expected="UTF-8 text", found=error.reason) from None
    reader = csv.reader(text.splitlines())
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
        return [(line, row) for line, row in rows if any(row)]
    except csv.Error as error:
        raise InputError(path, f"line {reader.line_num}", expected="rows of text", found=str(error)) from None


def _class_number(tag: str, numbers: dict[str, int], where: str, problems: ProblemList) -> int | None:
    """Number of a tag "name" or "name_name" (the annotation tool's form); len(numbers) for background."""
    half = tag[: len(tag) // 2]
    name = half if tag == f"{half}_{half}" and tag not in numbers else tag
    if name in numbers:
        return numbers[name]
    if name == BACKGROUND_TAG:
        return len(numbers)
    problems.add(where, expected=f"a class name or {BACKGROUND_TAG}", found=f"tag {ascii(tag)[:80]}",
                 fix=nearest_name(name, [*numbers, BACKGROUND_TAG]))
    return None


def _span(start: str, end: str, where: str, problems: ProblemList) -> tuple[float, float] | None:
    try:
        span = float(start), float(end)
    except ValueError:
        span = math.nan, math.nan
    if not all(map(math.isfinite, span)) or span[0] > span[1]:
        problems.add(where, expected="start <= end in seconds", found=f"{ascii(start)[:30]}, {ascii(end)[:30]}")
        return None
    return span


def _moments(first: float, last: float, ranges: str) -> list[float]:
    if ranges == "midpoint":
        return [(first + last) / 2]
    if ranges == "half_seconds":
        return [first + 0.5 * step for step in range(int((last - first) / 0.5) + 1)]
    raise ValueError(f"read_clicks: ranges must be midpoint or half_seconds, got {ranges!r}")


def _draw(intervals: np.ndarray, seed: int, name: str) -> np.ndarray:
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return random.uniform(intervals[:, 0], intervals[:, 1])


def clicks_of_rows(found: list[tuple[float, int, int]], class_names: Sequence[str],
                   video_ids: Sequence[str]) -> Clicks:
    """Clicks from (seconds, class, video index) rows."""
    seconds, classes, video_index = zip(*found, strict=True) if found else ((), (), ())
    return Clicks(np.asarray(seconds, dtype=np.float64), np.asarray(classes, dtype=np.int64),
                  np.asarray(video_index, dtype=np.int64), tuple(class_names), tuple(video_ids))
