"""Changes to a pipeline and its tasks: each with its event in one transaction, and only from the state as read."""

import dataclasses
import datetime
import hashlib
import json
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from pagemill.flow.database import NOW, Outdated, clock
from pagemill.flow.progress import advanced, pipeline_progress
from pagemill.flow.spec import PipelineSpec, TaskSpec
from pagemill.flow.states import (
    BLOCKING,
    ENDED,
    FOLLOWS,
    OVER,
    PipelineState,
    TaskState,
    blocked,
    pipeline_state,
    startable,
)
from pagemill.flow.tables import events, pipelines, results, tasks

Row = dict[str, Any]

# What is true of a task that no server has.
NOWHERE: Mapping[str, Any] = {"server_id": None, "executor_id": None, "deadline_at": None}
_PIPELINE = sa.select(pipelines).where(pipelines.c.id == sa.bindparam("of_pipeline")).with_for_update()
_TASKS = sa.select(tasks, NOW.label("now")).where(tasks.c.pipeline_id == sa.bindparam("of_pipeline"))
_CHANGE_TASK = (
    tasks.update()
    .where(tasks.c.pipeline_id == sa.bindparam("of_pipeline"), tasks.c.name == sa.bindparam("of_task"))
    .values({column.name: sa.bindparam(column.name) for column in tasks.c if not column.primary_key})
)
_CHANGE_PIPELINE = (
    pipelines.update()
    .where(pipelines.c.id == sa.bindparam("of_pipeline"))
    .values({name: sa.bindparam(name) for name in ("state", "progress", "updated_at", "finished_at")})
)
# What keeps a task from being done, the worst first: what was skipped may have been so for that.
_WHY = {TaskState.FAILED: "which failed", TaskState.CANCELLED: "cancelled", TaskState.SKIPPED: "skipped"}


