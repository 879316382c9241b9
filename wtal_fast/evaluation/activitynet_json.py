"""Detections in ActivityNet's JSON form, the one every evaluation of the field reads."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np

from wtal_fast.errors import InputError, nearest_name
from wtal_fast.files import read_json, save_json
from wtal_fast.structures import Detections

VERSION = "VERSION 1.3"  # what ActivityNet's own evaluation expects


def read_detections(path: str | os.PathLike | dict, class_names: Sequence[str] | None = None) -> Detections:
    """The detections of an ActivityNet-style result file, or of what it holds once parsed, in its order.

    Its form is {"results": {video: [{"label": name, "score": number, "segment": [start, end]}]}}.
    Seconds and scores are numbers; end >= start; a start below 0 is kept. A video may have an empty list.
    Classes are numbered as in `class_names` (a label outside them is refused), else by the sorted labels that occur.
    Raises InputError that names the file, the video and the row of the first defect.
    """
    content, path = (path, "detections") if isinstance(path, dict) else (read_json(path), path)
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, dict):
        is_truth = isinstance(content, dict) and "database" in content
        found = "ground truth (key 'database')" if is_truth else _kind(results)
        raise InputError(path, "key 'results'", expected="an object of videos", found=found,
                         fix="this must be a detection file" if is_truth else "use ActivityNet's result format")
    segments, scores, labels, video_index = [], [], [], []
    for index, (video, rows) in enumerate(results.items()):
        if not isinstance(video, str):
            raise InputError(path, f"video {video!a}", expected="an id in a string", found=type(video).__name__)
        if not isinstance(rows, list):
            raise InputError(path, f"video {video!a}", expected="a list of detections", found=_kind(rows))
        for number, row in enumerate(rows):
            segment, score, label = _detection(row, path, f"video {video!a}, detection {number}")
            segments.append(segment)
            scores.append(score)
            labels.append(label)
            video_index.append(index)
    names = tuple(sorted(set(labels))) if class_names is None else tuple(class_names)
    number_of = {name: number for number, name in enumerate(names)}
    if unknown := set(labels) - number_of.keys():
        label = min(unknown)
        raise InputError(path, f"label '{label}'", expected="a known class", found=f"'{label}'",
                         fix=nearest_name(label, names))
    return Detections(
        segments=np.asarray(segments, dtype=np.float64).reshape(-1, 2), scores=np.asarray(scores, dtype=np.float64),
        classes=np.asarray([number_of[label] for label in labels], dtype=np.int64),
        video_index=np.asarray(video_index, dtype=np.int64), class_names=names, video_ids=tuple(results))


def write_detections(path: str | os.PathLike, detections: Detections) -> None:
    """Writes `detections` atomically; every video gets a list, empty where it has none, by falling score
    (equal scores: the lower index first). Sealed by a key "file_sha256": evaluators ignore keys that they do
    not ask for."""
    results = {video: [] for video in detections.video_ids}
    order = np.argsort(-detections.scores, kind="stable")
    rows = zip(detections.segments[order].tolist(), detections.scores[order].tolist(),
               detections.classes[order].tolist(), detections.video_index[order].tolist(), strict=True)
    for segment, score, label, video in rows:
        results[detections.video_ids[video]].append(
            {"label": detections.class_names[label], "score": score, "segment": segment})
    save_json(path, {"version": VERSION, "results": results, "external_data": {}}, sealed=True)


def _detection(row, path, where: str) -> tuple[list[float], float, str]:
    if not isinstance(row, dict):
        raise InputError(path, where, expected="an object with label, score and segment", found=_kind(row))
    label, score, segment = (row.get(key) for key in ("label", "score", "segment"))
    if not isinstance(label, str) or not label:
        raise InputError(path, where, expected="a label", found=_kind(label))
    if not _is_number(score):
        raise InputError(path, where, expected="a finite score", found=_kind(score))
    if not isinstance(segment, (list, tuple)) or len(segment) != 2 or not all(_is_number(value) for value in segment):
        raise InputError(path, where, expected="a segment [start, end] in seconds", found=_kind(segment))
    start, end = float(segment[0]), float(segment[1])
    if end < start:
        raise InputError(path, where, expected="start <= end", found=f"[{start:g}, {end:g}]", fix="correct the times")
    return [start, end], float(score), label


def _is_number(value) -> bool:
    """A JSON number that a float64 can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _kind(value) -> str:
    """What a JSON value is, short enough for a message."""
    if value is None:
        return "nothing"
    text = "an object" if isinstance(value, dict) else ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."
