"""Which kernels the tests of an op run on."""

from __future__ import annotations

import importlib.util

import pytest

from python_tests.conftest import require


@pytest.fixture
def kernels():
    """Runs the test on the kernels this process tests: compiled ones, or Triton's; skips where they are not there."""
    from python_tests.ops.op_battery import TRITON
    from wtal_fast.ops import _library, use_backend

    if TRITON:
        require("triton", importlib.util.find_spec("triton"), "triton is not installed")
    else:
        library, why = _library.library("_C_cpu")
        require("native", library, why)
    with use_backend("triton" if TRITON else "native"):
        yield
