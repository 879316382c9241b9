"""How ops get their gradient: as torch.library.register_autograd gives it, with less to do per call."""

from __future__ import annotations

import pytest
import torch

from wtal_fast.ops._autograd import autograd_kernel


@pytest.fixture(scope="module")
def library():
    library = torch.library.Library("wtal_fast_test_autograd", "DEF")
    yield library
    library._destroy()


@pytest.fixture
def scaled(library, request):
    """An op y, twice = (a x, 2 a x) with the gradients it is told to return, and the gradients it was handed."""
    name = f"scaled_{request.node.name.partition('[')[0]}"
    library.define(f"{name}(Tensor x, float a) -> (Tensor, Tensor)")
    library.impl(name, lambda x, a: (a * x, 2 * a * x), "CompositeExplicitAutograd")
    op = getattr(torch.ops.wtal_fast_test_autograd, name).default
    handed = []

    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])
        ctx.a = inputs[1]

    def backward(ctx, once, twice):
        handed.append((once, twice))
        return sum(share * ctx.a * grad for share, grad in ((1, once), (2, twice)) if grad is not None), None

    library.impl(name, autograd_kernel(op, backward=backward, setup_context=setup_context), "Autograd")
    return op, handed


def test_gradients_of_both_outputs_add_up(scaled):
    op, handed = scaled
    x = torch.arange(3.0, requires_grad=True)
    once, twice = op(x, 3.0)
    (once.sum() + twice.sum()).backward()
    assert x.grad.tolist() == [9, 9, 9] and len(handed) == 1


def test_an_output_nobody_used_gives_none_instead_of_zeros(scaled):
    op, handed = scaled
    x = torch.arange(3.0, requires_grad=True)
    op(x, 3.0)[1].sum().backward()
    assert x.grad.tolist() == [6, 6, 6] and handed[0][0] is None


def test_no_gradient_behind_gives_none_before(scaled):
    class Blocked(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            return None

    op, handed = scaled
    x = torch.arange(3.0, requires_grad=True)
    Blocked.apply(op(x, 3.0)[0]).sum().backward()
    assert x.grad is None and handed == []


def test_nothing_is_recorded_where_nobody_wants_a_gradient(scaled):
    op, _ = scaled
    assert not op(torch.arange(3.0), 3.0)[0].requires_grad
    with torch.no_grad():
        assert not op(torch.arange(3.0, requires_grad=True), 3.0)[0].requires_grad


def test_a_second_derivative_is_refused(scaled):
    op, _ = scaled
    x = torch.arange(3.0, requires_grad=True)
    (grad,) = torch.autograd.grad(op(x, 3.0)[0].square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_the_node_is_named_after_the_op(scaled):
    op, _ = scaled
    assert op(torch.ones(1, requires_grad=True), 3.0)[0].grad_fn.name().startswith("scaled_test_the_node")


@pytest.mark.parametrize(
    "schema", ["refused_default(Tensor x, float a=1.0) -> Tensor", "refused_keyword(Tensor x, *, float a) -> Tensor"])
def test_an_op_with_defaults_or_keywords_is_refused(library, schema):
    library.define(schema)
    op = getattr(torch.ops.wtal_fast_test_autograd, schema.partition("(")[0]).default
    with pytest.raises(ValueError, match="positional and without defaults"):
        autograd_kernel(op, backward=None, setup_context=None)
