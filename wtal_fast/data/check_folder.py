"""Checking a data folder of any layout: what is there, what is missing, what disagrees. Does not import torch."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from wtal_fast.data.annotations import read_annotations
from wtal_fast.data.check_annotations import check_annotations, spread
from wtal_fast.data.check_files import check_file, holds_annotation_arrays, not_finite_in
from wtal_fast.data.findings import FindingList
from wtal_fast.data.known_datasets import AMBIGUOUS
from wtal_fast.data.layouts import DataFolder, open_folder
from wtal_fast.data.layouts.flat import FlatFolder
from wtal_fast.data.parts import NamedPart, parts_of
from wtal_fast.errors import InputError
from wtal_fast.structures import Annotations

FEATURE_FPS, FEATURE_STRIDE = 25.0, 16.0  # of the I3D features that most releases share


def check_path(path: str | os.PathLike, *, truth: str | os.PathLike | None = None, clicks: Sequence[str] = (),
               snippet_seconds: float | None = None, headers_only: bool = False,
               progress: Callable[[int, int], None] | None = None) -> dict:
    """What `path`, a file or a folder, holds and what is wrong with it, as plain values:

        {"path", "layout", "about", "dataset", "ground_truth", "parts": [...], "truth": {...}, "files": [...],
         "findings": [{"level", "text", "count", "examples", "fix"}], "errors", "warnings"}

    truth: a ground truth to use instead of the folder's own. clicks: click files to check besides those found.
    snippet_seconds: seconds between snippets, to compare features with durations (by default what the data set says,
    else 16 frames at 25 a second). headers_only: the numbers of the features are not read. progress: called with the
    files done and their number. A folder without a layout is checked file by file.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(path, expected="a data folder or file", found="nothing there", fix="check the path")
    report, findings = {"path": str(path), "layout": None, "files": []}, FindingList()
    layout = _data_set(path, truth, findings)
    if layout is not None:
        if truth is not None:
            layout = replace(layout, ground_truth=Path(truth))
        annotations = _check_layout(layout, report, findings, snippet_seconds, headers_only, progress)
        files, known_clicks = [], [*layout.clicks, *clicks]
    else:
        files = [path] if path.is_file() or holds_annotation_arrays(path) else _files_below(path)
        known_clicks = list(clicks)
        annotations = _truth_among(files if truth is None else [Path(truth)])
    for file in [*files, *known_clicks]:
        summary, found = check_file(file, annotations, clicks=file in known_clicks)
        report["files"].append({"file": str(file)} | summary)
        inside = path.is_dir() and Path(file).is_relative_to(path)
        name = os.path.relpath(file, path) if inside else str(file) if path.is_dir() else Path(file).name
        findings.found += [replace(finding, text=f"{name}: {finding.text}") for finding in found]
    if layout is None and all(entry["kind"].endswith("not read") for entry in report["files"]):
        findings.say("error", "no data set and no file of a known kind", "docs/data.md shows the layouts")
    report["findings"] = [finding.to_json() for finding in findings.sorted()]
    report["errors"] = sum(finding.count for finding in findings.found if finding.level == "error")
    report["warnings"] = sum(finding.count for finding in findings.found if finding.level == "warning")
    return report


def _data_set(path: Path, truth, findings: FindingList) -> DataFolder | None:
    """The data set in a folder; None for a file and for a folder of files that do not belong together."""
    if not path.is_dir() or holds_annotation_arrays(path):
        return None
    try:
        layout = open_folder(path)
    except InputError as error:
        if not error.expected.startswith("a data set of one"):
            level = "note" if error.expected.startswith("one ") else "error"
            findings.say(level, f"not one data set: expected {error.expected}, found {error.found}", error.fix)
        return None
    if isinstance(layout, FlatFolder) and truth is None:
        stored = layout.part("").stored_id
        if layout.ground_truth is None or not any(map(stored, layout.content.get("database", {}))):
            return None
    return layout


def _check_layout(layout: DataFolder, report: dict, findings: FindingList, snippet_seconds: float | None,
                  headers_only: bool, progress) -> Annotations | None:
    report |= {"layout": layout.layout, "about": layout.about, "root": str(layout.root),
               "ground_truth": str(layout.ground_truth) if layout.ground_truth else None}
    annotations = None
    if layout.ground_truth is None:
        findings.say("error", "no ground truth", "add gt.json or a CSV of labels, or name one: data.ground_truth=FILE")
    else:
        annotations = read_annotations(layout.content, unlocated=True, source=layout.ground_truth, ignored=(AMBIGUOUS,))
        report["truth"], found = check_annotations(annotations, layout.content)
        report["dataset"] = report["truth"]["dataset"]
        findings.found += found
    settings = layout.settings()
    if snippet_seconds is None:
        snippet_seconds = settings.get("data.snippet_stride", FEATURE_STRIDE) / settings.get("data.fps", FEATURE_FPS)
    parts, unplaced = parts_of(layout, annotations)
    findings.add("error", "annotated subsets without a folder of features", unplaced,
                 "add the features, or correct the names of the subsets")
    total, done, used = sum(len(named.videos) for named in parts), 0, set()

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    report["parts"] = []
    for named in parts:
        report["parts"].append({"part": named.name, "role": named.role} | _check_part(
            layout, named, annotations, snippet_seconds, headers_only, findings, step))
        used |= {named.part.stored_id(video) for video in named.videos}
    if annotations is not None and parts:
        stored = {video for named in parts for video in named.part.files}
        findings.add("note", "videos with features that no part uses", sorted(stored - used))
    return annotations


