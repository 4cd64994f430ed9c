"""Progress of long work: a bar with an ETA on a terminal, a line now and then in a log."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

LOG_INTERVAL_SECONDS = 30.0

log = logging.getLogger("pagemill")
Item = TypeVar("Item")


class Advance(Protocol):
    """Tells the progress display that some more is done."""

    def __call__(self, amount: float = 1) -> None:
        """Add `amount` to what is done."""


@contextmanager
def progress(description: str, total: float | None) -> Iterator[Advance]:
    """Show the progress of a block of work; the block calls what it is given as it goes on."""
    if not sys.stderr.isatty():
        yield _LoggedProgress(description, total)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as display:
        task = display.add_task(description, total=total)

        def advance(amount: float = 1) -> None:
            display.advance(task, amount)

        yield advance


def track(items: Iterable[Item], description: str, total: float | None = None) -> Iterator[Item]:
    """Yield the items and show how far along they are."""
    with progress(description, total if total is not None else _length(items)) as advance:
        for item in items:
            yield item
            advance()


class _RateColumn(ProgressColumn):
    """How much is done in a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f}/s")


class _LoggedProgress:
    def __init__(self, description: str, total: float | None) -> None:
        self.description, self.total, self.done = description, total, 0.0
        self.started = self.logged = time.monotonic()

    def __call__(self, amount: float = 1) -> None:
        self.done += amount
        now = time.monotonic()
        if now - self.logged < LOG_INTERVAL_SECONDS and self.done != self.total:
            return
        self.logged = now
        seconds = now - self.started
        rate = self.done / seconds if seconds else 0.0
        pace = f", {rate:,.1f} a second, {(self.total - self.done) / rate:.0f} s left" if self.total and rate else ""
        total = "?" if self.total is None else f"{self.total:,.0f}"
        log.info("%s: %s of %s%s", self.description, f"{self.done:,.0f}", total, pace)


def _length(items: Iterable[object]) -> int | None:
    return len(items) if isinstance(items, Sized) else None
