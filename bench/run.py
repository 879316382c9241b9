"""Times ours against the baselines of bench/cases.py and writes bench/results/speed_<name>.json.

    python -m bench.run topk_mean [--rounds 30] [--threads 2] [--output FILE]

Every contender is called once a round, in turn, so that whatever else the machine does falls on all of them; a row
gives medians and the band from 20 to 80 per cent. Nothing is timed before the outputs of all were found equal.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from bench.cases import CASES, Case
from bench.environment import describe
from wtal_fast.files import save_json
from wtal_fast.ops import _library

RESULTS = Path(__file__).parent / "results"
SHORTEST_SAMPLE = 5e-3  # seconds: shorter calls are timed several in a row, with their data in the cache


def tensors_of(result) -> list[torch.Tensor]:
    return [result] if isinstance(result, torch.Tensor) else list(result)


def largest_difference(case: Case) -> float:
    """Of any baseline's output from ours. Outputs that differ by more than the tolerance end the program."""
    ours, worst = tensors_of(case.ours()), 0.0
    for name, spellings in case.baselines.items():
        for spelling in spellings:
            theirs = tensors_of(spelling())
            for mine, other in zip(ours, theirs, strict=True):
                try:
                    torch.testing.assert_close(mine, other, **case.tolerance)
                except AssertionError as error:
                    sys.exit(f"{case.name}: the output differs from that of {name}, so no time is given\n{error}")
                worst = max(worst, float((mine - other).abs().max()))
    return worst


def repetitions(call: Callable[[], object]) -> int:
    """How many calls make one sample long enough to time."""
    for _ in range(2):
        call()
    start = time.perf_counter()
    call()
    return max(1, round(SHORTEST_SAMPLE / (time.perf_counter() - start)))


def interleaved(calls: list[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Seconds a call of each, sorted: `rounds` samples of each in turn, after three that are not counted."""
    counts = [repetitions(call) for call in calls]
    samples = [[] for _ in calls]
    for number in range(-3, rounds):
        for call, count, seconds in zip(calls, counts, samples, strict=True):
            start = time.perf_counter()
            for _ in range(count):
                call()
            if number >= 0:
                seconds.append((time.perf_counter() - start) / count)
    return [sorted(seconds) for seconds in samples]


def summary(seconds: list[float]) -> dict[str, float]:
    """Median and band of sorted samples."""
    last = len(seconds) - 1
    return {"": seconds[round(last / 2)], "_20": seconds[round(last * 0.2)], "_80": seconds[round(last * 0.8)]}


def rows_of(case: Case, rounds: int) -> list[dict]:
    """One row a baseline; of several spellings the one with the smallest median."""
    difference = largest_difference(case)
    names = [name for name, spellings in case.baselines.items() for _ in spellings]
    calls = [case.ours, *(spelling for spellings in case.baselines.values() for spelling in spellings)]
    ours, *theirs = map(summary, interleaved(calls, rounds))
    rows = []
    for baseline in case.baselines:
        best = min((times for name, times in zip(names, theirs, strict=True) if name == baseline),
                   key=lambda times: times[""])
        row = {"case": case.name, "baseline": baseline, "ratio": best[""] / ours[""],
               "target": case.targets.get(baseline), "largest_difference": difference, "rounds": rounds}
        row |= {f"seconds{part}": value for part, value in ours.items()}
        row |= {f"baseline_seconds{part}": value for part, value in best.items()}
        rows.append(row)
    return rows


def show(row: dict) -> None:
    target = f" (target {row['target']:g})" if row["target"] else ""
    print(f"{row['case']}\n    ours {1e3 * row['seconds']:.3f} ms [{1e3 * row['seconds_20']:.3f}, "
          f"{1e3 * row['seconds_80']:.3f}]   {row['baseline']} {1e3 * row['baseline_seconds']:.3f} ms "
          f"[{1e3 * row['baseline_seconds_20']:.3f}, {1e3 * row['baseline_seconds_80']:.3f}]   "
          f"ratio {row['ratio']:.1f}{target}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(CASES), metavar="name", help=f"of {', '.join(CASES)}; all")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--output", type=Path, help="instead of bench/results/speed_<name>.json; for one name")
    options = parser.parse_args()
    if unknown := set(options.names) - CASES.keys():
        parser.error(f"no case {', '.join(sorted(unknown))}; known: {', '.join(CASES)}")
    if options.output and len(options.names) != 1:
        parser.error("--output needs one name")
    torch.set_num_threads(options.threads)
    for name in options.names:
        report = _library.build_report()
        environment = describe() | {"instruction set": report["instruction set"], "kernels": report["ops"].get(name)}
        rows = []
        for case in CASES[name]():
            rows += rows_of(case, options.rounds)
            for row in rows[-len(case.baselines):]:
                show(row)
        path = options.output or RESULTS / f"speed_{name}.json"
        save_json(path, {"environment": environment, "rows": rows}, indent=1)


if __name__ == "__main__":
    main()
