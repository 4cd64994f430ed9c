"""Processes of a queue that can be killed or stopped at any moment, and what must be true however that went."""

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pagemill.flow.hands import Hands
from pagemill.flow.queue import Queue
from pagemill.flow.states import PipelineState
from tests.flow_runners import LoggingRunner
from tests.flow_specs import BREAD

TIMEOUT_SECONDS = 2.0
TICK_SECONDS = 0.2
STARTS_WITHIN_SECONDS = 60.0

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["pagemill.flow.queue", "tests.flow_runners"])


def open_queue(url: str, log: Path, seconds: float, **others: Any) -> Queue:
    """Open a queue that bakes bread, and carries out tasks when it is started."""
    runner = LoggingRunner(log, seconds)
    return Queue(BREAD, url, runner, heartbeat_timeout_seconds=TIMEOUT_SECONDS, tick_seconds=TICK_SECONDS, **others)


def end_before_beginning() -> None:
    """Make this process end when it has handed a task out, before it begins it."""
    Hands._start = lambda *_: os._exit(1)  # type: ignore[method-assign]


def _serve(
    url: str, log: Path, seconds: float, ready: Path, prepare: Callable[[], None] | None, others: dict[str, Any]
) -> None:
    if prepare:
        prepare()
    with open_queue(url, log, seconds, **others):
        ready.touch()
        while True:
            time.sleep(60)


class Backend:
    """A process of the queue, which may be prepared by a function of a module."""

    def __init__(
        self, url: str, log: Path, seconds: float, prepare: Callable[[], None] | None = None, **others: Any
    ) -> None:
        self._ready = log.with_name(f"ready-{time.monotonic_ns()}")
        arguments = url, log, seconds, self._ready, prepare, others
        self._process = _processes.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()

    def wait_until_ready(self) -> None:
        end = time.monotonic() + STARTS_WITHIN_SECONDS
        while not self._ready.exists():
            assert self._process.is_alive(), "the backend ended before it was ready"
            assert time.monotonic() < end, "the backend takes too long to start"
            time.sleep(0.02)

    def signal(self, number: signal.Signals) -> float:
        """Send a signal and return the moment at which it was."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)
        return time.time()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def wait_until_over(self) -> int | None:
        """Wait until it has ended by itself; returns its exit code."""
        self._process.join(STARTS_WITHIN_SECONDS)
        return self._process.exitcode

    def end(self) -> None:
        if self._process.is_alive():
            self._process.kill()
        self._process.join()


def check_course(queue: Queue, log: LoggingRunner, pipelines: Sequence[str], stopped_pid: int | None = None) -> None:
    """Check that all went through as if nothing had happened, and that nothing finished was run again.

    A process that was stopped between beginning a task and doing it does it when it goes on, however late that is.
    """
    starts = Counter((line["pipeline"], line["task"]) for line in log.lines())
    last = {(line["pipeline"], line["task"]): line["at"] for line in log.lines() if line["pid"] != stopped_pid}
    for pipeline in pipelines:
        status, events, results = queue.status(pipeline), queue.events(pipeline), queue.results(pipeline)
        assert status.state is PipelineState.DONE
        assert status.progress == 100
        assert {name: set(result["inputs"]) for name, result in results.items()} == {
            task.name: set(task.needs) for task in BREAD.tasks
        }
        done = {event.task: event.at.timestamp() for event in events if event.kind == "done"}
        assert Counter(event.task for event in events if event.kind == "done" and event.task) == Counter(list(results))
        begun = Counter(event.task for event in events if event.kind in ("running", "taken over") and event.task)
        for task in results:
            assert last.get((pipeline, task), 0.0) <= done[task]
            assert 1 <= starts[pipeline, task] <= begun[task]
