"""The arithmetic of matrix products: float32, TF32 on the matrix units, or bfloat16 on float32 weights."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext

import torch


def autocast(device: torch.device, precision: str):
    """bfloat16 arithmetic on float32 weights for "bf16", nothing for the others."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


@contextmanager
def matrix_mode(precision: str):
    """Within the block float32 products on a CUDA device use TF32 (10 bits of mantissa) for "tf32" and full float32 for
    the others; PyTorch by itself gives convolutions TF32. A CPU computes "tf32" as float32."""
    backends = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    try:
        yield
    finally:
        for backend, mode in zip(backends, before, strict=True):
            backend.fp32_precision = mode
