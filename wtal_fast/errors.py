"""The one error a user sees for bad input."""

from __future__ import annotations

import functools
import os


class InputError(ValueError):
    """Bad input, said as `source · where · expected · found · what to do`.

    source: the file, folder, argument or command that holds the input.
    where: the key, row or video inside it ("" when the source as a whole is meant).
    expected, found: the rule and the actual value, in words.
    fix: what the user can do about it.
    The command line turns it into one message and exit code 2.
    """

    def __init__(self, source: str | os.PathLike, where: str = "", *, expected: str, found: str, fix: str = ""):
        self.source, self.where, self.expected, self.found, self.fix = str(source), where, expected, found, fix
        parts = [self.source, where, f"expected {expected}", f"found {found}", fix]
        super().__init__(" · ".join(part for part in parts if part))

    def __reduce__(self):
        """Lets a worker process hand the error to its parent."""
        words = {"expected": self.expected, "found": self.found, "fix": self.fix}
        return functools.partial(InputError, self.source, self.where, **words), ()


def nearest_name(name: str, known) -> str:
    """`did you mean 'x'?` for the known name closest to `name`, or the known names where none is close."""
    import difflib

    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean '{close[0]}'?" if close else "known: " + ", ".join(known)
