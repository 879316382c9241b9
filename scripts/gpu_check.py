"""Runs the parts of scripts/gpu_check, each in a process and with a time limit of its own, and writes one JSON."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import runpy
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
GPU_TESTS = ("python_tests/ops", "python_tests/engine/test_cuda_training.py")


@dataclass(frozen=True)
class Part:
    """A command that may fail without hurting the others. report: the JSON or JUnit file it writes to {report}."""

    name: str
    command: tuple[str, ...]
    limit: int  # seconds
    environment: dict[str, str] = field(default_factory=dict)


def parts(python: str, architecture: str = "90") -> list[Part]:
    """All parts in order; their limits add up to less than ten minutes. architecture: of the device, such as "90"."""
    tests = (python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--benchmark-disable", "--junitxml={report}", "-m",
             "gpu and not slow")
    side_by_side = ("-n", "6") if importlib.util.find_spec("xdist") else ()  # compiling Triton kernels takes longest
    required = {"WTAL_REQUIRE": "cuda,triton", "WTAL_FAST_BACKEND": ""}
    found = [
        Part("build", (python, "setup.py", "-q", "build_ext", "--inplace"), 95,
             {"WTAL_CUDA": "1", "WTAL_CUDA_ARCHITECTURES": architecture}),
        Part("gpu tests", (*tests, *GPU_TESTS, "-k", "not triton"), 75, required),
        Part("triton kernels", (*tests, *side_by_side, *GPU_TESTS, "-k", "triton"), 75, required),
        Part("every call once", (python, "-m", "bench.gpu.once", "--output", "{report}"), 25),
    ]
    for tool in SANITIZERS:  # Triton's kernels are compiled by now
        command = ("compute-sanitizer", "--tool", tool, "--error-exitcode", str(SANITIZER_FOUND), python, "-m",
                   "bench.gpu.once", "--output", "{report}")
        found.append(Part(f"compute-sanitizer {tool}", command, 35, {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}))
    return [*found,
            Part("ops", (python, "-m", "bench.gpu.ops", "--output", "{report}"), 55),
            Part("training steps", (python, "-m", "bench.gpu.steps", "--output", "{report}"), 55),
            Part("full run", (python, "-m", "bench.gpu.full_run", "--output", "{report}"), 70)]


def program(name: str) -> str | None:
    """Where a program is: on the PATH, or in the CUDA toolkit that setup.py builds with."""
    folder, _ = runpy.run_path(str(ROOT / "setup.py"), run_name="setup")["cuda_folder"]()
    return shutil.which(name) or (shutil.which(name, path=folder / "bin") if folder else None)


def run(part: Part, folder: Path) -> dict:
    """Outcome "passed", "failed", "timed out" or "not installed", seconds, what the part wrote, and where it did not
    pass the end of its output."""
    if program(part.command[0]) is None:
        return {"outcome": "not installed", "found": f"no {part.command[0]} on the PATH or beside nvcc"}
    report = folder / f"{part.name.replace(' ', '_')}.out"
    words = [program(part.command[0]), *(word.replace("{report}", str(report)) for word in part.command[1:])]
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
    import torch

    from bench.environment import describe
    from wtal_fast.files import save_json

    architecture = "{}{}".format(*torch.cuda.get_device_capability())
    chosen = [part for part in parts(sys.executable, architecture) if options.only is None or part.name in options.only]
    if options.only and len(chosen) != len(set(options.only)):
        parser.error("known parts: " + ", ".join(part.name for part in parts(sys.executable)))
    report = {"environment": describe(), "parts": {}}
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for part in chosen:
            found = report["parts"][part.name] = run(part, Path(folder))
            report["seconds"] = round(time.perf_counter() - started, 1)
            report["passed"] = all(one["outcome"] == "passed" for one in report["parts"].values())
            save_json(options.output, report, indent=1)
            print(f"{part.name}: {found['outcome']}, {found.get('seconds', 0)} s", flush=True)
    print(f"{options.output}: {'passed' if report['passed'] else 'FAILED'} in {report['seconds']} s")
    return 0 if report["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
