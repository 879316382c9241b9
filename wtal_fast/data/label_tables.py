"""Labels of own data in their simplest forms: a CSV table, or JSON that names the labels of each video."""

from __future__ import annotations

import os
from pathlib import Path

from wtal_fast.data.formats import read_rows
from wtal_fast.data.problems import ProblemList
from wtal_fast.errors import InputError

DEFAULT_SUBSET = "train"  # of videos whose table has no column for it
_COLUMNS = {
    "video": ("video", "video_id", "video-id", "videoid", "id", "vid", "name", "file", "filename"),
    "label": ("label", "labels", "class", "class_name", "action", "type"),
    "start": ("start", "t_start", "t-start", "tstart", "begin", "start_seconds"),
    "end": ("end", "t_end", "t-end", "tend", "stop", "end_seconds"),
    "subset": ("subset", "split", "set"),
    "duration": ("duration", "video_duration", "duration_seconds"),
    "fps": ("fps", "frame_rate"),
}
_NAMES = {alias: column for column, aliases in _COLUMNS.items() for alias in aliases}


def table_content(path: str | os.PathLike) -> dict:
    """A CSV of labels as the content of an ActivityNet-style file.

    The first line names the columns, in any order and case: video and label; start and end in seconds, both or neither;
    subset, duration and fps, which may be left empty after a video's first row. Other columns are left out. A row is
    one instance; without times a label of the whole video, several split by ";"; an empty label says that nothing
    happens in the video. Names of files may carry their ending (clip7.npy is clip7).
    Raises InputError that lists every bad row with its number.
    """
    rows = read_rows(path, "a table of labels", delimiter=None)
    columns = _columns_of(path, rows)
    problems, database = ProblemList(path), {}
    timed = "start" in columns
    for line, row in rows[1:]:
        where = f"line {line}"
        if len(row) < len(rows[0][1]):
            problems.add(where, expected=f"{len(rows[0][1])} cells, as in the first line", found=f"{len(row)}")
            continue
        cells = {column: row[index] for column, index in columns.items()}
        video = _without_ending(cells["video"])
        entry = database.setdefault(video, {"annotations": []})
        for key in ("subset", "duration", "fps"):
            if cells.get(key) and entry.setdefault(key, cells[key]) != cells[key]:
                problems.add(f"{where}, video '{video}'", expected=f"one {key} for each video",
                             found=f"{entry[key]} and {cells[key]}")
        if timed and bool(cells["start"]) != bool(cells["end"]):
            problems.add(where, expected="start and end, or neither", found=f"'{cells['start']}', '{cells['end']}'")
        elif cells["label"]:
            is_instance = timed and cells["start"] != ""
            labels = [cells["label"]] if is_instance else [part.strip() for part in cells["label"].split(";")]
            segment = {"segment": [cells["start"], cells["end"]]} if is_instance else {}
            entry["annotations"] += [{"label": label, **segment} for label in labels if label]
    problems.raise_any()
    for entry in database.values():
        entry.setdefault("subset", DEFAULT_SUBSET)
    return {"database": database}


def labels_content(path: str | os.PathLike, table: dict) -> dict:
    """JSON {video: label, or list of labels} as the content of an ActivityNet-style file."""
    problems, database = ProblemList(path), {}
    for video, labels in table.items():
        labels = [labels] if isinstance(labels, str) else labels
        if not isinstance(labels, list) or not all(isinstance(label, str) and label for label in labels):
            problems.add(f"video '{video}'", expected="a label or a list of labels", found=ascii(labels)[:80],
                         fix="instances with times need ActivityNet's form: {\"database\": {video: {...}}}")
            continue
        annotations = [{"label": label} for label in labels]
        database[_without_ending(video)] = {"subset": DEFAULT_SUBSET, "annotations": annotations}
    problems.raise_any()
    return {"database": database}


def _columns_of(path, rows: list[tuple[int, list[str]]]) -> dict[str, int]:
    """Position of each known column."""
    titles = [cell.lower() for cell in rows[0][1]] if rows else []
    columns: dict[str, int] = {}
    for index, title in enumerate(titles):
        columns.setdefault(_NAMES.get(title, title), index)
    absent = [column for column in ("video", "label") if column not in columns]
    if absent or ("start" in columns) != ("end" in columns):
        raise InputError(path, f"line {rows[0][0] if rows else 1}", expected="a first line that names the columns "
                         "video, label and, for instances, start and end", found=", ".join(titles)[:80] or "nothing",
                         fix="for example: video,label,start,end,subset")
    return {column: index for column, index in columns.items() if column in _COLUMNS}


def _without_ending(name: str) -> str:
    """`name` without a feature or video file's ending."""
    path = Path(name)
    known = {".npy", ".npz", ".pt", ".pth", ".csv", ".pkl", ".mp4", ".avi", ".mkv", ".webm", ".mov"}
    return path.stem if path.suffix.lower() in known else name
