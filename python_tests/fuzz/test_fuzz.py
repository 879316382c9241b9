"""A few seconds of each fuzz harness, and the proof that they find what is wrong. Campaigns: scripts/run_fuzz.py."""

from __future__ import annotations

import shutil

import pytest

from python_tests.conftest import require
from python_tests.fuzz import build as fuzz

RUNS, SECONDS = 20_000, 2


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    require("native", fuzz.compiler(), "g++ is not installed")
    return fuzz.build(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("harness", fuzz.HARNESSES)
def test_no_finding(driver, harness, tmp_path):
    done = fuzz.run(driver, harness, "--runs", RUNS, "--seconds", SECONDS, "--seed", 1, crash=tmp_path / "crash")
    assert done.returncode == 0, done.stderr
    report = fuzz.report(done)
    assert report["runs"] >= 100 and report["inputs_kept"] > 5 and report["branches"] > 20, report


def test_every_harness_is_run(driver):
    names = set(fuzz.run(driver, "no such harness").stdout.split())
    assert names == {*fuzz.HARNESSES, "planted"}


def test_a_read_past_the_end_is_found_and_its_input_kept(driver, tmp_path):
    crash = tmp_path / "crash"
    done = fuzz.run(driver, "planted", "--runs", 10**9, "--seconds", 60, "--seed", 1, crash=crash)
    assert done.returncode != 0 and "heap-buffer-overflow" in done.stderr
    assert crash.read_bytes().startswith(b"oIC")
    again = fuzz.run(driver, "planted", "--input", crash)
    assert again.returncode != 0 and "heap-buffer-overflow" in again.stderr


def test_a_wrong_rule_is_found(tmp_path):
    """A core that removes above the threshold, not at it."""
    require("native", fuzz.compiler(), "g++ is not installed")
    shutil.copytree(fuzz.CSRC / "core", tmp_path / "csrc/core")
    rules = tmp_path / "csrc/core/suppress_rules.h"
    text = rules.read_text(encoding="utf-8")
    assert text.count("return iou >= threshold;") == 1
    rules.write_text(text.replace("return iou >= threshold;", "return iou > threshold;"), encoding="utf-8")
    driver = fuzz.build(tmp_path, tmp_path / "csrc", only=("suppression",))
    done = fuzz.run(driver, "temporal_nms", "--runs", 10**9, "--seconds", 60)
    assert done.returncode != 0 and "broken: temporal_nms" in done.stderr
