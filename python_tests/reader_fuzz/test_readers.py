"""Every reader meets thousands of damaged inputs in a process of little memory; the search does find planted faults."""

from __future__ import annotations

import pytest

from python_tests.reader_fuzz import readers, targets
from wtal_fast.errors import InputError


def check(folder, name: str, runs: int) -> None:
    (result,) = readers.run_in_processes([name], runs, 0, folder)
    assert result["findings"] == [] and result["runs"] == runs
    assert result["accepted"] > runs / 200 and result["kinds"] >= 9  # harmless changes and many sorts of damage
    assert result["peak_mb"] < 512


@pytest.mark.parametrize("name", readers.NAMES)
def test_no_damaged_input_is_a_surprise(tmp_path, name):
    check(tmp_path, name, 20_000)


@pytest.mark.slow
@pytest.mark.parametrize("name", readers.NAMES)
def test_no_damaged_input_is_a_surprise_at_length(tmp_path, name):
    check(tmp_path, name, 100_000)


def test_a_planted_fault_is_found(tmp_path, monkeypatch):
    def read(path):
        content = path.read_bytes()
        if content[:4] == b"head" and b"\x80\x00" in content:
            raise KeyError("planted")
        raise InputError(path, expected="another file", found="this")

    planted = {"npy": targets.Target([b"head of a file"], read)}
    monkeypatch.setattr(targets, "targets", lambda: planted)
    monkeypatch.setattr(readers.resource, "setrlimit", lambda *limits: None)
    findings = readers.fuzz("npy", 20_000, 0, tmp_path)["findings"]
    assert findings and "planted" in findings[0]["what"]


def test_a_process_that_dies_or_needs_much_memory_is_a_finding(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "ROOT", tmp_path)
    package = tmp_path / "python_tests" / "reader_fuzz"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "readers.py").write_text("import os\nos.abort()\n")
    (result,) = readers.run_in_processes(["npy"], 10, 0, tmp_path)
    assert "ended with -6" in result["findings"][0]["what"]
