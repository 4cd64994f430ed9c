"""A small Kubeflow Pipelines: its v2beta1 API over HTTP, with runs that are played without containers."""

import argparse
import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.kfp_service import Failure, Kfp, Request
from tests.kfp_shapes import Refused

CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 429: 8, 503: 14}


@contextlib.contextmanager
def running_kfp(port: int = 0) -> Iterator[Kfp]:
    """Run a new, empty Kubeflow Pipelines on a free port of this machine, or on the given one."""
    kfp = Kfp()
    server = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {"kfp": kfp}))
    server.daemon_threads = True
    kfp.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield kfp
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    kfp: Kfp
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        with self.kfp.lock:
            try:
                body = json.loads(content) if content else None
                query = dict(parse_qsl(url.query))
                request = Request(self.command, unquote(url.path), query, body, self.headers.get("Authorization", ""))
                self.kfp.requests.append(request)
                status, told, headers = 200, self._carried_out(request), {}
            except ValueError as error:
                status, told, headers = 400, _error(400, str(error)), {}
            except Refused as refused:
                status, told, headers = refused.status, _error(refused.status, refused.message), refused.headers
        self._send(status, told, headers)

    def _carried_out(self, request: Request) -> Any:
        """Do what is asked, or fail as a test wants it."""
        path, failures = request.path, self.kfp.failures
        failure = next((each for each in failures if each.meets(request.method, path)), None)
        if failure is None:
            return self.kfp.answer(request)
        failure.times -= 1
        if failure.is_done_first:
            self.kfp.answer(request)
        if failure.page is not None:
            return failure
        raise Refused(failure.status, "injected", failure.headers)

    def _send(self, status: int, told: Any, headers: Mapping[str, str]) -> None:
        if status == 0:
            self.close_connection = True
            return
        kind, content = "application/json", json.dumps(told, default=vars).encode()
        if isinstance(told, Failure):
            status, kind, content, headers = told.status, "text/html", (told.page or "").encode(), told.headers
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content)


def _error(status: int, message: str) -> dict[str, Any]:
    return {"error": message, "code": CODES.get(status, 13), "message": message, "details": []}


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="A local Kubeflow Pipelines.")
    parser.add_argument("--port", type=int, default=0)
    with running_kfp(parser.parse_args().port) as kfp, contextlib.suppress(KeyboardInterrupt):
        print(kfp.endpoint, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
