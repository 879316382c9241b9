"""Training steps at the released widths on 200 videos: ours and the released code in turn, one process each.

    python -m bench.full_width [basnet uncertainty backtal] [--steps 10] [--others 10] [--threads 2] [--quick]
                               [--state DIR]

2048 channels, 750 snippets, batches of 16, no dropout, the same weights and batches. The fp32 losses have to agree with
the released code's at every step, to 1e-4 (relative, above 1), or nothing is written. Beside them run ours in bf16 and
the floor: the matrix products of the step's exact form at the rate of one convolution's, in both precisions. Memory is
the most a process held from before its model to the end: weights, gradients, Adam's moments, a batch and all a step
needs. Every finished step is kept in --state, weights and all (3 GB), and a run that was cut short goes on after it, as
long as the commit, the threads and the size are the same.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bench.cases_steps import BF16_TARGETS, FP32_TARGETS
from bench.environment import describe, has_amx, reset_peak, resident_bytes
from bench.floors import step_floor
from bench.reference_times import verdict
from bench.step_state import StepState
from bench.timing import Contender, sample
from bench.training import METHODS, NAMES, Shape, our_step, random_batch, released_step
from wtal_fast.engine.sampler import BatchPlan
from wtal_fast.files import read_json, save_json
from wtal_fast.structures import FeatureBatch

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "bench" / "results" / "full_width.json"
STATE = ROOT / "build" / "full_width"
SAME_LOSS = 1e-4
SIDES = ("ours", "ours, bf16", "released", "floor", "floor, bf16")
COMPARED = ("ours", "released")  # sides whose losses have to agree, hence in every step
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SHAPES = {"full": (200, Shape()), "quick": (40, Shape(8, 100, 128, 128)), "tiny": (6, Shape(3, 20, 16, 16))}


def write_features(path: Path, videos: int, shape: Shape) -> None:
    """Features like those after a ReLU, video after video, float32."""
    draw = torch.Generator().manual_seed(0)
    with open(path, "wb") as file:
        for _ in range(videos):
            file.write(torch.randn(shape.snippets, shape.features, generator=draw).abs_().mul_(0.5).numpy().tobytes())


def batch_of(path: Path, index: list[int], shape: Shape, known: FeatureBatch) -> FeatureBatch:
    """The videos `index` of the file, with their rows of the labels and clicks in `known`."""
    size = shape.snippets * shape.features
    rows = [np.fromfile(path, np.float32, size, offset=4 * size * video) for video in index]
    features = torch.from_numpy(np.stack(rows)).view(len(index), shape.snippets, shape.features)
    return FeatureBatch(features, known.lengths[index], known.labels[index], known.clicks[index])


def worker(method: str, side: str, size: str, path: Path, threads: int, state: StepState, done: int) -> None:
    """Does one step for every number read from stdin and answers {"seconds", "loss", "bytes"} as a line; the first
    number is `done`."""
    torch.set_num_threads(threads)
    videos, shape = SHAPES[size]
    known = random_batch(Shape(videos, shape.snippets, 1, 1))
    plan = BatchPlan(videos, shape.videos, seed=0)
    before = resident_bytes("VmRSS")
    precision = "bf16" if side.endswith("bf16") else "fp32"
    step = our_step(method, batch_of(path, [0], shape, known), shape, dropout=False, precision=precision)
    if side == "released":
        step = released_step(method, step)
    floor = step_floor(step.model, shape, DTYPES[precision], "cpu") if side.startswith("floor") else None
    if floor is None:
        state.load(step, done)
    reset_peak()
    for line in sys.stdin:
        if floor is not None:
            times = {call: sample(Contender("", call), 1, "cpu") for call in floor.calls}
            fastest = min(times, key=times.get)
            floor = replace(floor, calls=[fastest])
            answer = {"seconds": floor.share * times[fastest]}
        else:
            step.batch = batch_of(path, plan.indices(int(line)).tolist(), shape, known)
            started = time.perf_counter()
            loss = float(step())
            seconds = time.perf_counter() - started
            state.save(step, int(line) + 1)
            answer = {"seconds": seconds, "loss": loss, "bytes": resident_bytes("VmHWM") - before}
        print(json.dumps(answer), flush=True)


class Answers:
    """The answers of every side of one method to the steps done so far, kept in `folder`."""

    def __init__(self, folder: Path, method: str, size: str, threads: int):
        self.file, environment = folder / f"{method}.json", describe()
        self.key = {"size": size, "threads": threads, "commit": environment["commit"], "device": environment["device"]}
        self.of_sides: dict[str, list[dict]] = {side: [] for side in SIDES}
        if self.file.is_file() and (kept := read_json(self.file))["key"] == self.key:
            self.of_sides = kept["answers"]

    @property
    def done(self) -> int:
        return len(self.of_sides[SIDES[0]])

    def add(self, step: dict[str, dict]) -> None:
        for side, answer in step.items():
            self.of_sides[side].append(answer)
        save_json(self.file, {"key": self.key, "answers": self.of_sides})


def run(method: str, size: str, steps: int, others: int, threads: int, path: Path, folder: Path
        ) -> dict[str, list[dict]]:
    """The answers of every side to `steps` steps, one step of each side in turn, those not COMPARED for the first
    `others` steps; `folder` keeps those done."""
    folder.mkdir(parents=True, exist_ok=True)
    answers = Answers(folder, method, size, threads)
    if answers.done < steps:
        sides = SIDES if answers.done < others else COMPARED
        processes = {side: _start(method, side, size, path, threads, folder, answers.done) for side in sides}
        try:
            for number in range(answers.done, steps):
                if number == others:
                    _end([processes.pop(side) for side in sides if side not in COMPARED])
                answers.add(_one_step(method, number, processes))
        finally:
            _end(processes.values())
    return {side: found[:steps] for side, found in answers.of_sides.items()}


def _end(processes: Iterable[subprocess.Popen]) -> None:
    for process in processes:
        process.stdin.close()
        process.wait()


def _start(method: str, side: str, size: str, path: Path, threads: int, folder: Path, done: int) -> subprocess.Popen:
    request = json.dumps([method, side, size, str(path), threads, str(folder), done])
    return subprocess.Popen([sys.executable, "-m", "bench.full_width", "--worker", request], cwd=ROOT,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _one_step(method: str, number: int, processes: dict[str, subprocess.Popen]) -> dict[str, dict]:
    """Every side's answer to step `number`; ends the program where ours and the released loss differ."""
    answers = {}
    for side, process in processes.items():
        process.stdin.write(f"{number}\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            sys.exit(f"{NAMES[method]}: the process of {side} ended at step {number + 1}")
        answers[side] = json.loads(line)
    losses = {side: f" (loss {answer['loss']:.6f})" for side, answer in answers.items() if "loss" in answer}
    print(f"{NAMES[method]} step {number + 1}: " + ", ".join(
        f"{side} {answer['seconds']:.2f} s{losses.get(side, '')}" for side, answer in answers.items()), flush=True)
    expected = answers["released"]["loss"]
    if abs(answers["ours"]["loss"] - expected) > SAME_LOSS * max(1.0, abs(expected)):
        sys.exit(f"{NAMES[method]}: the losses of step {number + 1} differ, so no time is given")
    return answers


def summary(method: str, size: str, answers: dict[str, list[dict]], threads: int) -> dict:
    """Medians of the steps of every side and what follows from them."""
    medians = {side: statistics.median(answer["seconds"] for answer in found) for side, found in answers.items()}
    losses = {side: [answer["loss"] for answer in answers[side]] for side in ("ours", "ours, bf16", "released")}
    row = {"method": method, "shape": str(SHAPES[size][1]), "videos": SHAPES[size][0], "steps": len(losses["ours"]),
           "seconds": medians, "losses": losses, "bytes": {side: answers[side][-1]["bytes"] for side in losses},
           "samples": {side: [answer["seconds"] for answer in found] for side, found in answers.items()},
           "largest_loss_difference": max(abs(ours - theirs) for ours, theirs in zip(
               losses["ours"], losses["released"], strict=True))}
    row["valid"] = None
    if size == "full":
        row |= verdict(f"{NAMES[method]} training step", medians["released"], threads)
    row["bytes_ratio"] = row["bytes"]["released"] / row["bytes"]["ours"]
    comparisons = (("ours", "released", FP32_TARGETS[method], True), ("ours", "floor", 0.8, True),
                   ("ours, bf16", "released", BF16_TARGETS[method], has_amx()),
                   ("ours, bf16", "floor, bf16", 0.65, has_amx()))
    row["rows"] = [
        {"what": what, "against": against, "target": target, "judged": judged,
         "ratio": None if against == "released" and row["valid"] is False else medians[against] / medians[what]}
        for what, against, target, judged in comparisons]
    return row


def show(row: dict) -> None:
    for part in row["rows"]:
        ratio = "no ratio, too slow a baseline" if part["ratio"] is None else f"{part['ratio']:.2f}"
        target = f"target {part['target']}" + ("" if part["judged"] else ", not judged here")
        print(f"{NAMES[row['method']]}: {part['what']} {row['seconds'][part['what']]:.2f} s, {part['against']} "
              f"{row['seconds'][part['against']]:.2f} s, ratio {ratio} ({target})", flush=True)
    sizes = ", ".join(f"{side} {size / 1e9:.2f} GB" for side, size in row["bytes"].items())
    print(f"{NAMES[row['method']]}: memory {sizes}; largest difference of losses {row['largest_loss_difference']:.1g}",
          flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", metavar="method", help=f"of {', '.join(METHODS)}; all")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--others", type=int, default=10, help="first steps in which bf16 and the floors run too")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quick", action="store_true", help="narrow networks; nothing is saved")
    parser.add_argument("--state", type=Path, default=STATE, help="where finished steps are kept")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        method, side, size, path, threads, folder, done = json.loads(options.worker)
        state = StepState(Path(folder), f"{method}-{side}".replace(", ", "-"))
        worker(method, side, size, Path(path), threads, state, done)
        return
    if unknown := set(options.methods) - set(METHODS):
        parser.error(f"no method {', '.join(sorted(unknown))}; known: {', '.join(METHODS)}")
    size, rows = "quick" if options.quick else "full", {}
    if not options.quick and options.output.is_file():
        rows = {row["method"]: row for row in json.loads(options.output.read_text())["rows"]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.bin"
        write_features(path, *SHAPES[size])
        for method in options.methods or METHODS:
            found = run(method, size, options.steps, options.others, options.threads, path, options.state)
            rows[method] = summary(method, size, found, options.threads) | {"environment": describe()}
            show(rows[method])
            if not options.quick:
                save_json(options.output, {"rows": list(rows.values())}, indent=1)


if __name__ == "__main__":
    main()
