"""A server in place of a backend, which notes what containers tell it."""

import contextlib
import dataclasses
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclasses.dataclass
class Listener:
    """What was told, and the status that is answered."""

    url: str = ""
    status: int = 200
    told: list[tuple[str, str, str, Any]] = dataclasses.field(default_factory=list)

    @property
    def methods(self) -> list[str]:
        return [method for method, *_ in self.told]


@contextlib.contextmanager
def running_listener(status: int = 200) -> Iterator[Listener]:
    """Listen on a free port."""
    listener = Listener(status=status)

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            told = json.loads(body) if body else None
            listener.told.append((self.command, self.path, self.headers["Authorization"], told))
            self.send_response(listener.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_DELETE = do_PUT

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
