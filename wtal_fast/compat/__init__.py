"""Drop-ins: other repositories' functions with their signatures and results, on the fast kernels.

    from wtal_fast.compat import ANETdetection   # ActivityNet's evaluation: needs NumPy only
    from wtal_fast.compat import nms             # BaS-Net, UM, BackTAL: nms(proposals, thresh), NumPy only
    from wtal_fast.compat import nms_1d_cpu      # ActionFormer, OpenTAD: .nms and .softnms on torch tensors
    from wtal_fast.compat import batched_nms     # ActionFormer, OpenTAD
    from wtal_fast.compat import AttentionConv1d  # BackTAL's layer, channels first
"""

from __future__ import annotations

import importlib

_LAZY = {
    "ANETdetection": "wtal_fast.compat.activitynet",
    "nms": "wtal_fast.compat.proposals",
    "batched_nms": "wtal_fast.compat.actionformer",
    "AttentionConv1d": "wtal_fast.compat.backtal",
}
__all__ = ["ANETdetection", "AttentionConv1d", "batched_nms", "nms", "nms_1d_cpu"]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name == "nms_1d_cpu":
        return importlib.import_module("wtal_fast.compat.nms_1d_cpu")
    raise AttributeError(f"module 'wtal_fast.compat' has no attribute '{name}'")


def __dir__():
    return sorted(__all__)
