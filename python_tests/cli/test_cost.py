"""`wtal-fast cost`."""

from __future__ import annotations

import json

from wtal_fast.cli.main import run


def test_numbers_follow_the_settings(capsys):
    assert run(["cost", "backtal/thumos14/official", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["parameters"] == 29_453_857 == sum(row["parameters"] for row in report["layers"]) + 512 + 1 + 512 + 32
    assert round(report["gflop"]["forward"], 1) == 82.0
    assert run(["cost", "backtal/thumos14/official", "model.hidden_dim=1024", "data.num_snippets=100", "--classes=5",
                "--json"]) == 0
    smaller = json.loads(capsys.readouterr().out)
    assert smaller["classes"] == 5 and smaller["snippets"] == 100
    assert smaller["gflop"]["step"] < report["gflop"]["step"] / 7.5


def test_the_table_and_wrong_names(capsys):
    assert run(["cost", "uncertainty/thumos14"]) == 0
    assert "12,625,920 parameters" in capsys.readouterr().out
    assert run(["cost", "uncertainty/thumos15"]) == 2
    assert run(["cost", "uncertainty/thumos14", "model.depth=3"]) == 2
