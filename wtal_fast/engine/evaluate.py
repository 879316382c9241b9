"""Scoring detections from files or memory. Torch is not imported."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from wtal_fast.data.annotations import read_annotations, select_subset
from wtal_fast.errors import InputError
from wtal_fast.evaluation import DetectionMetrics, detection_map, read_ambiguous, read_detections
from wtal_fast.ranges import expand_range
from wtal_fast.structures import Annotations, Detections


def evaluate(ground_truth: Annotations | dict | str | os.PathLike, detections: Detections | dict | str | os.PathLike, *,
             subset: str = "test", tiou="0.1:0.1:0.9", protocol: str = "activitynet",
             ambiguous: Mapping[str, np.ndarray] | str | os.PathLike | None = None) -> DetectionMetrics:
    """mAP of detections against the instances of one subset of a ground truth.

    ground_truth, detections: ActivityNet JSON files, what such files hold once parsed, or Annotations and Detections.
    tiou: one threshold, several, or a range such as "0.1:0.1:0.7". protocol and ambiguous: as in detection_map;
    ambiguous may also be a file for read_ambiguous.
    A detection of a video outside the subset counts as a false positive, as the protocols have it, and one of a label
    without instances is ignored; a warning counts both.
    """
    given = read_inputs(ground_truth, detections, subset, tiou, ambiguous)
    return detection_map(given.annotations, given.detections, given.tiou, protocol, subset=subset,
                         ambiguous=given.ambiguous)


@dataclass(frozen=True)
class Inputs:
    """What an evaluation reads: the instances of one subset, detections, tIoU thresholds, ambiguous stretches or None.
    """

    annotations: Annotations
    detections: Detections
    tiou: tuple[float, ...]
    ambiguous: Mapping[str, np.ndarray] | None


def read_inputs(ground_truth, detections, subset: str, tiou, ambiguous=None) -> Inputs:
    """The arguments of `evaluate` in memory."""
    annotations = select_subset(_read("ground_truth", ground_truth, Annotations, read_annotations), subset)
    found = _read("detections", detections, Detections, read_detections)
    try:
        thresholds = tuple(np.asarray(expand_range(tiou), dtype=np.float64).reshape(-1).tolist())
    except (ValueError, TypeError) as error:
        raise InputError("--tiou", expected="start:step:end or a,b,c", found=str(error)) from None
    if isinstance(ambiguous, (str, os.PathLike)):
        ambiguous = read_ambiguous(ambiguous)
    return Inputs(annotations, found, thresholds, ambiguous)


def _read(name: str, given, kind: type, read: Callable):
    """`given` where it is of `kind` already, else what `read` makes of it."""
    if isinstance(given, kind):
        return given
    if isinstance(given, (dict, str, os.PathLike)):
        return read(given)
    raise InputError(name, expected=f"a path, parsed JSON or {kind.__name__}", found=type(given).__name__)
