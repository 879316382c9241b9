"""The page docs/adding_a_method.md, run as it stands: a fourth method from model, loss and preset alone."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

from python_tests.engine.tiny import WIDTHS, words, write_folder
from wtal_fast import preset_files
from wtal_fast.cli.main import run
from wtal_fast.engine import methods
from wtal_fast.files import read_json

PAGE = Path(__file__).parents[2] / "docs" / "adding_a_method.md"


@pytest.fixture
def new_method(tmp_path, monkeypatch):
    """The files of the page on disk, registered for the length of the test."""
    blocks = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for name, text in blocks:
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / "mine"))
    monkeypatch.setattr(methods, "_registered", {})
    monkeypatch.setattr(preset_files, "PRESET_FOLDERS", list(preset_files.PRESET_FOLDERS))
    monkeypatch.setattr(methods, "PRESET_FOLDERS", preset_files.PRESET_FOLDERS)
    importlib.import_module("register").register()
    yield sum(len(text.splitlines()) for name, text in blocks if name != "register.py")
    for name in ("register", "mil_model", "mil_loss"):
        sys.modules.pop(name, None)


def test_the_page_trains_localizes_and_is_explained(new_method, tmp_path, capsys):
    assert new_method <= 95  # "about 80 lines"
    data = write_folder(tmp_path / "data")
    settings = words({**WIDTHS, "train.iterations": 60, "train.learning_rate": 3e-2, "model.hidden_dim": 16})
    output = tmp_path / "run"
    assert run(["train", "mil/thumos14", "--data", str(data), "--output", str(output), *settings]) == 0
    metrics = read_json(output / "metrics.json")
    assert metrics["preset"] == "mil/thumos14/recommended"
    assert metrics["map"][0] > 0.5  # the planted action is found
    assert run(["localize", str(output), "--data", str(data), "--output", str(tmp_path / "found.json")]) == 0
    assert read_json(tmp_path / "found.json")["results"] == read_json(output / "detections.json")["results"]
    assert run(["explain", "mil/thumos14"]) == 0
    assert "small enough to train in seconds" in capsys.readouterr().out
