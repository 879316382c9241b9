"""ops.leaky_dropout against PyTorch's leaky ReLU times a mask."""

import pytest
import torch

from python_tests import tolerances
from wtal_fast import ops

KERNEL = torch.ops.wtal_fast.leaky_dropout.default
BACKWARD = torch.ops.wtal_fast.leaky_dropout_backward.default


@pytest.mark.parametrize("dropping", [True, False])
def test_equals_two_steps(dropping):
    x = torch.tensor([[3.0, -2.0, 0.0, -1.0], [5.0, -4.0, 2.0, -0.0]], dtype=torch.float64, requires_grad=True)
    keep = torch.tensor([[True, True, True, False], [False, True, True, True]]) if dropping else None
    scale = 4.0 if dropping else 1.0
    out = ops.leaky_dropout(x, keep, 0.25, scale)
    plain = torch.nn.functional.leaky_relu(x, 0.25) * scale * (1 if keep is None else keep)
    assert torch.equal(out, plain)
    grad = torch.arange(8, dtype=torch.float64).view(2, 4)
    assert torch.equal(*(torch.autograd.grad(value, x, grad)[0] for value in (out, plain)))


def test_gradcheck_and_one_graph():
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    keep = torch.rand(2, 3, 4) < 0.5
    assert torch.autograd.gradcheck(lambda value: ops.leaky_dropout(value, keep, 0.01, 2.0), (x,),
                                    **tolerances.GRADCHECK)
    compiled = torch.compile(ops.leaky_dropout, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x, keep, 0.01, 2.0), ops.leaky_dropout(x, keep, 0.01, 2.0))


def test_registration():
    x, keep = torch.randn(2, 3, requires_grad=True), torch.rand(2, 3) < 0.5
    for mask in (keep, None):
        torch.library.opcheck(KERNEL, (x, mask, 0.1, 2.0))
        torch.library.opcheck(BACKWARD, (torch.randn(2, 3), x.detach(), mask, 0.1, 2.0))


def test_wrong_arguments():
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"keep must be bool \[2, 3\], got torch.bool \[3, 2\]"):
        ops.leaky_dropout(x, torch.ones(3, 2, dtype=torch.bool), 0.1, 1.0)
    with pytest.raises(ValueError, match="slope and scale must be > 0, got 0 and 1"):
        ops.leaky_dropout(x, None, 0, 1)
    with pytest.raises(TypeError, match="x must be floating point, got torch.int64"):
        ops.leaky_dropout(x.long(), None, 0.1, 1.0)
