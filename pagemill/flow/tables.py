"""The tables in which pipelines, their tasks, the servers that do them and all that happened to them are kept."""

import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB


class Instant(sa.types.TypeDecorator[datetime.datetime]):
    """A moment with its time zone, also in SQLite, which knows none: there it is kept in UTC."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime.datetime | None, dialect: sa.Dialect) -> datetime.datetime | None:
        """Turn any moment into UTC."""
        return value.astimezone(datetime.UTC) if value else None

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime.datetime | None:
        """Say of what comes back that it is UTC."""
        if not isinstance(value, datetime.datetime):
            return None
        return value if value.tzinfo else value.replace(tzinfo=datetime.UTC)


METADATA = sa.MetaData()
JSON = sa.JSON().with_variant(JSONB(), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite counts up only its own integers

pipelines = sa.Table(
    "pipelines",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),  # digest of spec's name, document and parameters
    sa.Column("spec_name", sa.String(255), nullable=False),
    sa.Column("spec", JSON, nullable=False),  # as it was when the pipeline was made
    sa.Column("document_sha256", sa.String(64), nullable=False),
    sa.Column("document_name", sa.Text, nullable=False, server_default=""),
    sa.Column("parameters", JSON, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),  # lower comes first
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("progress", sa.Float, nullable=False),  # 0 to 100
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Column("finished_at", Instant),
    sa.Index("pipelines_by_spec", "spec_name", "state"),
)

tasks = sa.Table(
    "tasks",
    METADATA,
    sa.Column("pipeline_id", sa.ForeignKey("pipelines.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("spec_name", sa.String(255), nullable=False),
    sa.Column("capability", sa.String(255), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("ready", sa.Boolean, nullable=False),  # waits for nothing but room
    sa.Column("share", sa.Float, nullable=False),  # 0 to 1
    sa.Column("run", sa.Integer, nullable=False),  # counts how often it was handed to a server
    sa.Column("epoch", sa.Integer, nullable=False),  # counts who began it; only the last may say what became of it
    sa.Column("failures", sa.Integer, nullable=False),  # of attempts, since it was queued
    sa.Column("losses", sa.Integer, nullable=False),  # of processes under it, since it was queued
    sa.Column("server_id", sa.String(255)),  # to which it is handed
    sa.Column("executor_id", sa.String(255)),  # the process of the queue that sees to it
    sa.Column("due_at", Instant, nullable=False),  # not before then
    sa.Column("started_at", Instant),
    sa.Column("deadline_at", Instant),
    sa.Column("finished_at", Instant),
    sa.Column("reason", sa.Text, nullable=False),  # why it failed or was skipped
    sa.Index("tasks_by_readiness", "spec_name", "ready", "capability"),
    sa.Index("tasks_by_server", "server_id"),
    sa.Index("tasks_by_deadline", "deadline_at"),
)

results = sa.Table(
    "results",
    METADATA,
    sa.Column("pipeline_id", sa.ForeignKey("pipelines.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("task", sa.String(255), primary_key=True),
    sa.Column("spec_name", sa.String(255), nullable=False),
    sa.Column("result", JSON, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),  # of the result as canonical JSON
    sa.Column("seconds", sa.Float, nullable=False),  # that the attempt took which made it
    sa.Column("made_at", Instant, nullable=False),
    sa.Index("results_by_task", "spec_name", "task", "made_at"),
)

events = sa.Table(
    "events",
    METADATA,
    sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
    sa.Column("pipeline_id", sa.String(64)),
    sa.Column("task", sa.String(255)),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("before", sa.String(20)),
    sa.Column("after", sa.String(20)),
    sa.Column("at", Instant, nullable=False),
    sa.Column("server_id", sa.String(255)),
    sa.Column("detail", JSON, nullable=False),
    sa.Index("events_by_pipeline", "pipeline_id", "id"),
    sa.Index("events_by_time", "at"),
)

processing_servers = sa.Table(
    "processing_servers",
    METADATA,
    sa.Column("id", sa.String(255), primary_key=True),
    sa.Column("server_type", sa.String(50), nullable=False),
    sa.Column("spec_name", sa.String(255)),  # the only pipelines it takes; none for all
    sa.Column("container_id", sa.String(255)),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("capabilities", JSON, nullable=False),  # name: true, or how many tasks of it at a time
    sa.Column("current_pipelines", sa.Integer, nullable=False),  # as the server itself says
    sa.Column("max_concurrent_pipelines", sa.Integer, nullable=False),
    sa.Column("max_concurrent_tasks", sa.Integer, nullable=False),
    sa.Column("pipeline_coordination_url", sa.String(255)),
    sa.Column("visual_cache_access", sa.Boolean, nullable=False),
    sa.Column("models", JSON, nullable=False, server_default="{}"),  # capability: identity of its model
    sa.Column("last_heartbeat", Instant, nullable=False),
    sa.Column("suspected_at", Instant),  # when it did not answer; it gets nothing until it is heard of
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Index("processing_servers_by_status", "status", "last_heartbeat"),
)

visual_cache = sa.Table(
    "visual_cache",
    METADATA,
    sa.Column("key", sa.String(128), primary_key=True),  # digest of all that the content depends on
    sa.Column("uri", sa.Text, nullable=False),
    sa.Column("made_by", sa.String(255), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
)
