"""One attempt at a task: begun by whoever has it, reported on, and ended; who was superseded changes nothing."""

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from pagemill.flow.changes import NOWHERE, OpenPipeline, digest, record
from pagemill.flow.runner import PipelineRun, Server, TaskRun
from pagemill.flow.servers import server_from
from pagemill.flow.spec import PipelineSpec
from pagemill.flow.states import ENDED, TaskState
from pagemill.flow.tables import processing_servers, results

MOST_LOSSES = 10  # of processes under one task, until it is held to be what ends them
GRACE_SECONDS = 5.0  # beyond a time limit, for the runner's own answer that it was reached


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that was begun."""

    task: TaskRun
    pipeline: PipelineRun
    inputs: Mapping[str, Mapping[str, Any]]


def begin(connection: sa.Connection, pipeline_id: str, name: str, run: int, executor_id: str) -> Attempt | None:
    """Begin a task that was handed out, or go on with it in place of a process that began it and is gone.

    Args:
        connection: In a transaction.
        pipeline_id: The pipeline.
        name: The task.
        run: The number under which it was handed out.
        executor_id: Who begins it.

    Returns:
        None if there is nothing to do any more: the task has ended or was handed out anew.
    """
    with OpenPipeline(connection, pipeline_id) as pipeline:
        row = pipeline.tasks[name]
        if row["run"] != run or row["server_id"] is None or TaskState(row["state"]) in ENDED:
            return None
        server = _server(connection, row["server_id"])
        if server is None:
            return None  # dead: the watchdog hands the task out anew
        taken_over = row["state"] == TaskState.RUNNING
        losses = row["losses"] + taken_over
        if losses > MOST_LOSSES:
            _give_up(pipeline, name, losses)
            return None
        limit = datetime.timedelta(seconds=pipeline.spec.task(name).time_limit_seconds + GRACE_SECONDS)
        began = {"executor_id": executor_id, "started_at": pipeline.now, "deadline_at": pipeline.now + limit}
        detail = {"run": run, "attempt": row["failures"] + 1, "losses": losses, "executor": executor_id}
        kind = "taken over" if taken_over else ""
        pipeline.change(name, TaskState.RUNNING, kind, detail, epoch=row["epoch"] + 1, losses=losses, **began)
        return _attempt(pipeline, name, server)


def report(connection: sa.Connection, attempt: Attempt, share: float) -> bool:
    """Note how far it is; returns whether the attempt still counts."""
    with OpenPipeline(connection, attempt.pipeline.id) as pipeline:
        if counts := _counts(pipeline, attempt):
            pipeline.advance(attempt.task.name, share)
    return counts


def finish(connection: sa.Connection, attempt: Attempt, result: dict[str, Any]) -> bool:
    """Keep the result; returns whether the attempt still counted."""
    with OpenPipeline(connection, attempt.pipeline.id) as pipeline:
        if counts := _counts(pipeline, attempt):
            name = attempt.task.name
            seconds = (pipeline.now - pipeline.tasks[name]["started_at"]).total_seconds()
            kept = {"result": result, "sha256": digest(result), "seconds": seconds, "made_at": pipeline.now}
            whose = {"pipeline_id": pipeline.id, "task": name, "spec_name": pipeline.spec.name}
            connection.execute(results.insert().values({**whose, **kept}))
            pipeline.end(name, TaskState.DONE, share=1.0, detail={"seconds": seconds})
    return counts


def skip(connection: sa.Connection, attempt: Attempt, reason: str) -> bool:
    """Note that there is nothing to do; returns whether the attempt still counted."""
    with OpenPipeline(connection, attempt.pipeline.id) as pipeline:
        if counts := _counts(pipeline, attempt):
            pipeline.end(attempt.task.name, TaskState.SKIPPED, reason, share=1.0)
    return counts


def fail(connection: sa.Connection, attempt: Attempt, reason: str) -> bool:
    """Note that it failed, and when it is tried again, if it is; returns whether the attempt still counted."""
    with OpenPipeline(connection, attempt.pipeline.id) as pipeline:
        if counts := _counts(pipeline, attempt):
            fail_open(pipeline, attempt.task.name, reason)
    return counts


def lose(connection: sa.Connection, attempt: Attempt, reason: str) -> bool:
    """Note that its server went away; returns whether the attempt still counted."""
    with OpenPipeline(connection, attempt.pipeline.id) as pipeline:
        if counts := _counts(pipeline, attempt):
            hand_back(pipeline, attempt.task.name, reason)
    return counts


def fail_open(pipeline: OpenPipeline, name: str, reason: str) -> None:
    """Fail what runs of a task."""
    failures = pipeline.tasks[name]["failures"] + 1
    delay = retry_delay(pipeline.spec, name, failures)
    if delay is None:
        pipeline.end(name, TaskState.FAILED, reason, detail={"failures": failures})
        return
    due = pipeline.now + datetime.timedelta(seconds=delay)
    detail = {"reason": reason, "failures": failures, "delay_seconds": delay}
    pipeline.change(name, TaskState.RETRYING, "", detail, failures=failures, reason=reason, due_at=due, **NOWHERE)


def hand_back(pipeline: OpenPipeline, name: str, reason: str) -> None:
    """Take a task from a server that is gone, so that another gets it at once."""
    if pipeline.tasks[name]["state"] != TaskState.RUNNING:
        state = TaskState(pipeline.tasks[name]["state"])
        pipeline.change(name, state, "handed back", {"reason": reason}, **NOWHERE)
        return
    losses = pipeline.tasks[name]["losses"] + 1
    if losses > MOST_LOSSES:
        _give_up(pipeline, name, losses)
        return
    detail = {"reason": reason, "losses": losses}
    pipeline.change(name, TaskState.RETRYING, "lost", detail, due_at=pipeline.now, losses=losses, **NOWHERE)


def retry_delay(spec: PipelineSpec, name: str, failures: int) -> float | None:
    """Return how many seconds after its n-th failure a task is tried again; None when it is not."""
    task = spec.task(name)
    return None if failures >= task.attempts else task.retry_delay_seconds * 2 ** (failures - 1)


def _give_up(pipeline: OpenPipeline, name: str, losses: int) -> None:
    pipeline.end(name, TaskState.FAILED, f"{losses} processes went away while they did it")


def _counts(pipeline: OpenPipeline, attempt: Attempt) -> bool:
    """Whether an attempt is the last that was begun, and has not ended; that it is late is written down."""
    row = pipeline.tasks[attempt.task.name]
    if row["state"] == TaskState.RUNNING and row["epoch"] == attempt.task.epoch and row["server_id"] is not None:
        return True
    detail = {"epoch": attempt.task.epoch, "last_epoch": row["epoch"]}
    told = {"pipeline_id": pipeline.id, "task": attempt.task.name, "server_id": attempt.task.server.id}
    record(pipeline.connection, pipeline.now, "late", before=row["state"], after=row["state"], detail=detail, **told)
    return False


def _server(connection: sa.Connection, server_id: str) -> Server | None:
    row = connection.execute(sa.select(processing_servers).where(processing_servers.c.id == server_id)).first()
    return server_from(row) if row else None


def _attempt(pipeline: OpenPipeline, name: str, server: Server) -> Attempt:
    row, spec = pipeline.tasks[name], pipeline.spec.task(name)
    found = pipeline.connection.execute(
        sa.select(results.c.task, results.c.result).where(
            results.c.pipeline_id == pipeline.id, results.c.task.in_(spec.needs)
        )
    )
    task = TaskRun(
        name=name,
        capability=spec.capability,
        attempt=row["failures"] + 1,
        key=f"{pipeline.id}.{name}.{row['run']}",
        epoch=row["epoch"],
        time_limit_seconds=spec.time_limit_seconds,
        server=server,
    )
    kept = pipeline.row
    whose = PipelineRun(pipeline.id, kept["spec_name"], kept["document_sha256"], kept["parameters"])
    return Attempt(task, whose, {each.task: each.result for each in found})
