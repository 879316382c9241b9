"""Backends: what is chosen is what runs, what is missing is said, and Triton's kernels in a process of their own."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import json
import os
import pkgutil
import subprocess
import sys
import warnings

import pytest
import torch

from python_tests.conftest import ROOT, require
from wtal_fast import ops
from wtal_fast.ops import _library, use_backend

NATIVE, WHY_NOT = _library.library("_C_cpu")


def in_a_process(code: str, **environment: str) -> subprocess.CompletedProcess:
    ours = ("WTAL_FAST_BACKEND", "WTAL_ISA", "TRITON_INTERPRET")
    environment = {key: value for key, value in os.environ.items() if key not in ours} | environment
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture
def native():
    require("native", NATIVE, WHY_NOT)


@pytest.fixture
def calls_of_the_reference(monkeypatch):
    """How often the reference of topk_mean has run, counted in the reference itself."""
    module = importlib.import_module("wtal_fast.ops.topk_mean")
    counted = []
    rank = module._rank
    monkeypatch.setattr(module, "_rank", lambda *inputs: counted.append(1) or rank(*inputs))
    return counted


def test_the_reference_runs_where_it_is_chosen(calls_of_the_reference):
    with use_backend("reference"):
        assert _library.backend_of("topk_mean") == "reference"
        ops.topk_mean(torch.randn(1, 4, 1), 2)
    assert len(calls_of_the_reference) == 1


def test_a_built_kernel_runs(native, calls_of_the_reference):
    scores = torch.randn(1, 4, 1, requires_grad=True)
    ops.topk_mean(scores, 2).sum().backward()
    assert calls_of_the_reference == []
    assert _library.backend_of("topk_mean") == _library.backend_of("topk_mean_backward") == "native"


def test_every_registered_kernel_runs(native):
    """Each op of the compiled library is one the dispatcher gives to it: no name with a typing error."""
    names = {line.split("::")[1] for line in torch._C._dispatch_get_registrations_for_dispatch_key("CPU")
             if line.startswith("wtal_fast::")}
    assert {"topk_mean", "topk_mean_backward"} <= names
    assert {name: _library.backend_of(name) for name in names} == dict.fromkeys(names, "native")


def test_blocks_nest_and_end(native):
    with use_backend("reference"):
        with use_backend("native"):
            assert _library.backend_of("topk_mean") == "native"
            with pytest.raises(ZeroDivisionError), use_backend("reference"):
                raise ZeroDivisionError
            assert _library.backend_of("topk_mean") == "native"
        assert _library.backend_of("topk_mean") == "reference"
    assert _library.backend_of("topk_mean") == "native"


def test_an_unknown_backend_changes_nothing():
    before = _library.backend_of("topk_mean")
    with pytest.raises(ValueError, match="backend must be one of reference, native, triton, got 'cuda'"):
        with use_backend("cuda"):
            pass
    assert _library.backend_of("topk_mean") == before
    with pytest.raises(ValueError, match="no op 'topk'; known: .*topk_mean"):
        _library.backend_of("topk")


def test_triton_fills_the_gaps_of_cuda(monkeypatch):
    """On a machine with a GPU: nothing is compiled before an op runs, and CPU tensors keep their kernels."""
    require("triton", importlib.util.find_spec("triton"), "triton is not installed")
    on_cpu = {op: _library.backend_of(op) for op in _library._references}
    with monkeypatch.context() as gpu:
        gpu.setattr(torch.cuda, "is_available", lambda: True)
        _library._activate("")
        for op in ("branch_combine", "branch_combine_backward", "affinity_columns", "local_affinity_backward"):
            assert _library.backend_of(op, "cuda") == "triton", op
        assert _library.backend_of("two_branch_conv1d", "cuda") == "reference"  # products, by the library of the device
        assert {op: _library.backend_of(op) for op in _library._references} == on_cpu
    _library._activate("")
    assert _library.backend_of("branch_combine", "cuda") == "reference"


def test_triton_kernels_on_demand_are_those_of_the_modules():
    require("triton", importlib.util.find_spec("triton"), "triton is not installed")
    from wtal_fast.ops import triton

    assert triton.kernels_on_demand().keys() == triton.kernels().keys()


def test_choosing_warns_of_nothing(native):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with use_backend("reference"):
            pass


def test_process_backend(native):
    code = "import wtal_fast.ops as o; from wtal_fast.ops import _library as l; print(l.backend_of('topk_mean'))"
    assert in_a_process(code, WTAL_FAST_BACKEND="reference").stdout == "reference\n"
    assert in_a_process(code, WTAL_FAST_BACKEND="native").stdout == "native\n"
    assert "got 'fast'" in in_a_process(code, WTAL_FAST_BACKEND="fast").stderr


def test_a_backend_asked_for_and_absent_is_an_error():
    code = ("from wtal_fast.ops import _library as l\n"
            "l._libraries = {name: (None, 'not here') for name in l._libraries}\n"
            "l._activate('native')")
    assert "RuntimeError: backend 'native': _C_cpu: not here; _C_cuda: not here" in in_a_process(code).stderr


@pytest.mark.parametrize("content", [b"", b"not a library"])
def test_a_library_that_does_not_load_is_a_reason(tmp_path, monkeypatch, content):
    monkeypatch.setattr(_library, "PACKAGE", tmp_path)
    (tmp_path / "_C_cpu.abi3.so").write_bytes(content)
    library, why = _library._load("_C_cpu")
    assert library is None and why.startswith("_C_cpu.abi3.so does not load: ")


def test_a_library_that_is_not_built_is_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(_library, "PACKAGE", tmp_path)
    assert _library._load("_C_cpu") == (
        None, "not built; install with: pip install --no-build-isolation . (needs torch, a C++ compiler)")


def test_report():
    report = _library.build_report()
    json.dumps(report)
    assert report["torch"] == torch.__version__
    assert report["ops"]["topk_mean"]["cpu"] == _library.backend_of("topk_mean", "cpu")
    assert set(report["ops"]["topk_mean"]) == {"cpu", "cuda"}
    with use_backend("reference"):
        assert set(_library.build_report()["ops"]["topk_mean"].values()) == {"reference"}


def triton_ops() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules([str(ROOT / "wtal_fast/ops/triton")]))


@pytest.mark.parametrize("op", triton_ops())
def test_triton_interpreter(op):
    """The op's tests on its Triton kernels: Triton reads the setting when it is imported, hence another process."""
    require("triton", importlib.util.find_spec("triton"), "triton is not installed")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"python_tests/ops/test_{op}.py"]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
    assert int(done.stdout.rpartition(" passed")[0].split()[-1]) > 20


def test_the_cuda_library_is_not_loaded_without_cuda(monkeypatch, tmp_path):
    monkeypatch.setattr(_library, "PACKAGE", tmp_path)
    (tmp_path / "_C_cuda.abi3.so").write_bytes(b"")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert _library._load("_C_cuda") == (None, f"torch {torch.__version__} has no CUDA")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    library, why = _library._load("_C_cuda")
    assert library is None and "does not load" in why


def test_the_library_answers_ctypes(native):
    NATIVE.wtal_fast_isa.restype = ctypes.c_char_p
    assert NATIVE.wtal_fast_isa().decode() in ("baseline", "avx2", "avx512")
