"""All methods on the bundled smartwatch streams, beside two baselines that learn nothing."""

from __future__ import annotations

from pathlib import Path

from wtal_fast.config import EvaluationConfig
from wtal_fast.data.dataset import Dataset
from wtal_fast.data.streams import load_streams
from wtal_fast.engine.experiment import rehearse, run_experiment
from wtal_fast.engine.methods import configure
from wtal_fast.engine.run_folder import RunFolder
from wtal_fast.evaluation import detection_map
from wtal_fast.evaluation.baselines import random_segments, whole_video_oracle
from wtal_fast.ranges import expand_range

DEMO_TIOU = expand_range("linspace(0.1,0.7,7)")
METHODS = ("basnet", "uncertainty", "backtal")


def run_demo(output: Path, seed: int = 0, methods=METHODS, show: bool = True) -> dict[str, dict]:
    """{row name: metrics.json} of the baselines and of each method's recommended preset; runs go to output/<method>."""
    folders = {method: RunFolder(output / method) for method in methods}
    for run in folders.values():
        run.refuse_if_occupied()
    overrides = {"train.seed": seed, "evaluation.tiou": DEMO_TIOU}
    configs = {method: configure(f"{method}/streams/recommended", overrides) for method in methods}
    rows = {}
    for method, config in configs.items():
        train, test = load_streams(config.data)
        if not rows:
            rows = baselines(test, seed)
        rehearse(config, train, test)
        rows[method] = run_experiment(config, train, test, folders[method], show=show)
    return rows


def baselines(test: Dataset, seed: int = 0, tiou=DEMO_TIOU) -> dict[str, dict]:
    """Metrics of random segments and of one whole-stream detection, both with the true labels."""
    durations, protocol = test.durations.numpy(), EvaluationConfig().protocol
    found = {
        "random segments, oracle labels": random_segments(test.annotations, durations, seed),
        "whole stream, oracle labels": whole_video_oracle(test.annotations, durations),
    }
    return {name: detection_map(test.annotations, detections, tiou, protocol).to_json()
            for name, detections in found.items()}
