"""Sends tasks to containers over HTTP, listens to their news, and tells the queue what became of them."""

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from pagemill.decks.records import Deck, Status
from pagemill.decks.tasks import Parameters, TaskInput, TaskOutput
from pagemill.flow.runner import NeedLost, PipelineRun, ServerLost, Skip, Superseded, TaskFailed, TaskRun
from pagemill.reviews.backend.outcomes import failure_of, problem_of
from pagemill.reviews.wire import (
    EPOCH_HEADER,
    KEY_HEADER,
    LOCAL_HOSTS,
    PIPELINE_HEADER,
    RUNNING_TASK_ROUTE,
    STREAM_TYPE,
    TASK_ROUTES,
    Done,
    ErrorKind,
    Failed,
    News,
    Problem,
)
from pagemill.waiting import asked_seconds

NEWS_LIMIT_SECONDS = 4.0  # without news the container is held to be lost
END_LIMIT_SECONDS = 2.0  # for the request that ends a task
BUSY_LIMIT_SECONDS = 40.0  # longer than a container goes on with a task that nobody listens to any more
BUSY_PAUSE_SECONDS = 2.0  # at most, until a busy container is asked again
LEAST_PAUSE_SECONDS = 0.1
NOT_REACHED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL)

Report = Callable[[float], None]
_NEWS: TypeAdapter[News] = TypeAdapter(News)
log = logging.getLogger(__name__)


class _Closing(Superseded):
    """This process ends: another one goes on with the task, in the container that has it."""


class _Busy(Exception):
    """The container has no room, by its own account."""

    def __init__(self, pause_seconds: float | None) -> None:
        super().__init__(pause_seconds)
        wanted = BUSY_PAUSE_SECONDS if pause_seconds is None else pause_seconds
        self.pause_seconds = min(max(wanted, LEAST_PAUSE_SECONDS), BUSY_PAUSE_SECONDS)


@dataclasses.dataclass(frozen=True, slots=True)
class _Order:
    """A task on its way to a container."""

    task: TaskRun
    pipeline_id: str
    body: str
    deadline: float  # by the monotonic clock

    @property
    def url(self) -> str:
        return f"{self._server_url}{TASK_ROUTES[self.task.name]}"

    @property
    def epoch(self) -> dict[str, str]:
        """The header that says which of several attempts at one key this is."""
        return {EPOCH_HEADER: str(self.task.epoch)}

    @property
    def running_url(self) -> str:
        return self._server_url + RUNNING_TASK_ROUTE.format(key=quote(self.task.key, safe=""))

    @property
    def _server_url(self) -> str:
        return (self.task.server.url or "").rstrip("/")

    @property
    def fields(self) -> dict[str, Any]:
        """What the log tells of it."""
        task = self.task
        told = {"task": task.name, "key": task.key, "pipeline": self.pipeline_id}
        return told | {"server": task.server.id, "attempt": task.attempt, "epoch": task.epoch}


