"""Where and when a result was measured."""

from __future__ import annotations

import ctypes
import datetime
import os
import platform
import subprocess
from pathlib import Path

import torch


def describe() -> dict:
    """Processor or GPU, threads, versions, date and commit, for the head of a result file."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return {"device": device, "threads": torch.get_num_threads(), "cores": os.cpu_count(), "torch": torch.__version__,
            "python": platform.python_version(), "date": datetime.date.today().isoformat(), "commit": _commit()}


def has_amx() -> bool:
    """Whether this processor multiplies bfloat16 tiles, which the bf16 targets of CPUs assume."""
    return Path("/proc/cpuinfo").is_file() and " amx_bf16" in Path("/proc/cpuinfo").read_text()


def resident_bytes(kind: str) -> int:
    """Memory of this process: "RssAnon" now, "VmHWM" the most since the process began or reset_peak was called."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return 1024 * int(line.split()[1])
    raise LookupError(f"/proc/self/status has no {kind}")


def reset_peak() -> None:
    """Makes VmHWM start again from what the process holds now."""
    Path("/proc/self/clear_refs").write_text("5")


def return_free_memory() -> None:
    """Gives the freed blocks that the C library holds for later back to the system, where it can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    folder = Path(__file__).parent
    result = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=folder, capture_output=True, text=True)
    return result.stdout.strip() or "unknown"
