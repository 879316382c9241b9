"""Progress of long work: a bar on a terminal, plain lines elsewhere, nothing where it is switched off."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, contextmanager

SECONDS_BETWEEN_LINES = 10.0


class LineProgress:
    """Prints `title: done/total, note` at most every SECONDS_BETWEEN_LINES, and once at the end."""

    def __init__(self, title: str, total: int, stream):
        self.title, self.total, self.stream, self.last = title, total, stream, time.monotonic()

    def update(self, done: int, note: str = "") -> None:
        now = time.monotonic()
        if done == self.total or now - self.last >= SECONDS_BETWEEN_LINES:
            self.last = now
            print(f"{self.title}: {done}/{self.total}" + (f", {note}" if note else ""), file=self.stream, flush=True)


class BarProgress:
    """A bar on a terminal."""

    def __init__(self, bar, task):
        self.bar, self.task = bar, task

    def update(self, done: int, note: str = "") -> None:
        self.bar.update(self.task, completed=done, note=note)


class NoProgress:
    """Shows nothing."""

    def update(self, done: int, note: str = "") -> None:
        pass


@contextmanager
def progress(title: str, total: int, show: bool = True):
    """Yields an object whose update(done, note) shows how far the work is; written to standard error."""
    if not show:
        yield NoProgress()
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                   TextColumn("{task.fields[note]}"))
        with Progress(*columns, console=Console(stderr=True)) as bar:
            yield BarProgress(bar, bar.add_task(title, total=total, note=""))
    else:
        yield LineProgress(title, total, sys.stderr)


@contextmanager
def counted_progress(title: str, show: bool = True):
    """Yields report(done, total, note) for work whose size is known at its first report."""
    with ExitStack() as stack:
        bars: list = []

        def report(done: int, total: int, note: str = "") -> None:
            if not bars:
                bars.append(stack.enter_context(progress(title, total, show)))
            bars[0].update(done, note)

        yield report
