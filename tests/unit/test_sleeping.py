"""Sleeps are collected from a test and its threads alone: what others left behind goes on sleeping."""

import threading
import time
from collections.abc import Iterator

import pytest

NAP_SECONDS = 0.002


class Sleeper:
    """A thread that sleeps in a loop, as those of libraries do."""

    def __init__(self) -> None:
        self.naps = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.sleep_on)
        self.thread.start()

    def sleep_on(self) -> None:
        while not self.over.is_set():
            time.sleep(NAP_SECONDS)
            self.naps += 1


@pytest.fixture
def sleeper() -> Iterator[Sleeper]:
    sleeper = Sleeper()
    yield sleeper
    sleeper.over.set()
    sleeper.thread.join()


def test_a_thread_from_elsewhere_is_neither_counted_nor_hurried(sleeper: Sleeper, waits: list[float]) -> None:
    begun, before = time.monotonic(), sleeper.naps
    while sleeper.naps < before + 3:
        sleeper.over.wait(NAP_SECONDS)
    since = sleeper.naps - before
    time.sleep(3600)
    assert waits == [3600]
    assert time.monotonic() - begun >= (since - 1) * NAP_SECONDS


def test_the_threads_of_a_test_are_counted_with_it(waits: list[float]) -> None:
    thread = threading.Thread(target=lambda: time.sleep(60))
    thread.start()
    thread.join()
    assert waits == [60]
