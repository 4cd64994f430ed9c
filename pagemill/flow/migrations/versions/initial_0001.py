"""The tables as they first were."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

# As they were when this was written, whatever becomes of them in tables.py.
JSON = sa.JSON().with_variant(JSONB(), "postgresql")
MOMENT = sa.DateTime(timezone=True)
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "events",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("pipeline_id", sa.String(length=64), nullable=True),
        sa.Column("task", sa.String(length=255), nullable=True),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("before", sa.String(length=20), nullable=True),
        sa.Column("after", sa.String(length=20), nullable=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("server_id", sa.String(length=255), nullable=True),
        sa.Column("detail", JSON, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("events_by_pipeline", "events", ["pipeline_id", "id"])
    op.create_index("events_by_time", "events", ["at"])
    op.create_table(
        "pipelines",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("spec_name", sa.String(length=255), nullable=False),
        sa.Column("spec", JSON, nullable=False),
        sa.Column("document_sha256", sa.String(length=64), nullable=False),
        sa.Column("parameters", JSON, nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("progress", sa.Float(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("pipelines_by_spec", "pipelines", ["spec_name", "state"])
    op.create_table(
        "processing_servers",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("server_type", sa.String(length=50), nullable=False),
        sa.Column("spec_name", sa.String(length=255), nullable=True),
        sa.Column("container_id", sa.String(length=255), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("capabilities", JSON, nullable=False),
        sa.Column("current_pipelines", sa.Integer(), nullable=False),
        sa.Column("max_concurrent_pipelines", sa.Integer(), nullable=False),
        sa.Column("max_concurrent_tasks", sa.Integer(), nullable=False),
        sa.Column("pipeline_coordination_url", sa.String(length=255), nullable=True),
        sa.Column("visual_cache_access", sa.Boolean(), nullable=False),
        sa.Column("last_heartbeat", MOMENT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("processing_servers_by_status", "processing_servers", ["status", "last_heartbeat"])
    op.create_table(
        "visual_cache",
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("made_by", sa.String(length=255), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "results",
        sa.Column("pipeline_id", sa.String(length=64), nullable=False),
        sa.Column("task", sa.String(length=255), nullable=False),
        sa.Column("spec_name", sa.String(length=255), nullable=False),
        sa.Column("result", JSON, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("made_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["pipeline_id"], ["pipelines.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("pipeline_id", "task"),
    )
    op.create_index("results_by_task", "results", ["spec_name", "task", "made_at"])
    op.create_table(
        "tasks",
        sa.Column("pipeline_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("spec_name", sa.String(length=255), nullable=False),
        sa.Column("capability", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("ready", sa.Boolean(), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("server_id", sa.String(length=255), nullable=True),
        sa.Column("executor_id", sa.String(length=255), nullable=True),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("deadline_at", MOMENT, nullable=True),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["pipeline_id"], ["pipelines.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("pipeline_id", "name"),
    )
    op.create_index("tasks_by_deadline", "tasks", ["deadline_at"])
    op.create_index("tasks_by_readiness", "tasks", ["spec_name", "ready", "capability"])
    op.create_index("tasks_by_server", "tasks", ["server_id"])


def downgrade() -> None:
    """Drop the tables."""
    op.drop_index("tasks_by_server", table_name="tasks")
    op.drop_index("tasks_by_readiness", table_name="tasks")
    op.drop_index("tasks_by_deadline", table_name="tasks")
    op.drop_table("tasks")
    op.drop_index("results_by_task", table_name="results")
    op.drop_table("results")
    op.drop_table("visual_cache")
    op.drop_index("processing_servers_by_status", table_name="processing_servers")
    op.drop_table("processing_servers")
    op.drop_index("pipelines_by_spec", table_name="pipelines")
    op.drop_table("pipelines")
    op.drop_index("events_by_time", table_name="events")
    op.drop_index("events_by_pipeline", table_name="events")
    op.drop_table("events")
