"""What can be asked of a service that runs pipelines: Vertex AI Pipelines and Kubeflow Pipelines answer alike."""

import dataclasses
import datetime
import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from pagemill.errors import UserError

LONGEST_LINE = 500
DEFAULT_FAILURE_POLICY = "slow"


class State(enum.StrEnum):
    """How far a run or a task is."""

    PENDING = "pending"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    CACHED = "cached"  # a task alone: what it would have done was there
    SKIPPED = "skipped"  # a task alone: something before it failed, or a condition did not hold
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing changes any more."""
        return self not in (State.PENDING, State.RUNNING, State.CANCELLING)


@dataclasses.dataclass(frozen=True, slots=True)
class Submission:
    """A run that is asked for."""

    template: Path  # the compiled YAML, with the images that are to run
    pipeline: str  # its name
    parameters: Mapping[str, Any]
    run: str  # a name for people; backends that want a unique one make it of this
    pipeline_root: str = ""  # where artifacts go; "" for the backend's default
    caching: bool | None = None  # None leaves it to each task
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    service_account: str = ""
    network: str = ""
    # slow: what does not depend on a failed task still runs; fast: not. Vertex AI only
    failure_policy: str = DEFAULT_FAILURE_POLICY


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """A task of a run; one in a loop stands once for each iteration."""

    name: str  # as in the pipeline: "recognize-pages"
    state: State
    iteration: int | None = None  # of the loop that it is in, from 0
    started: datetime.datetime | None = None  # with time zone, as all times here
    ended: datetime.datetime | None = None
    error: str = ""  # one line


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """A run as the backend tells of it."""

    id: str  # by which the backend knows it
    name: str  # for people
    pipeline: str
    state: State
    console: str  # URL of its page
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    created: datetime.datetime | None = None
    started: datetime.datetime | None = None
    ended: datetime.datetime | None = None
    error: str = ""  # one line
    tasks: tuple[Task, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Timetable:
    """When a scheduled pipeline runs."""

    cron: str  # five fields; on Vertex AI with an optional "TZ=Europe/Berlin " before them, elsewhere in UTC
    name: str  # for people
    max_concurrent_runs: int = 1
    max_runs: int = 0  # 0 for no limit
    start: datetime.datetime | None = None
    end: datetime.datetime | None = None
    catch_up: bool = False  # whether times that were missed are made up for


@dataclasses.dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as the backend tells of it."""

    id: str
    name: str
    cron: str
    active: bool  # False: paused, or over
    state: str  # in the backend's own word
    next_run: datetime.datetime | None = None
    runs_started: int | None = None  # where the backend counts them
    console: str = ""


class Unreachable(UserError):
    """The service did not answer, or only that it cannot now, for as long as it was asked: it may a little later."""


def one_line(text: object) -> str:
    """Return what a service says in one line, without its end when it is very long."""
    line = " ".join(str(text).split())
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} ..."


def check_can_be_retried(run: Run) -> None:
    """Raise UserError for a run that goes on still, or of which nothing is left to do."""
    if not run.state.ended:
        raise UserError(f"run {run.id}", f"has not ended ({run.state})", "wait, or cancel it first")
    if run.state is State.SUCCEEDED:
        raise UserError(f"run {run.id}", "has succeeded", "submit it anew to run it again")


class Backend(Protocol):
    """A service that runs pipelines.

    Every method raises UserError for what the user can mend (no such run, no permission, quota, a host that does not
    answer), in one line; short failures of the service (429, 503, a lost connection) are tried again before, and what
    lasts longer is an `Unreachable`.
    """

    name: str  # "vertex" or "kfp"

    def submit(self, submission: Submission) -> Run:
        """Start a run and return it as it begins."""

    def run(self, run_id: str) -> Run:
        """Return a run with its tasks."""

    def runs(self, limit: int = 20) -> list[Run]:
        """Return the latest runs, newest first, without their tasks."""

    def cancel(self, run_id: str) -> None:
        """Ask a run to end; tasks that run are ended. Nothing happens to one that has ended."""

    def retry(self, run_id: str) -> Run:
        """Run again what failed of a run, and what depends on it; what succeeded is not run again.

        Returns:
            The run that does it: the same one or a new one, as the backend has it.
        """

    def create_schedule(self, submission: Submission, timetable: Timetable) -> Schedule:
        """Have a pipeline run at set times."""

    def schedules(self) -> list[Schedule]:
        """Return all schedules of the project or namespace."""

    def pause(self, schedule_id: str) -> None:
        """Start no more runs by a schedule until it is resumed."""

    def resume(self, schedule_id: str) -> None:
        """Go on with a schedule that was paused."""

    def delete_schedule(self, schedule_id: str) -> None:
        """Remove a schedule; runs that it has started go on."""
