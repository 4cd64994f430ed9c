"""A web server that finishes what it has taken on before it ends."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import uvicorn

KEEP_ALIVE_SECONDS = 620  # longer than Google's load balancers keep an idle connection, so that they close it
LEAVING_SECONDS = 2  # for requests that are open at the end; less than after which a server is missed


class DrainingServer(uvicorn.Server):
    """Serves until a signal, then drains, and still answers meanwhile; a second signal ends it at once.

    It is made where its event loop runs.

    Args:
        app: The ASGI application.
        drain: Takes no more on and waits for what is open; says whether all of it came to its end.
        host: On which it listens, where `serve` is given no socket.
        port: The same.
    """

    def __init__(self, app: Any, drain: Callable[[], Awaitable[bool]], *, host: str = "", port: int = 0) -> None:
        super().__init__(config_of(app, host=host, port=port, timeout_keep_alive=KEEP_ALIVE_SECONDS))
        self.ended_well = True
        self._drain = drain
        self._loop = asyncio.get_running_loop()
        self._draining: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain at the first signal; go at once at the second."""
        self._loop.call_soon_threadsafe(self.begin_to_drain)

    def begin_to_drain(self) -> None:
        """Drain and end, or end at once when that has begun already."""
        if self._draining is None:
            self._draining = asyncio.create_task(self._drained())
        else:
            self.ended_well = False
            self.stop()

    def stop(self) -> None:
        """Go at once."""
        self.should_exit = self.force_exit = True

    async def _drained(self) -> None:
        self.ended_well = await self._drain() and self.ended_well
        self.should_exit = True


def config_of(app: Any, **options: Any) -> uvicorn.Config:
    """Return how an application is served that logs by itself; `options` are uvicorn's."""
    return uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=LEAVING_SECONDS,
        **options,
    )


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 is any that is free. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)
