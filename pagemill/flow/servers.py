"""Servers that do tasks: they are heard of, suspected, drained and missed; and which of them takes a task."""

import datetime
import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from pagemill.flow.changes import record
from pagemill.flow.database import clock
from pagemill.flow.runner import Server
from pagemill.flow.tables import processing_servers as table
from pagemill.flow.tables import tasks

BACKEND = "backend"  # the type of the queue's own processes
WARMING, ACTIVE, DRAINING, EXPIRED, DEAD = "warming", "active", "draining", "expired", "dead"
ALIVE = (WARMING, ACTIVE, DRAINING)
_LOCK = sa.select(sa.func.pg_advisory_xact_lock(7246345564))  # a number of ours among PostgreSQL's advisory locks
_FOR_SPEC = sa.or_(table.c.spec_name.is_(None), table.c.spec_name == sa.bindparam("of_spec"))
_LIVE = (
    sa.select(table)
    .where(table.c.status == ACTIVE, table.c.last_heartbeat >= sa.bindparam("since"), _FOR_SPEC)
    .order_by(table.c.id)
)
_AT_WORK = sa.select(tasks.c.server_id, tasks.c.pipeline_id, tasks.c.name, tasks.c.capability).where(
    tasks.c.server_id.in_(sa.bindparam("of_servers", expanding=True))
)


@dataclass(frozen=True, slots=True)
class Work:
    """A task that a server has, or could have."""

    pipeline_id: str
    name: str
    capability: str


@dataclass(slots=True)
class Load:
    """A server and what it has to do."""

    server: Server
    work: list[Work] = field(default_factory=list)
    is_doubted: bool = False  # it says that it lives, but did not answer when it was last given a task

    def can(self, name: str, capability: str) -> bool:
        """Whether the server can do such tasks at all."""
        return bool(self._level(name, capability)[1])

    def has_room(self, task: Work) -> bool:
        """Whether the server can do the task now."""
        known, level = self._level(task.name, task.capability)
        if not level or len(self.work) >= self.server.max_tasks:
            return False
        if level is not True and sum(known in (each.name, each.capability) for each in self.work) >= level:
            return False
        there = {each.pipeline_id for each in self.work}
        return task.pipeline_id in there or len(there) < self.server.max_pipelines

    def _level(self, name: str, capability: str) -> tuple[str, bool | int]:
        known = name if name in self.server.capabilities else capability
        return known, self.server.capabilities.get(known, False)


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """How a server is."""

    server: Server
    status: str  # warming, active, draining, or expired: it was not heard of and is about to be given up
    is_suspected: bool  # it did not answer: it gets nothing before it is heard of again
    last_heartbeat: datetime.datetime
    current_pipelines: int  # as the server itself says
    tasks: tuple[Work, ...]  # that it has


def choose(task: Work, loads: Iterable[Load]) -> Load | None:
    """Return where a task goes: to a server that has its pipeline already, else to the one with least to do.

    Who is doubted comes last.
    """

    def order(load: Load) -> tuple[bool, bool, float, str]:
        there = any(each.pipeline_id == task.pipeline_id for each in load.work)
        return load.is_doubted, not there, len(load.work) / load.server.max_tasks, load.server.id

    return min((load for load in loads if load.has_room(task)), key=order, default=None)


def server_from(row: sa.Row[tuple[object, ...]]) -> Server:
    """Return the server that a row is about."""
    kept = row._mapping
    return Server(
        id=kept["id"],
        server_type=kept["server_type"],
        capabilities=kept["capabilities"],
        url=kept["pipeline_coordination_url"],
        max_pipelines=kept["max_concurrent_pipelines"],
        max_tasks=kept["max_concurrent_tasks"],
        container_id=kept["container_id"],
        visual_cache_access=kept["visual_cache_access"],
        spec_name=kept["spec_name"],
        models=kept["models"],
    )


def lock(connection: sa.Connection) -> None:
    """Keep others from handing out tasks and from changing which servers get some, until the transaction ends.

    Heartbeats do not wait for it, so that nobody is missed for another one's sake.
    """
    if connection.dialect.name != "sqlite":  # which has one writer anyway
        connection.execute(_LOCK)


def register(connection: sa.Connection, server: Server, status: str = ACTIVE) -> None:
    """Add a server; one of the same id that was there before is gone with that, so hand its tasks back first."""
    lock(connection)
    now = clock(connection)
    before = connection.execute(sa.select(table.c.status).where(table.c.id == server.id)).scalar()
    heard = {"status": status, "current_pipelines": 0, "last_heartbeat": now, "suspected_at": None, "updated_at": now}
    columns = {**_description(server), **heard}
    if before is None:
        connection.execute(table.insert().values({"id": server.id, "created_at": now, **columns}))
    else:
        connection.execute(table.update().where(table.c.id == server.id).values(columns))
    record(connection, now, "registered", server_id=server.id, before=before, after=status)


