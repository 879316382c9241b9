"""Scaling over processes on a small shape."""

import pytest

from bench.scaling import measure


@pytest.mark.slow
def test_two_processes_agree_with_one():
    row = measure(2, 4, "quick")
    assert row["steps"] == 2 and row["ratio"] == row["seconds_of_one"] / row["seconds"]
