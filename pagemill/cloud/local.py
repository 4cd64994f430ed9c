"""Run a compiled pipeline on this machine: the very YAML that a cluster gets, each task a process."""

import contextlib
import dataclasses
import io
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_EVENTS = {
    "started": re.compile(r"Executing task '?(?P<task>[\w-]+)'?"),
    "cached": re.compile(r"Task '?(?P<task>[\w-]+)'? cache hit"),
    "finished": re.compile(r"Task '?(?P<task>[\w-]+)'? finished with status SUCCESS"),
    "failed": re.compile(r"Task '?(?P<task>[\w-]+)'? finished with status FAILURE"),
    "progress": re.compile(r"\[KFP Executor .* INFO\]: (?P<task>[a-z][\w ]*): (?P<detail>[\d.e+]+ of .*)"),
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

    Args:
        path: The compiled YAML.
        arguments: Values of the pipeline's parameters.
        runs: Folder of all runs; the cache lies in it, so a run that finds its tasks there executes none of them.
        caching: Whether tasks that are in the cache are left out.
        on_event: Called as tasks start and end and tell how far they are.
    """
    from kfp import components, local

    runs.mkdir(parents=True, exist_ok=True)
    before = set(runs.iterdir())
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(runs),
        raise_on_error=False,
        enable_caching=caching,
    )
    pipeline = components.load_component_from_file(str(path))
    staged_log = runs / ".log"
    with staged_log.open("w") as log, _listening(log, on_event) as listener, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # kfp warns of each setting that a local run has no use for
        pipeline(**arguments)
    folder = max(set(runs.iterdir()) - before - {staged_log}, key=lambda each: each.name)
    return LocalRun(
        succeeded=listener.succeeded,
        folder=folder,
        log=staged_log.rename(folder / "log.txt"),
        report=_keep_report(folder),
        tasks={kind: tuple(tasks) for kind, tasks in listener.tasks.items()},
        mistake=listener.mistake,
    )


class _Listener(io.TextIOBase):
    """A stream that copies what is written to a log and tells of the events in it."""

    def __init__(self, log: IO[str], on_event: Callable[[Event], None]) -> None:
        self.log, self.on_event = log, on_event
        self.tasks: dict[str, list[str]] = {}
        self.mistake = ""
        self.succeeded = False
        self.rest = ""

    def write(self, text: str) -> int:
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            plain = _ANSI.sub("", line)
            self.log.write(plain + "\n")
            self.log.flush()
            self._hear(plain)
        return len(text)

    def _hear(self, line: str) -> None:
        if mistake := _MISTAKE.search(line):
            self.mistake = mistake["line"]
        self.succeeded |= _SUCCESS.search(line) is not None
        for kind, pattern in _EVENTS.items():
            if found := pattern.search(line):
                self.tasks.setdefault(kind, []).append(found["task"])
                self.on_event(Event(kind, found["task"], found.groupdict().get("detail", "")))


@contextlib.contextmanager
def _listening(log: IO[str], on_event: Callable[[Event], None]) -> Iterator[_Listener]:
    listener = _Listener(log, on_event)
    with contextlib.redirect_stdout(listener):
        yield listener


def _keep_report(folder: Path) -> Path | None:
    """Copy the report's artifact to where people look for it, with an ending that browsers open."""
    artifact = next(iter(sorted(folder.rglob("report-run/report"))), None)
    if artifact is None:
        return None
    return Path(shutil.copy(artifact, folder / "report.html"))