def _description(server: Server) -> dict[str, Any]:
    return {
        "server_type": server.server_type,
        "spec_name": server.spec_name,
        "container_id": server.container_id,
        "capabilities": dict(server.capabilities),
        "max_concurrent_pipelines": server.max_pipelines,
        "max_concurrent_tasks": server.max_tasks,
        "pipeline_coordination_url": server.url,
        "visual_cache_access": server.visual_cache_access,
        "models": dict(server.models),
    }


class Heard(enum.Enum):
    """What came of it that a server was heard of."""

    AS_BEFORE = enum.auto()
    CHANGED = enum.auto()  # it may get tasks now that it did not get before, or the other way round
    UNKNOWN = enum.auto()  # it never registered, or was given up: it has to register


def hear(connection: sa.Connection, server: Server, status: str, current_pipelines: int) -> Heard:
    """Note that a server lives, and what it says of itself."""
    row = connection.execute(sa.select(table).where(table.c.id == server.id, table.c.status.in_(ALIVE))).first()
    if row is None:
        return Heard.UNKNOWN
    is_new = row.status != status or server_from(row) != server
    if is_new:
        lock(connection)
    now = clock(connection)
    heard: dict[str, Any] = {"current_pipelines": current_pipelines, "last_heartbeat": now}
    news = {**_description(server), "status": status, "updated_at": now} if is_new else {}
    alive = table.update().where(table.c.id == server.id, table.c.status.in_(ALIVE))
    if connection.execute(alive.values({**news, **heard})).rowcount != 1:
        return Heard.UNKNOWN
    if row.status != status:
        record(connection, now, "server", server_id=server.id, before=row.status, after=status)
    return Heard.CHANGED if is_new or _is_suspected(row) else Heard.AS_BEFORE


def suspect(connection: sa.Connection, server_id: str, now: datetime.datetime) -> None:
    """Give a server that did not answer nothing more until it is heard of: it may be gone."""
    connection.execute(table.update().where(table.c.id == server_id).values(suspected_at=now))


def trust(connection: sa.Connection, server_id: str) -> None:
    """Doubt a server no longer: it has done a task."""
    doubted = table.c.id == server_id, table.c.suspected_at.is_not(None)
    connection.execute(table.update().where(*doubted).values(suspected_at=None))


def _is_suspected(row: sa.Row[tuple[object, ...]]) -> bool:
    """Whether a server did not answer, and was not heard of since."""
    kept = row._mapping
    return kept["suspected_at"] is not None and kept["suspected_at"] >= kept["last_heartbeat"]


def set_status(connection: sa.Connection, server_id: str, status: str, among: Iterable[str] = ALIVE) -> bool:
    """Change a server's status: to active when it has warmed up, to draining when it is to get no more tasks.

    Returns:
        Whether it was in one of the states from which that may happen.
    """
    lock(connection)
    now = clock(connection)
    known = sa.select(table.c.status).where(table.c.id == server_id, table.c.status.in_(list(among)))
    before = connection.execute(known).scalar()
    if before is None:
        return False
    connection.execute(table.update().where(table.c.id == server_id).values(status=status, updated_at=now))
    if status != before:
        record(connection, now, "server", server_id=server_id, before=before, after=status)
    return True


def live_servers(
    connection: sa.Connection, spec_name: str, now: datetime.datetime, timeout_seconds: float
) -> list[Load]:
    """Return the servers that may get tasks, and what they have to do."""
    since = now - datetime.timedelta(seconds=timeout_seconds)
    rows = connection.execute(_LIVE, {"since": since, "of_spec": spec_name})
    there = [row for row in rows if not _is_suspected(row)]
    work = _work(connection, [row.id for row in there])
    return [Load(server_from(row), work[row.id], is_doubted=row.suspected_at is not None) for row in there]


def statuses(connection: sa.Connection, spec_name: str) -> list[ServerStatus]:
    """Return how the servers are that there are, without those that were given up."""
    there = sa.select(table).where(table.c.status != DEAD, _FOR_SPEC).order_by(table.c.id)
    rows = connection.execute(there, {"of_spec": spec_name}).all()
    work = _work(connection, [row.id for row in rows])
    return [
        ServerStatus(
            server=server_from(row),
            status=row.status,
            is_suspected=_is_suspected(row),
            last_heartbeat=row.last_heartbeat,
            current_pipelines=row.current_pipelines,
            tasks=tuple(work[row.id]),
        )
        for row in rows
    ]


def _work(connection: sa.Connection, server_ids: Iterable[str]) -> dict[str, list[Work]]:
    """Return the tasks that servers have, by server."""
    work: dict[str, list[Work]] = {server_id: [] for server_id in server_ids}
    for row in connection.execute(_AT_WORK, {"of_servers": list(work)}):
        work[row.server_id].append(Work(row.pipeline_id, row.name, row.capability))
    return work


def model_of(connection: sa.Connection, spec_name: str, capability: str) -> str | None:
    """Return the identity of a capability's model as it was last told, be it by a server that is gone by now."""
    identity = table.c.models[capability].as_string()
    told = sa.select(identity).where(identity.is_not(None), _FOR_SPEC)
    last = told.order_by(table.c.last_heartbeat.desc()).limit(1)
    model: str | None = connection.execute(last, {"of_spec": spec_name}).scalar()
    return model
