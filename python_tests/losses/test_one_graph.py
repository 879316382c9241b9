"""A loss is a fixed sequence of tensor operations: one compiled graph, as many calls for two videos as for five."""

from dataclasses import fields, replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from python_tests import tolerances
from python_tests.losses.test_shares import METHODS, SMALL, batch_of


def output_and_batch(model, videos=5):
    torch.manual_seed(0)
    batch = batch_of()
    batch = replace(batch, **{name: getattr(batch, name)[:videos]
                              for name in ("features", "lengths", "labels", "clicks")})
    output = model(**SMALL).double().train()(batch.features, batch.lengths)
    leaves = {field.name: value.detach().requires_grad_(value.is_floating_point()) for field in fields(output)
              if (value := getattr(output, field.name)) is not None}
    return replace(output, **leaves), leaves, batch


def gradients(total, leaves):
    return torch.autograd.grad(total, list(leaves.values()), allow_unused=True)


@pytest.mark.parametrize(("model", "loss"), METHODS.values(), ids=METHODS)
def test_compiles_as_one_graph(model, loss):
    torch._dynamo.reset()
    output, leaves, batch = output_and_batch(model)
    compiled = torch.compile(loss.__call__, fullgraph=True, backend="aot_eager")
    expected, actual = loss(output, batch), compiled(output, batch)
    assert expected.keys() == actual.keys()
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, **tolerances.EXACT_FORMULA, msg=name)
    for value, wanted in zip(gradients(actual["total"], leaves), gradients(expected["total"], leaves), strict=True):
        torch.testing.assert_close(value, wanted, **tolerances.EXACT_FORMULA)


class Calls(TorchDispatchMode):
    """Counts what reaches the dispatcher; a result whose shape depends on data, or a value read, is an error.

    Counts and lengths that the checks of the public ops read on a CPU are not read on a GPU, where this costs a
    synchronisation; test_a_step_reads_nothing_from_the_device shows that.
    """

    FORBIDDEN = ("nonzero", "masked_select", "unique", "unique2", "bincount")
    CHECKS = ("aminmax", "_local_scalar_dense", "unbind")

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in self.FORBIDDEN, name
        boolean = [index for index in args[1] if index is not None and index.dtype == torch.bool] if (
            name.startswith("index") and len(args) > 1 and isinstance(args[1], (list, tuple))) else []
        assert not boolean, f"{name} by a mask"
        self.count += name not in self.CHECKS
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("model", "loss"), METHODS.values(), ids=METHODS)
def test_as_many_calls_whatever_the_batch(model, loss):
    counts = []
    for videos in (2, 5):
        output, leaves, batch = output_and_batch(model, videos)
        with Calls() as calls:
            gradients(loss(output, batch)["total"], leaves)
        counts.append(calls.count)
    assert counts[0] == counts[1] > 10
