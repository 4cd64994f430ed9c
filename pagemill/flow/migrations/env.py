"""What alembic runs: the missing migrations, over the connection and in the transaction that it is given."""

from alembic import context

from pagemill.flow.database import VERSION_TABLE
from pagemill.flow.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"], target_metadata=METADATA, version_table=VERSION_TABLE
)
context.run_migrations()
