"""Checking a click file against a ground truth: how many, where, and which cannot be right. Does not import torch."""

from __future__ import annotations

import difflib
import os
from collections import Counter

import numpy as np

from wtal_fast.data.click_files import click_rows, plain_tag
from wtal_fast.data.clicks import BACKGROUND_TAG, Clicks, clicks_of_rows, contradicted_clicks
from wtal_fast.data.findings import FindingList
from wtal_fast.data.known_datasets import recognise_dataset
from wtal_fast.data.problems import ProblemList
from wtal_fast.structures import Annotations


def check_clicks(path: str | os.PathLike, annotations: Annotations | None = None) -> tuple[dict, list]:
    """(summary, findings) of a click file; without a ground truth only its form is checked.

    Raises InputError for a file that no form fits.
    """
    problems, findings = ProblemList(path), FindingList()
    form, rows = click_rows(path, problems)
    for where, text in problems.listed():
        findings.add("error", f"rows that cannot be read: {text}", [where])
    tags = Counter(plain_tag(row.tag) for row in rows)
    summary = {"kind": f"clicks ({form})", "clicks": len(rows), "videos": len({row.video for row in rows}),
               "background_clicks": tags[BACKGROUND_TAG], "ranges": sum(row.first != row.last for row in rows),
               "classes": len(tags) - (BACKGROUND_TAG in tags)}
    seen = Counter((row.video, row.first, row.last, row.tag) for row in rows)
    findings.add("note", "clicks that are in the file more than once",
                 [f"{key[0]} {key[1]:g} {key[3]}" for key, count in seen.items() if count > 1])
    if annotations is not None:
        _compare(rows, annotations, summary, findings)
    return summary, findings.sorted()


def _compare(rows, annotations: Annotations, summary: dict, findings: FindingList) -> None:
    known = annotations.positions
    unknown = [row for row in rows if row.video not in known]
    findings.add("warning", "clicks in videos that are not in the ground truth",
                 [f"{row.where}: '{row.video}'{_hint(row.video, known)}" for row in unknown],
                 "a damaged id? Such clicks are left out")
    numbers = {name: index for index, name in enumerate(annotations.class_names)} | \
        {BACKGROUND_TAG: len(annotations.class_names)}
    strange = [row for row in rows if plain_tag(row.tag, numbers) not in numbers]
    findings.add("error", "clicks with a label that is no class",
                 [f"{row.where}: {ascii(row.tag)[:60]}" for row in strange], "correct the label")
    clicks = _timed(rows, annotations, numbers)
    durations = annotations.durations[clicks.video_index]
    late = np.flatnonzero((clicks.seconds > durations) | (clicks.seconds < 0))
    findings.add("warning", "clicks outside their video", _places(clicks, late), "are the times seconds, not frames?")
    wrong = contradicted_clicks(clicks, annotations)
    background = clicks.is_background
    findings.add("warning", "background clicks inside an action",
                 _places(clicks, np.flatnonzero(wrong & background)), "as people make them: 2-8 % of the public ones")
    findings.add("warning", "action clicks outside every instance of their class",
                 _places(clicks, np.flatnonzero(wrong & ~background)), "")
    summary["contradicted"] = int(wrong.sum())
    clicked = set(clicks.video_index.tolist())
    parts = {annotations.subsets[video] for video in clicked}
    without = [video for video, name in zip(annotations.video_ids, annotations.subsets, strict=True)
               if name in parts and known[video] not in clicked]
    summary["videos_without"] = len(without)
    findings.add("note", "videos without clicks in a subset that has some", without,
                 "they train on their labels alone")


def _timed(rows, annotations: Annotations, numbers: dict[str, int]) -> Clicks:
    """The clicks of known videos and labels, in seconds; frames need a frame rate and are left out without one."""
    dataset = recognise_dataset(annotations.video_ids, len(annotations.class_names))
    found = []
    for row in rows:
        tag, video = plain_tag(row.tag, numbers), annotations.positions.get(row.video)
        if video is None or tag not in numbers:
            continue
        rate = annotations.fps[video]
        if row.in_frames and not rate > 0:
            rate = (dataset.frame_rate(row.video) if dataset else None) or np.nan
        moment = (row.first + row.last) / 2 / (rate if row.in_frames else 1.0)
        if np.isfinite(moment):
            found.append((moment, numbers[tag], video))
    return clicks_of_rows(found, annotations.class_names, annotations.video_ids)


def _hint(video: str, known: dict) -> str:
    close = difflib.get_close_matches(video, known, n=1) if len(known) < 10_000 else []
    return f", did you mean '{close[0]}'?" if close else ""


def _places(clicks: Clicks, rows: np.ndarray) -> list[str]:
    names = (*clicks.class_names, BACKGROUND_TAG)
    return [f"{clicks.video_ids[clicks.video_index[row]]} {clicks.seconds[row]:g} s {names[clicks.classes[row]]}"
            for row in rows.tolist()]