def _check_part(layout: DataFolder, named: NamedPart, annotations: Annotations | None, snippet_seconds: float,
                headers_only: bool, findings: FindingList, step: Callable[[], None]) -> dict:
    part, videos, of = named.part, named.videos, f" (part '{named.name}')"
    missing, unreadable, broken, uneven, off = [], [], [], [], []
    lengths, widths, dtypes = [], Counter(), Counter()
    for video in videos:
        step()
        stored = part.stored_id(video)
        if stored is None or any(path is None for path in part.files[stored]):
            missing.append(video)
            continue
        try:
            arrays = [array.expect_numbers() for array in layout.arrays(part, stored)]
            if any(len(array.shape) != 2 or 0 in array.shape for array in arrays):
                unreadable.append(f"{video}: shape " + ", ".join(str(list(array.shape)) for array in arrays))
                continue
            bad = 0 if headers_only else sum(map(not_finite_in, arrays))
        except InputError as error:
            unreadable.append(f"{video}: expected {error.expected}, found {error.found}")
            continue
        if bad:
            broken.append(f"{video}: {bad} values")
        counts = [array.shape[0] for array in arrays]
        if max(counts) - min(counts) > 1:
            uneven.append(f"{video}: {' and '.join(map(str, counts))} snippets")
        lengths.append(min(counts))
        widths[" + ".join(str(array.shape[1]) for array in arrays)] += 1
        dtypes[str(arrays[0].dtype)] += 1
        off += _far_from_duration(layout, video, min(counts), annotations, snippet_seconds)
    blocked = set(layout.blocked)
    findings.add("error", f"videos without features{of}", [video for video in missing if video not in blocked],
                 "add the files, or leave the videos out: data.missing=drop")
    findings.add("note", "videos that the layout lists as unusable", [video for video in missing if video in blocked])
    findings.add("error", "feature files that cannot be used", unreadable, "extract or copy them again")
    findings.add("error", "videos with NaN or infinity in their features", broken, "extract them again")
    findings.add("error", "videos whose streams differ by more than one snippet", uneven, "extract them again")
    if len(widths) > 1:
        findings.say("error", "features of several widths: " + ", ".join(f"{width} ({count} videos)" for width, count
                                                                         in widths.most_common()),
                     "extract all videos with the same network")
    findings.add("warning", "videos whose features and annotated duration differ by more than two snippets", off,
                 "other frame rate or stride? (--snippet-seconds) Else the features are cut or the duration is wrong")
    return {"folder": str(part.folder), "videos": len(videos), "with_features": len(lengths), "missing": len(missing),
            "streams": list(part.streams), "width": widths.most_common(1)[0][0] if widths else None,
            "dtype": ", ".join(dtypes), "snippets": spread(np.array(lengths, dtype=float))}


def _far_from_duration(layout: DataFolder, video: str, length: int, annotations: Annotations | None,
                       snippet_seconds: float) -> list[str]:
    number = None if annotations is None else annotations.positions.get(video)
    if number is None or layout.rescaled or not np.isfinite(annotations.durations[number]):
        return []
    duration, seconds = float(annotations.durations[number]), length * snippet_seconds
    if abs(seconds - duration) <= 2 * snippet_seconds:
        return []
    return [f"{video}: {seconds:g} s of features, {duration:g} s of video"]


def _files_below(folder: Path, above: frozenset[Path] = frozenset()) -> list[Path]:
    """Files below `folder`, sorted; a folder of annotation arrays counts as one. A link to a folder above it is not
    followed."""
    found, above = [], above | {folder.resolve()}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_file() or holds_annotation_arrays(path):
            found.append(path)
        elif path.is_dir() and path.resolve() not in above:
            found += _files_below(path, above)
    return found


def _truth_among(files: Sequence[Path]) -> Annotations | None:
    """The first ground truth of `files` that gives durations, else the first; what clicks are compared with."""
    from wtal_fast.data.ground_truth import read_ground_truth

    found = None
    for path in files:
        if not Path(path).is_dir() and Path(path).suffix.lower() != ".json":
            continue
        try:
            annotations = read_ground_truth(path)
        except InputError:
            continue
        if np.isfinite(annotations.durations).any():
            return annotations
        found = found or annotations
    return found
