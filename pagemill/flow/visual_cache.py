"""The index of the visual cache: under which key lies what, and who made it; the content itself lies in the store."""

import sqlalchemy as sa

from pagemill.flow.database import Outdated, clock
from pagemill.flow.tables import visual_cache as table


def put(connection: sa.Connection, key: str, uri: str, made_by: str) -> None:
    """Note where the content of a key lies; what was there before is replaced."""
    connection.execute(table.delete().where(table.c.key == key))
    try:
        row = {"key": key, "uri": uri, "made_by": made_by, "created_at": clock(connection)}
        connection.execute(table.insert().values(row))
    except sa.exc.IntegrityError as error:
        raise Outdated(key) from error  # somebody else put it meanwhile


def find(connection: sa.Connection, key: str) -> str | None:
    """Return the URI of a key's content; None when there is none."""
    uri: str | None = connection.execute(sa.select(table.c.uri).where(table.c.key == key)).scalar()
    return uri


def forget(connection: sa.Connection, key: str) -> bool:
    """Forget a key whose content is lost; returns whether it was known."""
    return connection.execute(table.delete().where(table.c.key == key)).rowcount == 1
