"""Waiting that takes no time: the sleeps of a test and of the threads that it starts, and of nobody else."""

import threading
import time
from collections.abc import Callable

import pytest


def collect_sleeps(monkeypatch: pytest.MonkeyPatch, then: Callable[[], object] = lambda: None) -> list[float]:
    """Collect the seconds that would have been slept from here on.

    Threads that other tests have left behind sleep as they did: neither are they counted, nor do they spin.

    Args:
        monkeypatch: Puts everything back.
        then: Called instead of each sleep.
    """
    slept: list[float] = []
    ours = {threading.current_thread()}
    real_sleep, real_start = time.sleep, threading.Thread.start

    def sleep(seconds: float) -> None:
        if threading.current_thread() not in ours:
            return real_sleep(seconds)
        slept.append(seconds)
        then()

    def start(thread: threading.Thread) -> None:
        if threading.current_thread() in ours:
            ours.add(thread)
        real_start(thread)

    monkeypatch.setattr("time.sleep", sleep)
    monkeypatch.setattr("threading.Thread.start", start)
    return slept
