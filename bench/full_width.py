"""Training steps at the released widths on 200 videos: ours and the released code in turn, one process each.

    python -m bench.full_width [basnet uncertainty backtal] [--steps 10] [--threads 2] [--quick] [--output FILE]

2048 channels, 750 snippets, batches of 16, fp32, no dropout, the same weights and batches. Every step's losses have to
agree to 1e-4 (relative, above 1), or nothing is written. Memory is the most a process held from before its model to the
end: weights, gradients, Adam's moments, a batch and everything a step needs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from bench.environment import describe, resident_bytes
from bench.reference_times import verdict
from bench.training import METHODS, NAMES, Shape, our_step, random_batch, released_step
from wtal_fast.engine.sampler import BatchPlan
from wtal_fast.files import save_json
from wtal_fast.structures import FeatureBatch

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "bench" / "results" / "full_width.json"
SAME_LOSS = 1e-4
TARGETS = {"basnet": 1.6, "uncertainty": 1.1, "backtal": 3.0}
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


def worker(method: str, side: str, size: str, path: Path, threads: int) -> None:
    """Trains a step for every number read from stdin and answers {"seconds", "loss", "bytes"} as a line."""
    torch.set_num_threads(threads)
    videos, shape = SHAPES[size]
    known = random_batch(Shape(videos, shape.snippets, 1, 1))
    plan = BatchPlan(videos, shape.videos, seed=0)
    before = resident_bytes("VmRSS")
    step = our_step(method, batch_of(path, [0], shape, known), shape, dropout=False)
    if side == "released":
        step = released_step(method, step)
    for line in sys.stdin:
        step.batch = batch_of(path, plan.indices(int(line)).tolist(), shape, known)
        started = time.perf_counter()
        loss = float(step())
        seconds = time.perf_counter() - started
        print(json.dumps({"seconds": seconds, "loss": loss, "bytes": resident_bytes("VmHWM") - before}), flush=True)


def run(method: str, size: str, steps: int, threads: int, path: Path) -> dict:
    """Both sides through `steps` steps, one step each in turn."""
    sides = {side: subprocess.Popen(
        [sys.executable, "-m", "bench.full_width", "--worker", json.dumps([method, side, size, str(path), threads])],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for side in ("ours", "released")}
    answers = {side: [] for side in sides}
    for number in range(steps):
        for side, process in sides.items():
            process.stdin.write(f"{number}\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                sys.exit(f"{NAMES[method]}: the process of {side} ended at step {number + 1}")
            answers[side].append(json.loads(line))
        ours, theirs = (answers[side][-1] for side in ("ours", "released"))
        print(f"{NAMES[method]} step {number + 1}: loss {ours['loss']:.6f}, released {theirs['loss']:.6f}; "
              f"{ours['seconds']:.2f} s, released {theirs['seconds']:.2f} s", flush=True)
        if abs(ours["loss"] - theirs["loss"]) > SAME_LOSS * max(1.0, abs(theirs["loss"])):
            sys.exit(f"{NAMES[method]}: the losses of step {number + 1} differ, so no time is given")
    for process in sides.values():
        process.stdin.close()
        process.wait()
    return {side: {"seconds": [answer["seconds"] for answer in found], "losses": [answer["loss"] for answer in found],
                   "bytes": found[-1]["bytes"]} for side, found in answers.items()}


def summary(method: str, size: str, found: dict, threads: int) -> dict:
    """Medians, ratios and what the released code takes; the first step, which allocates, counts as the others do."""
    medians = {side: statistics.median(part["seconds"]) for side, part in found.items()}
    row = {"method": method, "shape": str(SHAPES[size][1]), "videos": SHAPES[size][0],
           "steps": len(found["ours"]["losses"]), "seconds": medians["ours"],
           "baseline_seconds": medians["released"],
           "ratio": medians["released"] / medians["ours"], "target": TARGETS[method],
           "memory_ratio": found["released"]["bytes"] / found["ours"]["bytes"],
           "largest_loss_difference": max(abs(ours - theirs) for ours, theirs in zip(
               found["ours"]["losses"], found["released"]["losses"], strict=True)), **found}
    if size == "full":
        row |= verdict(f"{NAMES[method]} training step", medians["released"], threads)
        row["ratio"] = row["ratio"] if row["valid"] is not False else None
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", metavar="method", help=f"of {', '.join(METHODS)}; all")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quick", action="store_true", help="narrow networks; nothing is saved")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        method, side, size, path, threads = json.loads(options.worker)
        worker(method, side, size, Path(path), threads)
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
            found = run(method, size, options.steps, options.threads, path)
            rows[method] = row = summary(method, size, found, options.threads) | {"environment": describe()}
            ratio = "no ratio, too slow a baseline" if row["ratio"] is None else f"ratio {row['ratio']:.2f}"
            print(f"{NAMES[method]}: {row['seconds']:.2f} s a step, released {row['baseline_seconds']:.2f} s, "
                  f"{ratio} (target {row['target']}); memory {found['ours']['bytes'] / 1e9:.2f} GB, released "
                  f"{found['released']['bytes'] / 1e9:.2f} GB", flush=True)
            if not options.quick:
                save_json(options.output, {"rows": list(rows.values())}, indent=1)


if __name__ == "__main__":
    main()
