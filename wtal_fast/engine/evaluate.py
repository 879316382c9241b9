"""Scoring detections from files or memory. Torch is not imported."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from wtal_fast.config import expand_range
from wtal_fast.data.annotations import read_annotations, select_subset
from wtal_fast.errors import InputError
from wtal_fast.evaluation import DetectionMetrics, detection_map, read_ambiguous, read_detections
from wtal_fast.structures import Annotations, Detections


def evaluate(ground_truth: Annotations | str | os.PathLike, detections: Detections | str | os.PathLike, *,
             subset: str = "test", tiou="0.1:0.1:0.9", protocol: str = "activitynet",
             ambiguous: Mapping[str, np.ndarray] | str | os.PathLike | None = None) -> DetectionMetrics:
    """mAP of detections against the instances of one subset of a ground truth.

    ground_truth, detections: ActivityNet JSON files, or Annotations and Detections. tiou: thresholds, or a range such
    as "0.1:0.1:0.7". protocol and ambiguous: as in detection_map; ambiguous may also be a file for read_ambiguous.
    A detection of a video outside the subset counts as a false positive, as the protocols have it, and one of a label
    without instances is ignored; a warning counts both.
    """
    annotations = ground_truth if isinstance(ground_truth, Annotations) else read_annotations(ground_truth)
    annotations = select_subset(annotations, subset)
    found = detections if isinstance(detections, Detections) else read_detections(detections)
    try:
        thresholds = expand_range(tiou)
    except ValueError as error:
        raise InputError("--tiou", expected="start:step:end or a,b,c", found=str(error)) from None
    if isinstance(ambiguous, (str, os.PathLike)):
        ambiguous = read_ambiguous(ambiguous)
    return detection_map(annotations, found, thresholds, protocol, subset=subset, ambiguous=ambiguous)
