"""The op tests on CPU kernels and a NumPy module built with AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from python_tests.conftest import ROOT, require

FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -D_GLIBCXX_ASSERTIONS"
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=1:strict_init_order=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "WTAL_EXAMPLES": "10", "WTAL_REQUIRE": "native", "OMP_NUM_THREADS": "2",
}
TESTS = ["python_tests/ops", "python_tests/evaluation/test_average_precision.py",
         "python_tests/evaluation/test_suppression.py"]
# Compilers and second processes know nothing of the sanitizers; others need no kernel of the CPU; opcheck repeats the
# same calls; and the kernels of two layers, affinity_columns and branch_combine, have tests of their own.
LEFT_OUT = " and ".join(f"not {word}" for word in (
    "compiles", "cuda", "sanitizers", "test_build", "test_library", "triton", "gpu", "host_reads", "reference-",
    "reference]", "opcheck", "registration", "test_affinity_conv1d", "test_two_branch_conv1d"))



def copied(folder):
    """The tracked and new files of the project in `folder`."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True,
                            text=True).stdout.split()
    for name in listed:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


def built(folder) -> None:
    """Compiles both parts in place; with -O1, which instruments the same accesses in a fraction of the time."""
    setup = folder / "setup.py"
    text = setup.read_text(encoding="utf-8")
    assert text.count('"-O3"') == 1
    setup.write_text(text.replace('"-O3"', '"-O1"'), encoding="utf-8")
    environment = os.environ | {"CFLAGS": FLAGS, "CXXFLAGS": FLAGS, "LDFLAGS": FLAGS, "WTAL_NATIVE": "1",
                                "WTAL_CUDA": "0"}
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def run(folder, *words) -> subprocess.CompletedProcess:
    """Python in `folder` with the sanitizers' libraries loaded first; without libstdc++ there, exceptions end it."""
    libraries = [subprocess.run(["g++", f"-print-file-name={name}"], check=True, capture_output=True, text=True).stdout
                 for name in ("libasan.so", "libubsan.so", "libstdc++.so")]
    environment = os.environ | OPTIONS | {"LD_PRELOAD": " ".join(map(str.strip, libraries)), "PYTHONPATH": str(folder)}
    return subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    require("native", shutil.which("g++"), "g++ is not installed")
    folder = copied(tmp_path_factory.mktemp("sanitized"))
    built(folder)
    return folder


@pytest.mark.slow
def test_ops_under_sanitizers(sanitized):
    done = run(sanitized, "-m", "pytest", "-q", "-x", "-s", "-p", "no:xdist", "-p", "no:cacheprovider",
               "--benchmark-disable", *TESTS, "-k", LEFT_OUT)
    assert done.returncode == 0, (done.stdout[-3000:], done.stderr[-6000:])
    assert int(done.stdout.rpartition(" passed")[0].split()[-1]) > 500, done.stdout[-300:]


BEYOND = """
import ctypes
import torch
from wtal_fast import ops
library = ctypes.CDLL(None)
library.calloc.restype = ctypes.c_void_p
cas = torch.frombuffer((ctypes.c_double * 40).from_address(library.calloc({present}, 8)), dtype=torch.float64)
cas[:39] = 0.5
ops.propose(cas.view(1, 40, 1), torch.tensor([0.25]), torch.ones(1, 1, dtype=torch.bool))
"""


@pytest.mark.slow
@pytest.mark.parametrize("present", [40, 39])
def test_a_read_beyond_memory_is_found(sanitized, present):
    """A sequence of 40 samples of which one lies behind the memory that was asked for."""
    done = run(sanitized, "-c", BEYOND.format(present=present))
    if present == 40:
        assert done.returncode == 0, done.stderr[-3000:]
    else:
        assert done.returncode != 0 and "heap-buffer-overflow" in done.stderr and "_C_cpu" in done.stderr
