"""Mean average precision of detections, by the matching rules of several evaluations."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from wtal_fast.errors import InputError
from wtal_fast.evaluation import _door, reference, thumos14, wtalc
from wtal_fast.structures import Annotations, Detections

PROTOCOLS = ("activitynet", "activitynet_numpy", "thumos14", "wtalc", "wtalc_unt")
WITH_AMBIGUOUS = ("thumos14", "wtalc", "wtalc_unt")


@dataclass(frozen=True)
class DetectionMetrics:
    """Scores of one set of detections.

    tiou [Q] thresholds; map [Q] mean over the classes that have ground truth, average_map their mean, all in 0..1.
    per_class: average precision at each tIoU of every class with ground truth. num_detections: those scored.
    video_ids: the videos scored (not in metrics.json).
    """

    protocol: str
    subset: str
    num_videos: int
    num_instances: int
    num_detections: int
    tiou: tuple[float, ...]
    map: tuple[float, ...]
    average_map: float
    per_class: dict[str, tuple[float, ...]]
    video_ids: tuple[str, ...] = ()

    def to_json(self) -> dict:
        """What metrics.json holds."""
        return {"protocol": self.protocol, "subset": self.subset, "num_videos": self.num_videos,
                "num_instances": self.num_instances, "num_detections": self.num_detections, "tiou": list(self.tiou),
                "map": list(self.map), "average_map": self.average_map,
                "per_class": {label: list(values) for label, values in self.per_class.items()}}


def detection_map(annotations: Annotations, detections: Detections, tiou: Sequence[float],
                  protocol: str = "activitynet", subset: str | None = None,
                  other_videos: Literal["false_positives", "ignore"] = "false_positives",
                  ambiguous: Mapping[str, np.ndarray] | None = None) -> DetectionMetrics:
    """Mean average precision of `detections` against all of `annotations`.

    tiou: thresholds in (0, 1]. protocol says how a detection is matched and what an average precision is:
    "activitynet": as ops.average_precision; a detection needs tIoU >= the threshold.
    "activitynet_numpy": the same, but this machine's NumPy orders equal overlaps, as in the official script: slower,
    and equal to published tables that hold such ties to the last digit.
    "thumos14": the kit of the THUMOS'14 challenge, see evaluation.thumos14. "wtalc": the evaluation of W-TALC and its
    family on snippet indices of 16 frames at 25 per second ("wtalc_unt": 4 at 10), see evaluation.wtalc.
    ambiguous, for the last three only: stretches [A, 2] in seconds of each video, as read_ambiguous gives them; what
    touches them is no false positive. Instances labelled "Ambiguous" join them.
    Classes and videos are matched by name, mAP is the mean over the classes that occur in `annotations`, and a class
    nobody detected counts 0. Instances of zero length stay in the count and cannot be found.
    Detections of labels without ground truth are ignored. Those of videos that are not annotated count as false
    positives, as the protocols have it, or are ignored, as `other_videos` says. A warning counts both.
    subset: the name recorded in the result, by default what `annotations` say; it selects nothing.
    Raises InputError for annotations without instances, segments that are not finite or end before they start, and
    scores that are not finite.
    """
    if protocol not in PROTOCOLS:
        raise InputError("protocol", expected=" or ".join(PROTOCOLS), found=repr(protocol))
    if ambiguous is not None and protocol not in WITH_AMBIGUOUS:
        raise InputError("ambiguous stretches", expected=f"protocol {' or '.join(WITH_AMBIGUOUS)}",
                         found=repr(protocol), fix="name such a protocol or leave them out")
    thresholds = np.asarray(tiou, dtype=np.float64)
    if thresholds.ndim != 1 or not len(thresholds) or not ((thresholds > 0) & (thresholds <= 1)).all():
        raise InputError("tiou", expected="thresholds in (0, 1]", found=repr(tiou))
    if other_videos not in ("false_positives", "ignore"):
        raise InputError("other_videos", expected="false_positives or ignore", found=repr(other_videos))
    subset = _subset(annotations, subset)
    _check(annotations, detections)
    if protocol in WITH_AMBIGUOUS:
        annotations, ambiguous = thumos14.split_ambiguous(annotations, ambiguous or {})

    present = np.unique(annotations.classes)
    labels = [annotations.class_names[index] for index in present]
    gt_groups = annotations.video_index * len(labels) + np.searchsorted(present, annotations.classes)
    rows, pred_groups = _scored(annotations, detections, labels, other_videos == "ignore")
    if protocol == "thumos14":  # the kit goes through the videos by name, which orders equal scores
        by_name = np.argsort(_videos(detections, rows), kind="stable")
        rows, pred_groups = np.arange(len(detections))[rows][by_name], pred_groups[by_name]
    average_precision = _rule(protocol, detections, rows, ambiguous)
    precision = average_precision(
        np.ascontiguousarray(detections.segments[rows], dtype=np.float64),
        np.ascontiguousarray(detections.scores[rows], dtype=np.float64), pred_groups,
        np.ascontiguousarray(annotations.segments, dtype=np.float64), gt_groups, len(labels), thresholds)  # [Q, C]
    means = precision.mean(axis=1)
    return DetectionMetrics(
        protocol=protocol, subset=subset, num_videos=len(annotations.video_ids), num_instances=len(annotations),
        num_detections=len(pred_groups), tiou=tuple(thresholds.tolist()), map=tuple(means.tolist()),
        average_map=float(means.mean()),
        per_class={label: tuple(precision[:, index].tolist()) for index, label in enumerate(labels)},
        video_ids=annotations.video_ids)


def _rule(protocol: str, detections: Detections, rows: np.ndarray | slice,
          ambiguous: Mapping[str, np.ndarray] | None) -> Callable:
    """The average precision of a protocol, a function of what reference.average_precision takes."""
    if protocol == "activitynet":
        return _door.average_precision
    if protocol == "activitynet_numpy":
        return partial(reference.average_precision, unstable=True)
    segments, videos = detections.segments[rows], _videos(detections, rows)
    if protocol == "thumos14":
        return partial(thumos14.average_precision, ignored=thumos14.touches(segments, videos, ambiguous))
    rate = wtalc.SNIPPETS_PER_SECOND[protocol]
    return partial(wtalc.average_precision, ignored=wtalc.touches(segments, videos, ambiguous, rate), rate=rate)


def _videos(detections: Detections, rows: np.ndarray | slice) -> np.ndarray:
    """The video id of each of `rows`."""
    return np.asarray(detections.video_ids, dtype=str)[detections.video_index[rows]]


def _subset(annotations: Annotations, subset: str | None) -> str:
    held = tuple(dict.fromkeys(annotations.subsets))
    if subset is not None and subset in held and len(held) > 1:
        raise InputError("annotations", "subset", expected=f"videos of '{subset}' only", found=", ".join(held),
                         fix="choose the videos first, with wtal_fast.data.annotations.select_subset")
    return "+".join(held) if subset is None else subset


def _check_columns(source: str, rows: Annotations | Detections, columns: tuple[str, ...]) -> None:
    """Raises unless segments are [N, 2] and the columns [N], numbers of classes and videos within their names."""
    shape = np.shape(rows.segments)
    if len(shape) != 2 or shape[1] != 2:
        raise InputError(source, "segments", expected="[N, 2]: start and end in seconds", found=str(list(shape)))
    for name in columns:
        if np.shape(getattr(rows, name)) != shape[:1]:
            raise InputError(source, name, expected=f"[{shape[0]}], one a segment",
                             found=str(list(np.shape(getattr(rows, name)))))
    for name, names in (("classes", rows.class_names), ("video_index", rows.video_ids)):
        numbers = np.asarray(getattr(rows, name))
        if len(numbers) and not (np.issubdtype(numbers.dtype, np.integer) and 0 <= numbers.min()
                                 and numbers.max() < len(names)):
            raise InputError(source, name, expected=f"integers in 0..{len(names) - 1}",
                             found=f"{numbers.dtype} in {numbers.min()}..{numbers.max()}")


def _check(annotations: Annotations, detections: Detections) -> None:
    _check_columns("annotations", annotations, ("classes", "video_index"))
    _check_columns("detections", detections, ("scores", "classes", "video_index"))
    if not len(annotations):
        raise InputError("annotations", expected="at least one instance", found="none", fix="choose another subset")
    for source, segments in (("annotations", annotations.segments), ("detections", detections.segments)):
        if not (np.isfinite(segments).all() and (segments[:, 1] >= segments[:, 0]).all()):
            row = int((np.isfinite(segments).all(axis=1) & (segments[:, 1] >= segments[:, 0])).argmin())
            raise InputError(source, f"segment {row}", expected="finite seconds with end >= start",
                             found=str(segments[row].tolist()))
    if not np.isfinite(detections.scores).all():
        row = int((~np.isfinite(detections.scores)).argmax())
        raise InputError("detections", f"score {row}", expected="a finite number", found=str(detections.scores[row]))


def _scored(annotations: Annotations, detections: Detections, labels: list[str],
            ignore_others: bool) -> tuple[np.ndarray | slice, np.ndarray]:
    """Rows of the detections that count, one slice where all do, and their groups = video * classes + class in the
    annotations' numbering.

    Videos that are not annotated come after the annotated ones, so that their groups hold no instances.
    """
    known = {name: index for index, name in enumerate(annotations.video_ids)}
    class_of = {name: index for index, name in enumerate(labels)}
    videos = np.asarray([known.get(name, len(known) + index) for index, name in enumerate(detections.video_ids)],
                        dtype=np.int64)
    classes = np.asarray([class_of.get(name, -1) for name in detections.class_names], dtype=np.int64)
    video, label = (numbers[index] if len(index) else index for numbers, index in (
        (videos, detections.video_index), (classes, detections.classes)))
    if (videos < len(known)).all() and (classes >= 0).all():
        return slice(None), video * len(labels) + label
    foreign, unlabelled = video >= len(known), label < 0
    if unlabelled.any():
        names = sorted({detections.class_names[index] for index in detections.classes[unlabelled]})
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        warnings.warn(f"ignored {unlabelled.sum()} detections of {len(names)} labels without ground truth: {shown}",
                      stacklevel=3)
    counted = foreign & ~unlabelled
    if counted.any():
        verb = "ignored" if ignore_others else "counted as false positives"
        number = len(np.unique(detections.video_index[counted]))
        warnings.warn(f"{verb} {counted.sum()} detections of {number} videos that are not annotated", stacklevel=3)
    rows = np.flatnonzero(~unlabelled & ~(foreign & ignore_others))
    return rows, video[rows] * len(labels) + label[rows]
