"""What the backend answers: pipelines, their tasks and events, and servers, as clients see them."""

import datetime
from collections.abc import Mapping
from typing import Any, Self

from pagemill import __version__
from pagemill.decks.records import Record
from pagemill.decks.tasks import Parameters
from pagemill.flow.reading import Event, PipelineStatus
from pagemill.flow.servers import ServerStatus
from pagemill.flow.states import PipelineState, TaskState


class Health(Record):
    """That the process answers."""

    status: str = "ok"
    version: str = __version__


class TaskReport(Record):
    """Where a task stands."""

    name: str
    state: TaskState
    share: float  # 0 to 1
    reason: str  # why it failed, was skipped or is tried again
    failures: int
    server_id: str | None
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None
    hand_off_seconds: float | None = None  # from the end of what it needs to its own beginning


class PipelineSummary(Record):
    """Where a pipeline stands."""

    id: str
    document_sha256: str
    document_name: str
    priority: int
    state: PipelineState
    progress: float  # 0 to 100
    seconds_left: float | None  # None when it cannot be told
    created_at: datetime.datetime
    finished_at: datetime.datetime | None

    @classmethod
    def of(cls, status: PipelineStatus) -> Self:
        """Return what is told of a pipeline among others."""
        return cls(**{name: getattr(status, name) for name in PipelineSummary.model_fields})


class PipelineReport(PipelineSummary):
    """Where a pipeline and its tasks stand, and what is asked of it."""

    tasks: tuple[TaskReport, ...] = ()
    parameters: Parameters = Parameters()

    @classmethod
    def whole(cls, status: PipelineStatus, hand_offs: Mapping[str, float]) -> Self:
        """Return all that is told of a pipeline."""
        told = set(TaskReport.model_fields) - {"hand_off_seconds"}
        tasks = tuple(
            TaskReport(hand_off_seconds=hand_offs.get(task.name), **{name: getattr(task, name) for name in told})
            for task in status.tasks
        )
        parameters = Parameters.model_validate(status.parameters)
        return cls.of(status).model_copy(update={"tasks": tasks, "parameters": parameters})


class EventReport(Record):
    """Something that happened to a pipeline."""

    id: int
    task: str | None
    kind: str
    before: str | None
    after: str | None
    at: datetime.datetime
    server_id: str | None
    detail: dict[str, Any]

    @classmethod
    def of(cls, event: Event) -> Self:
        """Return what is told of an event."""
        return cls(**{name: getattr(event, name) for name in cls.model_fields})


class WorkReport(Record):
    """A task that a server has."""

    pipeline_id: str
    name: str


class ServerOverview(Record):
    """A container or a backend, and what it has to do."""

    id: str
    server_type: str
    url: str | None
    state: str
    is_suspected: bool  # it did not answer, and gets nothing before it is heard of again
    last_heartbeat: datetime.datetime
    capabilities: dict[str, bool | int]
    models: dict[str, str]
    max_pipelines: int
    max_tasks: int
    current_pipelines: int  # as it says itself
    tasks: tuple[WorkReport, ...]

    @classmethod
    def of(cls, status: ServerStatus) -> Self:
        """Return what is told of a server."""
        server = status.server
        return cls(
            id=server.id,
            server_type=server.server_type,
            url=server.url,
            state=status.status,
            is_suspected=status.is_suspected,
            last_heartbeat=status.last_heartbeat,
            capabilities=dict(server.capabilities),
            models=dict(server.models),
            max_pipelines=server.max_pipelines,
            max_tasks=server.max_tasks,
            current_pipelines=status.current_pipelines,
            tasks=tuple(WorkReport(pipeline_id=each.pipeline_id, name=each.name) for each in status.tasks),
        )


class ServerHeard(Record):
    """That a report has come in."""

    server_id: str


class QueuedAnew(Record):
    """Which tasks are done again."""

    tasks: tuple[str, ...]


class Cancelled(Record):
    """Whether there was anything to cancel."""

    cancelled: bool
