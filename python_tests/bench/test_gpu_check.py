"""scripts/gpu_check without a GPU: what it runs works on small shapes, and one part that fails leaves the others."""

from __future__ import annotations

import importlib.util
import pkgutil
import subprocess
import sys

import pytest
import torch

from bench.gpu import cases, full_run, ops, part, steps
from python_tests.conftest import ROOT
from wtal_fast.files import read_json


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("gpu_check", ROOT / "scripts" / "gpu_check.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_without_a_gpu_it_says_so(script):
    if torch.cuda.is_available():
        assert script.without_gpu() is None
        return
    result = subprocess.run([sys.executable, "scripts/gpu_check.py"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2 and "gpu_check: no GPU: " in result.stderr and not result.stdout


def test_it_ends_in_time(script):
    planned = script.parts("python")
    assert sum(one.limit for one in planned) < 600
    assert len({one.name for one in planned}) == len(planned)


def test_every_outcome_has_its_word(script, tmp_path):
    python = sys.executable

    def outcome(*command, limit=30):
        return script.run(script.Part("a part", command, limit), tmp_path)

    written = outcome(python, "-c", "import sys; open(sys.argv[1], 'w').write('{\"a\": 1}')", "{report}")
    assert written["outcome"] == "passed" and written["result"] == {"a": 1} and "output" not in written
    failed = outcome(python, "-c", "print('why'); raise SystemExit(3)")
    assert failed["outcome"] == "failed" and failed["exit_code"] == 3 and "why" in failed["output"]
    late = outcome(python, "-c", "import time; print('begun', flush=True); time.sleep(60)", limit=1)
    assert late["outcome"] == "timed out" and late["seconds"] < 20
    assert outcome("no-such-program")["outcome"] == "not installed"
    (tmp_path / "a.xml").write_text('<testsuites><testsuite><testcase classname="a" name="b"/><testcase classname="a" '
                                    'name="c"><failure/></testcase></testsuite></testsuites>')
    assert script._read(tmp_path / "a.xml") == {"tests": 2, "passed": 1, "skipped": 0, "failed": ["a::c"]}


def test_training_steps_and_the_whole_run_on_small_shapes():
    *_, found = steps.measure("cpu", "tiny")
    assert len(found["rows"]) == 3
    for row in found["rows"]:
        assert row["seconds_a_step"] > row["floor_seconds"] > 0
    for method in ("uncertainty", "backtal"):
        row = {}
        assert len(list(full_run._measured(row, method, "cpu", "tiny"))) == 3
        assert row["steps"] == 4 and row["evaluations"] == 2 and "extrapolated" in row["released_is"]
        released = 4 * row["released_step_seconds"] + 2 * row["released_evaluation_seconds"]
        assert row["ratio_extrapolated"] == pytest.approx(released / row["seconds"])


def test_calls_of_ops_on_small_shapes():
    names = [name for name, _ in cases.calls("cpu", "tiny")]
    assert {"topk_mean", "affinity_conv1d", "temporal_nms", "propose", "propose_resampled",
            "average_precision"} <= set(names)
    for name, of_op in cases.calls("cpu", "tiny"):
        if name in ("temporal_nms", "temporal_iou", "average_precision", "propose", "propose_resampled",
                    "local_affinity"):
            for call in of_op():
                row = ops._row(name, call, "cpu", 1e9)
                assert row["seconds_warm"] > 0 and ("of_floor" in row) == bool(call.num_bytes)


def test_a_row_with_an_error_fails_its_part(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["part", "--output", str(tmp_path / "a.json"), "--device", "cpu"])
    with pytest.raises(SystemExit, match="1 rows have an error"):
        part.main(lambda device, size: iter([{"rows": [{"op": "a"}, {"op": "b", "error": "broken"}]}]), "test")
    assert read_json(tmp_path / "a.json")["rows"][1]["error"] == "broken"


def test_what_was_found_before_the_end_is_kept(tmp_path, monkeypatch):
    def stopped(device, size):
        yield {"rows": [{"op": "a"}]}
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["part", "--output", str(tmp_path / "a.json"), "--device", "cpu"])
    with pytest.raises(KeyboardInterrupt):
        part.main(stopped, "test")
    assert read_json(tmp_path / "a.json") == {"rows": [{"op": "a"}]}


def test_every_gpu_test_is_selected(script):
    """Those on Triton's kernels by one part, the others by another; both look everywhere; each Triton op has some."""
    planned = {one.name: one.command for one in script.parts(sys.executable)}
    assert planned["gpu tests"][-2:] == ("-k", "not triton") and planned["triton kernels"][-2:] == ("-k", "triton")
    marked = [path.relative_to(ROOT).as_posix() for path in (ROOT / "python_tests").rglob("test_*.py")
              if "\npytestmark = pytest.mark.gpu" in path.read_text(encoding="utf-8")]
    assert len(marked) >= 3
    for path in marked:
        assert any(path.startswith(folder) for folder in planned["gpu tests"] if folder in script.GPU_TESTS), path
    assert set(script.GPU_TESTS) <= set(planned["triton kernels"])
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "--collect-only", "-n0", "-m", "gpu", "-k", "triton",
                           "python_tests/ops/test_training_ops_on_gpu.py"], cwd=ROOT, capture_output=True, text=True)
    for module in pkgutil.iter_modules([str(ROOT / "wtal_fast/ops/triton")]):
        assert f"triton-{module.name}" in done.stdout, module.name
