"""Servers that do tasks: they register, say that they live, drain and are missed; and which of them takes a task."""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field

import sqlalchemy as sa

from pagemill.flow.changes import record
from pagemill.flow.database import clock
from pagemill.flow.runner import Server
from pagemill.flow.tables import processing_servers as table

BACKEND = "backend"  # the type of the queue's own processes
WARMING, ACTIVE, DRAINING, EXPIRED, DEAD = "warming", "active", "draining", "expired", "dead"
ALIVE = (WARMING, ACTIVE, DRAINING)
LOCK = 7246345564  # among PostgreSQL's advisory locks


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


def choose(task: Work, loads: Iterable[Load]) -> Load | None:
    """Return where a task goes: to a server that has its pipeline already, else to the one with least to do."""

    def order(load: Load) -> tuple[bool, float, str]:
        there = any(each.pipeline_id == task.pipeline_id for each in load.work)
        return not there, len(load.work) / load.server.max_tasks, load.server.id

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
    )


def lock(connection: sa.Connection) -> None:
    """Keep others from handing out tasks and from changing which servers get some, until the transaction ends.

    Heartbeats do not wait for it, so that nobody is missed for another one's sake.
    """
    if connection.dialect.name != "sqlite":  # which has one writer anyway
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))


def register(connection: sa.Connection, server: Server, status: str = ACTIVE) -> None:
    """Add a server; one of the same id that was there before is gone with that, so hand its tasks back first."""
    lock(connection)
    now = clock(connection)
    before = connection.execute(sa.select(table.c.status).where(table.c.id == server.id)).scalar()
    columns = {
        "server_type": server.server_type,
        "spec_name": server.spec_name,
        "container_id": server.container_id,
        "status": status,
        "capabilities": dict(server.capabilities),
        "current_pipelines": 0,
        "max_concurrent_pipelines": server.max_pipelines,
        "max_concurrent_tasks": server.max_tasks,
        "pipeline_coordination_url": server.url,
        "visual_cache_access": server.visual_cache_access,
        "last_heartbeat": now,
        "updated_at": now,
    }
    if before is None:
        connection.execute(table.insert().values({"id": server.id, "created_at": now, **columns}))
    else:
        connection.execute(table.update().where(table.c.id == server.id).values(columns))
    record(connection, now, "registered", server_id=server.id, before=before, after=status)


def heartbeat(connection: sa.Connection, server_id: str, current_pipelines: int = 0) -> bool:
    """Note that a server lives.

    Returns:
        False if the server was given up meanwhile, or never was there: it has to register.
    """
    now = clock(connection)
    alive = table.update().where(table.c.id == server_id, table.c.status.in_(ALIVE))
    return connection.execute(alive.values(last_heartbeat=now, current_pipelines=current_pipelines)).rowcount == 1


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
) -> list[Server]:
    """Return the servers that may get tasks."""
    since = now - datetime.timedelta(seconds=timeout_seconds)
    for_spec = sa.or_(table.c.spec_name.is_(None), table.c.spec_name == spec_name)
    alive = sa.select(table).where(table.c.status == ACTIVE, table.c.last_heartbeat >= since, for_spec)
    return [server_from(row) for row in connection.execute(alive.order_by(table.c.id))]
