"""Ground truth in ActivityNet's JSON form: reading, choosing a subset, video-level labels. Does not import torch."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Sequence

import numpy as np

from wtal_fast.data.problems import ProblemList
from wtal_fast.errors import InputError, nearest_name
from wtal_fast.files import read_json
from wtal_fast.structures import Annotations

# Names that say the same part of a dataset. "val" is never mapped to "train" or "test": in THUMOS'14 it is the training
# part, in ActivityNet the tested one.
_SUBSET_SYNONYMS = ({"train", "training"}, {"val", "validation"}, {"test", "testing"})


def read_annotations(path: str | os.PathLike | dict, class_names: Sequence[str] | None = None,
                     unlocated: bool = False, *, source: str | os.PathLike | None = None,
                     ignored: Collection[str] = ()) -> Annotations:
    """The instances of an ActivityNet-style file, or of what such a file holds once parsed.

    Its form is {"database": {video: {"subset": name, "annotations": [{"segment": [start, end], "label": name}]}}}.
    Segments may be numbers or numbers in strings, in seconds. "duration" and "fps" of a video may be absent (NaN).
    Classes are numbered as in `class_names`, else as in the file's "activity_list", else by the sorted (ASCII) labels
    that occur; THUMOS'14, ActivityNet and HACS files of the released methods all use the sorted order.
    Kept as they are: instances that end after the video or have no length (both occur in the public files), and
    videos without instances. Refused: an end before its start, a negative start, numbers that are not finite.
    `unlocated` also accepts annotations without "segment" (a label of the whole video): their times are NaN.
    `ignored` labels are left out unless class_names or activity_list has them. source: the name of a parsed file.
    Raises InputError with all problems of the file (the first 20 in words).
    """
    content = path if isinstance(path, dict) else read_json(path)
    source = source or ("ground truth" if isinstance(path, dict) else path)
    database, listed = _database(content, source)
    names = tuple(class_names) if class_names is not None else listed
    ignored = [label for label in ignored if label not in (names or ())]
    problems = ProblemList(source)
    subsets, durations, fps = [], [], []
    segments, labels, video_index = [], [], []
    for video, entry in database.items():
        where = f"video '{video}'"
        if not _is_text(video):
            problems.add(where.encode("ascii", "backslashreplace").decode(), expected="an id of plain characters",
                         found="an empty or unprintable id")
        if not isinstance(entry, dict):
            problems.add(where, expected="an object with subset and annotations", found=_kind(entry))
            continue
        if not _is_text(entry.get("subset")):
            problems.add(where, expected="a subset such as \"train\" or \"test\"", found=_kind(entry.get("subset")))
        video_index_here = len(subsets)
        subsets.append(entry.get("subset"))
        durations.append(_positive(entry, "duration", where, problems))
        fps.append(_positive(entry, "fps", where, problems))
        instances = entry.get("annotations", [])
        if not isinstance(instances, list):
            problems.add(where, expected="a list of annotations", found=_kind(instances))
            continue
        for row, instance in enumerate(instances):
            if ignored and isinstance(instance, dict) and instance.get("label") in ignored:
                continue
            parsed = _instance(instance, f"{where}, annotation {row}", names, unlocated, problems)
            if parsed is not None:
                segments.append(parsed[0])
                labels.append(parsed[1])
                video_index.append(video_index_here)
    problems.raise_any()
    names = names if names is not None else tuple(sorted(set(labels)))
    number = {name: index for index, name in enumerate(names)}
    return Annotations(
        segments=np.asarray(segments, dtype=np.float64).reshape(-1, 2),
        classes=np.asarray([number[label] for label in labels], dtype=np.int64),
        video_index=np.asarray(video_index, dtype=np.int64),
        class_names=names, video_ids=tuple(database), subsets=tuple(subsets),
        durations=np.asarray(durations, dtype=np.float64), fps=np.asarray(fps, dtype=np.float64))


def canonical_subset(name: str) -> str:
    """`name` in lower case, with "training", "validation", "testing" shortened to "train", "val", "test"."""
    lower = name.lower()
    return next((min(group, key=len) for group in _SUBSET_SYNONYMS if lower in group), lower)


def select_subset(annotations: Annotations, subset: str) -> Annotations:
    """The videos of one subset, in file order. Upper case and "training"/"train" and the like make no difference;
    "val" is never taken for "train" or "test", since datasets disagree on its meaning."""
    wanted = canonical_subset(subset)
    chosen = [video for video, name in zip(annotations.video_ids, annotations.subsets, strict=True)
              if canonical_subset(name) == wanted]
    if not chosen:
        counts = {name: annotations.subsets.count(name) for name in dict.fromkeys(annotations.subsets)}
        found = ", ".join(f"'{name}' ({count} videos)" for name, count in counts.items()) or "no videos"
        raise InputError("annotations", "subset", expected=f"videos of subset '{subset}'", found=found,
                         fix="name one of the subsets found")
    return select_videos(annotations, chosen)


def select_videos(annotations: Annotations, video_ids: Sequence[str]) -> Annotations:
    """The given videos in the given order; class_names stay. A video that is not annotated raises InputError."""
    position = {video: index for index, video in enumerate(annotations.video_ids)}
    for video in video_ids:
        if video not in position:
            raise InputError("annotations", f"video '{video}'", expected="an annotated video", found="no entry",
                             fix=nearest_name(video, position) if len(position) < 10_000 else "check the id")
    kept = np.asarray([position[video] for video in video_ids], dtype=np.int64)
    renumbered = np.full(len(position), -1, dtype=np.int64)
    renumbered[kept] = np.arange(len(kept))
    rows = np.flatnonzero(renumbered[annotations.video_index] >= 0)
    rows = rows[np.argsort(renumbered[annotations.video_index[rows]], kind="stable")]
    return Annotations(
        segments=annotations.segments[rows], classes=annotations.classes[rows],
        video_index=renumbered[annotations.video_index[rows]], class_names=annotations.class_names,
        video_ids=tuple(video_ids), subsets=tuple(annotations.subsets[index] for index in kept),
        durations=annotations.durations[kept], fps=annotations.fps[kept])


def video_labels(annotations: Annotations, video_ids: Sequence[str], num_classes: int | None = None) -> np.ndarray:
    """Multi-hot [V, C] float32: 1 where the class has an instance in the video; zeros where a video has none."""
    num_classes = len(annotations.class_names) if num_classes is None else num_classes
    chosen = select_videos(annotations, video_ids)
    if len(chosen) and chosen.classes.max() >= num_classes:
        raise InputError("annotations", "class", expected=f"class numbers below {num_classes}",
                         found=str(chosen.classes.max()), fix="give every class a name")
    labels = np.zeros((len(video_ids), num_classes), dtype=np.float32)
    labels[chosen.video_index, chosen.classes] = 1
    return labels


def _database(content, source) -> tuple[dict, tuple[str, ...] | None]:
    database = content.get("database") if isinstance(content, dict) else None
    if not isinstance(database, dict):
        is_result = isinstance(content, dict) and "results" in content
        raise InputError(source, "key 'database'", expected="an object of videos",
                         found="detections (key 'results')" if is_result else _kind(database),
                         fix="this must be a ground truth file" if is_result else "use ActivityNet's annotation format")
    listed = content.get("activity_list")
    if listed is None:
        return database, None
    if not isinstance(listed, list) or not all(_is_text(name) for name in listed) or len(set(listed)) != len(listed):
        raise InputError(source, "key 'activity_list'", expected="a list of distinct class names", found=_kind(listed))
    return database, tuple(listed)


def _instance(instance, where: str, names, unlocated: bool, problems: ProblemList):
    """((start, end), label) of one annotation, or None after the problem was noted."""
    if not isinstance(instance, dict):
        problems.add(where, expected="an object with segment and label", found=_kind(instance))
        return None
    label, segment = instance.get("label"), instance.get("segment")
    if not _is_text(label):
        problems.add(where, expected="a label", found=_kind(label))
        return None
    if names is not None and label not in names:
        problems.add(where, expected="a known class", found=f"label '{label}'", fix=nearest_name(label, names))
        return None
    if segment is None and unlocated:
        return (math.nan, math.nan), label
    if not isinstance(segment, (list, tuple)) or len(segment) != 2:
        problems.add(where, expected="a segment [start, end] in seconds", found=_kind(segment))
        return None
    start, end = (_number(value) for value in segment)
    if math.isnan(start) or math.isnan(end):
        problems.add(where, expected="finite start and end in seconds", found=_kind(segment))
        return None
    if start < 0 or end < start:
        problems.add(where, expected="0 <= start <= end", found=f"[{start:g}, {end:g}]", fix="correct the times")
        return None
    return (start, end), label


def _number(value) -> float:
    """A JSON number or a string that holds one; NaN for everything else and for what is not finite."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return math.nan
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _positive(entry: dict, key: str, where: str, problems: ProblemList) -> float:
    value = entry.get(key)
    if value is None:
        return math.nan
    number = _number(value)
    if not number > 0:
        problems.add(f"{where}, {key}", expected="a positive number", found=_kind(value),
                     fix="correct it or leave it out")
    return number


def _is_text(value) -> bool:
    return isinstance(value, str) and value != "" and value.isprintable()


def _kind(value) -> str:
    """What a JSON value is, short enough for a message."""
    if value is None:
        return "nothing"
    text = ascii(value) if not isinstance(value, dict) else "an object"
    return text if len(text) <= 80 else text[:77] + "..."
