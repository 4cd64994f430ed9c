"""What can be read about pipelines: where they stand, what they made, what happened to them, how long tasks took."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pagemill.flow.changes import spec_from
from pagemill.flow.progress import seconds_left
from pagemill.flow.states import OVER, PipelineState, TaskState
from pagemill.flow.tables import events, pipelines, results, tasks

HISTORY = 50  # durations of a task that are looked at, the latest


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """Where a task stands."""

    name: str
    state: TaskState
    share: float  # 0 to 1
    reason: str  # why it failed, was skipped or is tried again
    failures: int
    server_id: str | None
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """Where a pipeline stands."""

    id: str
    document_sha256: str
    document_name: str
    parameters: Mapping[str, Any]
    priority: int
    state: PipelineState
    progress: float  # 0 to 100
    seconds_left: float | None  # None when it cannot be told
    created_at: datetime.datetime
    finished_at: datetime.datetime | None
    tasks: tuple[TaskStatus, ...]

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.state in OVER


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    id: int
    pipeline_id: str | None
    task: str | None
    kind: str
    before: str | None
    after: str | None
    at: datetime.datetime
    server_id: str | None
    detail: Mapping[str, Any]


def status(connection: sa.Connection, pipeline_id: str) -> PipelineStatus:
    """Return where a pipeline stands; raises KeyError when there is none of that id."""
    found = connection.execute(sa.select(pipelines).where(pipelines.c.id == pipeline_id)).first()
    if found is None:
        raise KeyError(pipeline_id)
    kept = found._mapping
    spec = spec_from(kept["spec"])
    rows = connection.execute(sa.select(tasks).where(tasks.c.pipeline_id == pipeline_id))
    by_name = {row.name: _task_status(row) for row in rows}
    states = {name: task.state for name, task in by_name.items()}
    shares = {name: task.share for name, task in by_name.items()}
    state = PipelineState(kept["state"])
    left = 0.0 if state in OVER else seconds_left(spec, states, shares, durations(connection, spec.name))
    return PipelineStatus(
        id=pipeline_id,
        document_sha256=kept["document_sha256"],
        document_name=kept["document_name"],
        parameters=kept["parameters"],
        priority=kept["priority"],
        state=state,
        progress=kept["progress"],
        seconds_left=left,
        created_at=kept["created_at"],
        finished_at=kept["finished_at"],
        tasks=tuple(by_name[task.name] for task in spec.tasks),
    )


def exists(connection: sa.Connection, pipeline_id: str) -> bool:
    """Whether there is a pipeline of that id."""
    return connection.execute(sa.select(pipelines.c.id).where(pipelines.c.id == pipeline_id)).first() is not None


def latest(connection: sa.Connection, spec_name: str, limit: int) -> list[str]:
    """Return the ids of a spec's pipelines, those last made first."""
    ours = sa.select(pipelines.c.id).where(pipelines.c.spec_name == spec_name)
    return list(connection.execute(ours.order_by(pipelines.c.created_at.desc()).limit(limit)).scalars())


def results_of(connection: sa.Connection, pipeline_id: str) -> dict[str, dict[str, Any]]:
    """Return the results that a pipeline has, by task."""
    found = connection.execute(sa.select(results.c.task, results.c.result).where(results.c.pipeline_id == pipeline_id))
    return {row.task: row.result for row in found}


def events_of(connection: sa.Connection, pipeline_id: str | None, after: int) -> list[Event]:
    """Return what happened, in the order in which it was written down.

    Args:
        connection: In a transaction.
        pipeline_id: To which pipeline; None for all, and what happened to servers.
        after: Only events with a greater id.
    """
    wanted = sa.select(events).where(events.c.id > after).order_by(events.c.id)
    if pipeline_id is not None:
        wanted = wanted.where(events.c.pipeline_id == pipeline_id)
    return [Event(**row._mapping) for row in connection.execute(wanted)]


def hand_offs(connection: sa.Connection, pipeline_id: str) -> dict[str, float]:
    """Return the seconds from the last `done` of what a task needs to its own first `running` after that, by task."""
    row = connection.execute(sa.select(pipelines.c.spec).where(pipelines.c.id == pipeline_id)).scalar_one()
    needs = spec_from(row).all_needs()
    done: dict[str, datetime.datetime] = {}
    counted: dict[str, datetime.datetime] = {}
    seconds: dict[str, float] = {}
    for event in events_of(connection, pipeline_id, 0):
        if event.task is None:
            continue
        if event.kind == TaskState.DONE:
            done[event.task] = event.at
        elif event.kind == TaskState.RUNNING and needs[event.task]:
            last = max(done[need] for need in needs[event.task])
            if counted.get(event.task) != last:  # else an attempt that follows another one
                counted[event.task] = last
                seconds[event.task] = (event.at - last).total_seconds()
    return seconds


def durations(connection: sa.Connection, spec_name: str) -> dict[str, list[float]]:
    """Return how many seconds a spec's tasks took, the latest first."""
    newest = sa.func.row_number().over(partition_by=results.c.task, order_by=results.c.made_at.desc()).label("newest")
    made_here = results.c.spec_name == spec_name, results.c.seconds > 0  # what was known took nobody any time
    ranked = sa.select(results.c.task, results.c.seconds, newest).where(*made_here).subquery()
    found: dict[str, list[float]] = {}
    for row in connection.execute(sa.select(ranked).where(ranked.c.newest <= HISTORY).order_by(ranked.c.newest)):
        found.setdefault(row.task, []).append(row.seconds)
    return found


def _task_status(row: sa.Row[tuple[Any, ...]]) -> TaskStatus:
    names = ("share", "reason", "failures", "server_id", "started_at", "finished_at")
    return TaskStatus(row.name, TaskState(row.state), **{name: row._mapping[name] for name in names})
