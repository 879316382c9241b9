"""Runs the parts of scripts/gpu_check, each in a process and with a time limit of its own, and writes one JSON."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "bench" / "results" / "gpu_check.json"
NO_GPU = 2  # exit code
SANITIZERS = ("memcheck", "racecheck", "initcheck", "synccheck")
SANITIZER_FOUND = 9  # exit code compute-sanitizer is asked for


@dataclass(frozen=True)
class Part:
    """A command that may fail without hurting the others. report: the JSON or JUnit file it writes to {report}."""

    name: str
    command: tuple[str, ...]
    limit: int  # seconds
    environment: dict[str, str] = field(default_factory=dict)


def parts(python: str) -> list[Part]:
    """All parts in order; their limits add up to less than ten minutes."""
    tests = (python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--benchmark-disable", "--junitxml={report}")
    bench = (python, "-m")
    found = [
        Part("build", (python, "setup.py", "-q", "build_ext", "--inplace"), 150, {"WTAL_CUDA": "1"}),
        Part("gpu tests", (*tests, "-m", "gpu and not slow"), 90, {"WTAL_REQUIRE": "cuda"}),
        Part("triton kernels", (*tests, "python_tests/ops", "-k", "triton or Triton"), 60, {"WTAL_FAST_BACKEND": ""}),
    ]
    for tool in SANITIZERS:
        command = ("compute-sanitizer", "--tool", tool, "--error-exitcode", str(SANITIZER_FOUND), python, "-m",
                   "bench.gpu.once", "--output", "{report}")
        found.append(Part(f"compute-sanitizer {tool}", command, 25, {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}))
    return [*found,
            Part("ops", (*bench, "bench.gpu.ops", "--output", "{report}"), 60),
            Part("training steps", (*bench, "bench.gpu.steps", "--output", "{report}"), 60),
            Part("full run", (*bench, "bench.gpu.full_run", "--output", "{report}"), 75)]


def run(part: Part, folder: Path) -> dict:
    """Outcome "passed", "failed", "timed out" or "not installed", seconds, what the part wrote, and where it did not
    pass the end of its output."""
    if shutil.which(part.command[0]) is None:
        return {"outcome": "not installed", "found": f"no {part.command[0]} on the PATH"}
    report = folder / f"{part.name.replace(' ', '_')}.out"
    words = [word.replace("{report}", str(report)) for word in part.command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **part.environment}
    started = time.perf_counter()
    process = subprocess.Popen(words, cwd=ROOT, env={key: value for key, value in environment.items() if value},
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                               start_new_session=True)
    try:
        output, _ = process.communicate(timeout=part.limit)
        outcome = "passed" if process.returncode == 0 else "failed"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        output, _ = process.communicate()
        outcome = "timed out"
    result = {"outcome": outcome, "seconds": round(time.perf_counter() - started, 1), "limit": part.limit,
              "exit_code": process.returncode}
    if report.is_file():
        result["result"] = _read(report)
    if outcome != "passed":
        result["output"] = output[-4000:]
    return result


def _read(report: Path) -> object:
    """A part's JSON, or the counts and failures of a JUnit file."""
    text = report.read_text(errors="replace")
    if not text.lstrip().startswith("<"):
        try:
            return json.loads(text)
        except ValueError:
            return {"unreadable": text[:200]}
    cases = list(ElementTree.fromstring(text).iter("testcase"))
    bad = [f"{case.get('classname')}::{case.get('name')}" for case in cases
           if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    return {"tests": len(cases), "passed": len(cases) - len(bad) - skipped, "skipped": skipped, "failed": bad}


def without_gpu() -> str | None:
    """Why nothing can run, or None."""
    try:
        import torch
    except ImportError:
        return f"{sys.executable} has no torch"
    if torch.version.cuda is None:
        return f"the torch of {sys.executable} ({torch.__version__}) is built without CUDA"
    if not torch.cuda.is_available():
        return "torch finds no CUDA device"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/gpu_check", description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULT, help="JSON file to write")
    parser.add_argument("--only", nargs="+", metavar="PART", help="names of parts, as the JSON has them")
    options = parser.parse_args()
    reason = without_gpu()
    if reason is not None:
        print(f"gpu_check: no GPU: {reason}. Nothing was run.", file=sys.stderr)
        return NO_GPU
    sys.path.insert(0, str(ROOT))
    from bench.environment import describe
    from wtal_fast.files import save_json

    chosen = [part for part in parts(sys.executable) if options.only is None or part.name in options.only]
    if options.only and len(chosen) != len(set(options.only)):
        parser.error("known parts: " + ", ".join(part.name for part in parts(sys.executable)))
    report = {"environment": describe(), "parts": {}}
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for part in chosen:
            found = report["parts"][part.name] = run(part, Path(folder))
            report["seconds"] = round(time.perf_counter() - started, 1)
            report["passed"] = all(one["outcome"] in ("passed", "not installed") for one in report["parts"].values())
            save_json(options.output, report, indent=1)
            print(f"{part.name}: {found['outcome']}, {found.get('seconds', 0)} s", flush=True)
    print(f"{options.output}: {'passed' if report['passed'] else 'FAILED'} in {report['seconds']} s")
    return 0 if report["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
