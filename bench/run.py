"""Times ours against the baselines of bench/cases.py and writes bench/results/speed_<name>.json.

    python -m bench.run [name ...] [--list] [--quick] [--rounds 30] [--threads 2] [--device cpu] [--output FILE]

Every contender is called once a round, in turn, so that whatever else the machine does falls on all of them; a row
gives medians and the band from 20 to 80 per cent. Nothing is timed before the tests of the op have passed and the
outputs of all contenders were found equal.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

import torch

from bench.case import Case, Plan, Unavailable
from bench.cases import CASES
from bench.environment import describe
from bench.green import require_green
from bench.reference_times import verdict
from bench.timing import Contender, interleaved, summary
from wtal_fast.files import save_json
from wtal_fast.ops import _library

RESULTS = Path(__file__).parent / "results"


def tensors_of(result) -> list[torch.Tensor]:
    return [result] if isinstance(result, torch.Tensor) else list(result)


def compared(case: Case) -> tuple[list[Contender], dict[str, str], float]:
    """The baselines that run here, why others do not, and the largest difference of any output from ours.

    Outputs that differ by more than the tolerance end the program.
    """
    ours, worst = tensors_of((case.checked or case.ours)()), 0.0
    contenders, skipped = [], {}
    for name, spellings in case.baselines.items():
        check = case.checked_baselines.get(name)
        for spelling in spellings:
            try:
                theirs = tensors_of((check or spelling)())
            except Unavailable as reason:
                skipped[name] = str(reason)
                continue
            for mine, other in zip(ours, theirs, strict=True):
                try:
                    torch.testing.assert_close(mine, other, check_dtype=False, **case.tolerance)
                except AssertionError as error:
                    sys.exit(f"{case.name}: the output differs from that of {name}, so no time is given\n{error}")
                worst = max(worst, float((mine - other).abs().max()) if mine.numel() else 0.0)
            contenders.append(Contender(name, spelling))
    return contenders, skipped, worst


def without_triton(device: str) -> str | None:
    """Why Triton's kernels cannot be timed on `device`; None where they can."""
    if device != "cuda":
        return "Triton's kernels run on CUDA tensors"
    return None if importlib.util.find_spec("triton") else "triton is not installed"


def rows_of(case: Case, rounds: int, plan: Plan, budget: float) -> list[dict]:
    """One row a baseline; of several spellings the one with the smallest median."""
    baselines, skipped, difference = compared(case)
    contenders = [Contender("", case.ours), *baselines]
    for backend in case.backends:
        if backend == "triton" and (reason := without_triton(plan.device)):
            skipped[f"ours, {backend}"] = reason
        else:
            contenders.append(Contender(f"ours, {backend}", case.ours, backend))
    if case.floor is not None:
        contenders += [Contender(case.floor.name, call) for call in case.floor.calls]
    samples = interleaved(contenders, rounds, plan.device, budget)
    ours = summary(samples[0])
    rows = []
    for name in dict.fromkeys(contender.name for contender in contenders[1:]):
        best = min((summary(seconds) for contender, seconds in zip(contenders, samples, strict=True)
                    if contender.name == name), key=lambda times: times[""])
        if case.floor is not None and name == case.floor.name:
            best = {part: value * case.floor.share for part, value in best.items()}
        row = {"case": case.name, "baseline": name, "ratio": best[""] / ours[""], "target": case.targets.get(name),
               "judged": case.judged, "largest_difference": difference, "rounds": len(samples[0])}
        row |= {f"seconds{part}": value for part, value in ours.items()}
        row |= {f"baseline_seconds{part}": value for part, value in best.items()}
        if name in case.released and plan.size == "full" and plan.device == "cpu":
            row |= verdict(case.released[name], best[""], torch.get_num_threads())
            if row["valid"] is False:
                row["ratio"] = None
        rows.append(row)
    return rows + [{"case": case.name, "baseline": name, "skipped": reason} for name, reason in skipped.items()]


def show(row: dict) -> None:
    if "skipped" in row:
        print(f"{row['case']}\n    {row['baseline']}: skipped, {row['skipped']}", flush=True)
        return
    target = f" (target {row['target']:g}{'' if row['judged'] else ', not judged here'})" if row["target"] else ""
    ratio = "no ratio" if row["ratio"] is None else f"ratio {row['ratio']:.2f}"
    words = f"{row['case']}\n    ours {_band(row, 'seconds')}   {row['baseline']} {_band(row, 'baseline_seconds')}   "
    if "of_released" in row:
        target += f"   released code {_time(row['released_seconds'])}, this {row['of_released']:.2f} of it"
    if row.get("valid") is False:
        target += ": INVALID, too slow a baseline"
    print(words + ratio + target, flush=True)


def _band(row: dict, name: str) -> str:
    return f"{_time(row[name])} [{_time(row[name + '_20'])}, {_time(row[name + '_80'])}]"


def _time(seconds: float) -> str:
    return f"{seconds:.3f} s" if seconds >= 1 else f"{1e3 * seconds:.3f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help="cases to run; all without one")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument("--quick", action="store_true", help="smaller shapes and fewer rounds; nothing is saved")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--budget", type=float, default=60.0, help="seconds a case may take, two rounds at least")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--output", type=Path, help="instead of bench/results/speed_<name>.json; for one name")
    options = parser.parse_args()
    names = options.names or list(CASES)
    if unknown := set(names) - CASES.keys():
        parser.error(f"no case {', '.join(sorted(unknown))}; known: {', '.join(CASES)}")
    if options.output and len(names) != 1:
        parser.error("--output needs one name")
    if options.list:
        print("\n".join(CASES))
        return
    torch.set_num_threads(options.threads)
    plan = Plan("quick" if options.quick else "full", options.device)
    for name in names:
        require_green(name)
        environment = describe() | kernels_of(name)
        rows = []
        for case in CASES[name](plan):
            found = rows_of(case, 5 if options.quick else options.rounds, plan, 5 if options.quick else options.budget)
            for row in found:
                show(row)
            rows += found
        suffix = "" if options.device == "cpu" else f"_{options.device}"
        if options.output or not options.quick:
            path = options.output or RESULTS / f"speed_{name}{suffix}.json"
            save_json(path, {"environment": environment, "rows": rows}, indent=1)


def kernels_of(name: str) -> dict:
    """The instruction set of the kernels and which of them run the op."""
    report = _library.build_report()
    return {"instruction set": report["instruction set"], "kernels": report["ops"].get(name, report["ops"])}


if __name__ == "__main__":
    main()
