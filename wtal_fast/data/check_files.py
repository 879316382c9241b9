"""Checking single files of any kind that belongs to a data set: what it is, what it holds, what is wrong with it."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import numpy as np

from wtal_fast.data.annotations import read_annotations
from wtal_fast.data.check_annotations import check_annotations, spread
from wtal_fast.data.check_clicks import check_clicks
from wtal_fast.data.findings import Finding, FindingList
from wtal_fast.data.formats import ArrayRef, open_arrays
from wtal_fast.data.formats.table import read_rows
from wtal_fast.data.fps_table import is_fps_table, read_fps_table
from wtal_fast.data.label_tables import labels_content, table_content
from wtal_fast.data.wtalc_arrays import NEEDED
from wtal_fast.errors import InputError
from wtal_fast.files import read_json
from wtal_fast.structures import Annotations

ARRAY_ENDINGS = (".npy", ".npz", ".pt", ".pth", ".pkl", ".h5", ".hdf5", ".safetensors")
VIDEO_ENDINGS = (".mp4", ".avi", ".mkv", ".webm", ".mov")
_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


def check_file(path: str | os.PathLike, truth: Annotations | None = None,
               clicks: bool = False) -> tuple[dict, list[Finding]]:
    """(summary with "kind", findings) of a file: ground truth, detections, clicks, split, stretches of THUMOS'14,
    table of labels, arrays. truth: what clicks are compared with. clicks: it is known to hold clicks.
    What cannot be read is an error among the findings.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _check_annotation_arrays(path)
        suffix = path.suffix.lower()
        if clicks:
            return check_clicks(path, truth)
        if suffix == ".json":
            return _check_json(path, truth)
        if suffix in ARRAY_ENDINGS:
            return _check_arrays(path)
        if suffix in (".txt", ".csv", ".tsv"):
            return _check_text(path, truth)
    except InputError as error:
        return {"kind": "unreadable"}, [Finding("error", f"expected {error.expected}, found {error.found}", 1,
                                                (error.where,) if error.where else (), error.fix)]
    return {"kind": "video, not read" if suffix in VIDEO_ENDINGS else "another kind, not read"}, []


def holds_annotation_arrays(folder: Path) -> bool:
    """Whether `folder` holds the annotation arrays of the W-TALC family."""
    return folder.is_dir() and all((folder / f"{name}.npy").is_file() for name in NEEDED)


def _check_annotation_arrays(path: Path) -> tuple[dict, list[Finding]]:
    from wtal_fast.data.ground_truth import ground_truth_content, read_ground_truth

    content = ground_truth_content(path)
    return check_annotations(read_ground_truth(path, content=content), content)


def _check_json(path: Path, truth: Annotations | None) -> tuple[dict, list[Finding]]:
    content = read_json(path)
    if isinstance(content, dict) and isinstance(content.get("database"), dict):
        annotations = read_annotations(content, unlocated=True, source=path)
        return check_annotations(annotations, content)
    if isinstance(content, dict) and isinstance(content.get("results"), dict):
        return _check_detections(content["results"])
    if isinstance(content, dict) and isinstance(content.get("clicks"), dict):
        return check_clicks(path, truth)
    if is_fps_table(content):
        return {"kind": "frame rates", "videos": len(read_fps_table(path))}, []
    if _names_by_number(content):
        return {"kind": "class names by number", "classes": len(content)}, []
    if isinstance(content, dict) and content and all(isinstance(value, (str, list)) for value in content.values()) \
            and all(isinstance(item, str) for value in content.values() if isinstance(value, list) for item in value):
        labels = labels_content(path, content)
        return check_annotations(read_annotations(labels, unlocated=True, source=path), labels)
    return {"kind": "JSON of another kind", "entries": len(content) if isinstance(content, (dict, list)) else 1}, []


def _names_by_number(content) -> bool:
    """Whether a JSON file lists classes, {"0": "run", ...}: labels of videos repeat, and their ids are no numbers."""
    return isinstance(content, dict) and bool(content) and all(key.isdecimal() for key in content) \
        and all(isinstance(value, str) for value in content.values()) and len(set(content.values())) == len(content)


def _check_detections(results: dict) -> tuple[dict, list[Finding]]:
    findings, count, labels, bad = FindingList(), 0, set(), []
    for video, rows in results.items():
        for row in rows if isinstance(rows, list) else ():
            count += 1
            segment = row.get("segment") if isinstance(row, dict) else None
            if not isinstance(segment, list) or len(segment) != 2 or not isinstance(row.get("score"), (int, float)):
                bad.append(f"{video}: {ascii(row)[:60]}")
            else:
                labels.add(row.get("label"))
    findings.add("error", "detections without segment or score", bad)
    return {"kind": "detections", "videos": len(results), "detections": count, "classes": len(labels)}, findings.found


def _check_arrays(path: Path) -> tuple[dict, list[Finding]]:
    arrays, findings = open_arrays(path), FindingList()
    not_finite = [f"{name or path.name}: {bad} values" for name, ref in arrays.items() if (bad := not_finite_in(ref))]
    findings.add("error", "arrays with NaN or infinity", not_finite, "extract these features again")
    shapes = [f"{name + ' ' if name else ''}{list(ref.shape)} {ref.dtype}" for name, ref in list(arrays.items())[:4]]
    more = f", and {len(arrays) - 4} more" if len(arrays) > 4 else ""
    return {"kind": "arrays", "arrays": len(arrays), "shapes": ", ".join(shapes) + more,
            "lengths": spread(np.array([ref.shape[0] for ref in arrays.values() if ref.shape], dtype=float))
            if len(arrays) > 1 else None}, findings.found


def not_finite_in(ref: ArrayRef) -> int:
    """How many numbers of an array are NaN or infinite (as float32)."""
    values = ref.read()
    if ref.dtype.kind != "f":
        return 0
    with np.errstate(over="ignore"):
        return int(values.size - np.count_nonzero(np.isfinite(values.astype(np.float32, copy=False))))


def _check_text(path: Path, truth: Annotations | None) -> tuple[dict, list[Finding]]:
    rows = [row for _, row in read_rows(path)]
    first = rows[0] if rows else []
    if all(len(row) == 1 and _ID.fullmatch(row[0]) for row in rows) and rows:
        return _check_ids(path, [row[0] for row in rows], truth)
    if all(len(row) == 1 and _is_stretch(row[0]) for row in rows) and rows:
        videos = {row[0].split()[0] for row in rows}
        return {"kind": "stretches that are no false positives", "rows": len(rows), "videos": len(videos)}, []
    is_click_header = any(names <= set(first) for names in ({"URLID", "Start"}, {"video_id", "point"}))
    if is_click_header or len(first) == 3 and _is_number(first[1]):
        return check_clicks(path, truth)
    try:
        labels = table_content(path)
    except InputError:
        return {"kind": "text of another kind", "rows": len(rows)}, []
    return check_annotations(read_annotations(labels, unlocated=True, source=path), labels)


def _check_ids(path: Path, ids: list[str], truth: Annotations | None) -> tuple[dict, list[Finding]]:
    findings = FindingList()
    twice = sorted(video for video, count in Counter(ids).items() if count > 1)
    findings.add("error", "ids that are listed twice", twice)
    if truth is not None:
        findings.add("warning", "listed videos that are not in the ground truth",
                     [video for video in ids if video not in truth.positions])
    return {"kind": "list of videos", "videos": len(ids)}, findings.found


def _is_stretch(text: str) -> bool:
    parts = text.split()
    return len(parts) == 3 and _is_number(parts[1]) and _is_number(parts[2])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
