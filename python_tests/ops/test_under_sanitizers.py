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
# Compilers and second processes know nothing of the sanitizers; what is left out needs no kernel.
LEFT_OUT = "not compiles and not cuda and not sanitizers and not test_build and not test_library and not triton"


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
    """Compiles both parts in place."""
    environment = os.environ | {"CFLAGS": FLAGS, "CXXFLAGS": FLAGS, "LDFLAGS": FLAGS, "WTAL_NATIVE": "1",
                                "WTAL_CUDA": "0"}
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def run_tests(folder, *words: str) -> subprocess.CompletedProcess:
    """pytest in `folder` with the sanitizers' libraries loaded first; without libstdc++ there, exceptions end it."""
    libraries = [subprocess.run(["g++", f"-print-file-name={name}"], check=True, capture_output=True, text=True).stdout
                 for name in ("libasan.so", "libubsan.so", "libstdc++.so")]
    environment = os.environ | OPTIONS | {"LD_PRELOAD": " ".join(map(str.strip, libraries))}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-s", "-p", "no:xdist", "-p", "no:cacheprovider",
               "--benchmark-disable", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    require("native", shutil.which("g++"), "g++ is not installed")
    folder = copied(tmp_path_factory.mktemp("sanitized"))
    built(folder)
    return folder


@pytest.mark.slow
def test_ops_under_sanitizers(sanitized):
    done = run_tests(sanitized, *TESTS, "-k", LEFT_OUT)
    assert done.returncode == 0, (done.stdout[-3000:], done.stderr[-6000:])
    assert int(done.stdout.rpartition(" passed")[0].split()[-1]) > 500, done.stdout[-300:]


@pytest.mark.slow
def test_an_overflow_in_a_kernel_is_found(sanitized, tmp_path):
    """One element past the end of a copied sequence, on purpose."""
    folder = tmp_path / "planted"
    shutil.copytree(sanitized, folder)
    source = folder / "csrc/cpu/propose.cpp"
    text = source.read_text(encoding="utf-8")
    loop = "for (int64_t j = 0; j < length; ++j) to[j] = "
    assert text.count(loop) == 1
    source.write_text(text.replace(loop, loop.replace("j < length", "j <= length")), encoding="utf-8")
    built(folder)
    done = run_tests(folder, "python_tests/ops/test_segment_ops.py", "-k", "Propose and independent")
    assert done.returncode != 0 and "heap-buffer-overflow" in done.stderr
