"""Run a compiled pipeline on this machine, each task a process: what a cluster gets, but for its machines."""

import dataclasses
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pagemill.runs import RUN_FILE

PROGRAM = "from pagemill.cloud.local import execute; execute()"  # of the process that runs a pipeline
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_EVENTS = {
    "started": re.compile(r"Executing task '?(?P<task>[\w-]+)'?"),
    "cached": re.compile(r"Task '?(?P<task>[\w-]+)'? cache hit"),
    "finished": re.compile(r"Task '?(?P<task>[\w-]+)'? finished with status SUCCESS"),
    "failed": re.compile(r"Task '?(?P<task>[\w-]+)'? finished with status FAILURE"),
    "progress": re.compile(r"\[KFP Executor .* INFO\]: (?P<task>[a-z].*): (?P<detail>[\d.,e+]+ of .*)"),
}
_SUCCESS = re.compile(r"Pipeline '[\w-]+' finished with status SUCCESS")
_MISTAKE = re.compile(r"pagemill\.errors\.UserError: (?P<line>.*)")


@dataclasses.dataclass(frozen=True)
class Event:
    """Something that happened to a task: `kind` is one of started, cached, finished, failed, progress."""

    kind: str
    task: str
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class LocalRun:
    """A run that has ended."""

    succeeded: bool
    folder: Path  # of the run's artifacts
    log: Path
    report: Path | None
    tasks: Mapping[str, tuple[str, ...]]  # by kind of event, the tasks in order
    mistake: str  # the line of a UserError that ended a task, "" when there is none


def run_pipeline(
    path: Path,
    arguments: Mapping[str, Any],
    runs: Path,
    *,
    caching: bool = True,
    on_event: Callable[[Event], None] = lambda event: None,
) -> LocalRun:
    """Run a compiled pipeline with kfp.local and wait for its end.

    It runs in a process of its own, because kfp.local changes the logging and printing of the one it is in.

    Args:
        path: The compiled YAML.
        arguments: Values of the pipeline's parameters.
        runs: Folder of all runs; the cache lies in it, so a run that finds its tasks there executes none of them.
        caching: Whether tasks that are in the cache are left out.
        on_event: Called as tasks start and end and tell how far they are.
    """
    runs.mkdir(parents=True, exist_ok=True)
    before = set(runs.iterdir())
    order = {"path": str(path), "arguments": dict(arguments), "runs": str(runs), "caching": caching}
    staged_log = runs / f".log-{os.getpid()}"
    listener = _Listener(on_event)
    with (
        staged_log.open("w") as log,
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, json.dumps(order)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            plain = _ANSI.sub("", line)
            log.write(plain)
            log.flush()
            listener.hear(plain)
    folder = max(set(runs.iterdir()) - before - {staged_log}, key=lambda each: each.name, default=runs)
    (folder / RUN_FILE).write_text(json.dumps(dict(arguments), sort_keys=True, indent=1) + "\n")
    return LocalRun(
        succeeded=listener.succeeded,
        folder=folder,
        log=staged_log.rename(folder / "log.txt"),
        report=_keep_report(folder),
        tasks={kind: tuple(tasks) for kind, tasks in listener.tasks.items()},
        mistake=listener.mistake,
    )


def execute() -> None:
    """Run the pipeline that the process's argument describes; the body of the process that `run_pipeline` starts."""
    from kfp import components, local

    order = json.loads(sys.argv[1])
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")  # it tells of cache hits
    warnings.simplefilter("ignore")  # kfp warns of each setting that a local run has no use for
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=order["runs"],
        raise_on_error=False,
        enable_caching=order["caching"],
    )
    components.load_component_from_file(order["path"])(**order["arguments"])


class _Listener:
    """Hears, line by line, what a run prints, and tells of the events in it."""

    def __init__(self, on_event: Callable[[Event], None]) -> None:
        self.on_event = on_event
        self.tasks: dict[str, list[str]] = {}
        self.mistake = ""
        self.succeeded = False

    def hear(self, line: str) -> None:
        """Take the next line, with its end."""
        self.succeeded |= _SUCCESS.search(line) is not None
        if mistake := _MISTAKE.search(line):
            self.mistake = mistake["line"]
        for kind, pattern in _EVENTS.items():
            if found := pattern.search(line):
                self.tasks.setdefault(kind, []).append(found["task"])
                self.on_event(Event(kind, found["task"], found.groupdict().get("detail", "")))


def _keep_report(folder: Path) -> Path | None:
    """Copy the report's artifact to where people look for it, with an ending that browsers open."""
    artifact = next(iter(sorted(folder.glob("report-*/report"))), None)
    if artifact is None:
        return None
    return Path(shutil.copy(artifact, folder / "report.html"))
