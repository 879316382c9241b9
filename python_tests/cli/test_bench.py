"""`wtal-fast bench` reaches the benchmarks of a checkout and says so where there is none."""

from __future__ import annotations

from bench.cases import CASES
from wtal_fast.cli import bench
from wtal_fast.cli.main import run


def test_names_are_listed(capfd):
    assert run(["bench", "--list"]) == 0
    assert capfd.readouterr().out.split() == list(CASES)


def test_unknown_name_is_refused(capfd):
    assert run(["bench", "topk_meen"]) == 2
    assert "no case topk_meen" in capfd.readouterr().err


def test_installed_package_says_where_the_benchmarks_are(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(bench, "CHECKOUT", tmp_path)
    assert run(["bench", "topk_mean"]) == 2
    error = capfd.readouterr().err
    assert "checkout" in error and "scripts/bench" in error and str(tmp_path) in error


def test_unknown_device_is_refused(capfd):
    assert run(["bench", "--device", "tpu"]) == 2
    assert "cpu or cuda" in capfd.readouterr().err
