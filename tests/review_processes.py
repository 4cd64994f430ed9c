"""Deck review as processes that can be killed and stopped: backends, containers and the server of their model."""

import contextlib
import json
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pagemill.decks.tasks import Parameters
from pagemill.flow.states import PipelineState
from pagemill.reviews.backend.desk import Desk
from pagemill.settings import DecksSettings
from tests.decks import FOLDER, NO_OCR

TOKEN = "the token of tests"
STARTS_WITHIN_SECONDS = 60.0
MODEL = "model"
CONTAINERS = {"vision": "vision", "text": "text", "other-vision": "vision"}  # the kind of each
BACKENDS = ("backend", "other-backend")
PARAMETERS = Parameters(slides=NO_OCR)

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    [
        "pagemill.cli",
        "pagemill.reviews.backend.process",
        "pagemill.reviews.container.process",
        "tests.model_server",
        "tests.decks",
    ]
)


def _run(role: str, arguments: Sequence[str], environment: dict[str, str], log: Path) -> None:
    """Be one of the processes; the log takes the place of its output."""
    os.environ.update(environment)
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if role == MODEL:
        from tests.model_server import main as serve_model

        serve_model(arguments)
    elif role in BACKENDS:
        from pagemill.cli import main

        sys.argv = ["pagemill", "decks", "serve", *arguments]
        main()
    else:
        from pagemill.reviews.container.process import main as serve_container

        serve_container(CONTAINERS[role], arguments)


class House:
    """The processes of deck review on one store and one database.

    Args:
        folder: For the store and the logs.
        database_url: Of the queue.
        script: What the model's server answers, `module:function`.
    """

    def __init__(self, folder: Path, database_url: str, script: str) -> None:
        self.folder = folder
        self._ports = {role: free_port() for role in (MODEL, *BACKENDS)}
        self._script = script
        self._running: dict[str, Any] = {}
        backends = ",".join(f"http://127.0.0.1:{self._ports[role]}" for role in BACKENDS)
        url = f"http://127.0.0.1:{self._ports[MODEL]}/v1"
        self.settings = DecksSettings(
            store=str(folder / "store"),
            database=database_url,
            token="env:DECK_REVIEW_TOKEN",
            backend=backends,
            retry_delay_seconds=0.2,
            vision={"url": url, "model": "llava:13b"},
            text={"url": url, "model": "gemma3:27b"},
        )

    def start(self, *roles: str) -> None:
        """Start processes, or those that were killed again."""
        for role in roles:
            self._running[role] = _processes.Process(
                target=_run, args=(role, self._arguments(role), self._environment, self.log_of(role)), daemon=True
            )
            self._running[role].start()

    def signal(self, role: str, number: signal.Signals) -> None:
        os.kill(self._running[role].pid, number)
        if number is signal.SIGKILL:
            self._running[role].join()

    def end(self) -> None:
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            process.join()

    def log_of(self, role: str) -> Path:
        return self.folder / f"{role}.log"

    def told(self, role: str, message: str) -> list[dict[str, Any]]:
        """Return what a role's processes logged under a message."""
        if not self.log_of(role).exists():
            return []
        lines = [json.loads(line) for line in self.log_of(role).read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("message") == message]

    def wait_for(self, role: str, message: str, number: int = 1) -> None:
        """Wait until a role's processes have logged a message so many times."""
        end = time.monotonic() + STARTS_WITHIN_SECONDS
        while len(self.told(role, message)) < number:
            assert time.monotonic() < end, f"{role} did not say {message!r}: {self.log_of(role).read_text()[-2000:]}"
            time.sleep(0.02)

    @property
    def _environment(self) -> dict[str, str]:
        kept = self.settings
        return {
            "DECK_REVIEW_TOKEN": TOKEN,
            "PAGEMILL_DECKS__STORE": kept.store,
            "PAGEMILL_DECKS__DATABASE": kept.database.get_secret_value(),
            "PAGEMILL_DECKS__BACKEND": kept.backend,
            "PAGEMILL_DECKS__RETRY_DELAY_SECONDS": str(kept.retry_delay_seconds),
            **{
                f"PAGEMILL_DECKS__{name.upper()}__{field.upper()}": getattr(getattr(kept, name), field)
                for name in ("vision", "text")
                for field in ("url", "model")
            },
        }

    def _arguments(self, role: str) -> list[str]:
        if role == MODEL:
            return ["--port", str(self._ports[role]), "--flavour", "openai", "--script", self._script]
        return ["--port", str(self._ports.get(role, 0))]


@contextlib.contextmanager
def running_house(folder: Path, database_url: str, script: str, *roles: str) -> Iterator[House]:
    """Run a house with some of its processes, and end them all."""
    house = House(folder, database_url, script)
    try:
        house.start(*roles)
        yield house
    finally:
        house.end()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def add_decks(desk: Desk, *names: str) -> list[str]:
    return [desk.add_document_processing_pipeline(FOLDER / f"{name}.pdf", PARAMETERS) for name in names]


def digests(desk: Desk, pipeline: str) -> dict[str, str]:
    return {name: result["content_digest"] for name, result in desk.queue.results(pipeline).items()}


def check_course(desk: Desk, pipelines: Sequence[str], expected: Sequence[dict[str, str]]) -> None:
    """Check that all went through as if nothing had happened, and that nothing finished was sent or begun again."""
    for pipeline, found in zip(pipelines, expected, strict=True):
        status, events = desk.status(pipeline), desk.queue.events(pipeline)
        assert status.state is PipelineState.DONE
        assert status.progress == 100
        assert digests(desk, pipeline) == found
        ended = [event for event in events if event.kind in ("done", "skipped") and event.task]
        assert sorted(event.task for event in ended if event.task) == sorted(found)
        for event in ended:
            begun = [each.id for each in events if each.task == event.task and each.kind in ("running", "taken over")]
            assert max(begun) < event.id
