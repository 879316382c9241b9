"""mAP in pandas, and `wtal-fast evaluate` as a process against a pandas script as a process."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.baselines_pandas import pandas_map
from wtal_fast.evaluation import write_detections
from wtal_fast.files import read_json, save_json
from wtal_fast.structures import Annotations, Detections

PANDAS = "pandas, one process"
SCRIPT = "the pandas script as a process"


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
        return torch.from_numpy(pandas_map(*content, "test", tiou)[:, order])

    return call


def processes(folder: Path, truth: Annotations, found: Detections) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """Ours and the script from start to exit, mAP [Q] at tIoU .1 to .9 read from what each writes."""
    save_json(folder / "truth.json", as_json(truth))
    write_detections(folder / "found.json", found)
    files = [str(folder / "found.json"), str(folder / "truth.json")]
    output = folder / "metrics.json"
    command = [str(Path(sys.executable).with_name("wtal-fast")), "evaluate", *files, "--tiou", "0.1:0.1:0.9",
               "--output", str(output)]
    script = [sys.executable, "-m", "bench.baselines_pandas", *files, "test", "0.1", "0.1", "0.9"]
    run = partial(subprocess.run, check=True, capture_output=True, cwd=Path(__file__).parents[1])

    def ours() -> Tensor:
        run(command)
        return torch.tensor(read_json(output)["map"], dtype=torch.float64)

    def theirs() -> Tensor:
        return torch.tensor(json.loads(run(script).stdout)["map"], dtype=torch.float64)

    return ours, theirs
