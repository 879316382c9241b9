"""The ops of training on a GPU, compiled and in Triton, forward and backward: what their references give on the CPU."""

from __future__ import annotations

import contextlib
import importlib.util

import pytest
import torch

from python_tests.conftest import require
from python_tests.ops import (
    test_affinity_columns,
    test_branch_combine,
    test_local_affinity,
    test_topk_mean,
    test_topk_select_mean,
)
from python_tests.ops.op_battery import DTYPES, LAYOUTS, assert_equal, run
from python_tests.ops.test_segments_on_gpu import on_gpu
from python_tests.tolerances import FLOAT32_SUMS
from wtal_fast import ops
from wtal_fast.ops import _library, use_backend

pytestmark = pytest.mark.gpu

BATTERIES = {
    "topk_mean": test_topk_mean.TestTopkMean,
    "topk_select_mean": test_topk_select_mean.TestTopkSelectMean,
    "local_affinity": test_local_affinity.TestLocalAffinity,
    "affinity_columns": test_affinity_columns.TestAffinityColumns,
    "affinity_columns_backward": test_affinity_columns.TestAffinityColumnsBackward,
    "branch_combine": test_branch_combine.TestBranchCombine,
    "branch_combine_backward": test_branch_combine.TestBranchCombineBackward,
}


@pytest.fixture(params=["as installed", "triton"])
def backend(request):
    """What a user gets: compiled kernels where there are any, Triton's elsewhere; and Triton's for every op."""
    require("cuda", torch.cuda.is_available(), "no CUDA device")
    require("triton", importlib.util.find_spec("triton"), "triton is not installed")
    with use_backend("triton") if request.param == "triton" else contextlib.nullcontext():
        yield request.param


@pytest.mark.parametrize("name", BATTERIES)
def test_which_kernel_runs(backend, name):
    for op in BATTERIES[name].triton_kernels_of:
        compiled = backend == "as installed" and name == "topk_mean"
        assert _library.backend_of(op, "cuda") == ("native" if compiled else "triton"), op


@pytest.mark.parametrize("layout", ["contiguous", "every second", "misaligned"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", BATTERIES)
def test_equals_the_reference(backend, name, dtype, layout):
    battery = BATTERIES[name]()
    for sample in battery.samples():
        arguments, options = sample.to(dtype, LAYOUTS[layout])
        with use_backend("reference"):
            expected, expected_grads = run(battery.function, arguments, options, battery.differentiable)
        there = tuple(map(on_gpu, arguments)), {key: on_gpu(value) for key, value in options.items()}
        actual, grads = run(battery.function, *there, battery.differentiable)
        assert all(value.is_cuda for value in actual + grads)
        assert_equal([value.cpu() for value in actual + grads], expected + expected_grads, dtype, sample.name,
                     battery.tolerance)


def layer_inputs():
    draw = torch.Generator().manual_seed(0)
    x, weight, bias, affinity, foreground = (torch.randn(shape, generator=draw) for shape in (
        (2, 37, 24), (16, 24, 3), (16,), (2, 37, 3), (2, 37)))
    return x, weight / 9, bias, affinity.sigmoid(), foreground.sigmoid()


LAYERS = {
    "affinity_conv1d, paper": lambda x, weight, bias, affinity, _: ops.affinity_conv1d(x, affinity, weight, bias),
    "affinity_conv1d, official": lambda x, weight, bias, affinity, _: ops.affinity_conv1d(
        x, affinity, weight, bias, layout="official"),
    "two_branch_conv1d": lambda x, weight, bias, _, foreground: ops.two_branch_conv1d(x, foreground, weight, bias),
    "two_branch_conv1d, paper": lambda x, weight, bias, affinity, foreground: ops.two_branch_conv1d(
        x, foreground, weight, bias, affinity=affinity, layout="paper"),
    "leaky_dropout": lambda x, *_: ops.leaky_dropout(x, x > 0.5, 0.2, 2.0),
    "topk_mask": lambda x, *_: ops.topk_mask(x, 7) * x,
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_equal_those_of_the_cpu(backend, name):
    given = layer_inputs()
    outcome = []
    for arguments in (given, tuple(map(on_gpu, given))):
        results, grads = run(lambda *tensors: used(LAYERS[name], tensors), arguments, {}, True)
        outcome.append([value.cpu() for value in results + grads])
    for value, wanted in zip(*outcome, strict=True):
        torch.testing.assert_close(value, wanted, **FLOAT32_SUMS)


def used(layer, tensors) -> torch.Tensor:
    """The layer's result; every argument has a gradient, which is 0 where it is not read."""
    result = layer(*tensors)
    return torch.cat([part.flatten() for part in (result if isinstance(result, tuple) else [result])]) + sum(
        0 * tensor.sum() for tensor in tensors)
