"""What carries tasks out: the protocol of runners, what they are told, and how they say that it did not work."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol


class Skip(Exception):
    """Raised by a runner: for this document there is nothing to do.

    Args:
        reason: Why.
        result: Is kept like that of a task that is done; of what JSON knows.
    """

    def __init__(self, reason: str, result: dict[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.result = _checked(result)


class TaskFailed(Exception):
    """Raised by a runner: the attempt failed, as does one that raises anything else; this one can say more.

    Args:
        message: Why.
        retry: Whether another attempt may help; the task is not tried again otherwise.
        detail: Goes into the event's detail, beside what the queue itself writes there; of what JSON knows.
    """

    def __init__(self, message: str, *, retry: bool = True, detail: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.retry = retry
        self.detail: dict[str, Any] = _checked(dict(detail or {}))


class NeedLost(Exception):
    """Raised by a runner: what an earlier task made is lost. That one is done again, then this one, and nothing else.

    Args:
        task_name: The earlier task, which this one needs, be it through others.
    """

    def __init__(self, task_name: str) -> None:
        super().__init__(f"the result of {task_name} is lost")
        self.task_name = task_name


class ServerLost(Exception):
    """Raised by a runner: the container went away, which is no failure of the task; another one takes it at once.

    The container gets no task before it is heard of again, and after that only what no other one has room for.

    Args:
        message: Why.
        begun: Whether the container may have begun, so that it may be the task that ends containers.
    """

    def __init__(self, message: str, *, begun: bool = True) -> None:
        super().__init__(message)
        self.begun = begun


class Superseded(Exception):
    """Raised where a runner reports progress: the task was cancelled or given to another; its answer counts no more."""


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """What does tasks: a container, or a process of the queue itself."""

    id: str
    server_type: str
    capabilities: Mapping[str, bool | int]  # of tasks or of what they need: true, or how many at a time
    url: str | None = None
    max_pipelines: int = 3
    max_tasks: int = 8
    container_id: str | None = None
    visual_cache_access: bool = False
    spec_name: str | None = None  # the only pipelines it takes; None for all
    models: Mapping[str, str] = dataclasses.field(default_factory=dict)  # the model's identity, by capability


@dataclasses.dataclass(frozen=True, slots=True)
class PipelineRun:
    """The pipeline that a task is of."""

    id: str
    spec_name: str
    document_sha256: str
    parameters: Mapping[str, Any]
    document_name: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class TaskRun:
    """A task that is to be carried out now."""

    name: str
    capability: str
    attempt: int  # from 1; processes that die do not count
    attempts: int  # the most there are: with attempt == attempts it is the last
    key: str  # the same when the same request is made again: for servers that remember answers
    epoch: int  # who began it; the queue believes only the last
    time_limit_seconds: float
    server: Server


class Runner(Protocol):
    """Carries out tasks. It is called from several threads at a time."""

    def run(
        self,
        task: TaskRun,
        pipeline: PipelineRun,
        inputs: Mapping[str, Mapping[str, Any]],
        report_progress: Callable[[float], None],
    ) -> dict[str, Any]:
        """Carry out a task.

        Args:
            task: The task, and the server that has room for it.
            pipeline: Its pipeline.
            inputs: The results of the tasks that it needs, by name.
            report_progress: Takes the share that is done, from 0 to 1; raises Superseded when there is no use in
                going on.

        Returns:
            The result: small, and of what JSON knows.

        Raises:
            Skip: There is nothing to do.
            ServerLost: The container went away.
            NeedLost: What an earlier task made is lost.
            TaskFailed: The attempt failed; it is made again as the spec says, unless the error says otherwise.
            Exception: The attempt failed; it is made again as the spec says.
        """


def _checked(value: Any) -> Any:
    """Return what JSON knows; anything else fails here, where the runner's own traceback shows who made it."""
    json.dumps(value, allow_nan=False)
    return value
