"""Gradients of the ops: torch.library.register_autograd without its cost per call, half of a small op's backward."""

from __future__ import annotations

import torch
from torch.autograd.function import once_differentiable


def autograd_kernel(op, *, backward, setup_context):
    """The kernel of op for the dispatch key Autograd, as torch.library.register_autograd would make it.

    op: an overload whose arguments are all positional and without defaults. backward(ctx, *gradients) and
    Differentiating the gradient again raises RuntimeError.
    """
    if any(argument.kwarg_only or argument.has_default_value() for argument in op._schema.arguments):
        raise ValueError(f"{op}: arguments must be positional and without defaults")
    once = once_differentiable(backward)

    def forward(ctx, *inputs):
        with torch._C._AutoDispatchBelowAutograd():
            output = op(*inputs)
        ctx.set_materialize_grads(False)
        setup_context(ctx, inputs, output)
        return output

    def first_order(ctx, *gradients):
        if all(each is None for each in gradients):
            return (None,) * len(ctx.needs_input_grad)
        return once(ctx, *gradients) if torch.is_grad_enabled() else backward(ctx, *gradients)

    name = op._schema.name.partition("::")[2]  # profiles and grad_fn show it, with "Backward" behind
    gradient = type(name, (torch.autograd.Function,),
                    {"forward": staticmethod(forward), "backward": staticmethod(first_order)})

    def kernel(*inputs):
        if torch.is_grad_enabled() and torch._C._any_requires_grad(*inputs):
            return gradient.apply(*inputs)
        with torch._C._AutoDispatchBelowAutograd():
            return op(*inputs)

    return kernel