def canonical(value: Any) -> str:
    """Return JSON that is the same for what is the same."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def spec_from(kept: Mapping[str, Any]) -> PipelineSpec:
    """Return the spec that a pipeline was made by."""
    return PipelineSpec(
        kept["name"], tuple(TaskSpec(**{**task, "needs": tuple(task["needs"])}) for task in kept["tasks"])
    )


def record(connection: sa.Connection, at: datetime.datetime, kind: str, **columns: Any) -> None:
    """Write down what happened."""
    connection.execute(events.insert(), [_event(at, kind, **columns)])


def _event(at: datetime.datetime, kind: str, **columns: Any) -> Row:
    nothing = dict.fromkeys(("pipeline_id", "task", "before", "after", "server_id"))
    return {"kind": kind, "at": at, "detail": {}, **nothing, **columns}


def create(
    connection: sa.Connection,
    spec: PipelineSpec,
    document_sha256: str,
    parameters: Mapping[str, Any],
    priority: int,
    document_name: str = "",
    known: Mapping[str, dict[str, Any]] | None = None,
) -> str:
    """Create a pipeline with its tasks; if it is there already, nothing changes.

    Args:
        connection: In a transaction.
        spec: Of the pipeline.
        document_sha256: Digest of what it is about.
        parameters: Of what JSON knows.
        priority: Lower comes first.
        document_name: For people.
        known: Results that there are already, by task.

    Returns:
        Its id, the digest of the spec's name, the document and the parameters.

    Raises:
        KeyError: What is known is of no task of the pipeline.
    """
    known = {spec.task(name).name: result for name, result in (known or {}).items()}
    pipeline_id = digest([spec.name, document_sha256, parameters])[:32]
    if connection.execute(sa.select(pipelines.c.id).where(pipelines.c.id == pipeline_id)).first():
        return pipeline_id
    now = clock(connection)
    row = {
        "id": pipeline_id,
        "spec_name": spec.name,
        "spec": dataclasses.asdict(spec),
        "document_sha256": document_sha256,
        "document_name": document_name,
        "parameters": dict(parameters),
        "priority": priority,
        "state": PipelineState.QUEUED,
        "progress": 0.0,
        "created_at": now,
        "updated_at": now,
    }
    try:
        connection.execute(pipelines.insert().values(row))
    except sa.exc.IntegrityError as error:
        raise Outdated from error  # somebody else made it meanwhile
    connection.execute(
        tasks.insert(), [_new_task(pipeline_id, spec, task, now, task.name in known) for task in spec.tasks]
    )
    record(connection, now, "created", pipeline_id=pipeline_id, after=PipelineState.QUEUED)
    if known:
        with OpenPipeline(connection, pipeline_id) as pipeline:
            for name, result in known.items():
                pipeline.keep(name, result, 0.0)
                pipeline.tell(TaskState.DONE, task=name, after=TaskState.DONE, detail={"known": True})
    return pipeline_id


def _new_task(pipeline_id: str, spec: PipelineSpec, task: TaskSpec, now: datetime.datetime, is_known: bool) -> Row:
    return {
        "pipeline_id": pipeline_id,
        "name": task.name,
        "spec_name": spec.name,
        "capability": task.capability,
        "state": TaskState.DONE if is_known else TaskState.QUEUED,
        "ready": not (is_known or task.needs),
        "share": float(is_known),
        "due_at": now,
        "finished_at": now if is_known else None,
        "reason": "",
        **dict.fromkeys(("run", "epoch", "failures", "losses"), 0),
    }


class OpenPipeline:
    """A pipeline that is being changed: nobody else changes it until the transaction ends.

    As a context it brings in order, at its end, what follows from the changes: tasks that may start now or never
    will, progress, and the pipeline's own state; and writes down what happened.

    Raises:
        KeyError: There is no such pipeline.
    """

    def __init__(self, connection: sa.Connection, pipeline_id: str) -> None:
        self.connection = connection
        found = connection.execute(_PIPELINE, {"of_pipeline": pipeline_id}).first()
        if found is None:
            raise KeyError(pipeline_id)
        self.row: Row = dict(found._mapping)
        self.id = pipeline_id
        self.spec = spec_from(self.row["spec"])
        rows = connection.execute(_TASKS, {"of_pipeline": pipeline_id}).all()
        self.tasks: dict[str, Row] = {row.name: dict(row._mapping) for row in rows}
        self.now: datetime.datetime = rows[0].now
        self._changed: dict[str, None] = {}  # tasks, in order
        self._events: list[Row] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._settle()
            self._write()

    @property
    def states(self) -> dict[str, TaskState]:
        """Where its tasks stand."""
        return {name: TaskState(row["state"]) for name, row in self.tasks.items()}

    def has_needs(self, name: str) -> bool:
        """Whether all that a task needs, be it through others, is done."""
        states = self.states
        return all(states[need] is TaskState.DONE for need in self.spec.all_needs()[name])

    def tell(self, kind: str, **columns: Any) -> None:
        """Write down what happened, when the changes end."""
        self._events.append(_event(self.now, kind, pipeline_id=self.id, **columns))

    def change(self, name: str, after: TaskState, kind: str, detail: Mapping[str, Any] | None, **columns: Any) -> None:
        """Change a task's state and others of its columns, and write down that it was.

        Args:
            name: The task.
            after: Its state from now on.
            kind: Of the event; "" if the state says it all.
            detail: Of the event.
            columns: What else changes.

        Raises:
            ValueError: That state cannot follow.
        """
        before = TaskState(self.tasks[name]["state"])
        if after is not before and after not in FOLLOWS[before]:
            raise ValueError(f"{name} is {before}, which {after} cannot follow")
        server = columns.get("server_id") or self.tasks[name]["server_id"]
        self._update(name, state=after, **columns)
        self.tell(kind or after, task=name, before=before, after=after, server_id=server, detail=dict(detail or {}))

    def end(
        self,
        name: str,
        after: TaskState,
        reason: str = "",
        share: float = 0.0,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Change a task to a state in which it is over, why ever; what it had done of its share stays."""
        reached = advanced(self.tasks[name]["share"], share)
        told = {**(detail or {}), **({"reason": reason} if reason else {})}
        self.change(name, after, "", told, reason=reason, finished_at=self.now, share=reached, **NOWHERE)

    def keep(self, name: str, result: dict[str, Any], seconds: float) -> None:
        """Keep a task's result; 0 seconds say nothing about how long it takes to make one."""
        kept = {"result": result, "sha256": digest(result), "seconds": seconds, "made_at": self.now}
        whose = {"pipeline_id": self.id, "task": name, "spec_name": self.spec.name}
        self.connection.execute(results.insert().values({**whose, **kept}))

    def advance(self, name: str, share: float) -> None:
        """Note how far a task is; that it is no further than before is nothing to note."""
        now = advanced(self.tasks[name]["share"], share)
        if now > self.tasks[name]["share"]:
            self.change(name, TaskState(self.tasks[name]["state"]), "progress", {"share": now}, share=now)

    def _update(self, name: str, **columns: Any) -> None:
        self.tasks[name].update(columns)
        self._changed[name] = None

    def _write(self) -> None:
        if self._changed:
            rows = [{**self.tasks[name], "of_pipeline": self.id, "of_task": name} for name in self._changed]
            self.connection.execute(_CHANGE_TASK, rows)
        if self._events:
            self.connection.execute(events.insert(), self._events)

    def _settle(self) -> None:
        for name in blocked(self.spec, self.states):
            reason, nothing_to_do = self._why_not(name)
            self.end(name, TaskState.SKIPPED, reason, share=float(nothing_to_do))
        ready = startable(self.spec, self.states)
        for name, row in self.tasks.items():
            if row["ready"] != (name in ready):
                due = max(row["due_at"], self.now) if name in ready else row["due_at"]
                self._update(name, ready=name in ready, due_at=due)
        self._settle_pipeline()

    def _why_not(self, name: str) -> tuple[str, bool]:
        """Return why a task is skipped, and whether nobody failed for that: there was nothing to do."""
        ended = {need: self.states[need] for need in self.spec.all_needs()[name] if self.states[need] in BLOCKING}
        direct = [need for need in self.spec.task(name).needs if need in ended]
        worst = next(state for state in _WHY if state in ended.values())
        return f"needs {', '.join(direct or sorted(ended))}, {_WHY[worst]}", worst is TaskState.SKIPPED

    def _settle_pipeline(self) -> None:
        before, after = PipelineState(self.row["state"]), pipeline_state(self.states)
        progress = pipeline_progress(self.spec, {name: row["share"] for name, row in self.tasks.items()})
        columns: Row = {"progress": max(self.row["progress"], progress)}
        if after is not before:
            columns |= {"state": after, "finished_at": self.now if after in OVER else None}
            self.tell(after, before=before, after=after)
        if any(self.row[name] != value for name, value in columns.items()):
            self.row |= {**columns, "updated_at": self.now}
            self.connection.execute(_CHANGE_PIPELINE, {**self.row, "of_pipeline": self.id})


def cancel(connection: sa.Connection, pipeline_id: str) -> bool:
    """Cancel what has not ended; returns whether there was anything to cancel."""
    with OpenPipeline(connection, pipeline_id) as pipeline:
        names = [name for name, state in pipeline.states.items() if state not in ENDED]
        for name in names:
            pipeline.end(name, TaskState.CANCELLED, "cancelled")
    return bool(names)


def queue_anew(pipeline: OpenPipeline, names: Iterable[str], kind: str, detail: Mapping[str, Any]) -> None:
    """Queue tasks that ended as if they had never been tried; a result that there is goes."""
    fresh = {"failures": 0, "losses": 0, "reason": "", "started_at": None, "finished_at": None}
    for name in names:
        made = results.c.pipeline_id == pipeline.id, results.c.task == name
        pipeline.connection.execute(results.delete().where(*made))
        pipeline.change(name, TaskState.QUEUED, kind, detail, due_at=pipeline.now, **fresh)
