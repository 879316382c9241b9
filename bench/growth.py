"""Times detection_map from 1e5 detections up, videos growing with them; writes bench/results/growth_detection_map.json.

    python -m bench.growth [--largest 3000000] [--rounds 5]

A row's `of_n_log_n` is its time over that of the first row, divided by the growth of n log n. At the first size the
average precision is compared with the plain NumPy reference before anything is timed.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np

from bench.cases_postprocessing import TIOU, simulated_detections, simulated_truth
from bench.environment import describe
from wtal_fast.evaluation import _door, detection_map, reference
from wtal_fast.files import save_json

SIZES = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
DETECTIONS_A_VIDEO = 80  # as the released BaS-Net leaves on THUMOS'14
OUTPUT = Path(__file__).parent / "results" / "growth_detection_map.json"


def measured(size: int, rounds: int, check: bool) -> dict:
    """Median seconds of `rounds` calls at `size` detections."""
    draw = np.random.default_rng(0)
    truth = simulated_truth(draw, videos=size // DETECTIONS_A_VIDEO, classes=20)
    found = simulated_detections(draw, truth, size)
    metrics = detection_map(truth, found, TIOU)
    if check:
        with mock.patch.object(_door, "average_precision", reference.average_precision):
            if detection_map(truth, found, TIOU) != metrics:
                sys.exit("detection_map differs from its reference, so no time is given")
    samples = []
    for _ in range(rounds):
        start = time.perf_counter()
        detection_map(truth, found, TIOU)
        samples.append(time.perf_counter() - start)
    return {"detections": size, "videos": len(truth.video_ids), "instances": len(truth), "rounds": rounds,
            "seconds": statistics.median(samples), "seconds_lowest": min(samples), "seconds_highest": max(samples)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=3_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    rows = []
    for size in (size for size in SIZES if size <= options.largest):
        row = measured(size, options.rounds, check=not rows)
        first = rows[0] if rows else row
        growth = size * math.log(size) / (first["detections"] * math.log(first["detections"]))
        rows.append(row | {"of_n_log_n": row["seconds"] / first["seconds"] / growth})
        print(f"{size:,} detections {1e3 * row['seconds']:.1f} ms, {rows[-1]['of_n_log_n']:.2f} of n log n "
              "(target 1.5)", flush=True)
    save_json(options.output, {"environment": describe() | {"kernels": _door.BACKEND}, "rows": rows}, indent=1)


if __name__ == "__main__":
    main()
