"""Names of documents, models of servers, and since when a server is suspected to be gone."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"

# As they were when this was written, whatever becomes of them in tables.py.
JSON = sa.JSON().with_variant(JSONB(), "postgresql")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the columns."""
    op.add_column("pipelines", sa.Column("document_name", sa.Text(), nullable=False, server_default=""))
    op.add_column("processing_servers", sa.Column("models", JSON, nullable=False, server_default="{}"))
    op.add_column("processing_servers", sa.Column("suspected_at", MOMENT, nullable=True))


def downgrade() -> None:
    """Drop the columns."""
    op.drop_column("processing_servers", "suspected_at")
    op.drop_column("processing_servers", "models")
    op.drop_column("pipelines", "document_name")
