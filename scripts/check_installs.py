"""Installs the package in every way a user may, each time in a fresh environment, and asks the result what was built.

Environments see torch and the other dependencies of the environment this runs in, so nothing large is downloaded.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Failed(Exception):
    """A check that did not hold, in words."""


class Skipped(Exception):
    """What this machine lacks for a check."""


def hold(condition: object, words: str) -> None:
    if not condition:
        raise Failed(words)


class Environment:
    """A fresh virtual environment that sees everything installed here but the package itself."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.python = folder / "venv" / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
        links = folder / "dependencies"
        links.mkdir()
        for entry in Path(sysconfig.get_path("purelib")).iterdir():
            if "wtal_fast" not in entry.name and entry.suffix != ".pth":
                (links / entry.name).symlink_to(entry)
        paths = sysconfig.get_paths("venv", vars={"base": str(folder / "venv"), "platbase": str(folder / "venv")})
        Path(paths["purelib"], "dependencies.pth").write_text(f"{links}\n")

    def run(self, *words: object, fails: bool = False, **environment: str) -> subprocess.CompletedProcess:
        """A command of the environment, run outside the project; its outcome must be as asked."""
        plain = {key: value for key, value in os.environ.items() if not key.startswith(("WTAL_", "PYTHON"))}
        plain["PATH"] = f"{self.python.parent}{os.pathsep}{plain['PATH']}"
        done = subprocess.run([str(word) for word in words], cwd=self.folder, env=plain | environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        if (done.returncode != 0) is not fails:
            outcome = "went well but should fail" if fails else f"failed ({done.returncode})"
            raise Failed(f"{' '.join(map(str, words))} {outcome}:\n{done.stdout[-4000:]}")
        return done

    def pip(self, *words: object, fails: bool = False, **environment: str) -> subprocess.CompletedProcess:
        return self.run(self.python, "-m", "pip", "--no-input", *words, "-v", fails=fails, **environment)

    def report(self) -> dict:
        """`wtal-fast env --json` of the installed package."""
        return json.loads(self.run(self.python.parent / "wtal-fast", "env", "--json").stdout)

    def backends(self) -> set[str]:
        return {backend["cpu"] for backend in self.report()["ops"].values()}

    def evaluate(self) -> None:
        """Two instances, one right and one wrong detection: mAP 0.5. Reader, evaluation and command line work."""
        truth = {"database": {"v": {"subset": "test", "duration": 10, "annotations": [
            {"label": "run", "segment": [0, 4]}, {"label": "run", "segment": [6, 10]}]}}}
        found = {"results": {"v": [{"label": "run", "score": 0.9, "segment": [0, 4]},
                                   {"label": "run", "score": 0.1, "segment": [4, 6]}]}}
        (self.folder / "truth.json").write_text(json.dumps(truth))
        (self.folder / "found.json").write_text(json.dumps(found))
        self.run(self.python.parent / "wtal-fast", "evaluate", "found.json", "truth.json", "--subset", "test",
                 "--tiou", "0.5", "--output", "metrics.json")
        metrics = json.loads((self.folder / "metrics.json").read_text())
        hold(abs(metrics["average_map"] - 0.5) < 1e-9, f"average mAP should be 0.5, is {metrics['average_map']}")


def copy_sources(folder: Path) -> Path:
    """A copy of the files that git knows or would add: builds leave the checkout as it is."""
    listed = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True,
                            check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def cuda_toolkit() -> Path:
    """The folder that setup.py would take nvcc from."""
    folder, why = runpy.run_path(str(ROOT / "setup.py"), run_name="setup")["cuda_folder"]()
    if folder is None:
        raise Skipped(f"nvcc: {why}")
    return folder


def check_isolated(env: Environment, source: Path) -> None:
    """pip install . -- the build sees no torch: NumPy module, reference backend, a word on how to get the kernels."""
    env.pip("install", source)
    report = env.report()
    hold(Path(report["_numpy"]).is_file(), f"the NumPy module should be there: {report['_numpy']}")
    hold("--no-build-isolation" in report["_C_cpu"], f"env should say how to get the kernels: {report['_C_cpu']}")
    hold(env.backends() == {"reference"}, f"all ops should run on the reference, got {env.backends()}")
    env.evaluate()


def check_native(env: Environment, source: Path) -> None:
    """pip install --no-build-isolation . -- the compiled kernels run."""
    env.pip("install", "--no-build-isolation", source, WTAL_NATIVE="1", WTAL_CUDA="0")
    report = env.report()
    for part in ("_numpy", "_C_cpu"):
        hold(Path(report[part]).is_file(), f"{part} should be there: {report[part]}")
        hold(env.folder in Path(report[part]).parents, f"{part} should be the environment's own: {report[part]}")
    hold("native" in env.backends(), f"no op runs natively: {report['ops']}")
    code = "import torch; from wtal_fast import ops; print(ops.topk_mean(torch.tensor([[[1.], [5.], [3.]]]), 2).item())"
    hold(env.run(env.python, "-c", code).stdout.strip() == "4.0", "the mean of the two largest of 1, 5, 3 should be 4")
    env.evaluate()


def check_cuda(env: Environment, source: Path) -> None:
    """WTAL_CUDA=1 beside any torch -- the wheel holds the CUDA library and imports where torch has no CUDA."""
    wishes = {"WTAL_NATIVE": "0", "WTAL_CUDA": "1", "CUDA_HOME": str(cuda_toolkit()), "WTAL_CUDA_ARCHITECTURES": "90"}
    env.pip("wheel", "--no-build-isolation", "--no-deps", "-w", env.folder / "wheels", source, **wishes)
    (wheel,) = (env.folder / "wheels").glob("wtal_fast-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        libraries = [name for name in archive.namelist() if name.startswith("wtal_fast/_C_cuda")]
        hold(libraries, f"no CUDA library in the wheel: {archive.namelist()}")
        hold(b".nv_fatbin" in archive.read(libraries[0]), f"no GPU code in {libraries[0]}")
    env.pip("install", "--no-deps", wheel)
    report = env.report()
    if report["cuda"] == "none":
        hold("has no CUDA" in report["_C_cuda"], f"env should say why the library is not used: {report['_C_cuda']}")
    env.evaluate()


def check_cuda_without_nvcc(env: Environment, source: Path) -> None:
    """WTAL_CUDA=1 where CUDA_HOME holds no compiler -- an error in words, nothing installed."""
    done = env.pip("install", "--no-build-isolation", source, fails=True, WTAL_CUDA="1", CUDA_HOME="/nonexistent")
    hold("WTAL_CUDA=1 asks for the CUDA kernels" in done.stdout, f"unclear error:\n{done.stdout[-2000:]}")
    hold("CUDA_HOME" in done.stdout, "the error should name CUDA_HOME")
    env.run(env.python, "-c", "import wtal_fast", fails=True)


def check_native_without_torch(env: Environment, source: Path) -> None:
    """WTAL_NATIVE=1 in an isolated build -- an error that says what to do, never a package without kernels."""
    done = env.pip("install", source, fails=True, WTAL_NATIVE="1")
    hold("pip install --no-build-isolation" in done.stdout, f"the error should say what to do:\n{done.stdout[-2000:]}")


def check_no_compiler(env: Environment, source: Path) -> None:
    """No working C++ compiler -- installs all the same, on the reference and on plain NumPy."""
    env.pip("install", "--no-build-isolation", source, CC="/bin/false", CXX="/bin/false", WTAL_CUDA="0")
    report = env.report()
    for part in ("_numpy", "_C_cpu"):
        hold(report[part].startswith("not built"), f"{part} should be absent, with the reason: {report[part]}")
    hold(env.backends() == {"reference"}, f"all ops should run on the reference, got {env.backends()}")
    env.evaluate()


def check_wheel_of_sdist(env: Environment, source: Path) -> None:
    """The source archive holds all that a build needs, and its wheel all that the package needs at run time."""
    code = "import setuptools.build_meta as build; print(build.build_sdist('dist'))"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    (archive,) = (source / "dist").glob("wtal_fast-*.tar.gz")
    env.pip("wheel", "--no-build-isolation", "--no-deps", "-w", env.folder / "wheels", archive, WTAL_CUDA="0")
    (wheel,) = (env.folder / "wheels").glob("wtal_fast-*.whl")
    env.pip("install", "--no-deps", wheel)
    installed = Path(env.run(env.python, "-c", "import wtal_fast; print(wtal_fast.__path__[0])").stdout.strip())
    hold(env.folder in installed.parents, f"the installed package should be imported, not {installed}")
    kinds = {".py", ".yaml", ".j2", ".html", ".css", ".js", ".npz", ".npy", ".json", ".csv"}
    package = source / "wtal_fast"
    wanted = [path.relative_to(package) for path in package.rglob("*") if path.suffix in kinds]
    missing = sorted(str(path) for path in wanted if not (installed / path).is_file())
    hold(not missing, f"missing from the wheel: {missing}")
    hold("native" in env.backends(), "the kernels should be in the wheel")
    env.evaluate()


CHECKS: list[Callable[[Environment, Path], None]] = [
    check_isolated, check_native, check_wheel_of_sdist, check_cuda, check_no_compiler, check_native_without_torch,
    check_cuda_without_nvcc,
]


def outcome_of(check: Callable[[Environment, Path], None]) -> tuple[str, str]:
    """Runs one check in a folder of its own: passed, failed or skipped, and a line about it."""
    start, outcome, words = time.perf_counter(), "passed", ""
    with tempfile.TemporaryDirectory(prefix="wtal-install-") as name:
        folder = Path(name).resolve()
        try:
            check(Environment(folder / "user"), copy_sources(folder / "source"))
        except Skipped as reason:
            wanted = str(reason).partition(":")[0] in os.environ.get("WTAL_REQUIRE", "").split(",")
            outcome, words = "failed" if wanted else "skipped", f": {reason}"
        except Failed as reason:
            outcome, words = "failed", f": {reason}"
    return outcome, f"{check.__name__} ({time.perf_counter() - start:.0f} s) {outcome}{words}"


def main() -> int:
    """Runs all checks, or those whose names hold one of the words given, two at a time."""
    chosen = [check for check in CHECKS if not sys.argv[1:] or any(word in check.__name__ for word in sys.argv[1:])]
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    with ThreadPoolExecutor(2) as pool:
        for outcome, line in pool.map(outcome_of, chosen):
            counts[outcome] += 1
            print(line, flush=True)
    print("installs: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    return 1 if counts["failed"] or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
