"""Losses of the shares of a batch add up to the loss of the batch; nothing in a training step reads the device."""

from dataclasses import fields, replace

import pytest
import torch

from python_tests import tolerances
from python_tests.losses.test_backtal import CLASSES, SETTINGS
from wtal_fast.losses.basnet import BaSNetLoss
from wtal_fast.losses.uncertainty import UncertaintyLoss
from wtal_fast.models import BackTAL, BaSNet, UncertaintyModel
from wtal_fast.structures import NO_CLICK, BatchTotals, FeatureBatch

SMALL = {"feature_dim": 6, "hidden_dim": 8, "num_classes": CLASSES}
METHODS = {
    **{f"basnet_{form}": (BaSNet, BaSNetLoss(class_loss=form)) for form in ("bce", "ce")},
    "uncertainty": (UncertaintyModel, UncertaintyLoss()),
    "uncertainty_paper": (UncertaintyModel, UncertaintyLoss("ce", background_entropy="mean_softmax_ce")),
    **{f"backtal_{name}": (BackTAL, loss) for name, loss in SETTINGS.items()},
}


def batch_of(videos=5, snippets=16):
    draw = torch.Generator().manual_seed(0)
    labels = (torch.rand(videos, CLASSES, generator=draw) < 0.5).double()
    clicks = torch.where(torch.rand(videos, snippets, generator=draw) < 0.3, CLASSES, NO_CLICK)
    clicks[1], clicks[2, 3] = NO_CLICK, 0
    lengths = torch.tensor([16, 12, 16, 9, 16])
    clicks[torch.arange(snippets) >= lengths[:, None]] = NO_CLICK
    return FeatureBatch(torch.randn(videos, snippets, 6, dtype=torch.float64, generator=draw), lengths, labels, clicks)


def rows_of(batch: FeatureBatch, rows: slice) -> FeatureBatch:
    totals = BatchTotals(len(batch.features), int((batch.clicks != NO_CLICK).sum()),
                         int((batch.clicks == CLASSES).any(1).sum()))
    taken = {name: getattr(batch, name)[rows] for name in ("features", "lengths", "labels", "clicks")}
    return replace(batch, **taken, totals=totals)


@pytest.mark.parametrize(("model", "loss"), METHODS.values(), ids=METHODS)
def test_shares_add_up(model, loss):
    torch.manual_seed(0)
    network, batch = model(**SMALL).double().train(), batch_of()
    if getattr(loss, "mined_background", 0):
        with pytest.raises(ValueError, match="mined_background must see the whole batch"):
            loss(network(batch.features, batch.lengths), rows_of(batch, slice(0, 5)))
        return

    def step(part, start):
        for module in network.modules():
            if hasattr(module, "shard"):
                module.shard = (start, 5)
        torch.manual_seed(1)
        terms = loss(network(part.features, part.lengths), part)
        return terms, torch.autograd.grad(terms["total"], list(network.parameters()))

    whole, gradients = step(batch, 0)
    shares = [step(rows_of(batch, slice(start, stop)), start) for start, stop in ((0, 2), (2, 5))]
    for name, value in whole.items():
        assert sum(terms[name].item() for terms, _ in shares) == pytest.approx(value.item(), rel=1e-9), name
    for gradient, *parts in zip(gradients, *(part for _, part in shares), strict=True):
        torch.testing.assert_close(sum(parts), gradient, **tolerances.FLOAT64_GRADIENT)


@pytest.mark.parametrize(("model", "loss"), METHODS.values(), ids=METHODS)
def test_a_step_reads_nothing_from_the_device(model, loss):
    """On the meta device every shape that depends on data and every read of a value raises."""
    batch = batch_of()
    moved = {field.name: getattr(batch, field.name).to("meta") for field in fields(batch)
             if isinstance(getattr(batch, field.name), torch.Tensor)}
    batch = replace(batch, **moved)
    network = model(**SMALL).double().to("meta").train()
    loss(network(batch.features, batch.lengths), batch)["total"].backward()
    assert all(parameter.grad.shape == parameter.shape for parameter in network.parameters())
