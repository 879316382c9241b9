"""The only backend logic: schemas, the reference kernel of each op, and which kernel the dispatcher runs."""

from __future__ import annotations

import torch

NAMESPACE = "wtal_fast"
_definitions = torch.library.Library(NAMESPACE, "DEF")
_references: dict[str, object] = {}


def define(schema: str, *, reference, fake):
    """Defines the op `schema`, with its plain-PyTorch `reference` for every device and its shape function `fake`.

    Returns the callable torch.ops.wtal_fast.<name>. Compiled kernels that register for a device replace the reference there.
    """
    name = schema.partition("(")[0]
    _definitions.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    _definitions.impl(name, reference, "CompositeExplicitAutograd")
    torch.library.register_fake(f"{NAMESPACE}::{name}", fake)
    _references[name] = reference
    return getattr(getattr(torch.ops, NAMESPACE), name)


def differentiable(name: str, *, backward, setup_context) -> None:
    """Gives op `name` its gradient; `backward` calls an op of its own, so each backend may replace that too."""
    torch.library.register_autograd(f"{NAMESPACE}::{name}", backward, setup_context=setup_context)
