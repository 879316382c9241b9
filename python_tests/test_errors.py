"""The one error for bad input: its message, its fields, its way through a worker process."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from wtal_fast.errors import InputError, nearest_name


def complain(source):
    raise InputError(source, "row 3", expected="an end after the start", found="[4, 2]", fix="swap the two")


def test_message_names_source_place_rule_value_and_fix():
    with pytest.raises(InputError) as caught:
        complain(Path("clicks.csv"))
    assert str(caught.value) == "clicks.csv · row 3 · expected an end after the start · found [4, 2] · swap the two"
    assert (caught.value.source, caught.value.where) == ("clicks.csv", "row 3")
    assert (caught.value.expected, caught.value.found) == ("an end after the start", "[4, 2]")
    assert caught.value.fix == "swap the two"


def test_empty_parts_leave_no_separator():
    assert str(InputError("a.json", expected="a list", found="a number")) == "a.json · expected a list · found a number"


def test_is_a_value_error():
    assert issubclass(InputError, ValueError)


def test_expected_and_found_must_be_said():
    with pytest.raises(TypeError, match="expected"):
        InputError("a.json", found="a number")


def test_crosses_process_boundary():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with pytest.raises(InputError) as caught:
            pool.submit(complain, "clicks.csv").result(timeout=60)
    assert str(caught.value) == "clicks.csv · row 3 · expected an end after the start · found [4, 2] · swap the two"
    assert caught.value.fix == "swap the two"


@pytest.mark.parametrize(
    "name, known, answer",
    [
        ("learning_rat", ["learning_rate", "seed"], "did you mean 'learning_rate'?"),
        ("basnett", {"basnet": 1, "backtal": 2}, "did you mean 'basnet'?"),
        ("zzz", ["seed", "batch_size"], "known: batch_size, seed"),
        ("seed", [], "known: "),
    ],
)
def test_nearest_name(name, known, answer):
    assert nearest_name(name, known) == answer
