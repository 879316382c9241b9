"""One row of a benchmark, and how large a run of it is wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

FLOOR = "bare matrix products of the same FLOPs"


class Unavailable(Exception):
    """Raised by a contender that cannot run here, with the reason; its row is skipped and says so."""


@dataclass(frozen=True)
class Plan:
    """size "tiny" only proves that a case runs, "quick" takes minutes in all, "full" has the shapes of the targets."""

    size: str = "full"
    device: str = "cpu"

    def pick(self, *, tiny, quick, full):
        """The one of the three for this size."""
        return {"tiny": tiny, "quick": quick, "full": full}[self.size]


@dataclass(frozen=True)
class Floor:
    """What no spelling of the case can beat: `share` times the time of the fastest of `calls`."""

    calls: list[Callable[[], object]]
    share: float
    name: str = FLOOR


@dataclass(frozen=True)
class Case:
    """One call of ours and those it is compared with; all return the same tensors, within the tolerance.

    checked, checked_baselines: what is compared instead of what is timed, where that is random (dropout, sampling).
    backends: further backends that ours is timed on. released: the row of reference_times that a baseline must not
    exceed by more than reference_times.ALLOWANCE, by baseline. judged: False for rows whose target holds on other
    machines only; they are printed all the same.
    """

    name: str
    ours: Callable[[], object]
    baselines: dict[str, list[Callable[[], object]]]  # several spellings of one baseline: the fastest counts
    tolerance: dict[str, float]
    targets: dict[str, float]  # ratio to reach, by baseline
    checked: Callable[[], object] | None = None
    checked_baselines: dict[str, Callable[[], object]] = field(default_factory=dict)
    backends: tuple[str, ...] = ()
    floor: Floor | None = None
    released: dict[str, str] = field(default_factory=dict)
    judged: bool = True


def compiled(function: Callable) -> Callable:
    """torch.compile of `function`; raises Unavailable at the first call where there is no compiler."""
    torch.compiler.reset()  # the cases before count towards the limit of recompilations, past which code runs eagerly
    compiled_function = torch.compile(function, dynamic=False)

    def call(*arguments, **named):
        try:
            return compiled_function(*arguments, **named)
        except Exception as error:
            if "compiler" in str(error).lower() or "triton" in str(error).lower():
                raise Unavailable(f"torch.compile: {str(error).splitlines()[0]}") from None
            raise

    return call
