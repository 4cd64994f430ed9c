"""The backend: the queue and its web server, in a thread of some process or as a process of its own."""

import gc
import logging
import signal
import threading
import time
from types import TracebackType
from typing import Any, Self

import uvicorn

from pagemill.draining import config_of, listening
from pagemill.errors import UserError
from pagemill.reviews.backend.app import create_app
from pagemill.reviews.backend.desk import Desk, open_desk
from pagemill.reviews.backend.runner import HttpRunner
from pagemill.reviews.http import shared_token
from pagemill.settings import DecksSettings

HOST = "127.0.0.1"
SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = logging.getLogger(__name__)


class Backend:
    """A backend. As a context it hands out tasks and answers requests; at its end it hands to others what it has.

    Args:
        settings: Store, database and token.
        host: On which it listens.
        port: The same; 0 is any that is free.
        queue_options: Of `Queue`.

    Raises:
        UserError: The token cannot be read, nobody can listen there, or the database is none.
    """

    def __init__(self, settings: DecksSettings, *, host: str = HOST, port: int = 0, **queue_options: Any) -> None:
        token = shared_token(settings.token)
        self._socket = _bound(host, port)
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{self._socket.getsockname()[1]}"
        self._runner = HttpRunner(token)
        try:
            self.desk: Desk = open_desk(settings, self._runner, **{"capabilities": {}, **queue_options})
        except BaseException:
            self._socket.close()
            raise
        self._server = uvicorn.Server(config_of(create_app(self.desk, token)))
        self._thread = threading.Thread(target=self._serve, name="pagemill-backend", daemon=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Hand out tasks and answer requests from now on."""
        self.desk.queue.start()
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the web server did not start")
            time.sleep(0.01)
        log.info("the backend is ready", extra={"fields": {"url": self.url, "store": self.desk.store.uri}})

    def stop(self) -> None:
        """Answer no more, hand what runs to others, and let go of it."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join()
        self._socket.close()
        self.desk.close()
        self._runner.close()
        log.info("the backend has ended", extra={"fields": {"url": self.url}})

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])


def serve(settings: DecksSettings, host: str, port: int) -> int:
    """Run a backend until SIGTERM or SIGINT; return the exit code.

    Raises:
        UserError: It cannot start.
    """
    ending = threading.Event()

    def end(number: int, frame: object) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)  # a second one ends it at once
        ending.set()

    for each in SIGNALS:
        signal.signal(each, end)
    with Backend(settings, host=host, port=port):
        gc.collect()
        gc.freeze()  # what is there by now stays; who looks for garbage while tasks wait need not go through it
        ending.wait()
    return 0


def _bound(host: str, port: int) -> Any:
    try:
        return listening(host, port)
    except (OSError, OverflowError) as error:
        raise UserError(
            f"{host}:{port}", f"cannot be listened on ({error})", "give another --host or --port"
        ) from error
