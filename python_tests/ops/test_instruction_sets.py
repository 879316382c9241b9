"""CPU kernels compiled per instruction set give the same bits on every level, each in a process of its own."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
import sys

import pytest

from python_tests.conftest import ROOT, require
from wtal_fast.ops import _library

NATIVE, WHY_NOT = _library.library("_C_cpu")
LEVELS = ("baseline", "avx2", "avx512")
RESULTS = r'''
import hashlib, json, torch
from wtal_fast import _numpy, ops
from wtal_fast.ops import _library

torch.manual_seed(0)
draw = torch.Generator().manual_seed(0)
results = {}

def segments(count, seconds=60.0):
    start = torch.rand(count, generator=draw, dtype=torch.float64) * seconds
    return torch.stack([start, start + torch.rand(count, generator=draw, dtype=torch.float64) * 9], 1)

x = torch.randn(3, 700, 21, requires_grad=True)
mean = ops.topk_mean(x, 80)
results["topk_mean"] = (mean, *torch.autograd.grad(mean, x, torch.randn(3, 21)))

for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
    results[f"temporal_iou {dtype}"] = ops.temporal_iou(segments(33).to(dtype), segments(101).to(dtype)),

scores, groups = torch.rand(900, generator=draw, dtype=torch.float64), torch.arange(900) // 500
results["temporal_nms"] = ops.temporal_nms(segments(900), scores, 0.3, groups),
for method in ("linear", "gaussian"):
    for size in (20, 500, 900):
        results[f"soft_temporal_nms {method} {size}"] = ops.soft_temporal_nms(
            segments(900), scores, 0.3, torch.arange(900) // size, method=method, min_score=0.01)

found, truth = torch.randint(60, (2000,), generator=draw), torch.randint(60, (700,), generator=draw)
detections, instances = segments(2000, 30), segments(700, 30)
ranks, thresholds = torch.rand(2000, generator=draw), torch.tensor([0.1, 0.3, 0.5, 0.9])
results["average_precision"] = ops.average_precision(detections, ranks, found, instances, truth, 4, thresholds),

groups, kinds = torch.arange(900) // 70, ("linear", "gaussian")
crowd = [tensor.numpy() for tensor in (segments(900), scores, groups)]
arrays = {
    "numpy temporal_iou": [_numpy.temporal_iou(crowd[0], detections.numpy())],
    "numpy temporal_nms": [_numpy.temporal_nms(*crowd, 0.3, 1.0)],
    "numpy soft_temporal_nms": [part for kind in kinds
                                for part in _numpy.soft_temporal_nms(*crowd, 0.3, 0.0, kind, 0.5, 0.01)],
    "numpy average_precision": [_numpy.average_precision(detections.numpy(), ranks.numpy(), found.numpy() % 8,
                                                         instances.numpy(), truth.numpy() % 8, 2, thresholds.numpy())]}
results |= {name: [torch.from_numpy(array) for array in parts] for name, parts in arrays.items()}

cas = torch.rand(6, 300, generator=draw)
lengths, levels = torch.tensor([300, 1, 2, 250, 90, 33]), torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
results["propose"] = ops.propose(cas[:, :, None], levels, torch.ones(6, 1, dtype=torch.bool), lengths)
for resize, counts in (("stpn", lengths * 24), ("half_pixel", lengths * 7 + 3), ("none", lengths)):
    results[f"propose_resampled {resize}"] = ops.propose_resampled(
        cas, lengths, counts, torch.ones(6).double(), levels, resize, gate=cas.flip(0), gate_thresholds=levels[2:5])

def digest(tensors):
    parts = [tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes() for tensor in tensors]
    return hashlib.sha256(b"|".join(parts)).hexdigest()

print(json.dumps({"level": _library.build_report()["instruction set"], **{k: digest(v) for k, v in results.items()}}))
'''


@functools.cache
def results_on(level: str) -> dict[str, str]:
    """The level that ran, and a digest of each op's results."""
    environment = {key: value for key, value in os.environ.items() if key != "WTAL_FAST_BACKEND"}
    done = subprocess.run([sys.executable, "-c", RESULTS], cwd=ROOT, env=environment | {"WTAL_ISA": level},
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("level", LEVELS[1:])
def test_instruction_sets_agree(level):
    require("native", NATIVE, WHY_NOT)
    require("native", importlib.util.find_spec("wtal_fast._numpy"), "wtal_fast._numpy is not built")
    lowest, results = dict(results_on("baseline")), dict(results_on(level))
    assert lowest.pop("level") == "baseline"
    assert results.pop("level") in LEVELS[:LEVELS.index(level) + 1]  # as far as this machine goes
    assert results == lowest and len(set(results.values())) == len(results)
