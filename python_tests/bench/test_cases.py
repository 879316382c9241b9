"""Every benchmark at a size that only proves it runs: equal outputs, rows with all fields, and pytest-benchmark."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch

from bench.case import Case, Plan, Unavailable
from bench.cases import CASES
from bench.green import proof_of
from bench.reference_times import ALLOWANCE, SECONDS, THREADS, verdict
from bench.run import rows_of

TINY = Plan("tiny")


@pytest.mark.parametrize("name", CASES)
def test_case_runs_and_gives_whole_rows(name, benchmark, monkeypatch):
    """Baselines equal ours, every row can be saved; the first case of each name is timed by pytest-benchmark."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))  # traced, not compiled
    cases = list(CASES[name](TINY))
    for case in cases:
        rows = rows_of(case, rounds=1, plan=TINY, budget=0)
        assert {row["baseline"] for row in rows} >= case.baselines.keys() | case.targets.keys()
        for row in json.loads(json.dumps(rows, allow_nan=False)):
            assert "skipped" in row or row["ratio"] > 0 and row["seconds_20"] <= row["seconds"] <= row["seconds_80"]
    assert len({case.name for case in cases}) == len(cases)
    benchmark(cases[0].ours)


@pytest.mark.parametrize("name", CASES)
def test_case_has_tests_that_vouch_for_it(name):
    assert proof_of(name)


def test_unequal_outputs_give_no_time(capsys):
    case = Case("wrong", lambda: torch.ones(3), {"other": [lambda: torch.zeros(3)]}, {"rtol": 0, "atol": 0}, {})
    with pytest.raises(SystemExit, match="wrong: the output differs from that of other, so no time is given"):
        rows_of(case, 1, TINY, 0)


def test_absent_contender_is_skipped_with_its_reason():
    def absent():
        raise Unavailable("no compiler")

    case = Case("fine", lambda: torch.ones(3), {"absent": [absent], "other": [lambda: torch.ones(3)]},
                {"rtol": 0, "atol": 0}, {})
    rows = rows_of(case, 1, TINY, 0)
    assert [row["baseline"] for row in rows] == ["other", "absent"] and rows[1]["skipped"] == "no compiler"


def test_slow_baselines_are_invalid():
    slow = verdict("conv1d forward", 1.31 * SECONDS["conv1d forward"], THREADS)
    assert slow["valid"] is False and slow["of_released"] > ALLOWANCE
    assert verdict("conv1d forward", 1.29 * SECONDS["conv1d forward"], THREADS)["valid"] is True
    assert verdict("conv1d forward", 9.0, THREADS + 1)["valid"] is None


@pytest.mark.parametrize("name", CASES)
def test_references_exist(name):
    for case in CASES[name](TINY):
        assert set(case.released.values()) <= SECONDS.keys()
        assert case.released.keys() <= case.baselines.keys()
