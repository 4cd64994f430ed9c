"""The tables: made by migrations on SQLite and PostgreSQL alike, and safe to be made by several at once."""

import datetime
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from pagemill.flow import visual_cache as visual_cache_index
from pagemill.flow.database import VERSION_TABLE, Database, clock
from pagemill.flow.tables import METADATA, processing_servers, visual_cache
from tests.flow_databases import postgres

PATIENCE_SECONDS = 30.0


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    empty = f"sqlite:///{tmp_path}/flow.sqlite"
    opened = Database(empty if request.param == "sqlite" else postgres().database())
    yield opened
    opened.close()


def differences(connection):
    ours = {"version_table": VERSION_TABLE, "include_name": lambda name, kind, _: kind != "table" or name in tables}
    tables = set(METADATA.tables)
    return compare_metadata(MigrationContext.configure(connection, opts=ours), METADATA)


def test_migrations_make_the_tables_that_the_code_expects(database):
    database.migrate()
    assert database.read(differences) == []


def test_migrating_again_changes_nothing(database):
    database.migrate()
    database.migrate()
    assert database.read(differences) == []


def test_what_is_in_a_database_stays_when_it_is_brought_up_to_date(database):
    now = datetime.datetime.now(datetime.UTC).isoformat()
    row = {"id": "old", "server_type": "container", "status": "active", "capabilities": "{}", "at": now}
    insert = (
        "insert into processing_servers (id, server_type, status, capabilities, current_pipelines,"
        " max_concurrent_pipelines, max_concurrent_tasks, visual_cache_access, last_heartbeat, created_at, updated_at)"
        " values (:id, :server_type, :status, :capabilities, 0, 3, 8, false, :at, :at, :at)"
    )
    database.migrate("0001")
    database.write(lambda connection: connection.execute(sa.text(insert), row))
    database.migrate()
    kept = database.read(lambda connection: connection.execute(sa.select(processing_servers)).one())
    assert (kept.id, kept.models, kept.suspected_at) == ("old", {}, None)


def test_several_may_migrate_at_once(database):
    failed = []

    def migrate():
        mine = Database(database.url)
        try:
            mine.migrate()
        except Exception as error:
            failed.append(error)
        finally:
            mine.close()

    threads = [threading.Thread(target=migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert database.read(differences) == []


def test_moments_come_back_with_their_time_zone(database):
    database.migrate()
    moment = datetime.datetime(2026, 3, 29, 3, 30, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    row = {"key": "k", "uri": "memory://pages", "made_by": "me", "created_at": moment}
    database.write(lambda connection: connection.execute(visual_cache.insert().values(row)))
    kept = database.read(lambda connection: connection.execute(sa.select(visual_cache.c.created_at)).scalar_one())
    assert kept == moment
    assert kept.utcoffset() is not None
    assert database.read(clock).utcoffset() is not None


def test_a_database_that_is_away_is_told_of_once_and_when_it_is_back(database, monkeypatch, caplog):
    monkeypatch.setattr("pagemill.flow.database.TELL_SECONDS", 0)
    away = [sa.exc.OperationalError("select secret", {}, Exception("refused"))] * 3

    def work(connection):
        if away:
            raise away.pop()

    with caplog.at_level("INFO", "pagemill.flow"):
        database.write(work)
    assert [record.message for record in caplog.records] == [
        "the database does not answer: refused",
        "the database answers again",
    ]


def test_a_database_that_is_closed_is_waited_for_no_longer(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/nowhere/flow.sqlite")
    with ThreadPoolExecutor() as pool:
        writing = pool.submit(database.write, lambda _: None)
        time.sleep(0.1)
        assert not writing.done()
        database.close()
        with pytest.raises(sa.exc.OperationalError, match="unable to open"):
            writing.result(PATIENCE_SECONDS)


def test_a_transaction_that_fails_leaves_nothing(database):
    database.migrate()

    def insert_and_fail(connection):
        row = {"key": "k", "uri": "memory://pages", "made_by": "me", "created_at": clock(connection)}
        connection.execute(visual_cache.insert().values(row))
        raise RuntimeError("the power went")

    with pytest.raises(RuntimeError, match="power"):
        database.write(insert_and_fail)
    count = sa.select(sa.func.count()).select_from(visual_cache)
    assert database.read(lambda connection: connection.execute(count).scalar_one()) == 0


def test_the_visual_cache_tells_where_content_lies_until_it_is_lost(database):
    database.migrate()
    assert database.read(visual_cache_index.find, "key") is None
    database.write(visual_cache_index.put, "key", "memory://first", "me")
    database.write(visual_cache_index.put, "key", "memory://second", "you")
    assert database.read(visual_cache_index.find, "key") == "memory://second"
    assert database.write(visual_cache_index.forget, "key")
    assert not database.write(visual_cache_index.forget, "key")
