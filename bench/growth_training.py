"""Time and memory of a training step against snippets, videos, classes, taps and the size of the set.

    python -m bench.growth_training [basnet uncertainty backtal] [--of snippets ...] [--rounds 3] [--quick]

Narrow networks, so that nothing but the swept number decides; every point is the median of `rounds` steps, its memory
the most a step held besides what was there before. `exponent` is the slope between the last point and the one nearest
to a quarter of it on logarithmic axes: 1 is a straight line, 0 a constant.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from dataclasses import replace
from pathlib import Path

import torch

from bench.environment import describe, reset_peak, resident_bytes, return_free_memory
from bench.training import METHODS, NAMES, Shape, our_step, random_batch
from wtal_fast.data.dataset import from_arrays
from wtal_fast.engine.sampler import BatchPlan
from wtal_fast.files import read_json, save_json

OUTPUT = Path(__file__).parent / "results" / "growth_training.json"
BASE = Shape(videos=8, snippets=200, features=128, hidden=128)
SWEEPS: dict[str, tuple[int, ...]] = {
    "snippets": (100, 1000, 3000, 10_000, 30_000, 100_000),
    "videos": (2, 4, 8, 16, 32, 64),
    "classes": (20, 50, 100, 200, 500, 1000),
    "kernel_size": (3, 5, 7, 9),
    "set": (50, 100, 200, 400, 800),
}
QUICK = {"snippets": (50, 100), "videos": (2, 4), "classes": (5, 10), "kernel_size": (3, 5), "set": (10, 20)}
LARGEST = {("backtal", "snippets"): 10_000}  # its affinity loss compares every pair of snippets


def points(method: str, sweep: str, quick: bool) -> tuple[int, ...]:
    """The values swept, () where the method has no such number."""
    if sweep == "kernel_size" and method != "backtal":
        return ()
    values = (QUICK if quick else SWEEPS)[sweep]
    return tuple(value for value in values if value <= LARGEST.get((method, sweep), value))


def measured(method: str, sweep: str, value: int, rounds: int) -> dict:
    """Median seconds and most memory of a step, or of an epoch where the size of the set is swept."""
    shape = BASE if sweep == "set" else replace(BASE, **{sweep: value})
    if sweep == "snippets":
        shape = replace(shape, videos=1)
    call = epoch(method, value) if sweep == "set" else our_step(method, random_batch(shape), shape)
    call()
    seconds, most = [], 0
    for _ in range(rounds):
        return_free_memory()
        before = resident_bytes("VmRSS")
        reset_peak()
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
        most = max(most, resident_bytes("VmHWM") - before)
    return {"value": value, "seconds": statistics.median(seconds), "seconds_lowest": min(seconds),
            "seconds_highest": max(seconds), "bytes": most}


def epoch(method: str, videos: int):
    """A call that trains one epoch of a set of `videos` videos of 150 to 400 snippets, sampled as in training."""
    known = random_batch(replace(BASE, videos=videos, features=1, hidden=1))
    draw = torch.Generator().manual_seed(0)
    lengths = torch.randint(150, 400, (videos,), generator=draw).tolist()
    features = [torch.randn(length, BASE.features, generator=draw) for length in lengths]
    data = from_arrays(features, known.labels.numpy())
    plan = BatchPlan(videos, BASE.videos, seed=0)
    step = our_step(method, random_batch(BASE), BASE)

    def call() -> None:
        for number in range(plan.steps_per_epoch):
            index = plan.indices(number)
            batch = data.batch(index, BASE.snippets, "stratified", generator=draw)
            step.batch = replace(batch, clicks=known.clicks[index])
            step()

    return call


def exponent(rows: list[dict], field: str) -> float:
    """Slope on logarithmic axes between the last point and the one nearest to a quarter of it."""
    last = rows[-1]
    before = min(rows[:-1], key=lambda row: abs(row["value"] - last["value"] / 4))
    return math.log(max(last[field], 1) / max(before[field], 1) if field == "bytes" else last[field] / before[field]
                    ) / math.log(last["value"] / before["value"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", metavar="method", help=f"of {', '.join(METHODS)}; all")
    parser.add_argument("--of", nargs="+", choices=list(SWEEPS), default=list(SWEEPS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quick", action="store_true", help="two small points each; nothing is saved")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    if unknown := set(options.methods) - set(METHODS):
        parser.error(f"no method {', '.join(sorted(unknown))}; known: {', '.join(METHODS)}")
    torch.set_num_threads(options.threads)
    rows = read_json(options.output)["rows"] if options.output.is_file() and not options.quick else []
    for method in options.methods or METHODS:
        for sweep in options.of:
            found = [measured(method, sweep, value, options.rounds) for value in points(method, sweep, options.quick)]
            if not found:
                continue
            row = {"method": method, "sweep": sweep, "points": found, "exponent": exponent(found, "seconds"),
                   "memory_exponent": exponent(found, "bytes"), "environment": describe()}
            rows = [other for other in rows if (other["method"], other["sweep"]) != (method, sweep)] + [row]
            print(f"{NAMES[method]}, {sweep}: "
                  + ", ".join(f"{point['value']:,} {1e3 * point['seconds']:.1f} ms {point['bytes'] / 1e6:.0f} MB"
                              for point in found)
                  + f"; exponent {row['exponent']:.2f}, of memory {row['memory_exponent']:.2f}", flush=True)
            if not options.quick:
                save_json(options.output, {"rows": rows}, indent=1)


if __name__ == "__main__":
    main()
