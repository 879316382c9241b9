"""A whole training with an evaluation each epoch: `wtal-fast train` as a process against the released code.

    python -m bench.training_run --data DIR [basnet uncertainty backtal] [--epochs 8] [--steps 10] [--output FILE]

Widths are those of bench.quality. Ours is timed from the start of the process to its exit, reading and writing of files
included. The released code is measured for --steps steps (sampling included) and one evaluation (network, one video
at a time; post-processing; mAP in pandas) of the weights that our run ended with, and extrapolated from these, which is
marked as such. Both evaluations have to find the same mAP, to 1e-3, or nothing is written; what a step computes is
compared with ours by the cases step_* and sampling_indices. The papers' runs have 100 epochs or more (--epochs 100).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bench.baselines_localization import Video, released_detections
from bench.cases_evaluate import in_pandas
from bench.environment import describe
from bench.quality import BUDGETS, overrides
from bench.released.sampling import random_perturb
from bench.training import NAMES, Step, released_step
from wtal_fast.config import Config
from wtal_fast.data.dataset import Dataset
from wtal_fast.data.loading import load_folder
from wtal_fast.engine.checkpoint import load_tensors
from wtal_fast.engine.methods import build_loss, build_model, configure
from wtal_fast.engine.sampler import BatchPlan
from wtal_fast.files import read_json, save_json
from wtal_fast.structures import Detections

OUTPUT = Path(__file__).parent / "results" / "training_run.json"
SAME_MAP = 1e-3


def budget(method: str, data: Path, epochs: int, steps_per_epoch: int) -> dict[str, object]:
    """Settings of a run of `epochs` epochs that scores the test videos after each."""
    length = {"train.epochs": epochs} if method == "backtal" else {"train.iterations": epochs * steps_per_epoch}
    return overrides(method, data, seed=0) | length | {"train.eval_every": steps_per_epoch}


def our_run(method: str, data: Path, settings: dict[str, object]) -> tuple[float, dict[str, torch.Tensor], float]:
    """Seconds of `wtal-fast train` from start to exit, the weights it ends with and their average mAP."""
    words = [f"{key}={value}" for key, value in settings.items()]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "wtal_fast", "train", f"{method}/thumos14/official", *words, "--data",
                   str(data), "--output", f"{folder}/run"]
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        seconds = time.perf_counter() - started
        if done.returncode:
            sys.exit(f"{NAMES[method]}: {done.stderr[-2000:]}")
        weights, _ = load_tensors(Path(folder) / "run" / "checkpoint" / "last" / "model.safetensors")
        return seconds, weights, read_json(Path(folder) / "run" / "metrics.json")["average_map"]


def released_run(method: str, config: Config, train: Dataset, test: Dataset, steps: int,
                 weights: dict[str, torch.Tensor]) -> tuple[float, float, float]:
    """Of the released code the mean seconds of `steps` steps from a fresh start, and the seconds and the average mAP of
    one evaluation of `weights`."""
    torch.manual_seed(0)
    model = build_model(config, len(train.class_names)).train()
    loss = build_loss(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.train.learning_rate)
    index = BatchPlan(len(train), config.train.batch_size, 0).indices
    batch = train.batch(index(0), config.data.num_snippets, config.data.train_sampling)
    step = released_step(method, Step(model, lambda batch: model(batch.features, None),
                                      lambda output, batch: loss(output, batch)["total"], optimizer, batch))
    started = time.perf_counter()
    for number in range(steps):
        if config.data.train_sampling == "stratified":
            for length in train.raw_lengths[index(number)].tolist():
                random_perturb(length, config.data.num_snippets)
        step.batch = train.batch(index(number), config.data.num_snippets, config.data.train_sampling)
        step()
    step_seconds = (time.perf_counter() - started) / steps
    step.model.load_state_dict(weights)
    started = time.perf_counter()
    average_map = released_evaluation(method, step.model.eval(), config, test)
    return step_seconds, time.perf_counter() - started, average_map


@torch.no_grad()
def released_evaluation(method: str, model: torch.nn.Module, config: Config, test: Dataset) -> float:
    """Average mAP of all test videos, one at a time."""
    magnitudes = hidden_magnitudes(method, model)
    videos, classes = [], len(test.class_names)
    for number in range(len(test)):
        batch = test.batch([number], config.data.num_snippets, config.data.test_sampling)
        scores, cas = of_suppressed_branch(method, model(batch.features))
        videos.append(Video(cas[:, :classes].numpy(), scores[:classes].numpy(), magnitudes(),
                            float(batch.durations[0]), int(batch.frame_counts[0])))
    segments, scores, labels, index = released_detections(videos, method, config.localization)
    found = Detections(segments=segments, scores=scores, classes=labels, video_index=index,
                       class_names=test.class_names, video_ids=test.video_ids)
    truth = replace(test.annotations, subsets=("test",) * len(test))
    return float(np.mean(in_pandas(truth, found, np.array(config.evaluation.tiou))().numpy()))


def of_suppressed_branch(method: str, output: tuple) -> tuple[torch.Tensor, torch.Tensor]:
    """Class probabilities and class activations [T, C (+1)] that the released code localizes with."""
    if method == "uncertainty":
        return output[0][0], output[4][0]
    if method == "basnet":
        return output[1][0], output[3][0]
    logits, activations = output[1]
    return logits[0].softmax(0), activations[0].t()


def hidden_magnitudes(method: str, model: torch.nn.Module) -> Callable[[], np.ndarray]:
    """A call that gives the norms [T] of the first hidden features of the last video; BaS-Net has no use for them."""
    last = deque([torch.zeros(1, 1, 1)], maxlen=1)
    layer = {"basnet": None, "uncertainty": "cas_module", "backtal": "base_module"}[method]
    if layer is not None:  # UM's are [1, T, H], BackTAL's [1, H, T], of the suppressed branch last
        model.get_submodule(layer).register_forward_hook(lambda _module, _inputs, output: last.append(output[0]))
    return lambda: last[-1][0].norm(dim=1 if method == "uncertainty" else 0).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", metavar="method", help=f"of {', '.join(BUDGETS)}; all")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    if unknown := set(options.methods) - set(BUDGETS):
        parser.error(f"no method {', '.join(sorted(unknown))}; known: {', '.join(BUDGETS)}")
    rows = {row["method"]: row for row in read_json(options.output)["rows"]} if options.output.is_file() else {}
    for method in options.methods or BUDGETS:
        config = configure(f"{method}/thumos14/official", overrides(method, options.data, seed=0))
        train = load_folder(options.data, config.data, "train", class_names=config.data.class_names)
        test = load_folder(options.data, config.data, "test", class_names=train.class_names)
        per_epoch = BatchPlan(len(train), config.train.batch_size, 0).steps_per_epoch
        ours, weights, our_map = our_run(method, options.data, budget(method, options.data, options.epochs, per_epoch))
        step, evaluation, their_map = released_run(method, config, train, test, options.steps, weights)
        maps = f"average mAP {our_map:.4f}, by the released code {their_map:.4f}"
        if abs(our_map - their_map) > SAME_MAP:
            sys.exit(f"{NAMES[method]}: {maps}, so no time is given")
        theirs = options.epochs * (per_epoch * step + evaluation)
        rows[method] = {"method": method, "epochs": options.epochs, "seconds": ours, "baseline_step_seconds": step,
                        "baseline_evaluation_seconds": evaluation, "baseline_seconds_extrapolated": theirs,
                        "ratio": theirs / ours, "average_map": [our_map, their_map], "environment": describe()}
        print(f"{NAMES[method]}, {options.epochs} epochs with an evaluation each: ours {ours:.1f} s; released code "
              f"{theirs:.1f} s, extrapolated from {options.steps} steps of {step:.2f} s and one evaluation of "
              f"{evaluation:.1f} s; ratio {theirs / ours:.1f}", flush=True)
        save_json(options.output, {"rows": list(rows.values())}, indent=1)


if __name__ == "__main__":
    main()
