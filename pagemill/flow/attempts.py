"""One attempt at a task: begun by whoever has it, reported on, and ended; who was superseded changes nothing."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from pagemill.flow.changes import NOWHERE, OpenPipeline, queue_anew
from pagemill.flow.repairing import ANEW
from pagemill.flow.runner import PipelineRun, Server, TaskRun
from pagemill.flow.servers import BACKEND, server_from, suspect, trust
from pagemill.flow.spec import PipelineSpec
from pagemill.flow.states import ENDED, TaskState
from pagemill.flow.tables import processing_servers, results

MOST_LOSSES = 10  # of processes under a task, or of what it needs, until it is held to be what ends them
MOST_IN_VAIN = MOST_LOSSES - 2  # that count of losses of containers which nobody reached: no task ended those
FIRST_LOSS_DELAY_SECONDS, MOST_LOSS_DELAY_SECONDS = 0.5, 60.0  # a server that nobody reaches may say that it lives
GRACE_SECONDS = 5.0  # beyond a time limit, for the runner's own answer that it was reached
_RESULTS = sa.select(results.c.task, results.c.result).where(
    results.c.pipeline_id == sa.bindparam("of_pipeline"),
    results.c.task.in_(sa.bindparam("of_tasks", expanding=True)),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that was begun."""

    task: TaskRun
    pipeline: PipelineRun
    inputs: Mapping[str, Mapping[str, Any]]


def key_of(pipeline_id: str, name: str, run: int) -> str:
    """Return what tells a task from all other times that it was handed out."""
    return f"{pipeline_id}.{name}.{run}"


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
        if not pipeline.has_needs(name):
            hand_back(pipeline, name, "what it needs is being made anew")
            return None
        taken_over = row["state"] == TaskState.RUNNING
        losses = row["losses"] + taken_over
        if losses > MOST_LOSSES:
            _give_up(pipeline, name, losses, "another process took it over")
            return None
        return begin_open(pipeline, name, server, executor_id, "taken over" if taken_over else "", losses=losses)


def begin_open(
    pipeline: OpenPipeline, name: str, server: Server, executor_id: str, kind: str = "", **columns: Any
) -> Attempt:
    """Begin a task that a server has.

    Args:
        pipeline: Of the task.
        name: The task.
        server: Who has it.
        executor_id: The process that sees to it.
        kind: Of the event; "" if the state says it all.
        columns: What else changes of the task.

    Returns:
        What the process then carries out.
    """
    row = {**pipeline.tasks[name], **columns}
    limit = datetime.timedelta(seconds=pipeline.spec.task(name).time_limit_seconds + GRACE_SECONDS)
    began = {"executor_id": executor_id, "started_at": pipeline.now, "deadline_at": pipeline.now + limit}
    detail = {"run": row["run"], "attempt": row["failures"] + 1, "losses": row["losses"], "executor": executor_id}
    pipeline.change(name, TaskState.RUNNING, kind, detail, epoch=row["epoch"] + 1, **began, **columns)
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
            seconds = _seconds(pipeline, name)
            pipeline.keep(name, result, seconds)
            pipeline.end(name, TaskState.DONE, share=1.0, detail={"seconds": seconds})
            if attempt.task.server.server_type != BACKEND:
                trust(connection, attempt.task.server.id)
    return counts


def skip(connection: sa.Connection, attempt: Attempt, reason: str, result: dict[str, Any] | None = None) -> bool:
    """Note that there is nothing to do; returns whether the attempt still counted."""
    with OpenPipeline(connection, attempt.pipeline.id) as pipeline:
        if counts := _counts(pipeline, attempt):
            name = attempt.task.name
            if result is not None:
                pipeline.keep(name, result, _seconds(pipeline, name))
            pipeline.end(name, TaskState.SKIPPED, reason, share=1.0)
    return counts


def fail(
    connection: sa.Connection,
    attempt: Attempt,
    reason: str,
    retry: bool = True,
    detail: Mapping[str, Any] | None = None,
) -> bool:
    """Note that it failed, and when it is tried again, if it is; returns whether the attempt still counted."""
    with OpenPipeline(connection, attempt.pipeline.id) as pipeline:
        if counts := _counts(pipeline, attempt):
            fail_open(pipeline, attempt.task.name, reason, retry, detail)
    return counts


def lose(connection: sa.Connection, attempt: Attempt, reason: str, begun: bool = True) -> bool:
    """Note that its server went away, which gets nothing more for now.

    Args:
        connection: In a transaction.
        attempt: What is lost.
        reason: Why.
        begun: Whether the server may have begun it.

    Returns:
        Whether the attempt still counted.
    """
    with OpenPipeline(connection, attempt.pipeline.id) as pipeline:
        if counts := _counts(pipeline, attempt):
            hand_back(pipeline, attempt.task.name, reason, begun)
            suspect(connection, attempt.task.server.id, pipeline.now)
    return counts


def lose_need(connection: sa.Connection, attempt: Attempt, need: str) -> bool:
    """Note that what an earlier task made is lost: it is done anew, then this one again.

    Returns:
        Whether the attempt still counted.
    """
    with OpenPipeline(connection, attempt.pipeline.id) as pipeline:
        if counts := _counts(pipeline, attempt):
            name = attempt.task.name
            if need not in pipeline.spec.all_needs()[name]:
                fail_open(pipeline, name, f"says that {need} is lost, which it does not need", retry=False)
                return counts
            made = pipeline.tasks[need]
            if made["state"] == TaskState.DONE and made["finished_at"] <= pipeline.tasks[name]["started_at"]:
                queue_anew(pipeline, [need], ANEW, {"reason": f"its result is lost, says {name}"})
            _wait_again(pipeline, name, f"the result of {need} is lost")
    return counts


