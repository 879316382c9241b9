"""All problems of an input in one error, instead of the first of many."""

from __future__ import annotations

import os

from wtal_fast.errors import InputError

MAX_LISTED = 20


class ProblemList:
    """Collects what is wrong with `source`; `raise_any` raises one InputError listing the first MAX_LISTED problems."""

    def __init__(self, source: str | os.PathLike):
        self.source = source
        self.count = 0
        self._listed: list[dict[str, str]] = []

    def add(self, where: str, *, expected: str, found: str, fix: str = "") -> None:
        self.count += 1
        if len(self._listed) < MAX_LISTED:
            self._listed.append({"where": where, "expected": expected, "found": found, "fix": fix})

    def listed(self) -> list[tuple[str, str]]:
        """(where, the rest in words) of the first MAX_LISTED problems."""
        return [(one["where"], " · ".join(part for part in (f"expected {one['expected']}", f"found {one['found']}",
                                                            one["fix"]) if part)) for one in self._listed]

    def raise_any(self) -> None:
        if self.count == 0:
            return
        if self.count == 1:
            raise InputError(self.source, **self._listed[0])
        lines = [" · ".join(part for part in (problem["where"], f"expected {problem['expected']}",
                                              f"found {problem['found']}", problem["fix"]) if part)
                 for problem in self._listed]
        head = f"{self.count} problems" + (f", the first {MAX_LISTED} listed" if self.count > MAX_LISTED else "")
        raise InputError(self.source, head, expected="none", found="\n  ".join(["", *lines]).rstrip())
