"""Whether the features of a data set are held in memory or stay on disk and are read when a batch needs them."""

from __future__ import annotations

import os
from pathlib import Path

SHARE = 0.5  # of the memory that is free: the network's activations and the other subset need the rest
_GROUP = Path("/sys/fs/cgroup")


def stays_on_disk(resident: str, num_bytes: int) -> bool:
    """The rule of data.resident for features of num_bytes as float32: "memory" never, "mapped" always, "auto" where the
    copies of all processes that torchrun started here would take more than half of the memory that is free now."""
    if resident != "auto":
        return resident == "mapped"
    copies = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return num_bytes * copies > SHARE * available_bytes()


def available_bytes() -> int:
    """Memory that this machine, or the control group of this process, can still give; page cache counts as free."""
    try:
        rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(rows["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return min(free, _group_bytes(_GROUP))


def _group_bytes(group: Path) -> float:
    """What a control group (version 2) leaves below its limit; infinity where it has none."""
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        rows = dict(line.split(" ", 1) for line in (group / "memory.stat").read_text().splitlines())
        return max(0, limit - used + int(rows.get("inactive_file", 0)))
    except (OSError, ValueError):  # no such files, or the limit "max"
        return float("inf")
