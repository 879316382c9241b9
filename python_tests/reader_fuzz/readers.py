"""Fuzzes the readers: mutated files must be read or refused with InputError, within a second and 512 MB.

    python -m python_tests.reader_fuzz.readers [TARGET ...] [--runs 20000] [--seed 0] [--output FILE]

Every target runs in a process of its own whose address space is limited. An input whose refusal reads like none before
joins the inputs that are mutated, so that the search moves inward. A finding is written beside the output and ends the
program with code 1.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEMORY = 512 * 2**20
SECONDS = 1.0
NAMES = ("npy", "npz", "pickle", "checkpoint", "json", "csv", "click", "config")
MAX_CORPUS = 600


def fuzz(name: str, runs: int, seed: int, folder: Path, minutes: float = 1e9) -> dict:
    """Counts of `runs` mutated inputs of one target, or of as many as `minutes` allow: accepted, refused, kinds of
    refusal, findings."""
    from python_tests.reader_fuzz.mutate import mutated
    from python_tests.reader_fuzz.targets import targets
    from wtal_fast.errors import InputError

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    target, draw = targets()[name], random.Random(f"{name} {seed}")
    corpus, kinds = list(target.seeds), set()
    memory = tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)  # disks are slower
    path = Path(memory.name) / f"{name}.file"
    result = {"target": name, "runs": 0, "accepted": 0, "refused": 0, "kinds": 0, "slowest_s": 0.0, "findings": []}
    start = time.monotonic()
    while result["runs"] < runs and time.monotonic() - start < 60 * minutes:
        content = mutated(draw.choice(corpus if draw.random() < 0.5 else target.seeds), corpus, target.words, draw)
        packed = draw.choice(target.packs)(content)
        path.write_bytes(packed)
        before = time.process_time()
        try:
            target.read(path)
            kind, finding = "accepted", None
        except InputError as error:
            kind = re.sub(r"\d+|'.*?'|\".*?\"", "#", f"{error.where} · {error.expected}")[:100]
            finding = None if str(path) in str(error) else f"no file named: {error}"
        except BaseException as error:
            kind, finding = type(error).__name__, f"{type(error).__name__}: {error}"
        seconds = time.process_time() - before
        if seconds > SECONDS:
            finding = finding or f"{seconds:.1f} s"
        result["runs"] += 1
        result["accepted" if kind == "accepted" else "refused"] += 1
        result["slowest_s"] = max(result["slowest_s"], round(seconds, 3))
        if finding:
            kept = folder / f"finding-{name}-{len(result['findings'])}"
            kept.write_bytes(packed)
            result["findings"].append({"what": finding[:300], "file": str(kept)})
            if len(result["findings"]) == 20:
                break
        if kind not in kinds and len(corpus) < MAX_CORPUS:
            kinds.add(kind)
            corpus.append(content)
    result |= {"kinds": len(kinds), "seconds": round(time.monotonic() - start, 1),
               "peak_mb": peak_megabytes()}
    memory.cleanup()
    return result


def peak_megabytes() -> int:
    """Most memory of this process. Not ru_maxrss, which a process inherits from the one that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024


def run_in_processes(names: list[str], runs: int, seed: int, folder: Path, minutes: float = 1e9) -> list[dict]:
    """fuzz() of each target in a fresh process. A process that dies is a finding."""
    results = []
    for name in names:
        command = [sys.executable, "-m", "python_tests.reader_fuzz.readers", "--one", name, "--runs", str(runs),
                   "--seed", str(seed), "--folder", str(folder), "--minutes", str(minutes)]
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if done.returncode == 0:
            result = json.loads(done.stdout.splitlines()[-1])
        else:
            finding = {"what": f"the process ended with {done.returncode}: {done.stderr[-1500:]}",
                       "file": f"seed {seed}, its last input is gone"}
            result = {"target": name, "runs": 0, "findings": [finding]}
        results.append(result)
        shown = {key: value for key, value in result.items() if key != "findings"}
        print(json.dumps(shown | {"findings": len(result["findings"])}), flush=True)
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(NAMES)}; all without any")
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--minutes", type=float, default=1e9, help="end a target then, however many runs it had")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="JSON file for the counts")
    parser.add_argument("--folder", type=Path, help="where inputs and findings are written")
    parser.add_argument("--one", choices=NAMES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(fuzz(options.one, options.runs, options.seed, options.folder, options.minutes)))
        return 0
    folder = options.folder or Path(tempfile.mkdtemp(prefix="wtal_fast-fuzz-"))
    folder.mkdir(parents=True, exist_ok=True)
    results = run_in_processes(options.targets or list(NAMES), options.runs, options.seed, folder, options.minutes)
    if options.output:
        from wtal_fast.files import save_json

        commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
        about = {"date": datetime.date.today().isoformat(), "commit": commit.stdout.strip() or "unknown",
                 "python": platform.python_version(), "seed": options.seed}
        limits = {"memory_limit_mb": MEMORY // 2**20, "seconds_limit": SECONDS}
        save_json(options.output, about | limits | {"targets": results}, indent=1)
    for result in results:
        for finding in result["findings"]:
            print(f"{result['target']}: {finding['what']} ({finding['file']})", file=sys.stderr)
    return 1 if any(result["findings"] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
