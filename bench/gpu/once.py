"""Every op and one training step of each method once, on small shapes: what a memory checker is run on."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from bench.gpu.cases import calls
from bench.gpu.part import main
from bench.training import METHODS, Shape, our_step, random_batch


def measure(device: str, size: str) -> Iterator[dict]:
    """Names of what ran; an error ends it."""
    done = []
    for _, of_op in calls(device, "tiny"):
        for call in of_op():
            call.ours()
            done.append(call.name)
            yield {"ran": done}
    shape = Shape(2, 24, 16, 16, 3)
    for method in METHODS:
        our_step(method, random_batch(shape, device), shape)()
        done.append(f"training step of {method}")
    if device == "cuda":
        torch.cuda.synchronize()
    yield {"ran": done}


if __name__ == "__main__":
    main(measure, __doc__)
