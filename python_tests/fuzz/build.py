"""Compiles the fuzz driver with its harnesses under AddressSanitizer and UndefinedBehaviorSanitizer, and runs it."""

from __future__ import annotations

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
CSRC = HERE.parents[1] / "csrc"
HARNESSES = ("temporal_iou", "temporal_nms", "temporal_nms_large", "soft_temporal_nms", "propose", "average_precision",
             "ordered_key", "exponential")
SANITIZED = ["-std=c++20", "-O1", "-g1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined",
             "-fno-sanitize-recover=all", "-D_GLIBCXX_ASSERTIONS", "-ffp-contract=off", "-Wno-unknown-pragmas"]
TRACED = "-fsanitize-coverage=trace-pc"


def compiler() -> str | None:
    return shutil.which("g++")


def build(folder: Path, core: Path = CSRC, only: tuple[str, ...] = ()) -> Path:
    """The driver in `folder`, with every harness or those of the files `only`; `core` holds the folder core/."""
    sources = [path for path in sorted(HERE.glob("*.cpp")) if path.stem != "driver" and (not only or path.stem in only)]

    def compiled(source: Path) -> Path:
        target = folder / f"{source.stem}.o"
        flags = ["-std=c++20", "-O2"] if source.stem == "driver" else [*SANITIZED, TRACED]
        command = [compiler(), *flags, f"-I{core}", f"-I{HERE}", "-c", source, "-o", target]
        subprocess.run(command, check=True)
        return target

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compiled, [HERE / "driver.cpp", *sources]))
    driver = folder / "driver"
    subprocess.run([compiler(), *SANITIZED, *objects, "-o", driver], check=True)
    return driver


def run(driver: Path, harness: str, *words: object, crash: Path | None = None) -> subprocess.CompletedProcess:
    """One run of the driver; its last line of output is JSON where nothing was found."""
    command = [driver, harness, *map(str, words), *(["--crash", str(crash)] if crash else [])]
    return subprocess.run(command, capture_output=True, text=True)


def report(done: subprocess.CompletedProcess) -> dict:
    """What a run without a finding printed."""
    return json.loads(done.stdout.splitlines()[-1])
