"""A repository in the upstream style, run as it is and with one import line changed: equal results."""

import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest

from python_tests.compat import upstream
from python_tests.conftest import ROOT
from python_tests.tolerances import FLOAT32_SUMS, RELEASED_MAP

NUMPY_ONLY = '''
import sys
for name in ("torch", "pydantic", "typer", "yaml", "rich", "safetensors", "jinja2", "pandas", "joblib"):
    sys.modules[name] = None
'''


def run(folder, script):
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    done = subprocess.run([sys.executable, "-W", "error", script], cwd=folder, env=environment, capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def write_data(folder):
    """Times and scores from small sets, so that overlaps and scores tie."""
    draw = random.Random(3)

    def segment(step):
        start = draw.randrange(0, int(16 / step)) * step
        return [start, start + draw.randrange(1, 12) * step]

    database = {f"v{index}": {"subset": "train" if index == 0 else "test", "annotations": [
        {"segment": segment(1.0), "label": draw.choice(["swim", "jump"])} for _ in range(5)]} for index in range(6)}
    proposals = {f"v{index}": [[[label, draw.randrange(1, 9) / 8, *segment(0.5)] for _ in range(30)]
                               for label in range(2)] for index in range(1, 6)}
    (folder / "gt.json").write_text(json.dumps({"database": database}))
    (folder / "proposals.json").write_text(json.dumps(proposals))


@pytest.fixture
def repository(tmp_path):
    for name, text in (("evaluator", upstream.EVALUATOR), ("post", upstream.POST), ("main", upstream.MAIN),
                       ("nms_1d_cpu", upstream.NMS_1D_CPU), ("main_torch", upstream.MAIN_TORCH)):
        (tmp_path / f"{name}.py").write_text(text)
    write_data(tmp_path)
    return tmp_path


def swap(folder, script, line, replacement):
    text = (folder / f"{script}.py").read_text()
    assert text.count(line) == 1
    (folder / f"{script}.py").write_text(text.replace(line, replacement))


def test_evaluator_and_nms(repository):
    """With nothing installed but NumPy."""
    before = run(repository, "main.py")
    assert 0.05 < before["average"] < 0.95 and any(rows for rows in before["results"].values())
    swap(repository, "main", "from evaluator import ANETdetection", "from wtal_fast.compat import ANETdetection")
    swap(repository, "main", "from post import nms", "from wtal_fast.compat import nms")
    (repository / "main.py").write_text(NUMPY_ONLY + (repository / "main.py").read_text())
    after = run(repository, "main.py")
    assert (after["results"], after["labels"]) == (before["results"], before["labels"])
    for name in ("mAP", "average", "ap", "attributes"):
        np.testing.assert_allclose(after[name], before[name], **RELEASED_MAP)


def test_nms_1d_cpu(repository):
    before = run(repository, "main_torch.py")
    assert 1 < len(before["nms"]) < 60 and 1 < len(before["soft 2"]) < 60 and len(before["only the best"]) == 1
    swap(repository, "main_torch", "import nms_1d_cpu\n", "from wtal_fast.compat import nms_1d_cpu\n")
    (repository / "nms_1d_cpu.py").unlink()
    after = run(repository, "main_torch.py")
    assert after.keys() == before.keys()
    for name, values in before.items():
        np.testing.assert_allclose(after[name], values, **FLOAT32_SUMS)
