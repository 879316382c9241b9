"""The measurements that need processes or sweeps of their own, at sizes that only prove that they run."""

from __future__ import annotations

import pytest
import torch

from bench import full_width, growth_training, memory
from bench.case import Plan
from bench.environment import reset_peak, resident_bytes
from bench.step_state import StepState
from bench.training import METHODS, Shape, our_step, random_batch
from wtal_fast.files import save_json


@pytest.mark.parametrize("name", memory.MEASURED)
def test_memory_is_that_of_the_contender(name):
    for contender in memory.CONTENDERS:
        assert memory.MEASURED[name](contender, Plan("tiny")) >= 0


def test_memory_held_for_a_moment_counts():
    before = resident_bytes("VmRSS")
    reset_peak()
    torch.ones(25_000_000).sum()
    assert 95e6 < resident_bytes("VmHWM") - before < 120e6
    assert resident_bytes("VmRSS") - before < 20e6


def test_full_width_run_trains_both_sides_on_equal_batches(tmp_path):
    path = tmp_path / "features.bin"
    full_width.write_features(path, *full_width.SHAPES["tiny"])
    found = full_width.run("backtal", "tiny", steps=2, others=1, threads=1, path=path, folder=tmp_path / "state")
    row = full_width.summary("backtal", "tiny", found, threads=1)
    assert row["steps"] == 2 and row["largest_loss_difference"] < full_width.SAME_LOSS
    assert [part["target"] for part in row["rows"]] == [3.0, 0.8, 11.0, 0.65]
    assert all(part["ratio"] > 0 for part in row["rows"]) and row["bytes"]["ours"] > 0


@pytest.mark.parametrize("method", METHODS)
def test_a_step_goes_on_from_its_state(method, tmp_path):
    shape, losses = Shape(3, 20, 16, 16), []
    batches = [random_batch(shape, seed=number) for number in range(4)]
    for cut in (False, True):
        step, state, found = our_step(method, batches[0], shape, dropout=False), StepState(tmp_path, "ours"), []
        for done, step.batch in enumerate(batches):
            if cut and done == 2:
                step = our_step(method, batches[done], shape, dropout=False, seed=5)
                state.load(step, done)
            found.append(float(step()))
            state.save(step, done + 1)
        losses.append(found)
    assert losses[0] == losses[1]


def test_full_width_keeps_the_steps_of_one_commit(tmp_path):
    answers = full_width.Answers(tmp_path, "backtal", "tiny", threads=1)
    answers.add({side: {"seconds": 1.0} for side in full_width.SIDES})
    assert full_width.Answers(tmp_path, "backtal", "tiny", threads=1).done == 1
    assert full_width.Answers(tmp_path, "backtal", "tiny", threads=2).done == 0
    save_json(answers.file, {"key": answers.key | {"commit": "another"}, "answers": answers.of_sides})
    assert full_width.Answers(tmp_path, "backtal", "tiny", threads=1).done == 0


@pytest.mark.parametrize("method", METHODS)
def test_every_sweep_has_points(method):
    for sweep in growth_training.SWEEPS:
        values = growth_training.points(method, sweep, quick=True)
        assert values or (method, sweep) in (("basnet", "kernel_size"), ("uncertainty", "kernel_size"))
        for value in values[:1]:
            point = growth_training.measured(method, sweep, value, rounds=1)
            assert point["seconds"] > 0 and point["bytes"] >= 0


def test_exponent_of_a_square_and_of_a_line():
    rows = [{"value": value, "seconds": 2e-3 * value, "bytes": value**2} for value in (10, 20, 40, 80)]
    assert growth_training.exponent(rows, "seconds") == pytest.approx(1)
    assert growth_training.exponent(rows, "bytes") == pytest.approx(2)
