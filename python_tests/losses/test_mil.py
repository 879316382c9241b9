"""Video classification loss by hand, bounded logarithms, batch-wide counts."""

import math

import pytest
import torch
import torch.nn.functional as F

from python_tests import tolerances
from wtal_fast.losses.mil import batch_totals, bounded_log, class_loss, weighted_total, with_background
from wtal_fast.structures import NO_CLICK, BatchTotals, FeatureBatch

LOGITS = torch.tensor([[math.log(1.0), math.log(2.0), math.log(5.0)], [0.0, 0.0, 0.0]], dtype=torch.float64)
LABELS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
THIRD = math.log(3)


@pytest.mark.parametrize(("form", "normalize", "expected"), [
    ("ce", False, (math.log(8) + math.log(8 / 5) + THIRD) / 2),
    ("ce", True, (0.5 * math.log(8) + 0.5 * math.log(8 / 5) + THIRD) / 2),
    ("bce", False, (math.log(8) + math.log(8 / 6) + math.log(8 / 5) + THIRD + 2 * math.log(1.5)) / 6),
    ("bce", True, (0.5 * (math.log(8) + math.log(8 / 7) + math.log(8 / 5) + math.log(8 / 3)) + math.log(8 / 6)
                   + THIRD + 2 * math.log(1.5)) / 6),
])
def test_class_loss_by_hand(form, normalize, expected):
    assert class_loss(LOGITS, LABELS, 2, form, normalize).item() == pytest.approx(expected, rel=1e-9)


def test_bce_is_that_of_pytorch():
    logits = 40 * torch.randn(6, 5, generator=torch.Generator().manual_seed(0))  # saturated: log 0 occurs
    labels = (torch.rand(6, 5, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    expected = F.binary_cross_entropy(logits.softmax(1), labels)
    torch.testing.assert_close(class_loss(logits, labels, 6, "bce", False), expected, **tolerances.FLOAT32_SUMS)


@pytest.mark.parametrize("form", ["ce", "bce"])
def test_saturated_scores_have_finite_gradients(form):
    logits = torch.tensor([[500.0, -500.0, 0.0]], requires_grad=True)
    loss = class_loss(logits, torch.tensor([[0.0, 1.0, 1.0]]), 1, form, True)
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


def test_video_without_labels_costs_nothing_under_ce():
    assert class_loss(LOGITS, torch.zeros(2, 3), 2, "ce", True).item() == 0


def test_bounded_log():
    p = torch.tensor([0.0, 1e-44, 0.5, 1.0], requires_grad=True)
    values = bounded_log(p)
    assert values.tolist() == [-100, -100, pytest.approx(math.log(0.5)), 0]
    values.sum().backward()
    assert p.grad.tolist() == [0, 0, 2, 1]


def test_half_precision_scores_are_summed_in_float32():
    assert class_loss(LOGITS.bfloat16(), LABELS, 2, "bce", True).dtype == torch.float32


def test_with_background():
    assert with_background(LABELS, True).tolist() == [[1, 0, 1, 1], [0, 1, 0, 1]]
    assert with_background(LABELS, False)[:, -1].tolist() == [0, 0]


def batch(clicks=None, totals=None):
    return FeatureBatch(torch.zeros(3, 4, 2), torch.tensor([4, 4, 4]), torch.zeros(3, 2), clicks, totals=totals)


def test_totals():
    clicks = torch.full((3, 4), NO_CLICK)
    clicks[0, :3] = torch.tensor([2, 2, 0])
    clicks[1, 0] = 1  # an action click only
    counted = batch_totals(batch(clicks))
    assert (counted.videos, int(counted.clicks), int(counted.clicked_videos)) == (3, 4, 1)
    assert batch_totals(batch()) == BatchTotals(3, 1, 1)
    assert batch_totals(batch(clicks, BatchTotals(10, 0, 0))) == BatchTotals(10, 1, 1)


def test_weighted_total():
    terms = {"a": torch.tensor(2.0), "b": torch.tensor(3.0)}
    assert weighted_total(terms, {"a": 1.0, "b": 0.5, "unused": 9.0}) == {**terms, "total": torch.tensor(3.5)}
