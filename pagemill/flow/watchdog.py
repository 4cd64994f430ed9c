"""What is missed: servers that are not heard of lose their tasks to others, attempts that take too long fail."""

import datetime
import time
from collections.abc import Iterable

import sqlalchemy as sa

from pagemill.flow import servers
from pagemill.flow.attempts import fail_open, hand_back
from pagemill.flow.changes import OpenPipeline, record
from pagemill.flow.database import Database, clock
from pagemill.flow.durable import Durable
from pagemill.flow.runner import Server
from pagemill.flow.servers import ALIVE, BACKEND, DEAD, EXPIRED, lock, set_status
from pagemill.flow.states import TaskState
from pagemill.flow.tables import processing_servers, tasks

TAKEN_SECONDS = 5.0  # after that another one sees to a dead server, should whoever began that have died as well


def see_to_missing(database: Database, durable: Durable, timeout_seconds: float) -> int:
    """Hand the tasks of servers that are not heard of any more to others; returns how many servers that were."""
    began = time.monotonic()
    missing = database.read(_missing, durable.spec_name, timeout_seconds)
    if time.monotonic() - began > timeout_seconds / 2:
        return 0  # the database was away: nobody could be heard of
    taken = [each for each in missing if database.write(_take, each, timeout_seconds)]
    for server_id in taken:
        give_up(database, durable, server_id, "its server was not heard of any more", (EXPIRED,))
    return len(taken)


def give_up(
    database: Database, durable: Durable, server_id: str, reason: str, among: Iterable[str] = (*ALIVE, EXPIRED)
) -> None:
    """Hand all that a server has to others, and forget about it.

    In this order it may be interrupted anywhere: until the end the server is there for another one to see to.

    Args:
        database: Where the server is.
        durable: The queues of processes.
        server_id: The server.
        reason: Why.
        among: The states that it may have in the end; in another one it was heard of meanwhile, and stays.
    """
    hand_all_back(database, server_id, reason)
    durable.adopt(server_id)
    database.write(set_status, server_id, DEAD, among)


def hear(database: Database, server: Server, status: str, current_pipelines: int = 0) -> bool:
    """Note that a server lives, and what it says of itself; one that is unknown or was given up registers with that.

    Returns:
        Whether that is news, so that there may be something to hand out.
    """
    heard = database.write(servers.hear, server, status, current_pipelines)
    if heard is servers.Heard.UNKNOWN:
        hand_all_back(database, server.id, "its server was given up")
        database.write(servers.register, server, status)
    return heard is not servers.Heard.AS_BEFORE


def hand_all_back(database: Database, server_id: str, reason: str) -> None:
    """Take from a server all tasks that it has."""
    for pipeline_id, name in database.read(_had_by, server_id):
        database.write(_hand_back_one, pipeline_id, name, server_id, reason)


def see_to_overdue(database: Database, spec_name: str) -> int:
    """Fail attempts beyond their time limit, hand out anew what nobody began; returns how many tasks that were."""
    found = database.read(_overdue, spec_name)
    for pipeline_id, name in found:
        database.write(_fail_if_late, pipeline_id, name)
    return len(found)


def _had_by(connection: sa.Connection, server_id: str) -> list[tuple[str, str]]:
    having = sa.select(tasks.c.pipeline_id, tasks.c.name).where(tasks.c.server_id == server_id)
    return [(row.pipeline_id, row.name) for row in connection.execute(having)]


def _hand_back_one(connection: sa.Connection, pipeline_id: str, name: str, server_id: str, reason: str) -> None:
    with OpenPipeline(connection, pipeline_id) as pipeline:
        if pipeline.tasks[name]["server_id"] == server_id:
            hand_back(pipeline, name, reason)


def _overdue(connection: sa.Connection, spec_name: str) -> list[tuple[str, str]]:
    late = tasks.c.spec_name == spec_name, tasks.c.deadline_at < clock(connection)
    found = connection.execute(sa.select(tasks.c.pipeline_id, tasks.c.name).where(*late))
    return [(row.pipeline_id, row.name) for row in found]


def _fail_if_late(connection: sa.Connection, pipeline_id: str, name: str) -> None:
    with OpenPipeline(connection, pipeline_id) as pipeline:
        row = pipeline.tasks[name]
        if row["deadline_at"] is None or row["deadline_at"] >= pipeline.now:
            return
        if row["state"] == TaskState.RUNNING:
            limit = pipeline.spec.task(name).time_limit_seconds
            fail_open(pipeline, name, f"no result within {limit:g} s")
        else:
            hand_back(pipeline, name, "it was handed out but not begun")


def _stale(now: datetime.datetime, timeout_seconds: float) -> sa.ColumnElement[bool]:
    taken_up = now - datetime.timedelta(seconds=TAKEN_SECONDS)
    unheard = processing_servers.c.last_heartbeat < now - datetime.timedelta(seconds=timeout_seconds)
    abandoned = sa.and_(processing_servers.c.status == EXPIRED, processing_servers.c.updated_at < taken_up)
    return sa.and_(unheard, sa.or_(processing_servers.c.status.in_(ALIVE), abandoned))


def _missing(connection: sa.Connection, spec_name: str, timeout_seconds: float) -> list[str]:
    ours = sa.or_(processing_servers.c.server_type != BACKEND, processing_servers.c.spec_name == spec_name)
    return list(
        connection.execute(
            sa.select(processing_servers.c.id).where(_stale(clock(connection), timeout_seconds), ours)
        ).scalars()
    )


def _take(connection: sa.Connection, server_id: str, timeout_seconds: float) -> bool:
    """Take it upon oneself to see to a server; only one process succeeds in that."""
    lock(connection)
    now = clock(connection)
    this = sa.and_(processing_servers.c.id == server_id, _stale(now, timeout_seconds))
    if connection.execute(processing_servers.update().where(this).values(status=EXPIRED, updated_at=now)).rowcount != 1:
        return False
    record(connection, now, "server", server_id=server_id, after=EXPIRED)
    return True
