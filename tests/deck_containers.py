"""Containers of deck review in a thread, over real HTTP, with a scripted model; and models that wait to be let go."""

import asyncio
import contextlib
import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from pagemill.decks.asking import Model
from pagemill.decks.records import Deck
from pagemill.decks.tasks import Parameters, TaskInput
from pagemill.draining import DrainingServer, listening
from pagemill.reviews.container.app import create_app
from pagemill.reviews.container.container import Container, Place
from pagemill.reviews.container.kinds import KINDS
from pagemill.reviews.container.readiness import Readiness, Warm
from pagemill.reviews.container.work import Limits
from pagemill.reviews.wire import KEY_HEADER, PIPELINE_HEADER, STREAM_TYPE, TASK_ROUTES
from pagemill.storage import Store
from tests.decks import NO_OCR

TOKEN = "the-token"
LIMIT_SECONDS = 30.0


class Gate:
    """Holds a scripted model's answers back until it is opened; `ScriptedModel(before=gate)`."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, what: str) -> None:
        self.reached.set()
        assert self.opened.wait(LIMIT_SECONDS)


@dataclasses.dataclass
class Running:
    """A container that listens."""

    container: Container
    client: httpx.Client  # with the token
    url: str
    loop: asyncio.AbstractEventLoop
    server: DrainingServer
    thread: threading.Thread

    def run(
        self, order: TaskInput, key: str = "", pipeline: str = "", timeout: float = LIMIT_SECONDS
    ) -> httpx.Response:
        """Run a task and wait for its one answer."""
        body = order.model_dump(mode="json")
        return self.client.post(TASK_ROUTES[order.task], json=body, headers=named(key, pipeline), timeout=timeout)

    @contextlib.contextmanager
    def news(self, order: TaskInput, key: str = "", pipeline: str = "") -> Iterator[Iterator[dict[str, Any]]]:
        """Run a task; give its news as they come."""
        headers = {"Accept": STREAM_TYPE, **named(key, pipeline)}
        body = order.model_dump(mode="json")
        with self.client.stream("POST", TASK_ROUTES[order.task], json=body, headers=headers) as answer:
            assert answer.status_code == 200, answer.read()
            yield (json.loads(line) for line in answer.iter_lines())

    def health(self) -> dict[str, Any]:
        return dict(httpx.get(f"{self.url}/api/health").json())

    def drain(self) -> None:
        """Do what SIGTERM does to a process."""
        self.loop.call_soon_threadsafe(self.server.begin_to_drain)


def named(key: str, pipeline: str) -> dict[str, str]:
    """Return the headers of a task's request."""
    return {name: value for name, value in {KEY_HEADER: key, PIPELINE_HEADER: pipeline}.items() if value}


def order_of(task: str, deck: Deck, *, accept_missing: bool = False, **needs: str) -> TaskInput:
    """Return the request for a task on a sample deck, without OCR."""
    return TaskInput(
        task=task, deck=deck, parameters=Parameters(slides=NO_OCR), needs=needs, accept_missing=accept_missing
    )


@contextlib.contextmanager
def running_container(
    kind: str,
    store: Store,
    model: Model,
    *,
    warm: Warm | None = None,
    drain_seconds: float = LIMIT_SECONDS,
    **limits: Any,
) -> Iterator[Running]:
    """Run a container whose model answers already, unless `warm` says when it does."""
    of_kind = KINDS[kind]
    allowed = Limits(**{"tasks": of_kind.max_tasks, "pipelines": of_kind.max_pipelines, **limits})
    started: list[Running] = []
    listens = threading.Event()

    async def serve() -> None:
        with listening("127.0.0.1", 0) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            container = Container(of_kind, store, Readiness(warm or (lambda tell: model)), Place(url), allowed)
            server = DrainingServer(create_app(container, TOKEN), lambda: container.works.drain(drain_seconds))
            client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=LIMIT_SECONDS)
            started.append(
                Running(container, client, url, asyncio.get_running_loop(), server, threading.current_thread())
            )
            listens.set()
            await server.serve([listener])

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert listens.wait(LIMIT_SECONDS)
    (running,) = started
    if warm is None:
        until(lambda: running.container.readiness.is_ready)
    try:
        yield running
    finally:
        running.client.close()
        with contextlib.suppress(RuntimeError):  # it has ended already
            running.loop.call_soon_threadsafe(running.server.stop)
        thread.join(LIMIT_SECONDS)


def until(true: Callable[[], Any]) -> None:
    """Wait until something is true."""
    end = time.monotonic() + LIMIT_SECONDS
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)
