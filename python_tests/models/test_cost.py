"""Parameters and FLOPs: the published numbers, and what a counter of executed products sees."""

from __future__ import annotations

import importlib

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from wtal_fast.models import BackTAL, BaSNet, UncertaintyModel
from wtal_fast.models.cost import count_parameters, flops_of, model_cost

UNIT = 2 * 3 * 2048 * 2048 * 750  # one convolution of 2048 to 2048 channels over a video of 750 snippets


@pytest.fixture(scope="module")
def models():
    with torch.device("meta"):
        return {model.__name__: model() for model in (BaSNet, UncertaintyModel, BackTAL)}


@pytest.mark.parametrize(("name", "parameters"), [
    ("BaSNet", 26_262_529), ("UncertaintyModel", 12_625_920), ("BackTAL", 29_453_857)])
def test_parameters_of_the_released_models(name, parameters, models):
    assert count_parameters(models[name]) == model_cost(models[name]).parameters == parameters


def test_flops_of_the_papers(models):
    um, backtal = model_cost(models["UncertaintyModel"]), model_cost(models["BackTAL"])
    assert round(flops_of(um.forward) / 1e9, 2) == 18.94 and um.forward == um.inference
    assert round(flops_of(backtal.forward) / 1e9, 1) == 82.0
    outside = [product for product in backtal.forward if not product.layer.startswith("base_module")]
    assert round(flops_of(tuple(outside)) / 1e9, 1) == 6.5  # all that the profiler of the paper saw


@pytest.mark.parametrize(("name", "released", "shared"), [
    ("BaSNet", 11, 8), ("BackTAL", 12, 8), ("UncertaintyModel", 2, 2)])
def test_units_of_a_training_step(name, released, shared, models):
    cost = model_cost(models[name])
    for products, units in ((cost.released_step, released), (cost.step, shared)):
        wide = tuple(product for product in products if product.flops == UNIT)
        assert len(wide) == units


def test_branches_of_basnet():
    with torch.device("meta"):
        single, both = (BaSNet(64, 64, 5, branches=name) for name in ("suppression", "both"))
    assert flops_of(model_cost(single).forward) == flops_of(model_cost(both).inference)
    assert flops_of(model_cost(both).forward) > flops_of(model_cost(both).inference)


def test_the_ops_tell_what_they_cost():
    """PyTorch's counter, asked during a step, sees the products of the shared form."""
    importlib.import_module("wtal_fast.ops.flop_formulas")
    models = (UncertaintyModel(24, 16, num_classes=5), BaSNet(24, 16, 5, filter_dim=8),
              BackTAL(24, 16, 5, filter_dim=8, embedding_hidden_dim=8, embedding_dim=4))
    for model in models:
        cost = model_cost(model, num_videos=2, num_snippets=30)
        with FlopCounterMode(display=False) as counter:
            output = model.train()(torch.randn(2, 30, 24))
            outputs = (output.cas_logits, output.base_cas_logits, output.features, output.embedding)
            sum(value.sum() for value in outputs if value is not None).backward()
        assert counter.get_total_flops() == flops_of(cost.step), type(model).__name__


def test_a_model_that_says_nothing_counts_every_weight_once():
    model = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    cost = model_cost(model, num_videos=1, num_snippets=10)
    assert flops_of(cost.forward) == 2 * 10 * (32 + 8) and flops_of(cost.step) == 3 * flops_of(cost.forward)
    assert cost.parameters == 32 + 4 + 8 + 2
