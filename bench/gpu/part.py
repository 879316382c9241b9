"""What the parts of scripts/gpu_check share: their command line and timing with device events."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from wtal_fast.files import save_json

FLUSH_BYTES = 256 * 2**20  # more than the second-level cache of any current device


def main(measure: Callable[[str, str], Iterator[dict]], description: str) -> None:
    """Runs measure(device, size), which gives what it has found so far after each row, and writes that to --output as
    JSON each time: a part that is stopped leaves the rows it has. Exit code 1 where a row has an error."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="cpu only proves that it runs")
    parser.add_argument("--size", default="full", choices=("full", "quick", "tiny"))
    options = parser.parse_args()
    found = {}
    for found in measure(options.device, options.size):
        save_json(options.output, found, indent=1)
    if failed := [row for row in found.get("rows", ()) if any(key.startswith("error") for key in row)]:
        sys.exit(f"{len(failed)} rows have an error, such as {failed[0]}")


def median_seconds(call: Callable[[], object], device: str, rounds: int = 20, cold: bool = False) -> float:
    """Median of `rounds` single calls after three, by events on the device's stream. cold: its cache is overwritten
    before each."""
    flush = torch.empty(FLUSH_BYTES // 4, device=device) if cold and device == "cuda" else None
    seconds = []
    for number in range(-3, rounds):
        if flush is not None:
            flush.fill_(number)
        taken = _events(call) if device == "cuda" else _clock(call)
        if number >= 0:
            seconds.append(taken)
    return statistics.median(seconds)


def _events(call: Callable[[], object]) -> float:
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    torch.cuda._sleep(20_000)  # the launches queue up behind it: what is timed is the device, not the host
    start.record()
    call()
    stop.record()
    stop.synchronize()
    return start.elapsed_time(stop) / 1e3


def _clock(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
