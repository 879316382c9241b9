"""Every op and one training step of each method once, on small shapes: what a memory checker is run on."""

from __future__ import annotations

import torch

from bench.gpu.cases import calls
from bench.gpu.part import main
from bench.training import METHODS, Shape, our_step, random_batch


def measure(device: str, size: str) -> dict:
    """Names of what ran; an error ends it."""
    done = []
    for _, of_op in calls(device, "tiny"):
        for call in of_op():
            call.ours()
            done.append(call.name)
    shape = Shape(2, 24, 16, 16, 3)
    for method in METHODS:
        our_step(method, random_batch(shape, device), shape)()
        done.append(f"training step of {method}")
    if device == "cuda":
        torch.cuda.synchronize()
    return {"ran": done}


if __name__ == "__main__":
    main(measure, __doc__)
