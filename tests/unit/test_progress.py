"""Progress: lines in a log now and then, a bar on a terminal, and never a change to the work."""

import logging
import os
import pty
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pagemill import progress as room
from pagemill.progress import progress, track


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(room.time, "monotonic", clock)
    return clock


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """The log of a process whose standard error is no terminal."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    caplog.set_level(logging.INFO, "pagemill")
    return caplog


def test_items_pass_through_in_order(log: pytest.LogCaptureFixture) -> None:
    assert list(track([3, 1, 2], "read pages")) == [3, 1, 2]


def test_items_are_taken_one_at_a_time(log: pytest.LogCaptureFixture) -> None:
    taken = []

    def source() -> Iterator[int]:
        for number in range(3):
            taken.append(number)
            yield number

    tracked = track(source(), "read pages")
    assert next(tracked) == 0
    assert taken == [0]


def test_the_end_is_logged(clock: Clock, log: pytest.LogCaptureFixture) -> None:
    for _ in track(range(4), "read pages"):
        clock.seconds += 1
    assert log.messages == ["read pages: 4 of 4, 1.0 a second, 0 s left"]


def test_a_line_comes_every_half_minute_with_what_is_left(clock: Clock, log: pytest.LogCaptureFixture) -> None:
    with progress("read pages", 100) as advance:
        for _ in range(70):
            clock.seconds += 1
            advance()
    assert log.messages == [
        "read pages: 30 of 100, 1.0 a second, 70 s left",
        "read pages: 60 of 100, 1.0 a second, 40 s left",
    ]


def test_amounts_may_be_of_any_size(clock: Clock, log: pytest.LogCaptureFixture) -> None:
    with progress("fetch archives", 2.5e9) as advance:
        clock.seconds += 40
        advance(5e8)
    assert log.messages == ["fetch archives: 500,000,000 of 2,500,000,000, 12,500,000.0 a second, 160 s left"]


def test_without_a_total_no_end_is_foretold(clock: Clock, log: pytest.LogCaptureFixture) -> None:
    for _ in track(iter(range(2)), "read pages"):
        clock.seconds += 31
    assert log.messages == ["read pages: 1 of ?", "read pages: 2 of ?"]


def test_a_total_can_be_told(clock: Clock, log: pytest.LogCaptureFixture) -> None:
    for _ in track(iter(range(2)), "read pages", total=2):
        clock.seconds += 1
    assert log.messages == ["read pages: 2 of 2, 1.0 a second, 0 s left"]


def test_nothing_to_do_is_no_fault(log: pytest.LogCaptureFixture) -> None:
    assert list(track([], "read pages")) == []
    with progress("read pages", 0) as advance:
        advance(0)


def test_a_clock_that_stands_still_is_no_fault(clock: Clock, log: pytest.LogCaptureFixture) -> None:
    assert list(track([1], "read pages")) == [1]
    assert log.messages == ["read pages: 1 of 1"]


def test_errors_of_the_work_pass_through(log: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ZeroDivisionError), progress("read pages", 3) as advance:
        advance(1 / 0)


def test_a_terminal_shows_a_bar_on_standard_error_alone() -> None:
    work = "from pagemill.progress import track; print(sum(track([1, 2, 3], 'read pages')))"
    ours, theirs = pty.openpty()
    settings = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        shown = subprocess.run(
            [sys.executable, "-c", work], env=settings, stdout=subprocess.PIPE, stderr=theirs, check=True
        )
        os.close(theirs)
        drawn = terminal.read(65536).decode()
    assert shown.stdout == b"6\n"
    assert "read pages" in drawn
    assert "3/3" in drawn
