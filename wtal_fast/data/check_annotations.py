"""Checking a ground truth: counts, classes, durations, and what is odd about its instances. Does not import torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from wtal_fast.data.annotations import canonical_subset
from wtal_fast.data.findings import FindingList
from wtal_fast.data.known_datasets import AMBIGUOUS, KnownDataset, recognise_dataset, subset_of_role
from wtal_fast.structures import Annotations

WORST_ROUNDING = 0.01  # seconds an instance may end after its video for rounding
FPS_ROUNDING = 0.5  # files round 29.97 to 30
DURATION_TOLERANCE = 1.0  # seconds


def check_annotations(annotations: Annotations, content: dict) -> tuple[dict, list]:
    """(summary, findings) of a ground truth. content: what the file holds, for what Annotations leaves out."""
    findings = FindingList()
    known = recognise_dataset(annotations.video_ids, len(annotations.class_names))
    _check_instances(annotations, findings)
    _check_videos(annotations, known, content, findings)
    subsets = [_subset_summary(annotations, name) for name in dict.fromkeys(annotations.subsets)]
    if known is not None:
        _compare_counts(annotations, known, subsets, findings)
    summary = {
        "kind": "ground truth", "dataset": known.title if known else None, "videos": len(annotations.video_ids),
        "instances": len(annotations), "classes": len(annotations.class_names), "subsets": subsets,
        "class_balance": class_balance(annotations),
        "fps": {f"{rate:g}": count for rate, count in sorted(Counter(
            annotations.fps[np.isfinite(annotations.fps)].tolist()).items())},
    }
    return summary, findings.sorted()


def class_balance(annotations: Annotations) -> dict[str, dict[str, list[int]]]:
    """{class: {subset: [videos, instances]}}, over the subsets that have annotations."""
    number = {name: index for index, name in enumerate(dict.fromkeys(annotations.subsets))}
    subset_of = np.array([number[name] for name in annotations.subsets], dtype=np.int64)
    classes = len(annotations.class_names)
    instances = np.zeros((len(number), classes), dtype=np.int64)
    np.add.at(instances, (subset_of[annotations.video_index], annotations.classes), 1)
    pairs = np.unique(np.stack([annotations.video_index, annotations.classes]), axis=1)
    videos = np.zeros_like(instances)
    np.add.at(videos, (subset_of[pairs[0]], pairs[1]), 1)
    used = [name for name in number if instances[number[name]].any()]
    return {label: {name: [int(videos[number[name], index]), int(instances[number[name], index])] for name in used}
            for index, label in enumerate(annotations.class_names)}


def spread(values: np.ndarray) -> dict[str, float] | None:
    """Least, median, greatest and sum of the finite values, None where there are none."""
    values = np.asarray(values)[np.isfinite(values)]
    if not len(values):
        return None
    numbers = {"min": values.min(), "median": np.median(values), "max": values.max(), "total": values.sum()}
    return {name: round(float(value), 3) for name, value in numbers.items()}


def _subset_summary(annotations: Annotations, name: str) -> dict:
    here = np.array([subset == name for subset in annotations.subsets])
    rows = here[annotations.video_index]
    lengths = annotations.segments[rows, 1] - annotations.segments[rows, 0]
    annotated = np.zeros(len(here), dtype=bool)
    annotated[annotations.video_index] = True
    return {"subset": name, "videos": int(here.sum()), "annotated_videos": int((here & annotated).sum()),
            "instances": int(rows.sum()), "duration": spread(annotations.durations[here]),
            "instance_length": spread(lengths)}


def _check_instances(annotations: Annotations, findings: FindingList) -> None:
    starts, ends = annotations.segments.T
    durations = annotations.durations[annotations.video_index]
    findings.add("warning", "instances of zero length", _places(annotations, np.flatnonzero(starts == ends)),
                 "they are kept for scoring; no click is drawn in them")
    findings.add("note", "instances that end after their video",
                 _places(annotations, np.flatnonzero(ends > durations + WORST_ROUNDING), durations), "kept for scoring")
    keys = np.column_stack([annotations.video_index, annotations.classes, annotations.segments])
    unique, first, counts = np.unique(keys, axis=0, return_index=True, return_counts=True)
    findings.add("warning", "instances that are in the file more than once", _places(annotations, first[counts > 1]),
                 "remove the copies: each counts as an instance of its own")
    findings.add("note", "annotations without times (labels of the whole video)",
                 _places(annotations, np.flatnonzero(np.isnan(starts))), "they can be trained on but not scored")


def _check_videos(annotations: Annotations, known: KnownDataset | None, content: dict, findings: FindingList) -> None:
    database, ids = content.get("database", {}), annotations.video_ids
    bare = np.ones(len(ids), dtype=bool)
    bare[annotations.video_index] = False
    trained = {canonical_subset(name) for name, is_bare in zip(annotations.subsets, bare, strict=True) if not is_bare}
    bare = [video for video, name, is_bare in zip(ids, annotations.subsets, bare, strict=True)
            if is_bare and canonical_subset(name) in trained]
    findings.add("warning", "videos without annotations in a subset that has some", bare,
                 "label them or list the others in a split file")
    missing = [video for video, duration in zip(ids, annotations.durations, strict=True) if np.isnan(duration)]
    findings.add("note", "videos without a duration", missing,
                 "data.time_base=features takes it from the features; data.durations=FILE names a file that has them")
    findings.add("note", f'annotations labelled "{AMBIGUOUS}"', _ambiguous(database),
                 "no class; the THUMOS'14 protocol leaves out what touches them")
    if known is None:
        return
    wrong, off = [], []
    for video, fps, duration in zip(ids, annotations.fps, annotations.durations, strict=True):
        rate = known.frame_rate(video)
        if rate is None:
            continue
        if abs(fps - rate) > FPS_ROUNDING:
            wrong.append(f"{video}: {fps:g}, known to be {rate:g}")
        entry = database.get(video, {})
        frames = entry.get("frames", entry.get("frame", entry.get("num_frames"))) if isinstance(entry, dict) else None
        if isinstance(frames, (int, float)) and abs(frames / rate - duration) > DURATION_TOLERANCE:
            off.append(f"{video}: {duration:g} s, but {frames} frames at {rate:g} a second are {frames / rate:.2f} s")
    findings.add("warning", "frame rates that differ from the known ones", wrong, "times in frames will be off")
    findings.add("warning", "durations that differ from frames / frame rate", off,
                 "clicks and times relative to the duration will be off")
    findings.add("note", "videos that the protocols leave out", [video for video in known.excluded if video in ids],
                 "data.exclude=" + ",".join(known.excluded))


def _ambiguous(database) -> list[str]:
    found = []
    for video, entry in database.items() if isinstance(database, dict) else ():
        instances = entry.get("annotations") if isinstance(entry, dict) else None
        found += [video for one in instances or () if isinstance(one, dict) and one.get("label") == AMBIGUOUS]
    return found


def _compare_counts(annotations: Annotations, known: KnownDataset, subsets: Sequence[dict],
                    findings: FindingList) -> None:
    """Says where a part has other numbers of videos or instances than the protocol counts."""
    names = {canonical_subset(entry["subset"]): entry for entry in subsets}
    for role, videos, instances in zip(("train", "test"), known.videos, known.instances, strict=True):
        entry = names.get(subset_of_role(role, names, known))
        if entry is None:
            continue
        if entry["annotated_videos"] not in (videos, 0):
            findings.say("note", f"{entry['annotated_videos']} annotated videos in the {role} part "
                         f"('{entry['subset']}'); the protocol has {videos}")
        if instances is not None and entry["instances"] not in (instances, 0):
            findings.say("note", f"{entry['instances']} instances in the {role} part ('{entry['subset']}'); the "
                         f"protocol has {instances}")


def _places(annotations: Annotations, rows: np.ndarray, durations: np.ndarray | None = None) -> list[str]:
    found = []
    for row in rows.tolist():
        start, end = annotations.segments[row]
        times = "" if np.isnan(start) else f" [{start:g}, {end:g}]"
        of = "" if durations is None else f" of {durations[row]:g} s"
        label = annotations.class_names[annotations.classes[row]]
        found.append(f"{annotations.video_ids[annotations.video_index[row]]} {label}{times}{of}")
    return found
