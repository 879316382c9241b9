"""No time of an op whose tests fail: they run first, unless they passed on these very files before."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from wtal_fast.files import read_json, save_json

ROOT = Path(__file__).parents[1]
STAMP = ROOT / "build" / "bench_tests.json"

OPS = "python_tests/ops/test_{}.py"
MODELS = ["python_tests/models/test_golden.py", "python_tests/losses/test_golden.py",
          "python_tests/bench/test_released.py"]
MAP = ["python_tests/evaluation/test_detection_map.py", "python_tests/ops/test_average_precision.py"]
TESTS = {
    "step": MODELS,
    "loss": MODELS,
    "sampling": ["python_tests/data/test_sampling.py", "python_tests/bench/test_released.py"],
    "detection_map": MAP,
    "detection_map_large": MAP,
    "evaluate": MAP,
    "files": [f"python_tests/data/formats/test_{name}.py" for name in ("arrays", "tensors", "hdf5")],
    "localize": ["python_tests/localization"],
}


def proof_of(name: str) -> list[str]:
    """The test files that vouch for case `name`: those of its family in TESTS, else those of its op."""
    found = TESTS.get(name) or TESTS.get(name.partition("_")[0]) or [OPS.format(name)]
    missing = [path for path in found if not (ROOT / path).exists()]
    if missing:
        sys.exit(f"{name}: no time is given, its tests are missing: {', '.join(missing)}")
    return found


def fingerprint(tests: list[str]) -> str:
    """A digest of the package, its compiled libraries and these tests."""
    digest = hashlib.sha256()
    package = ROOT / "wtal_fast"
    files = [*package.rglob("*.py"), *package.glob("*.so"), *(ROOT / "bench" / "released").glob("*.py")]
    for test in tests:
        path = ROOT / test
        files += path.rglob("*.py") if path.is_dir() else [path]
    for path in sorted(files):
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def require_green(name: str) -> None:
    """Runs the tests of case `name` where they have not passed on these files; ends the program where they fail."""
    tests = proof_of(name)
    key, wanted = " ".join(tests), fingerprint(tests)
    passed = read_json(STAMP) if STAMP.is_file() else {}
    if passed.get(key) == wanted:
        return
    print(f"tests of {name}: {key}", flush=True)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n0", "--benchmark-disable", *tests]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    if done.returncode:
        sys.exit(f"{done.stdout[-3000:]}\n{name}: no time is given, its tests fail")
    STAMP.parent.mkdir(exist_ok=True)
    save_json(STAMP, {**passed, key: wanted}, indent=1)
