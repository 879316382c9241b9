"""Scoring detections against annotations. Nothing here imports torch."""

from wtal_fast.evaluation.activitynet_json import read_detections, write_detections
from wtal_fast.evaluation.baselines import random_segments, whole_video_oracle
from wtal_fast.evaluation.detection import DetectionMetrics, detection_map
from wtal_fast.evaluation.thumos14 import read_ambiguous

__all__ = [
    "DetectionMetrics", "detection_map", "random_segments", "read_ambiguous", "read_detections", "whole_video_oracle",
    "write_detections",
]
