"""Min-max, foreground gates and upsampling against hand tables and NumPy."""

import numpy as np
import pytest
import torch

from python_tests.tolerances import ROUNDING
from wtal_fast.config import LocalizationConfig
from wtal_fast.localization.cas import foreground_gate, minmax, sample_counts, upsample


def test_minmax_by_hand():
    values = torch.tensor(
        [[1.0, 3.0, 2.0, 99.0], [-4.0, 0.0, 4.0, 99.0], [-2.0, -1.0, -3.0, 99.0], [5.0, 5.0, 5.0, 0.0]])
    lengths = torch.tensor([3, 3, 3, 3])
    assert minmax(values, lengths, clip=False)[:, :3].tolist() == [
        [0.0, 1.0, 0.5], [-1.0, 0.0, 1.0], [-2.0, -1.0, -3.0], [0.0, 0.0, 0.0]]
    assert minmax(values, lengths, clip=True)[:, :3].tolist() == [
        [0.0, 1.0, 0.5], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]


def test_gates_by_hand():
    magnitude, lengths = torch.tensor([[8.0, 2.0, 6.0, 4.0, 77.0]]), torch.tensor([4])

    def gate(**settings):
        return foreground_gate(magnitude, lengths, LocalizationConfig(**settings))[0, :4].tolist()

    assert gate(gate="bounded", gate_bound=5.0) == pytest.approx([1.0, 0.4, 1.0, 0.8])
    assert gate(gate="minmax") == pytest.approx([1.0, 0.0, 4 / 6, 2 / 6])
    # the two largest average 7, the smallest is 2
    assert gate(gate="mean_act_bkg", gate_action_divisor=2, gate_background_divisor=4) == pytest.approx(
        [1, 0, 0.8, 0.4])
    # fewer snippets than the divisor: one is taken, not none
    assert gate(gate="mean_act_bkg", gate_action_divisor=9, gate_background_divisor=9) == pytest.approx(
        [1, 0, 4 / 6, 2 / 6])


def resized(values, lengths, config, counts=None):
    values, lengths = torch.tensor(values), torch.tensor(lengths)
    counts = sample_counts(lengths, None if counts is None else torch.tensor(counts), config)
    return upsample(values, lengths, counts, config), counts


def test_stpn_upsampling_is_linear_and_goes_on_past_the_last_snippet():
    config = LocalizationConfig(upsample="stpn", upsample_factor=4)
    found, counts = resized([[0.0, 4.0, 2.0], [0.0, 4.0, 50.0], [3.0, 9.0, 9.0]], [3, 2, 1], config)
    assert counts.tolist() == [12, 8, 4]
    assert found[0].tolist() == pytest.approx([0, 1, 2, 3, 4, 3.5, 3, 2.5, 2, 1.5, 1, 0.5], **ROUNDING)
    assert found[1, :8].tolist() == pytest.approx([0, 1, 2, 3, 4, 5, 6, 7], **ROUNDING)
    assert found[2, :4].tolist() == [3.0] * 4


@pytest.mark.parametrize("length, count", [(1, 3), (4, 4), (4, 7), (7, 3), (12, 50), (100, 31)])
def test_half_pixel_resize_equals_interpolation_with_repeated_edges(length, count):
    values = np.random.default_rng(0).random(length)
    config = LocalizationConfig(upsample="half_pixel")
    found, counts = resized([values.tolist() + [9.0] * 5], [length], config, [count])
    position = ((np.arange(count) + 0.5) * (length / count) - 0.5).astype(np.float32)
    expected = np.interp(position, np.arange(length), values)
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=float(np.finfo(np.float32).eps))
    assert counts.tolist() == [count]


def test_no_upsampling():
    found, counts = resized([[1.0, 2.0]], [2], LocalizationConfig(upsample="none"))
    assert found.tolist() == [[1.0, 2.0]] and found.dtype == torch.float64 and counts.tolist() == [2]


@pytest.mark.parametrize("counts, words", [(None, "needs batch.frame_counts, got None"), ([0], "at least 1, got 0")])
def test_frame_counts_are_asked_for(counts, words):
    with pytest.raises(ValueError, match=words):
        resized([[1.0, 2.0]], [2], LocalizationConfig(upsample="half_pixel"), counts)
