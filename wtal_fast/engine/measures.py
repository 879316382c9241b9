"""Measures beside detection mAP that a detection file and a ground truth allow, as metrics.json holds them.

Each says by which protocol it was computed; docs/evaluation.md defines them. Torch is not imported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from wtal_fast.engine.evaluate import Inputs
from wtal_fast.errors import InputError
from wtal_fast.evaluation import (
    average_recall,
    background_f1,
    best_of_each_video,
    bootstrap,
    frame_map,
    outside_detections,
    per_video,
    video_classification_map,
)
from wtal_fast.evaluation.detection import WITH_AMBIGUOUS
from wtal_fast.evaluation.thumos14 import split_ambiguous

DISTANCES = (0.25, 0.5, 0.75, 1.0)  # SF-Net's
RECALL_TIOU = tuple(np.linspace(0.5, 0.95, 10).tolist())  # those of ActivityNet's proposal task


def measures(given: Inputs, protocol: str, *, samples: int = 0, videos: bool = False, recall: Sequence[int] = (),
             frames: bool = False, classification: bool = False, snippet_seconds: float | None = None) -> dict:
    """The measures asked for, by their key in metrics.json.

    samples: drawn sets of a bootstrap interval of the mAP. videos: the mAP of each video. recall: average recall at so
    many proposals a video. frames: SF-Net's frame mAP. classification: mAP of video labels, the score of a class in a
    video being that of its best detection. snippet_seconds: F-measure of background, snippets of that length that lie
    in no detection being called background.
    """
    scored = given
    if protocol in WITH_AMBIGUOUS:  # what no protocol counts as an instance is none here
        scored = replace(given, annotations=split_ambiguous(given.annotations, {})[0])
    asked: dict[str, tuple[object, Callable[[], dict]]] = {
        "bootstrap": (samples, partial(_interval, given, protocol, samples)),
        "per_video": (videos, partial(_per_video, given, protocol)),
        "average_recall": (recall, partial(_recall, scored, recall)),
        "frame_map": (frames, partial(_frames, scored)),
        "video_map": (classification, partial(_classification, scored)),
        "background_f1": (snippet_seconds is not None, partial(_background, scored, snippet_seconds)),
    }
    return {name: measure() for name, (wanted, measure) in asked.items() if wanted}


def _interval(given: Inputs, protocol: str, samples: int) -> dict:
    interval = bootstrap(given.annotations, given.detections, given.tiou, protocol, samples, ambiguous=given.ambiguous)
    return {"protocol": protocol, "confidence": interval.confidence, "samples": samples, "low": list(interval.low),
            "high": list(interval.high), "average_low": interval.average_low, "average_high": interval.average_high}


def _per_video(given: Inputs, protocol: str) -> dict:
    scores = per_video(given.annotations, given.detections, given.tiou, protocol, given.ambiguous)
    return {"protocol": protocol, "map": {video: list(values) for video, values in scores.items()}}


def _recall(given: Inputs, counts: Sequence[int]) -> dict:
    found = average_recall(given.annotations, given.detections, tuple(counts), RECALL_TIOU)
    return {"protocol": "labels aside", "tiou": list(RECALL_TIOU),
            "recall": {str(count): value for count, value in found.items()}}


def _frames(given: Inputs) -> dict:
    means, per_class = frame_map(given.annotations, given.detections, DISTANCES)
    labels = sorted({given.annotations.class_names[label] for label in given.annotations.classes})
    return {"protocol": "sfnet_frame", "distances": list(DISTANCES), "map": list(means),
            "per_class": {label: per_class[:, index].tolist() for index, label in enumerate(labels)}}


def _classification(given: Inputs) -> dict:
    labels, scores = best_of_each_video(given.annotations, given.detections)
    mean, per_class = video_classification_map(labels, scores)
    names = given.annotations.class_names
    return {"protocol": "best detection of each class", "map": mean,
            "per_class": {names[index]: float(per_class[index]) for index in np.flatnonzero(~np.isnan(per_class))}}


def _background(given: Inputs, snippet_seconds: float) -> dict:
    truth = given.annotations
    if not snippet_seconds > 0:
        raise InputError("--background", expected="a positive number of seconds", found=f"{snippet_seconds:g}")
    if np.isnan(truth.durations).any():
        video = truth.video_ids[int(np.isnan(truth.durations).argmax())]
        raise InputError("ground truth", f"video '{video}'", expected="a duration, which --background needs",
                         found="none", fix="add \"duration\" in seconds")
    called = outside_detections(truth, given.detections, snippet_seconds)
    return {"protocol": "snippets outside every detection", "snippet_seconds": snippet_seconds,
            "f1": background_f1(truth, called, snippet_seconds)}
