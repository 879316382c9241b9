"""One row of a benchmark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One call of ours and those it is compared with; all return the same tensors, within the tolerance."""

    name: str
    ours: Callable[[], object]
    baselines: dict[str, list[Callable[[], object]]]  # several spellings of one baseline: the fastest counts
    tolerance: dict[str, float]
    targets: dict[str, float]  # ratio to reach, by baseline
