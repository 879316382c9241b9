"""The restated training of the released code computes what ours computes, and what the released code computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.released.sampling import random_perturb
from bench.training import METHODS, Shape, our_step, random_batch, released_step
from python_tests import tolerances
from python_tests.models.released_cases import released_case
from wtal_fast.data.sampling import perturbed, uniform

NARROW = Shape(videos=3, snippets=40, features=12, hidden=16, classes=5)


@pytest.mark.parametrize("method", METHODS)
def test_steps_equal_ours_in_float64(method):
    """Losses and gradients of three steps; Adam makes each depend on the gradients before it."""
    ours = our_step(method, random_batch(NARROW, dtype=torch.float64), NARROW, dropout=False)
    theirs = released_step(method, ours)
    for _ in range(3):
        torch.testing.assert_close(theirs.without_dropout(), ours.without_dropout(), **tolerances.RELEASED_STEP)


@pytest.mark.parametrize("method", METHODS)
def test_timed_steps_drop_what_the_checked_ones_keep(method):
    """The timed steps train with dropout on both sides; it is back on after a step without it."""
    ours = our_step(method, random_batch(NARROW), NARROW)
    for step in (ours, released_step(method, ours)):
        assert [module.p for module in step.model.modules() if hasattr(module, "p")] == (
            [0.7, 0.7] if method == "uncertainty" else [0.7])
        step.without_dropout()
        assert all(module.p == 0.7 for module in step.model.modules() if hasattr(module, "p"))
        assert torch.isfinite(step())


@pytest.mark.parametrize("method", METHODS)
def test_ten_steps_give_the_losses_of_the_released_code(shared, method):
    case = released_case(shared, method)
    optimizer = torch.optim.Adam(case.model.parameters(), lr=1e-3, weight_decay=5e-4)
    ours = our_step(method, case.batch, NARROW)
    ours.model, ours.optimizer, ours.batch = case.model, optimizer, case.batch
    step = released_step(method, ours)
    trace = torch.stack([step() for _ in case.arrays["trace"]]).double()
    expected = torch.from_numpy(case.arrays["trace"])
    torch.testing.assert_close(trace / expected.abs().max(), expected / expected.abs().max(),
                               **tolerances.RELEASED_FORWARD)


@pytest.mark.parametrize("length", [1, 7, 40, 41, 300])
def test_sampling_draws_from_the_same_ranges(length):
    """Whatever the released loop draws, our rule gives for the uniform number in the middle of that outcome."""
    np.random.seed(length)
    drawn = torch.from_numpy(random_perturb(length, 40))[None]
    lengths = torch.tensor([length])
    low = uniform(lengths, 40)
    high = torch.cat([low[:, 1:], lengths[:, None] - 1], 1)
    draws = (drawn - low + 0.5) / (high - low + 1)
    assert torch.equal(perturbed(lengths, 40, draws.double()), drawn)
