"""Handing out tasks: those that wait for nothing but room go to live servers that have it, most urgent first."""

import datetime
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from pagemill.flow.attempts import Attempt, begin_open, key_of
from pagemill.flow.changes import OpenPipeline
from pagemill.flow.database import NOW, Database
from pagemill.flow.runner import Server
from pagemill.flow.servers import BACKEND, Load, Work, choose, live_servers, lock
from pagemill.flow.states import TaskState
from pagemill.flow.tables import pipelines, tasks

NOT_BEGUN_SECONDS = 60.0  # after that a task is handed out anew: who took it up forgot about it
SPARE = 16  # tasks looked at beyond those that there is room for, as some may have no room where others do

Kind = sa.Row[Any]  # name and capability of tasks that are waiting, and the time

_WAITING = (
    tasks.c.spec_name == sa.bindparam("of_spec"),
    tasks.c.ready,
    tasks.c.server_id.is_(None),
    tasks.c.due_at <= NOW,
)
_KIND = tasks.c.name, tasks.c.capability
_KINDS = sa.select(*_KIND, sa.func.max(NOW).label("now")).where(*_WAITING).group_by(*_KIND)
_URGENCY = pipelines.c.priority, pipelines.c.created_at, tasks.c.pipeline_id
_MOST_URGENT = (
    sa.select(*_URGENCY, *_KIND)
    .join(pipelines)
    .where(*_WAITING, tasks.c.name == sa.bindparam("of_kind"))
    .order_by(*_URGENCY)
    .limit(sa.bindparam("most"))
)
_LACKING = (
    sa.select(tasks.c.pipeline_id, tasks.c.name)
    .where(*_WAITING, tasks.c.state == TaskState.QUEUED, tasks.c.name.in_(sa.bindparam("names", expanding=True)))
    .order_by(tasks.c.pipeline_id)
)


@dataclass(frozen=True, slots=True)
class HandedOut:
    """A task that a server has from now on."""

    pipeline_id: str
    name: str
    run: int
    server: Server
    executor_id: str | None = None  # the process of the queue that sees to it; None for any

    @property
    def key(self) -> str:
        """What tells it from all other times that a task was handed out."""
        return key_of(self.pipeline_id, self.name, self.run)


@dataclass(frozen=True, slots=True)
class Here:
    """The process that hands out, and how many tasks it may begin as it does so."""

    executor_id: str = ""
    room: int = 0


Enqueue = Callable[[sa.Connection, HandedOut], None]
HandOut = Callable[[Here], list[Attempt]]
NOBODY = Here()


class Dispatcher:
    """Hands out what can be, for all threads of a process: one at a time, and none that another one does for as well.

    Args:
        database: Where the tasks are.
        spec_name: Of the pipelines.
        timeout_seconds: A server that was not heard of for so long gets nothing.
        enqueue: Puts a task where a process of the queue takes it up.
    """

    def __init__(self, database: Database, spec_name: str, timeout_seconds: float, enqueue: Enqueue) -> None:
        self._database = database
        self._arguments = spec_name, timeout_seconds, enqueue
        self._begin_here: Callable[[HandOut], None] | None = None
        self._is_open = True
        self._next = threading.Lock()
        self._now = threading.Lock()

    def begin_here(self, begin: Callable[[HandOut], None]) -> None:
        """Begin in this process what there is room for, from now on.

        Args:
            begin: Hands out by calling what it is given with the room that there is, and begins what it returns.
        """
        self._begin_here = begin

    def __call__(self) -> None:
        """Hand out what can be; returns at once if another thread is about to, for that one sees to it all."""
        if not self._next.acquire(blocking=False):
            return
        with self._now:
            self._next.release()
            if not self._is_open:
                return
            if self._begin_here:
                self._begin_here(self._hand_out)
            else:
                self._hand_out(NOBODY)

    def close(self) -> None:
        """Hand out nothing more: that is for others."""
        self._is_open = False

    def _hand_out(self, here: Here) -> list[Attempt]:
        return self._database.write(dispatch, *self._arguments, here)


