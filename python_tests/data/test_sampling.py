"""Sampling of snippets against plain loops."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from wtal_fast.data import sampling

SIZES = st.lists(st.integers(1, 400), min_size=1, max_size=5)
SNIPPETS = st.integers(1, 120)


def one_uniform(length, num_snippets):
    """The plain form, one video at a time, in floating point as the released code has it."""
    if length == num_snippets:
        return list(range(length))
    return [int(np.floor(i * length / num_snippets)) for i in range(num_snippets)]


def one_perturbed(length, num_snippets, draws):
    if length == num_snippets:
        return list(range(length))
    low = [int(np.floor(i * length / num_snippets)) for i in range(num_snippets)]
    picked = []
    for i, start in enumerate(low):
        choices = list(range(start, (low[i + 1] if i + 1 < num_snippets else length - 1) + 1))
        picked.append(choices[int(draws[i] * len(choices))])
    return picked


@pytest.mark.parametrize(("length", "num_snippets", "index"), [
    (4, 4, [0, 1, 2, 3]), (6, 3, [0, 2, 4]), (2, 4, [0, 0, 1, 1]), (7, 3, [0, 2, 4]), (1, 3, [0, 0, 0]), (5, 1, [0]),
])
def test_uniform_by_hand(length, num_snippets, index):
    assert sampling.uniform(torch.tensor([length]), num_snippets).tolist() == [index]


@given(SIZES, SNIPPETS)
def test_uniform_equals_the_plain_form(lengths, num_snippets):
    found = sampling.uniform(torch.tensor(lengths), num_snippets)
    assert found.tolist() == [one_uniform(length, num_snippets) for length in lengths]


@pytest.mark.parametrize("num_snippets", [50, 75, 100, 200, 750])
def test_uniform_has_no_rounding_surprise_at_the_papers_sizes(num_snippets):
    lengths = np.arange(1, 6000, 7)
    index = sampling.uniform(torch.from_numpy(lengths), num_snippets).numpy()
    np.testing.assert_array_equal(index, np.floor(np.arange(num_snippets) * lengths[:, None] / num_snippets))


def test_keep_short_by_hand():
    index, lengths = sampling.uniform_keep_short(torch.tensor([2, 8, 4]), 4)
    assert lengths.tolist() == [2, 4, 4]
    assert index.tolist() == [[0, 1, 1, 1], [0, 2, 4, 6], [0, 1, 2, 3]]
    index, lengths = sampling.uniform_keep_short(torch.tensor([2, 3]), 750)
    assert index.tolist() == [[0, 1, 1], [0, 1, 2]] and lengths.tolist() == [2, 3]


@given(SIZES, SNIPPETS)
def test_keep_short_is_the_identity_up_to_t_and_uniform_above(lengths, num_snippets):
    index, sampled = sampling.uniform_keep_short(torch.tensor(lengths), num_snippets)
    assert index.shape[1] == sampled.max() == min(max(lengths), num_snippets)
    for row, length, kept in zip(index.tolist(), lengths, sampled.tolist(), strict=True):
        assert row[:kept] == (list(range(length)) if length <= num_snippets else one_uniform(length, num_snippets))
        assert row[kept:] == [length - 1] * (len(row) - kept)


@given(SIZES, SNIPPETS, st.integers(0, 2**31))
def test_perturbed_equals_the_plain_form(lengths, num_snippets, seed):
    draws = torch.rand(len(lengths), num_snippets, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    found = sampling.perturbed(torch.tensor(lengths), num_snippets, draws).tolist()
    wanted = [one_perturbed(length, num_snippets, row) for length, row in zip(lengths, draws.tolist(), strict=True)]
    assert found == wanted


@given(SIZES, SNIPPETS, st.integers(0, 2**31))
def test_stratified_perturb_rises_within_the_video(lengths, num_snippets, seed):
    index = sampling.stratified_perturb(torch.tensor(lengths), num_snippets, torch.Generator().manual_seed(seed))
    assert (index.diff(dim=1) >= 0).all() and (index >= 0).all()
    assert (index < torch.tensor(lengths)[:, None]).all()


def test_stratified_perturb_draws_every_choice_equally():
    generator, rounds = torch.Generator().manual_seed(3), 6000
    index = sampling.stratified_perturb(torch.full((rounds,), 7), 3, generator)  # strata 0..2, 2..4, 4..6
    for column, first in enumerate((0, 2, 4)):
        counts = torch.bincount(index[:, column] - first, minlength=3)
        assert len(counts) == 3
        np.testing.assert_allclose(counts.numpy(), rounds / 3, atol=5 * (rounds * 2 / 9) ** 0.5)  # five sigma


def test_stratified_perturb_with_few_snippets():
    index = sampling.stratified_perturb(torch.full((200,), 2), 4, torch.Generator().manual_seed(0))
    assert set(index[:, 0].tolist()) == {0} and set(index[:, 1].tolist()) == {0, 1}
    assert set(index[:, 2].tolist()) == {1} and set(index[:, 3].tolist()) == {1}


def test_the_largest_draw_stays_in_its_stratum():
    draws = torch.full((1, 3), 1 - 2**-53, dtype=torch.float64)
    assert sampling.perturbed(torch.tensor([7]), 3, draws).tolist() == [[2, 4, 6]]


def test_the_same_seed_gives_the_same_snippets():
    lengths = torch.tensor([100, 300])
    first, second = (sampling.stratified_perturb(lengths, 50, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize(("length", "num_snippets", "resize", "positions"), [
    (4, 4, "half_pixel", [0, 1, 2, 3]), (4, 2, "half_pixel", [0.5, 2.5]), (2, 4, "half_pixel", [0, 0.25, 0.75, 1]),
    (5, 3, "align_corners", [0, 2, 4]), (2, 3, "align_corners", [0, 0.5, 1]), (5, 1, "align_corners", [0]),
    (5, 1, "half_pixel", [2]), (1, 3, "half_pixel", [0, 0, 0]), (1, 3, "align_corners", [0, 0, 0]),
])
def test_linear_by_hand(length, num_snippets, resize, positions):
    left, weight = sampling.linear(torch.tensor([length]), num_snippets, resize)
    np.testing.assert_array_equal((left + weight)[0].numpy(), np.float32(positions))
    assert (left + (weight > 0) < length).all()


@given(SIZES, SNIPPETS, st.sampled_from([("half_pixel", False), ("align_corners", True)]))
def test_linear_resizes_a_ramp_as_torch_does(lengths, num_snippets, resize):
    left, weight = sampling.linear(torch.tensor(lengths), num_snippets, resize[0])
    for row, length in enumerate(lengths):
        ramp = torch.arange(length, dtype=torch.float64)[None, None]
        wanted = interpolate(ramp, num_snippets, mode="linear", align_corners=resize[1])[0, 0]
        torch.testing.assert_close((left[row] + weight[row]), wanted.float())


def test_linear_refuses_other_resizes():
    with pytest.raises(ValueError, match="resize must be half_pixel or align_corners, got 'cubic'"):
        sampling.linear(torch.tensor([3]), 2, "cubic")
