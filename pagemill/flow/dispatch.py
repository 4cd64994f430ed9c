"""Handing out tasks: those that wait for nothing but room go to live servers that have it, most urgent first."""

import datetime
import threading
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from pagemill.flow.changes import record
from pagemill.flow.database import Database, clock
from pagemill.flow.runner import Server
from pagemill.flow.servers import Load, Work, choose, live_servers, lock
from pagemill.flow.states import TaskState
from pagemill.flow.tables import pipelines, tasks

NOT_BEGUN_SECONDS = 60.0  # after that a task is handed out anew: who took it up forgot about it
SPARE = 16  # tasks looked at beyond those that there is room for, as some may have no room where others do


@dataclass(frozen=True, slots=True)
class HandedOut:
    """A task that a server has from now on."""

    pipeline_id: str
    name: str
    run: int
    server: Server

    @property
    def key(self) -> str:
        """What tells it from all other times that a task was handed out."""
        return f"{self.pipeline_id}.{self.name}.{self.run}"


Enqueue = Callable[[sa.Connection, HandedOut], None]


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
        self._next = threading.Lock()
        self._now = threading.Lock()

    def __call__(self) -> None:
        """Hand out what can be; returns at once if another thread is about to, for that one sees to it all."""
        if not self._next.acquire(blocking=False):
            return
        self._now.acquire()
        self._next.release()
        try:
            self._database.write(dispatch, *self._arguments)
        finally:
            self._now.release()


def dispatch(connection: sa.Connection, spec_name: str, timeout_seconds: float, enqueue: Enqueue) -> int:
    """Hand out what can be, and enqueue it in the same transaction; returns how many tasks that were.

    Args:
        connection: In a transaction.
        spec_name: Of the pipelines.
        timeout_seconds: A server that was not heard of for so long gets nothing.
        enqueue: Puts a task where a process of the queue takes it up.
    """
    now = clock(connection)
    distinct = sa.select(tasks.c.name, tasks.c.capability).distinct().where(*_waiting(spec_name, now))
    kinds = [(row.name, row.capability) for row in connection.execute(distinct)]
    if not kinds:
        return 0
    lock(connection)
    loads = _loads(connection, spec_name, now, timeout_seconds)
    count = 0
    for row in _candidates(connection, spec_name, now, kinds, loads):
        work = Work(row.pipeline_id, row.name, row.capability)
        if load := choose(work, loads):
            load.work.append(work)
            given = HandedOut(row.pipeline_id, row.name, row.run + 1, load.server)
            _assign(connection, now, given, row.state)
            enqueue(connection, given)
            count += 1
    _warm(connection, spec_name, now, [name for name, need in kinds if not any(load.can(name, need) for load in loads)])
    return count


def _waiting(spec_name: str, now: datetime.datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return tasks.c.spec_name == spec_name, tasks.c.ready, tasks.c.server_id.is_(None), tasks.c.due_at <= now


def _loads(connection: sa.Connection, spec_name: str, now: datetime.datetime, timeout_seconds: float) -> list[Load]:
    loads = {load.server.id: load for load in live_servers(connection, spec_name, now, timeout_seconds)}
    columns = tasks.c.server_id, tasks.c.pipeline_id, tasks.c.name, tasks.c.capability
    for row in connection.execute(sa.select(*columns).where(tasks.c.server_id.in_(list(loads)))):
        loads[row.server_id].work.append(Work(row.pipeline_id, row.name, row.capability))
    return list(loads.values())


def _candidates(
    connection: sa.Connection,
    spec_name: str,
    now: datetime.datetime,
    kinds: list[tuple[str, str]],
    loads: list[Load],
) -> list[sa.Row[tuple[object, ...]]]:
    """Return tasks that some server can do, most urgent first; few more than there is room for."""
    found: list[sa.Row[tuple[object, ...]]] = []
    for name, capability in kinds:
        room = sum(load.server.max_tasks - len(load.work) for load in loads if load.can(name, capability))
        if room > 0:
            columns = (*tasks.c, pipelines.c.priority, pipelines.c.created_at)
            joined = sa.select(*columns).join(pipelines, pipelines.c.id == tasks.c.pipeline_id)
            waiting = joined.where(*_waiting(spec_name, now), tasks.c.name == name)
            first = waiting.order_by(pipelines.c.priority, pipelines.c.created_at, tasks.c.pipeline_id)
            found += connection.execute(first.limit(room + SPARE).with_for_update(of=tasks, skip_locked=True))
    return sorted(found, key=lambda row: (row.priority, row.created_at, row.pipeline_id, row.name))


def _assign(connection: sa.Connection, now: datetime.datetime, given: HandedOut, state: str) -> None:
    whose = tasks.c.pipeline_id == given.pipeline_id, tasks.c.name == given.name
    until = now + datetime.timedelta(seconds=NOT_BEGUN_SECONDS)
    connection.execute(tasks.update().where(*whose).values(server_id=given.server.id, run=given.run, deadline_at=until))
    told = {"pipeline_id": given.pipeline_id, "task": given.name, "server_id": given.server.id}
    record(connection, now, "handed out", before=state, after=state, detail={"run": given.run}, **told)


def _warm(connection: sa.Connection, spec_name: str, now: datetime.datetime, names: list[str]) -> None:
    """Say of tasks that nobody there can do that they wait for a container to come."""
    lacking = *_waiting(spec_name, now), tasks.c.state == TaskState.QUEUED, tasks.c.name.in_(names)
    columns = tasks.c.pipeline_id, tasks.c.name
    for row in connection.execute(sa.select(*columns).where(*lacking).with_for_update(skip_locked=True)).all():
        whose = tasks.c.pipeline_id == row.pipeline_id, tasks.c.name == row.name
        connection.execute(tasks.update().where(*whose).values(state=TaskState.WARMING))
        told = {"pipeline_id": row.pipeline_id, "task": row.name}
        record(connection, now, "warming", before=TaskState.QUEUED, after=TaskState.WARMING, **told)
