"""The host reads nothing of a GPU before the kernels of an op run. Shown on fake CUDA tensors, which hold no values."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._python_dispatch import TorchDispatchMode

from wtal_fast import ops

aten = torch.ops.aten
WAITS = {aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten.equal.default,
         aten.unique_consecutive.default, aten._unique2.default, aten.bincount.default}


class NoReads(TorchDispatchMode):
    """Raises where the host would wait for a GPU, and counts the kernels of ours."""

    def __init__(self):
        super().__init__()
        self.ours = 0

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        named = named or {}
        if function in WAITS and any(isinstance(value, torch.Tensor) and value.is_cuda for value in arguments):
            raise AssertionError(f"the host reads: {function}")
        target = named.get("device")
        if function is aten._to_copy.default and target is not None and not named.get("non_blocking"):
            if (target.type == "cuda") != arguments[0].is_cuda:
                raise AssertionError(f"the host waits for a copy from {arguments[0].device} to {target}")
        self.ours += function.namespace == "wtal_fast"
        return function(*arguments, **named)


@pytest.fixture
def given():
    """Arguments of every op on a GPU."""
    with FakeTensorMode(shape_env=ShapeEnv(allow_dynamic_output_shape_ops=True)), NoReads() as mode:
        yield {
            "segments": torch.rand(9, 2, device="cuda"), "scores": torch.rand(9, device="cuda"),
            "groups": torch.zeros(9, dtype=torch.int64, device="cuda"), "cas": torch.rand(2, 30, 3, device="cuda"),
            "levels": torch.rand(4, device="cuda"), "mask": torch.ones(2, 3, dtype=torch.bool, device="cuda"),
            "rows": torch.rand(3, 30, device="cuda"), "counts": torch.ones(3, dtype=torch.int64, device="cuda")}
        assert mode.ours == 1


CALLS = {
    "temporal_iou": lambda g: ops.temporal_iou(g["segments"], g["segments"]),
    "temporal_nms": lambda g: ops.temporal_nms(g["segments"], g["scores"], 0.5, g["groups"]),
    "temporal_nms_padded": lambda g: ops.temporal_nms_padded(g["segments"], g["scores"], 0.5, g["groups"]),
    "soft_temporal_nms": lambda g: ops.soft_temporal_nms(g["segments"], g["scores"], 0.5, g["groups"]),
    "soft_temporal_nms_padded": lambda g: ops.soft_temporal_nms_padded(g["segments"], g["scores"], 0.5, g["groups"]),
    "propose": lambda g: ops.propose(g["cas"], g["levels"], g["mask"]),
    "propose with a gate": lambda g: ops.propose(g["cas"], g["levels"], g["mask"], gate=g["cas"].select(2, 0)),
    "propose_padded": lambda g: ops.propose_padded(g["cas"], g["levels"], g["mask"], 50),
    "propose_resampled": lambda g: ops.propose_resampled(
        g["rows"], g["counts"], g["counts"], g["counts"].double(), g["levels"], "stpn", g["rows"], g["levels"],
        max_count=90),
    "propose_resampled_padded": lambda g: ops.propose_resampled_padded(
        g["rows"], g["counts"], g["counts"], g["counts"].double(), g["levels"], "half_pixel", 50, 90),
    "average_precision": lambda g: ops.average_precision(
        g["segments"], g["scores"], g["groups"], g["segments"], g["groups"], 2, g["levels"]),
    "average_precision, thresholds of the host": lambda g: ops.average_precision(
        g["segments"], g["scores"], g["groups"], g["segments"], g["groups"], 2, [0.5, 0.7], validate=False),
}


@pytest.mark.parametrize("name", CALLS)
def test_no_op_reads_before_its_kernels(given, name):
    """What a kernel itself hands to the host is said in its docstring: one number, or none where it is padded."""
    CALLS[name](given)


def test_a_read_is_seen(given):
    scores = given["scores"]
    reads = (lambda: bool((scores > 0).all()), lambda: aten._to_copy(scores, device=torch.device("cpu")),
             lambda: aten._to_copy(torch.rand(3), device=scores.device))
    for read in reads:
        with pytest.raises(AssertionError, match="the host"):
            read()
    CALLS["temporal_iou"](given)
