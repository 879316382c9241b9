"""What a check found: defects of one kind are one finding, with how many there are and the first few."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

LEVELS = ("error", "warning", "note")  # stops training; may hurt results; good to know
MAX_EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """`count` defects of one kind. level: one of LEVELS. examples: where the first few are. fix: what to do."""

    level: str
    text: str
    count: int = 1
    examples: tuple[str, ...] = ()
    fix: str = ""

    def to_json(self) -> dict:
        """As a table of plain values."""
        return {"level": self.level, "text": self.text, "count": self.count, "examples": list(self.examples),
                "fix": self.fix}


@dataclass
class FindingList:
    """Collects findings; kinds that do not occur are not added."""

    found: list[Finding] = field(default_factory=list)

    def add(self, level: str, text: str, places: Iterable[str] | Sequence[str], fix: str = "") -> None:
        """A finding for each of `places`, if there are any."""
        places = list(places)
        if places:
            self.found.append(Finding(level, text, len(places), tuple(places[:MAX_EXAMPLES]), fix))

    def say(self, level: str, text: str, fix: str = "") -> None:
        """A finding about the whole."""
        self.found.append(Finding(level, text, 1, (), fix))

    def sorted(self) -> list[Finding]:
        """Errors first."""
        return sorted(self.found, key=lambda finding: LEVELS.index(finding.level))
