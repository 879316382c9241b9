"""Click files in every form: the COIN tool's (BackTAL), SF-Net's, LACP's and HR-Pro's, and JSON of our own."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wtal_fast.data.clicks import BACKGROUND_TAG, Clicks, clicks_of_rows
from wtal_fast.data.formats import read_rows
from wtal_fast.data.problems import ProblemList
from wtal_fast.errors import InputError, nearest_name
from wtal_fast.files import read_json
from wtal_fast.seals import sealed_json

FORMS = ("backtal", "sfnet", "lacp", "json")
BACKTAL_HEADER = ["URLID", "URL", "TagID", "Tag", "Start", "End", "Time", "State"]
LACP_HEADER = ["class", "class_index", "start_frame", "stop_frame", "video_id", "point"]
JSON_FORMAT = "wtal_fast clicks/1"
_ENDING = {"backtal": ".csv", "sfnet": ".txt", "lacp": ".csv", "json": ".json"}


@dataclass(frozen=True)
class ClickRow:
    """One click as its file has it. where: its place, for messages. tag: a class name or "background", as written.
    first, last: seconds, or frames where in_frames is set; equal unless the file holds a range."""

    where: str
    video: str
    tag: str
    first: float
    last: float
    in_frames: bool = False


def read_clicks(path: str | os.PathLike, class_names: Sequence[str], video_ids: Sequence[str], durations: np.ndarray,
                ranges: str = "midpoint", tolerance: float = 1.0, fps: np.ndarray | float | None = None) -> Clicks:
    """Clicks of a file, in file order.

    Four forms are known by their first line. BackTAL's background clicks, the export of the COIN annotation tool: a
    header URLID,URL,TagID,Tag,Start,End,Time,State, times in seconds, Tag "background_background" or a class name;
    Start < End is a range, taken at its "midpoint" or every "half_seconds" from its start. SF-Net's action clicks: rows
    video,seconds,class without header, blank lines between. LACP's and HR-Pro's points: a header with class, video_id
    and point, a frame number; fps [V] or one number turns it into seconds. JSON as write_clicks writes it.
    durations [V] seconds of video_ids: a click before 0 or more than `tolerance` seconds after the end is an error
    (features often end a little before the video does). Rows of other videos are left out with a warning.
    Raises InputError that lists every bad row with its number.
    """
    problems = ProblemList(path)
    known = {video: index for index, video in enumerate(video_ids)}
    numbers = {name: index for index, name in enumerate(class_names)}
    rates = np.full(len(video_ids), np.nan) if fps is None else np.broadcast_to(fps, len(video_ids))
    found, others = [], []
    for row in click_rows(path, problems)[1]:
        number = class_number(row.tag, numbers, row.where, problems)
        if row.video not in known:
            others.append(row.video)
            continue
        index = known[row.video]
        scale = rates[index] if row.in_frames else 1.0
        if not scale > 0:
            problems.add(f"{row.where}, video '{row.video}'", expected="a frame rate, to turn frames into seconds",
                         found="none", fix="add fps to the ground truth, or set data.click_fps")
        elif number is not None:
            first, last = row.first / scale, row.last / scale
            if not 0 <= first <= last <= durations[index] + tolerance:
                problems.add(f"{row.where}, video '{row.video}'", expected=f"a time within 0..{durations[index]:g} s",
                             found=" to ".join(f"{seconds:g}" for seconds in dict.fromkeys((first, last))) + " s",
                             fix="are the times seconds, not frames?")
            else:
                found += [(seconds, number, index) for seconds in _moments(first, last, ranges)]
    problems.raise_any()
    if others:
        warnings.warn(f"{path}: {len(others)} clicks are in videos that are not used, such as '{others[0]}'",
                      stacklevel=2)
    return clicks_of_rows(found, class_names, video_ids)


def click_rows(path: str | os.PathLike, problems: ProblemList) -> tuple[str, list[ClickRow]]:
    """(form, one of FORMS; rows of a click file in file order). What is wrong with a row is added to `problems`."""
    path = Path(path)
    if path.suffix.lower() == ".json":
        return "json", _json_rows(path, problems)
    rows = read_rows(path, "a click file", "check data.clicks")
    header = rows[0][1] if rows else []
    if header == BACKTAL_HEADER:
        kind, cells, columns = "backtal", 8, (0, 3, 4, 5)
    elif {"class", "video_id", "point"} <= set(header):
        place = header.index
        kind, cells, columns = "lacp", len(header), (place("video_id"), place("class"), place("point"), place("point"))
    else:
        kind, cells, columns = "sfnet", 3, (0, 2, 1, 1)
    found = []
    for line, row in rows if kind == "sfnet" else rows[1:]:
        where = f"line {line}"
        if len(row) != cells:
            problems.add(where, expected="video,seconds,class" if kind == "sfnet" else
                         f"{cells} cells as in the header", found=f"{len(row)} cells")
            continue
        video, tag, start, end = (row[column] for column in columns)
        span = _span(start, end, where, problems)
        if span is not None:
            found.append(ClickRow(where, video, tag, *span, in_frames=kind == "lacp"))
    return kind, found


def write_clicks(clicks: Clicks, form: str, fps: Mapping[str, float] | None = None) -> str:
    """The text of a click file of `form`, one of FORMS; read_clicks reads it back exactly, "lacp" up to rounding.

    fps: frame rates by video, for "lacp", whose `point` is a frame number (kept with its fraction).
    """
    names = (*clicks.class_names, BACKGROUND_TAG)
    rows = [(clicks.video_ids[video], float(seconds), int(number)) for seconds, number, video
            in zip(clicks.seconds, clicks.classes, clicks.video_index, strict=True)]
    if form == "json":
        return _json_text(rows, names)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if form == "backtal":
        writer.writerow(BACKTAL_HEADER)
        writer.writerows([video, f"{video}.mp4", number, f"{names[number]}_{names[number]}", seconds, seconds, 1, 1]
                         for video, seconds, number in rows)
    elif form == "sfnet":
        writer.writerows([video, seconds, names[number]] for video, seconds, number in rows)
    elif form == "lacp":
        writer.writerow(LACP_HEADER)
        for video, seconds, number in rows:
            rate = (fps or {}).get(video, math.nan)
            if not rate > 0:
                raise InputError(f"video '{video}'", "fps", expected="a frame rate, for points in frames", found="none",
                                 fix="write another form, or add fps to the ground truth")
            frame = seconds * rate
            writer.writerow([names[number], number, frame, frame, video, frame])
    else:
        raise InputError("--to", expected=" or ".join(FORMS), found=form)
    return text.getvalue()


def default_ending(form: str) -> str:
    """The usual ending of a click file of `form`."""
    return _ENDING[form]


def class_number(tag: str, numbers: Mapping[str, int], where: str, problems: ProblemList) -> int | None:
    """Number of a tag "name" or "name_name" (the annotation tool's form); len(numbers) for background."""
    name = plain_tag(tag, numbers)
    if name in numbers:
        return numbers[name]
    if name == BACKGROUND_TAG:
        return len(numbers)
    problems.add(where, expected=f"a class name or {BACKGROUND_TAG}", found=f"tag {ascii(tag)[:80]}",
                 fix=nearest_name(name, [*numbers, BACKGROUND_TAG]))
    return None


def plain_tag(tag: str, known: Mapping[str, int] | None = None) -> str:
    """"name" of a tag "name" or "name_name"."""
    half = tag[: len(tag) // 2]
    return half if tag == f"{half}_{half}" and tag not in (known or {}) else tag


def _json_text(rows: list[tuple[str, float, int]], names: Sequence[str]) -> str:
    videos: dict[str, list] = {}
    for video, seconds, number in rows:
        videos.setdefault(video, []).append({"seconds": seconds, "label": names[number]})
    return sealed_json(json.dumps({"format": JSON_FORMAT, "clicks": videos}, indent=1, allow_nan=False))


def _json_rows(path: Path, problems: ProblemList) -> list[ClickRow]:
    content = read_json(path)
    videos = content.get("clicks") if isinstance(content, dict) else None
    if not isinstance(videos, dict):
        raise InputError(path, "key 'clicks'", expected="an object of videos", found=type(videos).__name__,
                         fix='{"clicks": {"<video>": [{"seconds": 1.5, "label": "background"}]}}')
    found = []
    for video, clicks in videos.items():
        for number, click in enumerate(clicks if isinstance(clicks, list) else [clicks]):
            where = f"video '{video}', click {number}"
            if not isinstance(click, dict) or not isinstance(click.get("label"), str):
                problems.add(where, expected="an object with seconds and label", found=ascii(click)[:80])
                continue
            span = _span(click.get("seconds"), click.get("seconds"), where, problems)
            if span is not None:
                found.append(ClickRow(where, video, click["label"], *span))
    return found


def _span(start, end, where: str, problems: ProblemList) -> tuple[float, float] | None:
    try:
        span = float(start), float(end)
    except (ValueError, TypeError):
        span = math.nan, math.nan
    if not all(map(math.isfinite, span)) or span[0] > span[1]:
        problems.add(where, expected="start <= end in seconds", found=f"{ascii(start)[:30]}, {ascii(end)[:30]}")
        return None
    return span


def _moments(first: float, last: float, ranges: str) -> list[float]:
    if ranges == "midpoint":
        return [first if first == last else (first + last) / 2]
    if ranges == "half_seconds":
        return [first + 0.5 * step for step in range(int((last - first) / 0.5) + 1)]
    raise ValueError(f"read_clicks: ranges must be midpoint or half_seconds, got {ranges!r}")
