"""All of deck review on this machine: the backend in this process, containers and the tiny model beside it."""

import contextlib
import fcntl
import hashlib
import logging
import os
import secrets
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from pagemill.decks.models.servers import Server
from pagemill.errors import UserError
from pagemill.logs import JsonLines
from pagemill.reviews import llama
from pagemill.reviews.backend.desk import Desk
from pagemill.reviews.backend.process import Backend
from pagemill.reviews.child import Child
from pagemill.settings import DecksSettings
from pagemill.storage import open_store

LOGS = "decks/logs"
LOCK = "carried-out"
TINY_CALL_SECONDS = 900.0  # it has no GPU, and may have other processes beside it
TOKEN = "DECK_REVIEW_EMBEDDED_TOKEN"  # the variable that holds the token while there is no other
CONTAINERS = ("vision", "text")
LOOK_SECONDS = 0.2
END_SECONDS = 5.0
LOOPBACK = "127.0.0.1,localhost"


class Occupied(Exception):
    """Another process of this machine carries the store's reviews out."""


class Embedded:
    """Carries out what is in the queue, as a context.

    A model without a URL is the tiny one: its answers prove that all is wired up, and nothing else.

    Args:
        settings: Store, database, models. The token is theirs, or a new one where theirs is not set.

    Raises:
        UserError: It cannot start.
        Occupied: Another process does it already.
    """

    def __init__(self, settings: DecksSettings) -> None:
        self.settings = settings
        self.tiny = tuple(name for name in CONTAINERS if not settings.model_for(name).url)
        self.models = tuple(_known_model(settings, name) for name in CONTAINERS if name not in self.tiny)
        self.logs = logs_folder(settings)
        self._stack = contextlib.ExitStack()
        self._children: list[Child] = []
        self._closing = threading.Event()
        self._fault: UserError | None = None
        self._watch = threading.Thread(target=self._keep_all, name="children", daemon=True)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(_alone(self.logs))
            stack.enter_context(_logging_to(self.logs / "backend.log"))
            settings = stack.enter_context(_with_token(self._with_tiny_model()))
            self._backend = stack.enter_context(Backend(settings))
            stack.callback(self._end_children)
            self._children += [self._container(name, settings, self._backend.url) for name in CONTAINERS]
            for child in self._children:
                child.start()
            self._watch.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def desk(self) -> Desk:
        """The desk of the backend."""
        return self._backend.desk

    def check(self) -> None:
        """Raise the UserError that keeps a container from running, if there is one."""
        if self._fault is not None:
            raise self._fault

    def _with_tiny_model(self) -> DecksSettings:
        """Return settings in which every model has a URL; the tiny model is made ready to start."""
        if not self.tiny:
            return self.settings
        llama.check_installed()
        port = _free_port()
        arguments = ["pagemill.reviews.llama", "--port", str(port), "--parallel", "2"]
        self._children.append(Child("the tiny model", arguments, {}, self.logs / "llama.log"))
        told = {"url": f"http://127.0.0.1:{port}/v1", "model": llama.ALIAS, "key": ""}
        tiny = {name: self.settings.model_for(name).model_copy(update=told) for name in self.tiny}
        return self.settings.model_copy(update={**tiny, "call_seconds": TINY_CALL_SECONDS})

    def _container(self, name: str, settings: DecksSettings, backend_url: str) -> Child:
        # Each is said, so that no variable says otherwise.
        place = ["--host", "127.0.0.1", "--port", "0", "--url", "", "--drain-seconds", "1", "--attached"]
        return Child(
            f"the {name} container",
            ["pagemill.reviews.container", name, *place],
            _environment(settings, backend_url),
            self.logs / f"{name}.log",
        )

    def _keep_all(self) -> None:
        """Start again what has died, until one cannot be started."""
        while not self._closing.wait(LOOK_SECONDS):
            try:
                for child in self._children:
                    child.keep()
            except UserError as fault:
                self._fault = fault
                return

    def _end_children(self) -> None:
        self._closing.set()
        if self._watch.ident is not None:
            self._watch.join()
        for child in self._children:
            child.end()
        for child in self._children:
            child.wait(END_SECONDS)


def logs_folder(settings: DecksSettings) -> Path:
    """Return where the logs of this machine's processes lie: in the store, or in the temporary folder beside one."""
    store = open_store(settings.store)
    if store.is_local:
        return Path(store.root) / LOGS
    name = hashlib.sha256(store.uri.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"pagemill-decks-{os.getuid()}-{name}"


def _known_model(settings: DecksSettings, name: str) -> str:
    """Say which model a container is to use, and where; raises UserError for a URL that is none."""
    told = settings.model_for(name)
    try:
        return f"{told.model} at {Server(told.url)}"
    except UserError as mistake:
        raise UserError(f"decks.{name}.url", mistake.reason, mistake.mend) from None


def _environment(settings: DecksSettings, backend_url: str) -> Mapping[str, str]:
    """Return the variables of a container; the database is not its business."""
    said = {"STORE": settings.store, "DATABASE": "", "TOKEN": settings.token, "BACKEND": backend_url}
    said |= {"CALL_SECONDS": str(settings.call_seconds)}
    for name in CONTAINERS:
        model = settings.model_for(name)
        said |= {f"{name.upper()}__{field.upper()}": getattr(model, field) for field in ("url", "model", "key")}
    passed_by = ",".join(filter(None, [os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), LOOPBACK]))
    return {f"PAGEMILL_DECKS__{name}": value for name, value in said.items()} | {
        "NO_PROXY": passed_by,
        "no_proxy": passed_by,
    }


@contextlib.contextmanager
def _with_token(settings: DecksSettings) -> Iterator[DecksSettings]:
    """Give settings whose token can be read; a new one where the variable that they name is not set."""
    kind, _, variable = settings.token.partition(":")
    if kind != "env" or os.environ.get(variable):
        yield settings
        return
    os.environ[TOKEN] = secrets.token_urlsafe(32)
    try:
        yield settings.model_copy(update={"token": f"env:{TOKEN}"})
    finally:
        del os.environ[TOKEN]


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Be the only process of this machine in the block; the system lets go of the lock if this one is killed."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Occupied(str(folder)) from None
        yield


@contextlib.contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Have what pagemill logs in this process go to a file."""
    log, handler = logging.getLogger("pagemill"), logging.FileHandler(path, delay=True)
    handler.setFormatter(JsonLines())
    before, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = before
        handler.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
