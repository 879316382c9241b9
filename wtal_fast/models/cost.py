"""What a model costs: every parameter and every matrix product of a forward pass and of a training step.

Counted from the weights themselves, so a weight that a forward pass uses without calling its module counts as well (the
profiler of the BackTAL paper missed those: its Table 10 has 4.29 of 29.45 M parameters). A model of another method may
say three things of itself, each empty by default:

    branch_modules   names of the modules that training runs on the features and again on the suppressed features
    input_layers     names of the layers that read the features, to which nothing needs to be differentiated
    weighted_layers  names of the input_layers whose products are weighted by something learned, such as an affinity:
                     the released code differentiates to their input nevertheless
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class MatrixProduct:
    """A product [rows, inner] x [inner, columns] of weight `layer`; kind: "forward", "input gradient" or
    "weight gradient". A convolution with h taps is one product with h * channels columns or rows."""

    layer: str
    kind: str
    rows: int
    inner: int
    columns: int

    @property
    def flops(self) -> int:
        """A multiplication and an addition are two."""
        return 2 * self.rows * self.inner * self.columns


@dataclass(frozen=True)
class Cost:
    """parameters: of the whole model. inference: products of the branch that localization uses. forward: of a training
    forward pass with all branches, as the papers write it. released_step: forward and backward as the released code
    runs them. step: the same step in the exact form in which both branches share their first product, whose input then
    needs no gradient; the floor of a training step is the time of these."""

    parameters: int
    inference: tuple[MatrixProduct, ...]
    forward: tuple[MatrixProduct, ...]
    released_step: tuple[MatrixProduct, ...]
    step: tuple[MatrixProduct, ...]


def flops_of(products: tuple[MatrixProduct, ...]) -> int:
    """Floating-point operations of all `products`."""
    return sum(product.flops for product in products)


def count_parameters(model: nn.Module) -> int:
    """Numbers that training fits, each once."""
    return sum(parameter.numel() for parameter in model.parameters())


def model_cost(model: nn.Module, num_videos: int = 1, num_snippets: int = 750) -> Cost:
    """The Cost of `model` on a batch [num_videos, num_snippets, D]. Convolutions and linear layers count, at every
    position; activations, pooling, losses and the affinity of neighbours, under 1 % in the built-in models, do not."""
    positions = num_videos * num_snippets
    doubled = tuple(f"{name}." for name in getattr(model, "branch_modules", ()))
    inputs, weighted = ({f"{name}.weight" for name in getattr(model, hint, ())}
                        for hint in ("input_layers", "weighted_layers"))
    inference, forward, released, shared = [], [], [], []
    for name, inner, columns in _weights(model):
        products = _products(name, positions, inner, columns)
        branches, reads_input = 2 if name.startswith(doubled) else 1, name in inputs
        inference.append(products["forward"])
        forward += [products["forward"]] * branches
        released += [products["forward"], products["weight gradient"]] * branches
        released += [products["input gradient"]] * (branches - (reads_input and name not in weighted))
        once = 1 if reads_input else branches
        shared += [products["forward"], products["weight gradient"]] * once
        shared += [products["input gradient"]] * (0 if reads_input else branches)
    return Cost(count_parameters(model), *map(tuple, (inference, forward, released, shared)))


def _weights(model: nn.Module) -> Iterator[tuple[str, int, int]]:
    """(name, input channels, output channels times taps) of every weight of a convolution or linear layer."""
    for name, parameter in model.named_parameters():
        if parameter.dim() >= 2:
            inner = parameter.shape[1]
            yield name, inner, parameter.numel() // inner


def _products(name: str, positions: int, inner: int, columns: int) -> dict[str, MatrixProduct]:
    shapes = {"forward": (positions, inner, columns), "input gradient": (positions, columns, inner),
              "weight gradient": (columns, positions, inner)}
    return {kind: MatrixProduct(name, kind, *shape) for kind, shape in shapes.items()}
