"""Scoring detections against annotations. Nothing here imports torch."""

from wtal_fast.evaluation.activitynet_json import read_detections, write_detections
from wtal_fast.evaluation.baselines import random_segments, whole_video_oracle
from wtal_fast.evaluation.detection import DetectionMetrics, detection_map
from wtal_fast.evaluation.instants import frame_map
from wtal_fast.evaluation.recall import average_recall
from wtal_fast.evaluation.resampling import bootstrap, per_video
from wtal_fast.evaluation.snippets import background_f1, outside_detections, topk_in_action
from wtal_fast.evaluation.thumos14 import read_ambiguous
from wtal_fast.evaluation.videos import best_of_each_video, video_classification_map

__all__ = [
    "DetectionMetrics", "average_recall", "background_f1", "best_of_each_video", "bootstrap", "detection_map",
    "frame_map", "outside_detections", "per_video", "random_segments", "read_ambiguous", "read_detections",
    "topk_in_action", "video_classification_map", "whole_video_oracle", "write_detections",
]
