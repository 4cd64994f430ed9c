"""A database, SQLite or PostgreSQL: its schema, its clock, and transactions that outlive a restart of the server."""

import contextlib
import datetime
import logging
import threading
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
import tenacity

from pagemill.flow.tables import Instant
from pagemill.waiting import failure_of

PATIENCE_SECONDS = 60.0  # how long a database may be away
POOL_SIZE = 10
TELL_SECONDS = 2.0  # a database that is away for longer is told of
BUSY_SECONDS = 30
IDLE_SECONDS = 2  # PostgreSQL then takes its locks from a process that stopped in the midst of a transaction
READING = "pagemill_reading"
NOW = sa.func.clock_timestamp(type_=Instant())  # by the database's clock: machines that share a database agree on it
_CLOCK = sa.select(NOW)
VERSION_TABLE = "pagemill_flow_version"

_log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class Outdated(Exception):
    """Another process changed first what a transaction had read: it is done again."""


def _is_interruption(error: BaseException) -> bool:
    """Whether a transaction can be done again: the database was away, or another transaction was first."""
    if isinstance(error, (Outdated, sa.exc.OperationalError)):
        return True
    return isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated


class Database:
    """A database.

    Args:
        url: `sqlite:///file` or `postgresql://…`.
        patience_seconds: How long it may be away until a transaction is given up.
    """

    def __init__(self, url: str, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self.url = url
        self._patience_seconds = patience_seconds
        self._is_away = False  # as the log was told
        parsed = sa.make_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self._closed = threading.Event()
        # One at a time in this process: SQLite itself lets a second writer sleep for up to 0.1 s until it looks again.
        self._writing = threading.Lock() if self.is_sqlite else contextlib.nullcontext()
        if not self.is_sqlite:
            parsed = parsed.set(drivername="postgresql+psycopg")
        options = f"-c idle_in_transaction_session_timeout={IDLE_SECONDS}s"
        self.engine = sa.create_engine(
            parsed,
            connect_args={} if self.is_sqlite else {"options": options},
            pool_size=POOL_SIZE,
            max_overflow=0,
            pool_use_lifo=True,  # the last one used is warm
        )
        if self.is_sqlite:
            sa.event.listen(self.engine, "connect", _configure_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
        self._readable = self.engine.execution_options(**{READING: True})

    def migrate(self, revision: str = "head") -> None:
        """Bring the schema to what this version needs, or an earlier one did; several processes may do so at once."""
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", "pagemill.flow:migrations")

        def upgrade(connection: sa.Connection) -> None:
            if not self.is_sqlite:
                connection.execute(sa.text("select pg_advisory_xact_lock(7246345563)"))
            config.attributes["connection"] = connection
            command.upgrade(config, revision)

        self.write(upgrade)

    def write(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do work in one transaction; when the database went away, again, so the work has to bear that.

        Raises:
            sqlalchemy.exc.OperationalError: The database was away for longer than it may be.
        """
        with self._writing:
            return self._persist(self.engine, lambda connection: work(connection, *args, **kwargs))

    def read(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do work that only reads, in one transaction; it waits for nobody who writes."""
        return self._persist(self._readable, lambda connection: work(connection, *args, **kwargs))

    def _persist(self, engine: sa.Engine, work: Callable[[sa.Connection], T]) -> T:
        def once() -> T:
            with engine.begin() as connection:
                return work(connection)

        done = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_interruption),
            wait=tenacity.wait_exponential_jitter(initial=0.05, max=1),
            stop=tenacity.stop_any(
                tenacity.stop_after_delay(self._patience_seconds), tenacity.stop_when_event_set(self._closed)
            ),
            before_sleep=self._tell,
            reraise=True,
        )(once)
        if self._is_away:
            self._is_away = False
            _log.info("the database answers again")
        return done

    def _tell(self, state: tenacity.RetryCallState) -> None:
        """Log that the database is away, once."""
        error = failure_of(state)
        if not self._is_away and isinstance(error, sa.exc.DBAPIError) and state.idle_for >= TELL_SECONDS:
            self._is_away = True
            _log.warning("the database does not answer: %s", str(error.orig).splitlines()[0])

    def close(self) -> None:
        """Close the connections; a database that is away is waited for no longer."""
        self._closed.set()
        self.engine.dispose()


def clock(connection: sa.Connection) -> datetime.datetime:
    """Return the time by the database's clock."""
    moment: datetime.datetime = connection.execute(_CLOCK).scalar_one()
    return moment


def _utc_now() -> str:
    """Return the time as SQLite keeps it here."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where _begin_sqlite says so
    connection.create_function("clock_timestamp", 0, _utc_now)
    connection.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")  # in this mode a crash of the process loses nothing
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: sa.Connection) -> None:
    """Take the lock for writing at once: what a transaction read then still holds when it writes."""
    reading = connection.get_execution_options().get(READING)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
