"""A fuzz campaign of csrc/core under AddressSanitizer and UndefinedBehaviorSanitizer; writes what was run as JSON.

    python scripts/run_fuzz.py [--runs 20000000] [--seed N] [--processes 2] [--output bench/results/fuzz.json]

--runs are shared out among the harnesses of python_tests/fuzz. A finding ends the campaign with exit code 1; the input
lies in build/fuzz/crash_HARNESS and is repeated by: build/fuzz/driver HARNESS --input FILE
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from python_tests.fuzz import build as fuzz  # noqa: E402
from wtal_fast.files import save_json  # noqa: E402

PARTS = 32  # runs of each harness, with seeds of their own
# Of an even share of the runs, by what one costs.
SHARE = {"temporal_nms_large": 0.002, "soft_temporal_nms": 0.04, "average_precision": 0.3, "temporal_iou": 3.0,
         "exponential": 4.0}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20_000_000, help="in total")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", type=Path, default=ROOT / "bench" / "results" / "fuzz.json")
    options = parser.parse_args()
    folder = ROOT / "build" / "fuzz"
    folder.mkdir(parents=True, exist_ok=True)
    driver = fuzz.build(folder)
    shares = {name: SHARE.get(name, 1.0) for name in fuzz.HARNESSES}
    jobs = [(name, max(1, round(options.runs * share / sum(shares.values()) / PARTS)) + 1, options.seed + part)
            for part in range(PARTS) for name, share in shares.items()]

    def one(job) -> dict:
        name, runs, seed = job
        done = fuzz.run(driver, name, "--runs", runs, "--seed", seed, crash=folder / f"crash_{name}")
        if done.returncode:
            print(f"{name}, seed {seed}: FOUND\n{done.stderr[-3000:]}", flush=True)
            return {"harness": name, "seed": seed, "finding": done.stderr[:500]}
        return fuzz.report(done)

    start = time.perf_counter()
    with ThreadPoolExecutor(options.processes) as pool:
        parts = list(pool.map(one, jobs))
    rows = []
    for name in fuzz.HARNESSES:
        own = [part for part in parts if part["harness"] == name]
        rows.append({"harness": name, "runs": sum(part.get("runs", 0) for part in own),
                     "process_seconds": round(sum(part.get("seconds", 0.0) for part in own), 1),
                     "branches": max(part.get("branches", 0) for part in own),
                     "findings": [part["finding"] for part in own if "finding" in part]})
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    version = subprocess.run([fuzz.compiler(), "--version"], capture_output=True, text=True).stdout.splitlines()[0]
    content = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
               "commit": commit.stdout.strip(), "compiler": version, "flags": fuzz.SANITIZED, "seed": options.seed,
               "seconds": round(time.perf_counter() - start, 1), "runs": sum(row["runs"] for row in rows),
               "findings": sum(len(row["findings"]) for row in rows), "harnesses": rows}
    save_json(options.output, content, indent=1)
    print(f"{options.output}: {content['runs']:,} runs, {content['findings']} findings")
    return 1 if content["findings"] else 0


if __name__ == "__main__":
    sys.exit(main())
