"""What the build must hold: no code of one instruction set in another, no register spills, stable ABI only."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from python_tests.conftest import ROOT, require
from wtal_fast.ops import _library

SETUP = runpy.run_path(str(ROOT / "setup.py"), run_name="setup")
TORCH = Path(torch.__file__).parent
CSRC = ROOT / "csrc"
ISA_SOURCES = sorted((CSRC / "cpu/isa").glob("*.cpp"))
CUDA_SOURCES = sorted((CSRC / "cuda").glob("*.cu"))


def setup_says(**environment: str) -> subprocess.CompletedProcess:
    """setup.py decides which parts to build, and builds none."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("WTAL_", "CUDA_"))}
    command = [sys.executable, "setup.py", "--name"]
    return subprocess.run(command, cwd=ROOT, env=clean | environment, capture_output=True, text=True)


@pytest.mark.parametrize("source", ISA_SOURCES, ids=lambda path: path.stem)
@pytest.mark.parametrize("isa", SETUP["ISA_FLAGS"])
def test_no_instruction_set_leaks(source, isa, tmp_path):
    """The linker keeps one copy of a weak function: compiled for AVX-512, it would run on machines without."""
    compiler, symbols = shutil.which("g++"), shutil.which("nm")
    require("native", compiler and symbols, "g++ and nm are not installed")
    flags = [*SETUP["CXX_FLAGS"], *SETUP["ISA_FLAGS"][isa], f"-DWTAL_ISA={isa}", f"-I{CSRC}", "-fPIC"]
    target = tmp_path / "kernel.o"
    subprocess.run([compiler, *flags, "-c", source, "-o", target], check=True)
    table = subprocess.run([symbols, "--demangle", target], check=True, capture_output=True, text=True).stdout
    kinds = [line[17:].split(" ", 1) for line in table.splitlines()]
    assert [name for kind, name in kinds if kind in "WVu"] == []
    assert all(name.startswith(f"wtal::{isa}::") for kind, name in kinds if kind == "T")


@pytest.mark.parametrize("source", CUDA_SOURCES, ids=lambda path: path.stem)
@pytest.mark.slow
def test_no_register_spills(source, tmp_path):
    """Every kernel, on every architecture: one that spills waits for memory in its inner loop."""
    cuda, why = SETUP["cuda_folder"]()
    require("nvcc", cuda, why)
    architectures = ["80", "90", "100"]
    codes = [f"-gencode=arch=compute_{number},code=sm_{number}" for number in architectures]
    flags = [*SETUP["NVCC_FLAGS"], "-Xptxas", "-v", *codes, "-DTORCH_TARGET_VERSION=0x020b000000000000",
             "-DTORCH_STABLE_ONLY", f"-I{CSRC}", f"-I{TORCH}/include"]
    command = [cuda / "bin/nvcc", *flags, "-c", source, "-o", tmp_path / "kernel.o"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kernels = re.findall(r"Compiling entry function '(\w+)' for 'sm_(\d+)'", done.stderr)
    spills = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", done.stderr)
    assert {number for _, number in kernels} == set(architectures)
    assert len(spills) >= len(kernels) and set(spills) == {("0", "0", "0")}


def test_only_stable_headers():
    """Of torch, only what its stable ABI covers: anything else ties the binary to one torch."""
    allowed = re.compile(r"torch/(csrc/stable|headeronly|csrc/inductor/aoti_torch/c)/")
    wrong = []
    for path in CSRC.rglob("*.*"):
        for name in re.findall(r'#include [<"]([^>"]+)', path.read_text(encoding="utf-8")):
            if name.startswith(("torch/", "ATen/", "c10/", "caffe2/")) and not allowed.match(name):
                wrong.append(f"{path.relative_to(ROOT)}: {name}")
            if name.startswith("torch/") and path.parent.name in ("core", "numpy", "isa"):
                wrong.append(f"{path.relative_to(ROOT)} is free of torch: {name}")
    assert wrong == []


@pytest.mark.parametrize("name", ["_C_cpu", "_C_cuda"])
def test_symbols_of_the_built_library(name):
    """Of libtorch only C functions, none of Python; libtorch.so itself is asked for, which brings in CUDA's part."""
    path = next((ROOT / "wtal_fast").glob(f"{name}*.so"), None)
    require("native" if name == "_C_cpu" else "nvcc", path and shutil.which("readelf"), f"{name} is not built")
    symbols = subprocess.run(["nm", "-D", "--undefined-only", path], check=True, capture_output=True, text=True).stdout
    names = [line.split()[-1] for line in symbols.splitlines()]
    foreign = re.compile("_?Py|_ZNK?(2at|3c10|5torch)")
    assert [symbol for symbol in names if foreign.match(symbol)] == []
    assert any(symbol.startswith("aoti_torch_") for symbol in names)
    needed = subprocess.run(["readelf", "-d", path], check=True, capture_output=True, text=True).stdout
    assert "[libtorch.so]" in needed and "libcudart" not in needed


def test_one_target_version():
    """The oldest torch of the binaries is that of the metadata."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f"torch>={'.'.join(map(str, SETUP['OLDEST_TORCH']))}" in text


def test_a_part_asked_for_and_absent_is_an_error(tmp_path):
    done = setup_says(WTAL_CUDA="1", CUDA_HOME=str(tmp_path))
    assert done.returncode == 1
    assert f"WTAL_CUDA=1 asks for the CUDA kernels, but no nvcc with its headers in {tmp_path}" in done.stderr
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/nvcc").touch()  # a compiler without headers
    assert setup_says(WTAL_CUDA="1", CUDA_HOME=str(tmp_path)).returncode == 1


def test_a_part_not_asked_for_is_left_out_in_words(tmp_path):
    done = setup_says(CUDA_HOME=str(tmp_path))
    assert done.returncode == 0 and "the CUDA kernels left out: " in done.stderr
    done = setup_says(WTAL_NATIVE="0", WTAL_CUDA="0")
    assert done.returncode == 0 and "the CPU kernels left out: WTAL_NATIVE=0" in done.stderr
    assert "WTAL_CUDA must be 0, 1 or auto, got yes" in setup_says(WTAL_CUDA="yes").stderr


def test_the_library_is_no_older_than_its_sources():
    """A stale library would be tested in place of the sources."""
    library, why = _library.library("_C_cpu")
    require("native", library, why)
    built = Path(library._name).stat().st_mtime
    sources = [path for folder in ("core", "cpu") for path in (CSRC / folder).rglob("*.*")] + list(CSRC.glob("*.h"))
    assert [str(path.relative_to(ROOT)) for path in sources if path.stat().st_mtime > built] == []
