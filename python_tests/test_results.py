"""The committed results: README shows them as they are, and they say what it claims."""

from __future__ import annotations

from statistics import mean

import pytest

from bench import readme
from python_tests.fuzz.build import HARNESSES
from python_tests.reader_fuzz.readers import NAMES as READERS
from wtal_fast.files import read_json

METHODS = ("basnet", "uncertainty", "backtal")


def quality():
    return read_json(readme.RESULTS / "quality_thumos14_sim.json")


@pytest.mark.parametrize("page", readme.PAGES, ids=lambda path: path.name)
def test_pages_show_the_results_as_they_are(page):
    text = page.read_text(encoding="utf-8")
    assert readme.filled(text) == text, "run python -m bench.readme"


def test_official_presets_reach_the_released_code():
    content = quality()
    for method in METHODS:
        assert len(content["rows"][f"{method}/official"]["average_map_of_runs"]) >= 3
        reached = content["rows"][f"{method}/official"]["average_map"]
        assert reached >= mean(content["released_average_map"][method]) - 0.01, method


def test_recommended_presets_beat_official_by_more_than_the_standard_error():
    rows = quality()["rows"]
    for method in METHODS:
        official, recommended = (rows[f"{method}/{variant}"] for variant in ("official", "recommended"))
        assert official["seeds"] == recommended["seeds"]
        errors = [row["average_map_standard_error"] for row in (official, recommended)]
        difference = sum(error**2 for error in errors) ** 0.5
        assert recommended["average_map"] - official["average_map"] > max(*errors, difference), method


def test_clicks_help_at_half_overlap():
    rows = quality()["rows"]
    for variant in ("official", "recommended"):
        at_half = {method: rows[f"{method}/{variant}"]["map"][4] for method in ("basnet", "backtal")}
        assert rows[f"basnet/{variant}"]["tiou"][4] == 0.5
        assert at_half["backtal"] > at_half["basnet"], variant


def test_every_method_doubles_the_baselines_in_the_demo():
    rows = read_json(readme.RESULTS / "demo.json")["rows"]
    floor = max(row["average_map"] for name, row in rows.items() if name not in METHODS)
    assert all(rows[method]["average_map"] >= 2 * floor for method in METHODS)


def test_fuzzing_found_nothing():
    content = read_json(readme.RESULTS / "fuzz.json")
    assert content["findings"] == 0 and content["runs"] >= 20_000_000
    assert {row["harness"] for row in content["harnesses"]} == set(HARNESSES) and content["commit"]


def test_fuzzing_the_readers_found_nothing():
    rows = {row["target"]: row for row in read_json(readme.RESULTS / "reader_fuzz.json")["targets"]}
    assert rows.keys() == set(READERS)
    for row in rows.values():
        assert row["findings"] == [] and row["runs"] >= 1_000_000 and row["peak_mb"] < 512
        assert row["runs"] == sum(part["runs"] for part in row["parts"])
        assert all(part["commit"] for part in row["parts"])
