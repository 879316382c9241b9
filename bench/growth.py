"""How time grows with the size of a set; writes bench/results/growth_<what>.json.

    python -m bench.growth detection_map [--largest 10000000] [--rounds 5]
    python -m bench.growth localize [--largest 100000] [--rounds 5]

detection_map: from 1e5 detections up, videos growing with them. localize: one video of 1e3 snippets up, from model
output to detections. A row's `of_n_log_n` is its time over that of the first row, divided by the growth of n log n. At
the first size the result is compared with the plain NumPy reference or the released code's restatement before anything
is timed.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np

from bench.cases_evaluate import TIOU
from bench.cases_postprocessing import localize_case, simulated_detections, simulated_truth
from bench.environment import describe
from bench.run import compared
from wtal_fast.evaluation import _door, detection_map, reference
from wtal_fast.files import save_json

SIZES = {"detection_map": (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000),
         "localize": (1000, 3000, 10_000, 30_000, 100_000)}
DETECTIONS_A_VIDEO = 80  # as the released BaS-Net leaves on THUMOS'14
RESULTS = Path(__file__).parent / "results"


def detection_map_call(size: int, check: bool) -> tuple[Callable[[], object], dict]:
    """A call that scores `size` detections, and what it scores."""
    draw = np.random.default_rng(0)
    truth = simulated_truth(draw, videos=size // DETECTIONS_A_VIDEO, classes=20)
    found = simulated_detections(draw, truth, size)
    metrics = detection_map(truth, found, TIOU)
    if check:
        with mock.patch.object(_door, "average_precision", reference.average_precision):
            if detection_map(truth, found, TIOU) != metrics:
                sys.exit("detection_map differs from its reference, so no time is given")
    facts = {"videos": len(truth.video_ids), "instances": len(truth)}
    return partial(detection_map, truth, found, TIOU), facts


def localize_call(size: int, check: bool) -> tuple[Callable[[], object], dict]:
    """A call that localizes one video of `size` snippets with the settings of the released BaS-Net."""
    case = localize_case("basnet", videos=1, snippets=size)
    if check:
        compared(case)
    return case.ours, {"found": len(case.ours()[1])}


def measured(call: Callable[[], object], rounds: int) -> dict:
    """Median seconds of `rounds` calls after one that is not counted."""
    call()
    samples = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        samples.append(time.perf_counter() - start)
    return {"rounds": rounds, "seconds": statistics.median(samples), "seconds_lowest": min(samples),
            "seconds_highest": max(samples)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=SIZES)
    parser.add_argument("--largest", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="instead of bench/results/growth_<what>.json")
    options = parser.parse_args()
    unit, prepare = {"detection_map": ("detections", detection_map_call),
                     "localize": ("snippets", localize_call)}[options.what]
    rows = []
    for size in (size for size in SIZES[options.what] if size <= options.largest):
        call, facts = prepare(size, check=not rows)
        row = {unit: size} | facts | measured(call, options.rounds)
        first = rows[0] if rows else row
        growth = size * math.log(size) / (first[unit] * math.log(first[unit]))
        rows.append(row | {"of_n_log_n": row["seconds"] / first["seconds"] / growth})
        print(f"{size:,} {unit} {1e3 * row['seconds']:.1f} ms, {rows[-1]['of_n_log_n']:.2f} of n log n (target 1.5)",
              flush=True)
    environment = describe() | {"kernels": _door.BACKEND}
    save_json(options.output or RESULTS / f"growth_{options.what}.json", {"environment": environment, "rows": rows},
              indent=1)


if __name__ == "__main__":
    main()
