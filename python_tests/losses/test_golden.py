"""The losses against the released code: every stored term, the gradients, ten steps of Adam."""

import pytest
import torch

from python_tests import tolerances
from python_tests.models.released_cases import MODELS, released_case, toy_batch, toy_model, toy_vectors
from wtal_fast.losses.backtal import BackTALLoss
from wtal_fast.losses.basnet import BaSNetLoss
from wtal_fast.losses.uncertainty import UncertaintyLoss

LOSSES = {"basnet": BaSNetLoss, "uncertainty": UncertaintyLoss, "backtal": BackTALLoss}
STORED = {
    "basnet": {"base": "base", "supp": "supp", "norm": "norm", "total": "total"},
    "uncertainty": {"cls": "cls", "um": "um", "be": "be", "total": "total"},
    "backtal": {"base": "base", "supp": "supp", "norm": "norm", "frame": "click_base", "affinity": "embedding",
                "total": "total"},
}
OTHERS = {"base": 1, "supp": 1, "norm": 1e-4, "click_base": 1, "embedding": 0.8}
TOY = {"basnet": "basnet_forward", "uncertainty": "um_forward", "backtal": "backtal_forward_official"}


def assert_relative(actual: torch.Tensor, expected: torch.Tensor, tolerance: dict) -> None:
    scale = expected.abs().max()
    torch.testing.assert_close(actual / scale, expected / scale, **tolerance)


@pytest.mark.parametrize("method", MODELS)
def test_terms_and_gradients(shared, method):
    case = released_case(shared, method)
    terms = LOSSES[method]()(case.model.train()(case.batch.features, case.batch.lengths), case.batch)
    for name, stored in STORED[method].items():
        assert_relative(terms[name].detach(), torch.from_numpy(case.arrays[f"loss/loss_{stored}"]),
                        tolerances.RELEASED_FORWARD)
    if method == "backtal":  # its separation loss is not stored: what the others leave of the total
        stored = {name: float(case.arrays[f"loss/loss_{name}"]) for name in ("total", *OTHERS)}
        rest = torch.tensor(stored["total"] - sum(weight * stored[name] for name, weight in OTHERS.items()))
        assert_relative(terms["separation"].detach(), rest, tolerances.RELEASED_FORWARD)
    terms["total"].backward()
    for name, parameter in case.model.named_parameters():
        assert_relative(parameter.grad, torch.from_numpy(case.arrays[f"grad/{name}"]), tolerances.RELEASED_GRADIENT)


@pytest.mark.parametrize("method", MODELS)
def test_ten_steps_of_adam(shared, method):
    case = released_case(shared, method)
    model, loss = case.model.train(), LOSSES[method]()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=5e-4)
    trace = []
    for _ in case.arrays["trace"]:
        optimizer.zero_grad()
        total = loss(model(case.batch.features, case.batch.lengths), case.batch)["total"]
        total.backward()
        optimizer.step()
        trace.append(total.detach())
    assert_relative(torch.stack(trace).double(), torch.from_numpy(case.arrays["trace"]), tolerances.RELEASED_FORWARD)


@pytest.mark.parametrize("method", MODELS)
def test_toy_terms(shared, method):
    expected = toy_vectors(shared)[TOY[method]]
    batch = toy_batch(expected.get("clicks"))
    terms = LOSSES[method]()(toy_model(method, expected)(batch.features, batch.lengths), batch)
    for stored, value in expected["loss"].items():
        assert_relative(terms[stored.removeprefix("loss_")].detach(), torch.tensor(value, dtype=torch.float64),
                        tolerances.RELEASED_FORWARD)
