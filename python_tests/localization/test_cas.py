"""Min-max, foreground gates and sample counts against hand tables."""

import pytest
import torch

from wtal_fast.config import LocalizationConfig
from wtal_fast.localization.cas import foreground_gate, minmax, sample_counts


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


@pytest.mark.parametrize("counts, words", [(None, "needs batch.frame_counts, got None"), ([0], "at least 1, got 0")])
def test_frame_counts_are_asked_for(counts, words):
    with pytest.raises(ValueError, match=words):
        sample_counts(torch.tensor([2]), None if counts is None else torch.tensor(counts),
                      LocalizationConfig(upsample="half_pixel"))


def test_sample_counts():
    lengths, frames = torch.tensor([2, 5]), torch.tensor([50, 130])
    for upsample, expected in (("stpn", [8, 20]), ("half_pixel", [50, 130]), ("none", [2, 5])):
        config = LocalizationConfig(upsample=upsample, upsample_factor=4)
        assert sample_counts(lengths, frames, config).tolist() == expected
