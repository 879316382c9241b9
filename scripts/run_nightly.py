"""Runs the slow tests, repeats the property tests with fresh random examples and fuzzes; writes what happened as JSON.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree

from wtal_fast.files import save_json

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "bench" / "results" / "nightly.json"


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def counts(report: Path) -> dict[str, int]:
    """Tests of a JUnit file by outcome."""
    suites = ElementTree.parse(report).getroot().iter("testsuite")
    totals = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for suite in suites:
        totals = {key: total + int(suite.get(key, 0)) for key, total in totals.items()}
    passed = totals["tests"] - totals["failures"] - totals["errors"] - totals["skipped"]
    return {"passed": passed, "failed": totals["failures"] + totals["errors"], "skipped": totals["skipped"]}


def seconds_of_files(report: Path) -> dict[str, float]:
    """What the tests of each file of a JUnit file took, the longest first."""
    seconds = Counter()
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        module = ".".join(part for part in case.get("classname", "").split(".") if not part.startswith("Test"))
        seconds[module] += float(case.get("time", 0))
    return {module: round(taken, 1) for module, taken in seconds.most_common()}


def step(name: str, words: list[str], **environment: str) -> dict:
    """One pytest run; a run that selects no test is a failure too."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *words]
        start = time.perf_counter()
        code = subprocess.run(command, cwd=ROOT, env=os.environ | environment).returncode
        seconds = round(time.perf_counter() - start, 1)
        result = {"name": name, "arguments": words, "seconds": seconds, "exit_code": code}
        return result | (counts(report) | {"files": seconds_of_files(report)} if report.exists() else {})


def campaign(runs: int, report: Path) -> dict:
    """One fuzz campaign of csrc/core."""
    start = time.perf_counter()
    command = [sys.executable, "scripts/run_fuzz.py", "--runs", str(runs), "--output", str(report)]
    code = subprocess.run(command, cwd=ROOT).returncode
    return {"name": f"fuzzing, {runs:,} runs", "seconds": round(time.perf_counter() - start, 1), "exit_code": code}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/nightly", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="repetitions of the property tests")
    parser.add_argument("--fuzz-runs", type=int, default=20_000_000)
    parser.add_argument("--output", type=Path, default=RESULT, help="JSON file to write")
    options = parser.parse_args()
    report = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": git("rev-parse", "HEAD"),
        "changed_files": len(git("status", "--porcelain").splitlines()),
        "machine": {"system": platform.system(), "cpu": platform.machine(), "cores": os.cpu_count()},
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
        "numpy": metadata.version("numpy"),
        "steps": [step("slow tests", ["-m", "slow"])],
    }
    for seed in range(options.rounds):
        words = ["-m", "hypothesis and not slow", "-n", "2", f"--hypothesis-seed={seed}"]
        report["steps"].append(step(f"property tests, seed {seed}", words, WTAL_HYPOTHESIS="random"))
    report["steps"].append(campaign(options.fuzz_runs, RESULT.with_name("fuzz.json")))
    report["passed"] = all(entry["exit_code"] == 0 for entry in report["steps"])

    save_json(options.output, report, indent=1)
    print(f"{options.output}: {'passed' if report['passed'] else 'FAILED'}")
    return 0 if report["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
