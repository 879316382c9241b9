"""Triton kernels, found by name; Triton is imported only when this backend is asked for.

Each module <op>.py here ends with KERNELS = {op name: function with the op's signature}, the op and its backward.
"""

from __future__ import annotations

import importlib
import os
import pkgutil

import torch


def library() -> torch.library.Library:
    """A place for registrations whose source line, in the dispatcher's table, is in this folder."""
    return torch.library.Library("wtal_fast", "IMPL")


def dispatch_keys() -> list[str]:
    """Triton's interpreter (TRITON_INTERPRET=1 when Triton is first imported) runs on CPU tensors too."""
    interpreted = os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "yes", "on", "y")
    return ["CUDA", "CPU"] if interpreted else ["CUDA"]


def kernels() -> dict[str, object]:
    """Op name -> Triton function, of every module here."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        found |= importlib.import_module(f"{__name__}.{module.name}").KERNELS
    return found


def kernels_on_demand() -> dict[str, object]:
    """The same, where a module, and with it Triton, is imported when one of its ops first runs."""

    def on_demand(module: str, op: str):
        return lambda *arguments: importlib.import_module(f"{__name__}.{module}").KERNELS[op](*arguments)

    return {op: on_demand(module.name, op) for module in pkgutil.iter_modules(__path__)
            for op in (module.name, f"{module.name}_backward")}