def fail_open(
    pipeline: OpenPipeline, name: str, reason: str, retry: bool = True, detail: Mapping[str, Any] | None = None
) -> None:
    """Fail what runs of a task."""
    failures = pipeline.tasks[name]["failures"] + 1
    delay = retry_delay(pipeline.spec, name, failures) if retry else None
    told = {**(detail or {}), "failures": failures}
    if delay is None:
        pipeline.end(name, TaskState.FAILED, reason, detail=told)
        return
    due = pipeline.now + datetime.timedelta(seconds=delay)
    told |= {"reason": reason, "delay_seconds": delay}
    pipeline.change(name, TaskState.RETRYING, "", told, failures=failures, reason=reason, due_at=due, **NOWHERE)


def hand_back(pipeline: OpenPipeline, name: str, reason: str, begun: bool = True) -> None:
    """Take a task from a server that is gone, so that another gets it at once."""
    if pipeline.tasks[name]["state"] != TaskState.RUNNING:
        state = TaskState(pipeline.tasks[name]["state"])
        pipeline.change(name, state, "handed back", {"reason": reason}, **NOWHERE)
        return
    before = pipeline.tasks[name]["losses"]
    losses = before + 1 if begun else max(before, min(before + 1, MOST_IN_VAIN))
    _put_back(pipeline, name, TaskState.RETRYING, "lost", reason, losses, loss_delay(losses))


def retry_delay(spec: PipelineSpec, name: str, failures: int) -> float | None:
    """Return how many seconds after its n-th failure a task is tried again; None when it is not."""
    task = spec.task(name)
    return None if failures >= task.attempts else task.retry_delay_seconds * 2 ** (failures - 1)


def loss_delay(losses: int) -> float:
    """Return how many seconds after its n-th loss a task is handed out again: the first time at once."""
    return 0.0 if losses == 1 else min(FIRST_LOSS_DELAY_SECONDS * 2 ** (losses - 2), MOST_LOSS_DELAY_SECONDS)


def _wait_again(pipeline: OpenPipeline, name: str, reason: str) -> None:
    _put_back(pipeline, name, TaskState.QUEUED, "need lost", reason, pipeline.tasks[name]["losses"] + 1, 0.0)


def _put_back(
    pipeline: OpenPipeline, name: str, state: TaskState, kind: str, reason: str, losses: int, delay: float
) -> None:
    """Have a task that runs run again, for no fault of its own, but not forever."""
    if losses > MOST_LOSSES:
        _give_up(pipeline, name, losses, reason)
        return
    due = pipeline.now + datetime.timedelta(seconds=delay)
    detail = {"reason": reason, "losses": losses, "delay_seconds": delay}
    pipeline.change(name, state, kind, detail, due_at=due, losses=losses, **NOWHERE)


def _give_up(pipeline: OpenPipeline, name: str, losses: int, reason: str) -> None:
    pipeline.end(name, TaskState.FAILED, f"lost {losses} times, at last since {reason}", detail={"losses": losses})


def _seconds(pipeline: OpenPipeline, name: str) -> float:
    seconds: float = (pipeline.now - pipeline.tasks[name]["started_at"]).total_seconds()
    return seconds


def _counts(pipeline: OpenPipeline, attempt: Attempt) -> bool:
    """Whether an attempt is the last that was begun, and has not ended; that it is late is written down."""
    row = pipeline.tasks[attempt.task.name]
    if row["state"] == TaskState.RUNNING and row["epoch"] == attempt.task.epoch and row["server_id"] is not None:
        return True
    told = {"task": attempt.task.name, "before": row["state"], "after": row["state"]}
    detail = {"epoch": attempt.task.epoch, "last_epoch": row["epoch"]}
    pipeline.tell("late", **told, server_id=attempt.task.server.id, detail=detail)
    return False


def _server(connection: sa.Connection, server_id: str) -> Server | None:
    row = connection.execute(sa.select(processing_servers).where(processing_servers.c.id == server_id)).first()
    return server_from(row) if row else None


def _attempt(pipeline: OpenPipeline, name: str, server: Server) -> Attempt:
    row, spec = pipeline.tasks[name], pipeline.spec.task(name)
    task = TaskRun(
        name=name,
        capability=spec.capability,
        attempt=row["failures"] + 1,
        attempts=spec.attempts,
        key=key_of(pipeline.id, name, row["run"]),
        epoch=row["epoch"],
        time_limit_seconds=spec.time_limit_seconds,
        server=server,
    )
    kept = pipeline.row
    whose = PipelineRun(
        pipeline.id, kept["spec_name"], kept["document_sha256"], kept["parameters"], kept["document_name"]
    )
    return Attempt(task, whose, _inputs(pipeline, spec.needs))


def _inputs(pipeline: OpenPipeline, needs: Sequence[str]) -> dict[str, dict[str, Any]]:
    if not needs:
        return {}
    found = pipeline.connection.execute(_RESULTS, {"of_pipeline": pipeline.id, "of_tasks": needs})
    return {each.task: each.result for each in found}
