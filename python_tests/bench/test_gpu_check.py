"""scripts/gpu_check without a GPU: what it runs works on small shapes, and one part that fails leaves the others."""

from __future__ import annotations

import importlib.util
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
    for row in steps.measure("cpu", "tiny")["rows"]:
        assert row["seconds_a_step"] > row["floor_seconds"] > 0
    for method in ("uncertainty", "backtal"):
        row = full_run._row(method, "cpu", "tiny")
        assert row["steps"] == 4 and row["evaluations"] == 2 and "extrapolated" in row["released_is"]
        released = 4 * row["released_step_seconds"] + 2 * row["released_evaluation_seconds"]
        assert row["ratio_extrapolated"] == pytest.approx(released / row["seconds"])


def test_calls_of_ops_on_small_shapes():
    names = [name for name, _ in cases.calls("cpu", "tiny")]
    assert {"topk_mean", "affinity_conv1d", "temporal_nms", "propose", "average_precision"} <= set(names)
    for name, of_op in cases.calls("cpu", "tiny"):
        if name in ("temporal_nms", "temporal_iou", "average_precision", "propose", "local_affinity"):
            for call in of_op():
                row = ops._row(name, call, "cpu", 1e9)
                assert row["seconds_warm"] > 0 and ("of_floor" in row) == bool(call.num_bytes)


def test_a_row_with_an_error_fails_its_part(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["part", "--output", str(tmp_path / "a.json"), "--device", "cpu"])
    with pytest.raises(SystemExit, match="1 rows have an error"):
        part.main(lambda device, size: {"rows": [{"op": "a"}, {"op": "b", "error": "broken"}]}, "test")
    assert read_json(tmp_path / "a.json")["rows"][1]["error"] == "broken"
