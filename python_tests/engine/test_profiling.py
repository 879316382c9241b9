"""`--profile`: where a step's time goes, without another result."""

from __future__ import annotations

import json
import re

import pytest

from python_tests.engine.tiny import overrides, words, write_folder
from wtal_fast.cli.main import run
from wtal_fast.engine.experiment import train_folder


@pytest.fixture
def data(tmp_path):
    return write_folder(tmp_path / "data")


def test_the_parts_add_up_and_nothing_changes(data, tmp_path, capsys):
    settings = overrides("uncertainty", train__iterations=8, train__ema_decay=0.9)
    train_folder("uncertainty/thumos14/official", data, tmp_path / "plain", settings, show=False)
    arguments = ["train", "uncertainty/thumos14/official", "--data", str(data), "--output", str(tmp_path / "profiled"),
                 "--profile", *words(settings)]
    assert run(arguments) == 0
    for name in ("model", "trainer"):
        first, second = (tmp_path / folder / f"checkpoint/last/{name}.safetensors" for folder in ("plain", "profiled"))
        assert first.read_bytes() == second.read_bytes()
    table = (tmp_path / "profiled/profile.txt").read_text()
    assert table in capsys.readouterr().out and "steps 4 to 8" in table
    rows = {name.strip(): float(value) for name, value in re.findall(r"^(\w[\w ]*?) +(\d+\.\d+)", table, re.MULTILINE)}
    parts = ("data", "forward", "loss", "backward", "optimizer")
    assert all(rows[name] > 0 for name in (*parts, "step", "one evaluation"))
    assert sum(rows[name] for name in (*parts, "rest")) == pytest.approx(rows["step"], abs=0.05)
    assert 0 < rows["matrix products"] < rows["step"]
    events = json.loads((tmp_path / "profiled/profile_trace.json").read_text())["traceEvents"]
    names = [event.get("name") for event in events if event.get("ph") == "X"]
    assert names.count("step") == names.count("forward") == 5 and names.count("data") == 10


def test_a_run_of_one_step_is_profiled_too(data, tmp_path):
    settings = overrides("basnet", train__iterations=1)
    train_folder("basnet/thumos14/official", data, tmp_path / "run", settings, show=False, profile=True)
    assert "steps 1 to 1" in (tmp_path / "run/profile.txt").read_text()
