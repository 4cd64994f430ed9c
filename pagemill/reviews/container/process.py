"""A container as a process: it listens, brings its model up, reports itself, and drains before it ends."""

import argparse
import asyncio
import contextlib
import dataclasses
import functools
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NoReturn

from pagemill.draining import DrainingServer, listening
from pagemill.errors import UserError
from pagemill.logs import configure_log
from pagemill.reviews.container.app import create_app
from pagemill.reviews.container.container import Container, Place
from pagemill.reviews.container.kinds import KINDS, Kind
from pagemill.reviews.container.ollama_child import running_ollama
from pagemill.reviews.container.readiness import Readiness, warm_chat_model
from pagemill.reviews.container.registration import Registration
from pagemill.reviews.container.work import UNHEARD_SECONDS, Limits
from pagemill.reviews.http import shared_token
from pagemill.settings import DecksSettings, load_settings
from pagemill.storage import open_store

DRAIN_SECONDS = 900.0  # as long as the longest task may take

log = logging.getLogger("pagemill")


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What is said when a container is started, beside the settings."""

    host: str = "127.0.0.1"
    port: int = 0
    url: str = ""
    container_id: str = ""
    drain_seconds: float = DRAIN_SECONDS
    unheard_seconds: float = UNHEARD_SECONDS
    announce: bool = False


def main(kind: str, arguments: Sequence[str] | None = None) -> NoReturn:
    """Serve until SIGTERM: exit code 0, 1 when tasks were broken off or the model's server died, 2 for a mistake.

    Args:
        kind: vision or text.
        arguments: What is typed after the command; those of this process if none are given.
    """
    typed = _parser(kind).parse_args(arguments)
    configure_log()
    # Until the server listens to signals itself; the first process of a container does not end by them otherwise.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if typed.attached:
        threading.Thread(target=_end_with_input, name="input", daemon=True).start()
    options = Options(**{field.name: getattr(typed, field.name) for field in dataclasses.fields(Options)})
    try:
        code = run(KINDS[kind], load_settings().decks, options)
    except UserError as mistake:
        sys.stderr.write(f"pagemill: {mistake}\n")
        code = 2
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads that wait for a model's answer are not waited for


def run(kind: Kind, settings: DecksSettings, options: Options) -> int:
    """Serve until a signal ends it; return the exit code.

    Raises:
        UserError: The container cannot start, or its model can never be had.
    """
    token = shared_token(settings.token)
    try:
        listener = listening(options.host, options.port)
    except (OSError, OverflowError) as error:
        raise UserError(f"{options.host}:{options.port}", str(error), "give another --host or --port") from None
    with listener:
        return asyncio.run(_serve(kind, settings, options, token, listener))


async def _serve(kind: Kind, settings: DecksSettings, options: Options, token: str, listener: socket.socket) -> int:
    loop = asyncio.get_running_loop()
    fault: asyncio.Future[Exception] = loop.create_future()

    def fail(error: Exception) -> None:
        loop.call_soon_threadsafe(_settle, fault, error)

    def tell_backend() -> None:
        loop.call_soon_threadsafe(lambda: registration.tell_now())

    model = settings.model_for(kind.capability)
    url = options.url or f"http://127.0.0.1:{listener.getsockname()[1]}"
    with contextlib.ExitStack() as stack:
        model_url = model.url or stack.enter_context(running_ollama(lambda code: fail(OllamaDied(code))))
        readiness = Readiness(
            warm_chat_model(model_url, model.model, model.key, call_seconds=settings.call_seconds), fail, tell_backend
        )
        limits = Limits(kind.max_tasks, kind.max_pipelines, options.unheard_seconds)
        container = Container(kind, open_store(settings.store), readiness, Place(url, options.container_id), limits)
        backends = [each.strip() for each in settings.backend.split(",") if each.strip()]
        registration = Registration(backends, token, container.id, container.report)

        async def drain() -> bool:
            draining = asyncio.create_task(container.works.drain(options.drain_seconds))
            await asyncio.sleep(0)
            registration.tell_now()
            return await draining

        server = DrainingServer(create_app(container, token), drain)
        fault.add_done_callback(lambda _: server.stop())
        log.info("listening", extra={"fields": {"kind": kind.name, "id": container.id, "url": url}})
        if options.announce:
            print(json.dumps({"url": url, "id": container.id}), flush=True)
        async with _reporting(registration, fail):
            await server.serve([listener])
        return _exit_code(fault, server)


@contextlib.asynccontextmanager
async def _reporting(registration: Registration, fail: Callable[[Exception], None]) -> AsyncIterator[None]:
    """Report the container for the time of the block, and take its leave after it."""

    def ended(task: "asyncio.Task[None]") -> None:
        if isinstance(error := task.exception(), Exception):
            fail(error)

    reporting = asyncio.create_task(registration.run())
    reporting.add_done_callback(ended)
    try:
        yield
    finally:
        registration.end()
        await asyncio.wait([reporting])
        await registration.dismiss()


class OllamaDied(Exception):
    """The Ollama of the container ended by itself, with an exit code."""


def _settle(fault: "asyncio.Future[Exception]", error: Exception) -> None:
    if not fault.done():
        fault.set_result(error)


def _exit_code(fault: "asyncio.Future[Exception]", server: DrainingServer) -> int:
    if not fault.done():
        return 0 if server.ended_well else 1
    if isinstance(mistake := fault.result(), UserError):
        raise mistake
    log.error("ending", exc_info=mistake)
    return 1


def _end_with_input() -> None:
    """End at once when the other end of the standard input is gone."""
    with contextlib.suppress(OSError, ValueError):
        while os.read(0, 4096):
            pass
    os._exit(1)


def _parser(kind: str) -> argparse.ArgumentParser:
    """Return the parser of options; each has a variable, for images."""
    parser = argparse.ArgumentParser(prog=f"pagemill.reviews.container {kind}", description=KINDS[kind].title)
    add = functools.partial(_add, parser)
    add("host", "DECK_REVIEW_HOST", "127.0.0.1", str, "address to listen on")
    add("port", "DECK_REVIEW_LISTEN_PORT", "8000", int, "port to listen on; 0 for any that is free")
    add("url", "DECK_REVIEW_URL", "", str, "URL at which the backend reaches this container")
    add("container-id", "DECK_REVIEW_CONTAINER_ID", os.environ.get("HOSTNAME", ""), str, "by which its host knows it")
    add("drain-seconds", "DECK_REVIEW_DRAIN_SECONDS", str(DRAIN_SECONDS), float, "for tasks that run at the end")
    add("unheard-seconds", "DECK_REVIEW_UNHEARD_SECONDS", str(UNHEARD_SECONDS), float, "for tasks nobody listens to")
    parser.add_argument("--announce", action="store_true", help="say URL and id on the first line, as JSON")
    parser.add_argument("--attached", action="store_true", help="end at once when the standard input closes")
    return parser


def _add(
    parser: argparse.ArgumentParser, name: str, variable: str, default: str, kind: Callable[[str], object], text: str
) -> None:
    value = os.environ.get(variable) or default  # a text, which argparse reads like one that is typed
    parser.add_argument(f"--{name}", default=value, type=kind, help=f"{text}; {variable}")
