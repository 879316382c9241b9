"""What every test shares: the reference folder, the rule for skips, repeatable settings, poisoned memory."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch loads: two workers on two cores, and sums in one order

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[1]

# Everything a machine may lack. A test that needs one of these asks require(); no other skip is accepted in CI.
KINDS = {
    "shared": "reference annotations, features and outputs of the released code, in ../shared or WTAL_SHARED",
    "native": "compiled CPU kernels and the NumPy module",
    "triton": "the triton package",
    "chromium": "a headless browser",
    "cuda": "a CUDA device",
    "nvcc": "a CUDA compiler",
    "extra": "an optional dependency of the package",
}

hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.register_profile("random", deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("WTAL_HYPOTHESIS", "repeatable"))


def _required() -> set[str]:
    kinds = {kind for kind in os.environ.get("WTAL_REQUIRE", "").split(",") if kind}
    if unknown := kinds - KINDS.keys():
        raise pytest.UsageError(f"WTAL_REQUIRE names {sorted(unknown)}; known: {', '.join(KINDS)}")
    return kinds


def require(kind: str, available: object, why: str, *, module: bool = False) -> None:
    """Goes on where `available` is true. Else skips with `kind: why`, or fails where WTAL_REQUIRE names `kind`.

    Call it inside a test or fixture, or with module=True at the top of a test module.
    """
    if kind not in KINDS:
        raise ValueError(f"require: kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if available:
        return
    if kind in _required():
        pytest.fail(f"WTAL_REQUIRE asks for {kind}: {why}", pytrace=False)
    pytest.skip(f"{kind}: {why}", allow_module_level=module)


def shared_folder() -> Path | None:
    """The reference folder (WTAL_SHARED, else ../shared), or None where it is absent."""
    folder = Path(os.environ.get("WTAL_SHARED") or ROOT.parent / "shared")
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference folder; the test is skipped where it is absent."""
    folder = shared_folder()
    require("shared", folder, "no reference folder ../shared or WTAL_SHARED")
    return folder


@pytest.fixture(autouse=True)
def poisoned_memory():
    """Fills fresh tensors, those the C++ kernels allocate too, with NaN (integers: their largest value).

    A kernel that leaves an element of its output unwritten then fails every comparison instead of passing by luck.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def _reason(report) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


def _undeclared(terminalreporter) -> list[str]:
    """Skips that do not come from require()."""
    reasons = {_reason(report) for report in terminalreporter.stats.get("skipped", [])}
    return sorted(reason for reason in reasons if reason.partition(":")[0] not in KINDS)


def pytest_sessionfinish(session, exitstatus) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and exitstatus == 0 and _required() and _undeclared(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section("skipped, and why")
    counts = Counter((report.nodeid.partition("[")[0], _reason(report)) for report in skipped)
    for (test, reason), count in sorted(counts.items()):
        terminalreporter.line(f"{test} x{count}: {reason}" if count > 1 else f"{test}: {reason}")
    if _required() and (undeclared := _undeclared(terminalreporter)):
        terminalreporter.line(f"failed: skips that require() did not make: {undeclared}", red=True)
