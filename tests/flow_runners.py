"""Runners for tests of the queue: they do as they are told, and keep a log that outlives the process."""

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pagemill.flow.runner import PipelineRun, TaskRun

Deed = Callable[[TaskRun, Callable[[float], None]], None]


class LoggingRunner:
    """Does what was said of a task, in any of its attempts, and writes down when it starts and is through."""

    def __init__(self, log: Path, seconds: float = 0.0, **deeds: Deed) -> None:
        self.log = log
        self.seconds = seconds
        self.deeds = deeds
        self._lock = threading.Lock()

    def run(
        self,
        task: TaskRun,
        pipeline: PipelineRun,
        inputs: Mapping[str, Mapping[str, Any]],
        report_progress: Callable[[float], None],
    ) -> dict[str, Any]:
        self._note("start", task, pipeline)
        report_progress(0.5)
        if task.name in self.deeds:
            self.deeds[task.name](task, report_progress)
        time.sleep(self.seconds)
        self._note("through", task, pipeline)
        return {"of": task.name, "document": pipeline.document_sha256, "inputs": {**inputs}}

    def _note(self, what: str, task: TaskRun, pipeline: PipelineRun) -> None:
        line = {"what": what, "task": task.name, "pipeline": pipeline.id, "server": task.server.id, "pid": os.getpid()}
        with self._lock, self.log.open("a") as file:
            file.write(json.dumps({**line, "at": time.time()}) + "\n")

    def lines(self, what: str = "start") -> list[dict[str, Any]]:
        if not self.log.exists():
            return []
        return [line for line in map(json.loads, self.log.read_text().splitlines()) if line["what"] == what]

    def runs(self) -> Counter[str]:
        return Counter(line["task"] for line in self.lines())


class Failing:
    """A deed that fails so many times, or until it is mended."""

    def __init__(self, error: Exception, times: float = float("inf")) -> None:
        self.error = error
        self.left = times

    def __call__(self, task: TaskRun, report_progress: Callable[[float], None]) -> None:
        if self.left > 0:
            self.left -= 1
            raise self.error


class Holding:
    """A deed that waits until it is let go, and can tell that it was reached."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go = threading.Event()

    def __call__(self, task: TaskRun, report_progress: Callable[[float], None]) -> None:
        self.reached.set()
        assert self.go.wait(30)
