"""ActivityNet's ANETdetection, on NumPy alone: no pandas, no joblib, no network."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

import numpy as np

from wtal_fast.errors import InputError
from wtal_fast.evaluation import detection_map, read_detections
from wtal_fast.files import read_json
from wtal_fast.structures import Annotations, Detections

_TRUTH = [("video-id", object), ("t-start", np.float64), ("t-end", np.float64), ("label", np.int64)]


class ANETdetection:
    """Detection mAP of a result file, with the constructor and attributes of ActivityNet's own class.

    ground_truth, prediction: structured arrays with the columns video-id, t-start, t-end, label (and score), one row
    an instance; activity_index: label -> number, by first appearance in the subset. evaluate() sets and returns
    mAP [Q] and average_mAP and sets ap [Q, classes]. Results are those of the original on this machine, equal scores
    and overlaps included; protocol="activitynet" is faster and orders equal overlaps alike on every machine.
    Differences: predicted labels without ground truth are ignored with a warning (the original stops with KeyError).
    check_status fetches nothing, since the list of blocked videos is no longer served: name them in blocked_videos.
    """

    GROUND_TRUTH_FIELDS = ["database"]
    PREDICTION_FIELDS = ["results"]

    def __init__(self, ground_truth_filename: str | os.PathLike | None = None,
                 prediction_filename: str | os.PathLike | None = None,
                 ground_truth_fields: Sequence[str] = GROUND_TRUTH_FIELDS,
                 prediction_fields: Sequence[str] = PREDICTION_FIELDS,
                 tiou_thresholds: Sequence[float] = tuple(np.linspace(0.5, 0.95, 10)), subset: str = "validation",
                 verbose: bool = False, check_status: bool = False, blocked_videos: Sequence[str] = (), *,
                 protocol: str = "activitynet_numpy"):
        if not ground_truth_filename:
            raise InputError("ground truth", expected="a file", found="none")
        if not prediction_filename:
            raise InputError("predictions", expected="a file", found="none")
        if check_status and not blocked_videos:
            warnings.warn("check_status: the list of blocked videos is no longer served; all videos are scored",
                          stacklevel=2)
        self.subset = subset
        self.tiou_thresholds = np.asarray(tiou_thresholds, dtype=np.float64)
        self.verbose = verbose
        self.gt_fields = list(ground_truth_fields)
        self.pred_fields = list(prediction_fields)
        self.check_status = check_status
        self.blocked_videos = list(blocked_videos)
        self.protocol = protocol
        self.ap = self.mAP = self.average_mAP = None
        self._videos: tuple[str, ...] = ()
        self.ground_truth, self.activity_index = self._import_ground_truth(ground_truth_filename)
        self.prediction = self._import_prediction(prediction_filename)
        if verbose:
            print(f"[INIT] Loaded annotations from {subset} subset.\n"
                  f"\tNumber of ground truth instances: {len(self.ground_truth)}\n"
                  f"\tNumber of predictions: {len(self.prediction)}\n"
                  f"\tFixed threshold for tiou score: {self.tiou_thresholds}")

    def evaluate(self) -> tuple[np.ndarray, float]:
        """Scores the predictions; returns mAP [Q] and their mean."""
        metrics = detection_map(self._annotations(), self._detections(), self.tiou_thresholds, self.protocol)
        self.ap = np.stack([metrics.per_class[label] for label in self.activity_index], axis=1)  # [Q, C]
        self.mAP = self.ap.mean(axis=1)
        self.average_mAP = self.mAP.mean()
        if self.verbose:
            print(f"[RESULTS] Performance on ActivityNet detection task.\n\tAverage-mAP: {self.average_mAP}")
        return self.mAP, self.average_mAP

    def _import_ground_truth(self, path) -> tuple[np.ndarray, dict[str, int]]:
        content = read_json(path)
        _require_fields(path, content, ["database", *self.gt_fields])
        rows, index = [], {}
        for video, entry in content["database"].items():
            try:
                if entry["subset"] != self.subset or video in self.blocked_videos:
                    continue
                self._videos += (video,)
                for instance in entry["annotations"]:
                    start, end = instance["segment"]
                    label = index.setdefault(instance["label"], len(index))
                    rows.append((video, float(start), float(end), label))
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(path, f"video '{video}'", expected="a subset and annotations with segment and label",
                                 found=repr(error)) from None
        return np.array(rows, dtype=_TRUTH), index

    def _import_prediction(self, path) -> np.ndarray:
        if set(self.pred_fields) - {"results"}:
            _require_fields(path, read_json(path), self.pred_fields)
        found = read_detections(path)
        unblocked = np.array([video not in self.blocked_videos for video in found.video_ids], dtype=bool)
        found = found.take(unblocked[found.video_index])
        known = np.array([label in self.activity_index for label in found.class_names], dtype=bool)[found.classes]
        if not known.all():
            unknown = sorted({found.class_names[index] for index in found.classes[~known]})
            warnings.warn(f"ignored {(~known).sum()} predictions of labels without ground truth: {', '.join(unknown)}",
                          stacklevel=3)
        found = found.take(known)
        table = np.empty(len(found), dtype=[*_TRUTH, ("score", np.float64)])
        table["video-id"] = np.array(found.video_ids, dtype=object)[found.video_index]
        table["t-start"], table["t-end"], table["score"] = *found.segments.T, found.scores
        table["label"] = [self.activity_index[found.class_names[index]] for index in found.classes]
        return table

    def _annotations(self) -> Annotations:
        unknown = np.full(len(self._videos), np.nan)
        return Annotations(**_columns(self.ground_truth, self._videos), class_names=tuple(self.activity_index),
                           subsets=(self.subset,) * len(self._videos), durations=unknown, fps=unknown)

    def _detections(self) -> Detections:
        """The predictions, equal scores of a class in the order the original's sort gives them."""
        order = [np.zeros(0, dtype=np.int64)]
        for label in range(len(self.activity_index)):
            rows = np.flatnonzero(self.prediction["label"] == label)
            order.append(rows[self.prediction["score"][rows].argsort()[::-1]])
        table = self.prediction[np.concatenate(order)]
        return Detections(**_columns(table, tuple(dict.fromkeys(table["video-id"]))), scores=table["score"],
                          class_names=tuple(self.activity_index))


def _columns(table: np.ndarray, videos: tuple[str, ...]) -> dict:
    number = {video: index for index, video in enumerate(videos)}
    video_index = np.array([number[video] for video in table["video-id"]], dtype=np.int64)
    return {"segments": np.stack([table["t-start"], table["t-end"]], axis=1), "classes": table["label"],
            "video_index": video_index, "video_ids": videos}


def _require_fields(path, content, fields: Sequence[str]) -> None:
    missing = [field for field in fields if not isinstance(content, dict) or field not in content]
    if missing:
        raise InputError(path, expected=f"the keys {', '.join(fields)}", found=f"no {', '.join(missing)}")
