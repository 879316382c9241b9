"""mAP against loops in NumPy and in pandas, and `wtal-fast evaluate` against a pandas script as a process."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench import baselines_pandas
from bench.baselines_postprocessing import loop_map
from bench.case import Case, Plan, Unavailable
from bench.cases_postprocessing import SAME_NUMBERS, simulated_detections, simulated_truth
from wtal_fast.evaluation import detection_map, write_detections
from wtal_fast.files import read_json, save_json
from wtal_fast.structures import Annotations, Detections

TIOU = np.linspace(0.1, 0.9, 9)
LOOPS, PANDAS, SCRIPT = "NumPy loops", "pandas", "the pandas script as a process"
NO_PANDAS = "pandas is not installed: pip install pandas"


def _ours_map(truth: Annotations, found: Detections) -> Tensor:
    return torch.tensor(list(detection_map(truth, found, TIOU).per_class.values()), dtype=torch.float64).T


def by_class(truth: Annotations, found: Detections) -> tuple[dict, dict]:
    """The instances and predictions as baselines.loop_map takes them."""
    instances, predictions = {}, {}
    for label in np.unique(truth.classes):
        rows = np.flatnonzero(truth.classes == label)
        instances[label] = {video: truth.segments[rows[truth.video_index[rows] == video]]
                            for video in np.unique(truth.video_index[rows]).tolist()}
        rows = np.flatnonzero(found.classes == label)
        predictions[label] = (found.video_index[rows].tolist(), found.segments[rows], found.scores[rows])
    return instances, predictions


def as_json(truth: Annotations) -> dict:
    """The content of a ground-truth file; classes appear in the order of class_names."""
    database = {video: {"subset": "test", "duration": float(duration), "annotations": []}
                for video, duration in zip(truth.video_ids, truth.durations, strict=True)}
    for row in np.argsort(truth.video_index, kind="stable").tolist():
        database[truth.video_ids[truth.video_index[row]]]["annotations"].append(
            {"label": truth.class_names[truth.classes[row]], "segment": truth.segments[row].tolist()})
    return {"database": database}


def in_pandas(truth: Annotations, found: Detections, tiou: np.ndarray) -> Callable[[], Tensor]:
    """A call that gives the average precision [Q, C], classes sorted by name as in DetectionMetrics.per_class."""
    with tempfile.TemporaryDirectory() as folder:
        write_detections(Path(folder) / "found.json", found)
        content = as_json(truth), read_json(Path(folder) / "found.json")
    labels = list(dict.fromkeys(row["label"] for entry in content[0]["database"].values()
                                for row in entry["annotations"]))
    order = [labels.index(name) for name in truth.class_names if name in labels]

    def call() -> Tensor:
        if baselines_pandas.pandas is None:
            raise Unavailable(NO_PANDAS)
        return torch.from_numpy(baselines_pandas.pandas_map(*content, "test", tiou)[:, order])

    return call


def processes(truth: Annotations, found: Detections) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """Ours and the script from start to exit, mAP [Q] at tIoU .1 to .9 read from what each writes.

    Their files live as long as the first call does.
    """
    kept = tempfile.TemporaryDirectory(prefix="wtal_fast_bench_")
    folder = Path(kept.name)
    save_json(folder / "truth.json", as_json(truth))
    write_detections(folder / "found.json", found)
    files = [str(folder / "found.json"), str(folder / "truth.json")]
    output = folder / "metrics.json"
    command = [str(Path(sys.executable).with_name("wtal-fast")), "evaluate", *files, "--tiou", "0.1:0.1:0.9",
               "--output", str(output)]
    script = [sys.executable, "-m", "bench.baselines_pandas", *files, "test", "0.1", "0.1", "0.9"]
    run = partial(subprocess.run, check=True, capture_output=True, cwd=Path(__file__).parents[1])

    def ours(_folder=kept) -> Tensor:
        run(command)
        return torch.tensor(read_json(output)["map"], dtype=torch.float64)

    def theirs() -> Tensor:
        if baselines_pandas.pandas is None:
            raise Unavailable(NO_PANDAS)
        return torch.tensor(json.loads(run(script).stdout)["map"], dtype=torch.float64)

    return ours, theirs


def detection_map_cases(plan: Plan, count: int = 16_763, videos: int = 210) -> Iterator[Case]:
    """A result the size of the released BaS-Net's on THUMOS'14."""
    draw = np.random.default_rng(0)
    truth = simulated_truth(draw, videos=videos, classes=20)
    found = simulated_detections(draw, truth, plan.pick(tiny=50, quick=2000, full=count))
    instances, predictions = by_class(truth, found)
    released = {42_600: {LOOPS: "mAP in NumPy loops, 42.6k detections", PANDAS: "mAP in pandas, 42.6k detections"},
                16_763: {PANDAS: "mAP of 16,763 detections, 20 processes"}}
    yield Case(f"detection_map, {len(found):,} detections, {len(truth):,} instances, {videos} videos, 9 tIoU",
               partial(_ours_map, truth, found),
               {LOOPS: [partial(loop_map, instances, predictions, TIOU)], PANDAS: [in_pandas(truth, found, TIOU)]},
               SAME_NUMBERS, {LOOPS: 50, PANDAS: 1000}, released=released.get(len(found), {}))


def evaluate_process(plan: Plan) -> Iterator[Case]:
    """From the shell's call to its end: Python starts, reads both files, scores and prints."""
    draw = np.random.default_rng(0)
    truth = simulated_truth(draw, videos=210, classes=20)
    found = simulated_detections(draw, truth, plan.pick(tiny=50, quick=2000, full=16_763))
    ours, theirs = processes(truth, found)
    yield Case(f"wtal-fast evaluate as a process, {len(found):,} detections, 210 videos, 9 tIoU", ours,
               {SCRIPT: [theirs]}, SAME_NUMBERS, {SCRIPT: 10})


CASES = {"detection_map": detection_map_cases, "detection_map_large": partial(detection_map_cases, count=42_600),
         "evaluate_process": evaluate_process}
