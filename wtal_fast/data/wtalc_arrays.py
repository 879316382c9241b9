"""The annotation arrays of the W-TALC family: classlist, duration, labels, segments, subset, videoname and others."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from wtal_fast.data.formats import read_value
from wtal_fast.data.problems import ProblemList
from wtal_fast.errors import InputError

NEEDED = ("videoname", "subset", "labels", "segments")
TEXT_OF_VIDEO = {"url": "url", "resolution": "resolution"}
NUMBERS_OF_VIDEO = {"duration": "duration", "original_fps": "fps", "extracted_fps": "extracted_fps"}


def arrays_content(folder: str | os.PathLike) -> dict:
    """A folder of annotation arrays as the content of an ActivityNet-style file.

    One entry for each video, also for those of THUMOS'14 that nobody timed (no annotations); "labels_all" keeps the
    file's labels of the whole video. Classes are classlist_20classes where it is there, else classlist. Pickled arrays
    are read without running what is in them. Raises InputError for missing files and arrays of unequal length.
    """
    folder = Path(folder)
    files = {path.stem.lower(): path for path in sorted(folder.glob("*.npy"))}
    absent = [name for name in NEEDED if name not in files]
    if absent:
        raise InputError(folder, expected=", ".join(f"{name}.npy" for name in NEEDED),
                         found="no " + ", ".join(f"{name}.npy" for name in absent),
                         fix="name the folder <Dataset>-Annotations of the W-TALC family")
    values = {name: _plain(read_value(path)) for name, path in files.items()}
    problems, names = ProblemList(folder), [str(name) for name in values["videoname"]]
    of_video = [*NEEDED, *(name for name in (*TEXT_OF_VIDEO, *NUMBERS_OF_VIDEO, "labels_all") if name in values)]
    for name in of_video:
        if not isinstance(values[name], list) or len(values[name]) != len(names):
            found = len(values[name]) if isinstance(values[name], list) else 1
            problems.add(f"{name}.npy", expected=f"{len(names)} entries, as in videoname.npy", found=f"{found}")
    if len(set(names)) != len(names):
        problems.add("videoname.npy", expected="each id once", found=f"{len(names) - len(set(names))} repeated")
    problems.raise_any()
    database = {}
    for number, video in enumerate(names):
        segments, labels = values["segments"][number], values["labels"][number]
        if not isinstance(segments, list) or not isinstance(labels, list) or len(segments) not in (0, len(labels)):
            problems.add(f"video '{video}'", expected="a label for each segment", found=f"{ascii(labels)[:40]} and "
                         f"{ascii(segments)[:40]}")
            continue
        entry = {"subset": values["subset"][number]}
        entry |= {key: _number(values[name][number]) for name, key in NUMBERS_OF_VIDEO.items() if name in values}
        entry |= {key: values[name][number] for name, key in TEXT_OF_VIDEO.items() if name in values}
        if "labels_all" in values:
            entry["labels_all"] = values["labels_all"][number]
        entry["annotations"] = [{"segment": list(segment) if isinstance(segment, (list, tuple)) else segment,
                                 "label": label} for segment, label in zip(segments, labels, strict=False)]
        database[video] = entry
    problems.raise_any()
    classes = values.get("classlist_20classes", values.get("classlist"))
    return {"database": database} | ({} if classes is None else {"activity_list": [str(name) for name in classes]})


def _plain(value):
    """Arrays as lists, bytes as text."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _number(value):
    """The number in [number], as the files of THUMOS'14 keep durations."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value
