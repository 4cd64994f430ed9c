"""A container of deck review that says what a test tells it to, over real HTTP, however wrong that is."""

import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

from pagemill.reviews.wire import MEANINGS, STREAM_TYPE, Done, Failed, Problem, Progress
from tests.servers import listening

Act = Callable[["_Handler"], None]
News = Progress | Done | Failed


@dataclasses.dataclass
class Heard:
    """A request."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclasses.dataclass
class FakeContainer:
    """What it does next, the last thing again and again, and what it was asked."""

    acts: list[Act] = dataclasses.field(default_factory=list)
    heard: list[Heard] = dataclasses.field(default_factory=list)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    url: str = ""

    def of(self, method: str) -> list[Heard]:
        return [each for each in self.heard if each.method == method]


@contextmanager
def fake_container(*acts: Act) -> Iterator[FakeContainer]:
    """Run a container that does these things, one a request."""
    container = FakeContainer(list(acts))
    with listening(_Handler, container=container) as container.url:
        yield container


def tells(*news: News, breaks: bool = False, before: Callable[[], None] = lambda: None) -> Act:
    """Tell news, call `before` ahead of the last one, and break off instead of ending if it is told so."""

    def act(handler: "_Handler") -> None:
        handler.begin(200, STREAM_TYPE, {"Transfer-Encoding": "chunked"})
        for number, each in enumerate(news, start=1):
            if number == len(news):
                before()
            handler.chunk(each.model_dump_json().encode() + b"\n")
        if not breaks:
            handler.chunk(b"")

    return act


def refuses(problem: Problem, **headers: str) -> Act:
    """Refuse before the work begins."""
    return answers(MEANINGS[problem.error].status, problem.model_dump_json(), **headers)


def answers(status: int, text: str, kind: str = "application/json", **headers: str) -> Act:
    """Answer at once."""

    def act(handler: "_Handler") -> None:
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        handler.begin(status, kind, {"Content-Length": str(len(text.encode())), **told})
        handler.wfile.write(text.encode())

    return act


def goes_on(until: threading.Event, every_seconds: float = 0.02) -> Act:
    """Tell of a task that goes on and on."""

    def act(handler: "_Handler") -> None:
        handler.begin(200, STREAM_TYPE, {"Transfer-Encoding": "chunked"})
        while not until.wait(every_seconds):
            handler.chunk(Progress(share=0.5).model_dump_json().encode() + b"\n")

    return act


def is_silent(until: threading.Event) -> Act:
    """Say that the task runs, and then nothing more."""

    def act(handler: "_Handler") -> None:
        handler.begin(200, STREAM_TYPE, {"Transfer-Encoding": "chunked"})
        until.wait(30)

    return act


class _Handler(BaseHTTPRequestHandler):
    container: FakeContainer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self._hear(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        with self.container.lock:
            act = self.container.acts.pop(0) if len(self.container.acts) > 1 else self.container.acts[0]
        with suppress(ConnectionError):
            act(self)
        self.close_connection = True

    def do_DELETE(self) -> None:
        self._hear(None)
        self.begin(204, "application/json", {})

    def begin(self, status: int, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def chunk(self, part: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _hear(self, body: Any) -> None:
        self.container.heard.append(Heard(self.command, self.path, dict(self.headers), body))