class HttpRunner:
    """Carries out tasks in containers.

    Args:
        token: The secret that backend and containers share.
        news_limit_seconds: How long a container may say nothing.
        busy_limit_seconds: How long one that has no room is asked again, until the task goes to another.
    """

    def __init__(
        self,
        token: str,
        *,
        news_limit_seconds: float = NEWS_LIMIT_SECONDS,
        busy_limit_seconds: float = BUSY_LIMIT_SECONDS,
    ) -> None:
        self._busy_limit_seconds = busy_limit_seconds
        self._closing = threading.Event()
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(news_limit_seconds, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            mounts={f"all://{host}": None for host in LOCAL_HOSTS},
        )

    def close(self) -> None:
        """Let go of all tasks without a word to the queue, once it is closed; containers go on for a while."""
        self._closing.set()

    def run(
        self,
        task: TaskRun,
        pipeline: PipelineRun,
        inputs: Mapping[str, Mapping[str, Any]],
        report_progress: Report,
    ) -> dict[str, Any]:
        """Have a container carry out a task; see `pagemill.flow.runner.Runner`."""
        body = task_input(task, pipeline, inputs).model_dump_json()
        order = _Order(task, pipeline.id, body, time.monotonic() + task.time_limit_seconds)
        with _ledger(order):
            try:
                return result_of(self._output(order, report_progress))
            except _Closing:
                raise
            except Superseded:
                self._end(order)
                raise

    def _output(self, order: _Order, report_progress: Report) -> TaskOutput:
        """Return what the container answers, which may have no room at first."""
        no_longer = time.monotonic() + self._busy_limit_seconds
        while True:
            try:
                return self._asked(order, report_progress)
            except _Busy as busy:
                if time.monotonic() >= no_longer:
                    raise ServerLost(f"{order.task.server.id} has no room", begun=False) from None
                self._check_time(order)
                if self._closing.wait(busy.pause_seconds):
                    raise _Closing(order.task.key) from None

    def _asked(self, order: _Order, report_progress: Report) -> TaskOutput:
        headers = {KEY_HEADER: order.task.key, PIPELINE_HEADER: order.pipeline_id, **order.epoch}
        headers |= {"Accept": STREAM_TYPE, "Content-Type": "application/json"}
        try:
            with self._client.stream("POST", order.url, content=order.body, headers=headers) as response:
                if response.status_code != httpx.codes.OK:
                    response.read()
                    raise _refusal(problem_of(response.status_code, response.content), response.headers)
                return self._heard(order, lines_in(response.iter_bytes()), report_progress)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            message = f"{order.task.server.id} at {order.task.server.url}: {reason}"
            raise ServerLost(message, begun=not isinstance(error, NOT_REACHED)) from None

    def _heard(self, order: _Order, lines: Iterable[bytes], report_progress: Report) -> TaskOutput:
        """Return what a task's news end with."""
        for line in lines:
            if self._closing.is_set():
                raise _Closing(order.task.key)
            try:
                news = _NEWS.validate_json(line)
            except ValidationError:
                raise TaskFailed(f"{order.task.server.id} speaks another protocol, or another version of it") from None
            if isinstance(news, Done):
                return news.output
            if isinstance(news, Failed):
                raise failure_of(news.problem)
            report_progress(news.share)
            self._check_time(order)
        raise ServerLost(f"{order.task.server.id} broke off")

    def _check_time(self, order: _Order) -> None:
        if time.monotonic() > order.deadline:
            self._end(order)
            raise TaskFailed(f"no result within {order.task.time_limit_seconds:g} s")

    def _end(self, order: _Order) -> None:
        """Ask the container to end a task; it does so by itself if it does not hear that."""
        try:
            self._client.delete(order.running_url, headers=order.epoch, timeout=END_LIMIT_SECONDS)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            log.info("%s did not hear that %s is over: %s", order.task.server.id, order.task.key, error)


def _refusal(problem: Problem, headers: Mapping[str, str]) -> Exception:
    """Return what to raise where the work did not even begin."""
    if problem.error is ErrorKind.BUSY:
        return _Busy(asked_seconds(headers))
    failure = failure_of(problem)
    if isinstance(failure, ServerLost) or problem.error is ErrorKind.MODEL_UNAVAILABLE:
        return ServerLost(problem.message, begun=False)  # it will say when it is there again
    return failure


def task_input(task: TaskRun, pipeline: PipelineRun, inputs: Mapping[str, Mapping[str, Any]]) -> TaskInput:
    """Return what a container has to know of a task."""
    return TaskInput(
        task=task.name,
        deck=Deck(pdf_sha256=pipeline.document_sha256, name=pipeline.document_name),
        parameters=Parameters.model_validate(pipeline.parameters),
        needs={name: result["result"] for name, result in inputs.items()},
        accept_missing=task.attempt >= task.attempts,
    )


def result_of(output: TaskOutput) -> dict[str, Any]:
    """Return what the queue keeps of a task's answer; raises Skip with it where there was nothing to do."""
    result: dict[str, Any] = output.model_dump(mode="json")
    if output.status is Status.SKIPPED:
        raise Skip(str(output.reason), result)
    return result


def lines_in(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a stream, which end at line feeds alone, unlike those of httpx."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(bytes.strip, lines)
    if rest.strip():
        yield rest


@contextlib.contextmanager
def _ledger(order: _Order) -> Iterator[None]:
    """Log that a task was sent to a container, and what became of that."""
    started = time.monotonic()
    log.info("task sent", extra={"fields": order.fields})
    outcome = "ok"
    try:
        yield
    except Exception as error:
        outcome = _OUTCOMES.get(type(error), "failed")
        raise
    finally:
        seconds = round(time.monotonic() - started, 3)
        log.info("task over", extra={"fields": {**order.fields, "outcome": outcome, "seconds": seconds}})


_OUTCOMES: Mapping[type[Exception], str] = {
    Skip: "skipped",
    NeedLost: "need lost",
    ServerLost: "server lost",
    Superseded: "superseded",
    _Closing: "let go",
}
