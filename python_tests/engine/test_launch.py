"""`wtal-fast train --processes 2`: the result of one process, one error in words, its exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from python_tests.conftest import ROOT
from python_tests.engine.tiny import overrides, words, write_folder
from python_tests.tolerances import PROCESSES
from wtal_fast.cli.main import run
from wtal_fast.engine import launch as launching
from wtal_fast.engine.checkpoint import load_tensors


@pytest.fixture
def data(tmp_path):
    return write_folder(tmp_path / "data")


def command(data, output, settings, *more):
    return ["train", "basnet/thumos14/official", "--data", str(data), "--output", str(output), *more, *words(settings)]


def start(arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-m", "wtal_fast", *arguments], cwd=ROOT, env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_two_processes_give_the_result_of_one_and_end_as_one(data, tmp_path, capfd):
    settings = overrides("basnet", train__ema_decay=0.9)
    assert run(command(data, tmp_path / "one", settings)) == 0
    assert run(command(data, tmp_path / "two", settings, "--processes", "2")) == 0
    assert capfd.readouterr().out.count("written to") == 2
    one, two = (load_tensors(tmp_path / name / "checkpoint/last/model.safetensors")[0] for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], **PROCESSES)


def test_bad_input_is_one_error_and_code_2(data, tmp_path, capfd):
    settings = overrides("basnet", data__clicks="nofile.txt")
    assert run(command(data, tmp_path / "run", settings, "--processes", "2")) == 2
    error = capfd.readouterr().err
    assert error.count("error:") == 1 and "data.clicks" in error and "Traceback" not in error


def test_sigterm_saves_and_ends_all(data, tmp_path):
    settings = overrides("basnet", train__iterations=100_000, train__save_every=50_000)
    process = start(command(data, tmp_path / "run", settings, "--processes", "2"))
    rows = tmp_path / "run/metrics.jsonl"
    while process.poll() is None and not (rows.is_file() and rows.stat().st_size):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and "--resume continues" in error
    _, header = load_tensors(tmp_path / "run/checkpoint/last/trainer.safetensors")
    assert header["step"] > 0


def test_another_process_that_fails_alone_is_shown(monkeypatch, capfd):
    monkeypatch.setattr(launching, "GRACE_SECONDS", 0.2)
    script = ("import os, sys, time\nif os.environ['RANK'] == '1': sys.exit('broken here')\ntime.sleep(60)\n")
    popen = subprocess.Popen
    monkeypatch.setattr(launching.subprocess, "Popen",
                        lambda words, **options: popen([sys.executable, "-c", script], **options))
    started = time.monotonic()
    assert launching.launch(["train"], 2) == 1
    assert "broken here" in capfd.readouterr().err and time.monotonic() - started < 20
