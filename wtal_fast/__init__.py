"""wtal_fast: weakly-supervised temporal action localization, from snippet features to scored action intervals."""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_LAZY = {
    "train": "wtal_fast.engine.arrays",
    "localize": "wtal_fast.engine.arrays",
    "evaluate": "wtal_fast.engine.evaluate",
    "load_checkpoint": "wtal_fast.engine.checkpoint",
    "save_checkpoint": "wtal_fast.engine.arrays",
    "register_method": "wtal_fast.engine.methods",
}
__all__ = ["__version__", *_LAZY]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'wtal_fast' has no attribute '{name}'")


def __dir__():
    return sorted(__all__)
