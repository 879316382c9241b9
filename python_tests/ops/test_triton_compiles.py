"""Triton's kernels compile for GPUs, without one, and keep what they need in registers."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess

import pytest

from python_tests.conftest import require

pytestmark = pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1",
                                reason="triton: interpreted functions are not compiled")

# kernel of an op -> types of its run-time arguments, compile-time arguments at the widths of the papers. "number" is
# the type of the tensors, "bits" the integer of its size, "wide" what sums are kept in.
SIGNATURES = {
    ("topk_mean", "_forward"): (
        "*bits *i64 *i64 *wide *i64 i32 i64 i64 i64", {"DTYPE": "number", "LARGEST": True, "BLOCK": 1024}),
    ("topk_mean", "_backward"): (
        "*bits *bits *i64 *bits *i64 *bits i32 i32 i64 i64 i64 i64 i64 i64",
        {"DTYPE": "number", "LARGEST": True, "BLOCK_TIME": 64, "BLOCK_CHANNELS": 32}),
    ("affinity_columns", "_columns"): (
        "*number *number *number i32 i32", {"TAPS": 3, "OFFICIAL": True, "WIDE": "wide", "BLOCK": 1024}),
    ("affinity_columns", "_columns_backward"): (
        "*number *number *number *number *wide i32 i32", {"TAPS": 3, "OFFICIAL": True, "WIDE": "wide", "BLOCK": 1024}),
    ("branch_combine", "_combine"): (
        "*number *number *number *number *number i32 i32 i32 fp32",
        {"GROUPS": 3, "TAPS": 3, "OFFICIAL": True, "WIDE": "wide", "BLOCK": 1024}),
    ("branch_combine", "_combine_backward"): (
        "*number *number *number *number *number *number *wide *number i32 i32 i32 fp32",
        {"GROUPS": 3, "TAPS": 3, "OFFICIAL": True, "WIDE": "wide", "BLOCK": 1024}),
    ("local_affinity", "_forward"): (
        "*number *number i32 i32", {"TAPS": 3, "SMALLEST": 1e-8, "WIDE": "wide", "BLOCK": 32}),
    ("local_affinity", "_backward"): (
        "*number *number *number i32 i32", {"TAPS": 3, "SMALLEST": 1e-8, "WIDE": "wide", "BLOCK": 32}),
    ("topk_select_mean", "_forward"): (
        "*number *i64 *i64 *number i32 i32", {"WIDE": "wide", "BLOCK_TIME": 32, "BLOCK_CHANNELS": 128}),
    ("topk_select_mean", "_backward"): ("*number *number *number i32 i32", {"WIDE": "wide", "BLOCK": 1024}),
}
NAMES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
ARCHITECTURES = (80, 90, 100)


def compile_for(op: str, kernel: str, number: str, architecture: int):
    """The kernel on tensors of type `number`, as PTX and as a binary."""
    require("triton", importlib.util.find_spec("triton"), "triton is not installed")
    import triton
    from triton.backends.compiler import GPUTarget

    function = getattr(importlib.import_module(f"wtal_fast.ops.triton.{op}"), kernel)
    types, constants = SIGNATURES[op, kernel]
    meant = {"number": NAMES[number], "wide": triton.language.float32}
    constants = {name: meant[value] if isinstance(value, str) else value for name, value in constants.items()}
    for word, kind in (("number", number), ("bits", "i32" if number == "fp32" else "i16"), ("wide", "fp32")):
        types = types.replace(word, kind)
    names = [name for name in function.arg_names if name not in constants]
    signature = dict(zip(names, types.split(), strict=True)) | dict.fromkeys(constants, "constexpr")
    source = triton.compiler.ASTSource(function, signature, constexprs=constants)
    return triton.compile(source, target=GPUTarget("cuda", architecture, 32)).asm


def report_of_ptxas(ptx: str, architecture: int, folder) -> str:
    """What Triton's own assembler says of registers and spills."""
    from triton import knobs

    assembler = knobs.nvidia.ptxas_blackwell if architecture >= 100 else knobs.nvidia.ptxas
    (folder / "kernel.ptx").write_text(ptx)
    target = re.search(r"\.target (\w+)", ptx)[1]
    command = [assembler.path, "-v", f"--gpu-name={target}", folder / "kernel.ptx", "-o", folder / "kernel.cubin"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr


@pytest.mark.parametrize("op, kernel", SIGNATURES)
def test_compiles_for_an_h100(op, kernel):
    asm = compile_for(op, kernel, "bf16", 90)
    assert len(asm["cubin"]) > 1000 and ".target sm_90" in asm["ptx"]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("number", NAMES)
@pytest.mark.parametrize("op, kernel", SIGNATURES)
def test_no_register_spills(op, kernel, number, architecture, tmp_path):
    asm = compile_for(op, kernel, number, architecture)
    assert len(asm["cubin"]) > 1000 and f".target sm_{architecture}" in asm["ptx"]
    report = report_of_ptxas(asm["ptx"], architecture, tmp_path)
    assert re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", report) == [
        ("0", "0", "0")], report