def dispatch(
    connection: sa.Connection, spec_name: str, timeout_seconds: float, enqueue: Enqueue, here: Here = NOBODY
) -> list[Attempt]:
    """Hand out what can be, and enqueue it in the same transaction.

    Args:
        connection: In a transaction.
        spec_name: Of the pipelines.
        timeout_seconds: A server that was not heard of for so long gets nothing.
        enqueue: Puts a task where a process of the queue takes it up.
        here: Who hands out. What it does itself, or sees to when a container has it, is begun with that.

    Returns:
        What is begun here.
    """
    kinds = connection.execute(_KINDS, {"of_spec": spec_name}).all()
    if not kinds:
        return []
    lock(connection)
    loads = live_servers(connection, spec_name, kinds[0].now, timeout_seconds)
    if not any(load.server.id == here.executor_id for load in loads):
        here = NOBODY  # it is not held to be alive: nobody would miss it
    begun: list[Attempt] = []
    chosen = _chosen(_candidates(connection, spec_name, kinds, loads), loads)
    for pipeline_id, group in groupby(chosen, lambda each: each[0].pipeline_id):
        with OpenPipeline(connection, pipeline_id) as pipeline:
            for work, server in group:
                executor_id = here.executor_id if len(begun) < here.room else None
                if attempt := _hand_out(pipeline, work.name, server, executor_id, enqueue):
                    begun.append(attempt)
    _warm(connection, spec_name, [each.name for each in kinds if not any(_can(load, each) for load in loads)])
    return begun


def _can(load: Load, kind: Kind) -> bool:
    return load.can(kind.name, kind.capability)


def _candidates(connection: sa.Connection, spec_name: str, kinds: Iterable[Kind], loads: list[Load]) -> list[Work]:
    """Return tasks that some server can do, most urgent first; few more than there is room for."""
    found: list[sa.Row[tuple[object, ...]]] = []
    for kind in kinds:
        room = sum(load.server.max_tasks - len(load.work) for load in loads if _can(load, kind))
        if room > 0:
            which = {"of_spec": spec_name, "of_kind": kind.name, "most": room + SPARE}
            found += connection.execute(_MOST_URGENT, which)
    found.sort(key=lambda row: (row.priority, row.created_at, row.pipeline_id, row.name))
    return [Work(row.pipeline_id, row.name, row.capability) for row in found]


def _chosen(candidates: Iterable[Work], loads: list[Load]) -> Iterator[tuple[Work, Server]]:
    """Give what some server has room for to the one that takes it, in this order."""
    for work in candidates:
        if load := choose(work, loads):
            load.work.append(work)
            yield work, load.server


def _hand_out(pipeline: OpenPipeline, name: str, server: Server, here: str | None, enqueue: Enqueue) -> Attempt | None:
    """Hand a task to a server; begin it if a process is given and that is who sees to it."""
    row = pipeline.tasks[name]
    if not row["ready"] or row["server_id"] is not None or row["due_at"] > pipeline.now:
        return None  # somebody else was first
    state, run = TaskState(row["state"]), row["run"] + 1
    executor_id = server.id if server.server_type == BACKEND else here
    enqueue(pipeline.connection, HandedOut(pipeline.id, name, run, server, executor_id))
    given = {"server_id": server.id, "run": run}
    if here is not None and executor_id == here:
        pipeline.tell("handed out", task=name, before=state, after=state, server_id=server.id, detail={"run": run})
        return begin_open(pipeline, name, server, here, **given)
    until = pipeline.now + datetime.timedelta(seconds=NOT_BEGUN_SECONDS)
    pipeline.change(name, state, "handed out", {"run": run}, deadline_at=until, **given)
    return None


def _warm(connection: sa.Connection, spec_name: str, names: list[str]) -> None:
    """Say of tasks that nobody there can do that they wait for a container to come."""
    if not names:
        return
    found = connection.execute(_LACKING, {"of_spec": spec_name, "names": names}).all()
    for pipeline_id, rows in groupby(found, lambda row: row.pipeline_id):
        with OpenPipeline(connection, pipeline_id) as pipeline:
            for row in rows:
                if pipeline.states[row.name] is TaskState.QUEUED:
                    pipeline.change(row.name, TaskState.WARMING, "", None)
