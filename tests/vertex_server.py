"""A local Vertex AI over REST: pipeline jobs, schedules, custom jobs, models and endpoints.

`python -m tests.vertex_server --port 8123` runs it; `endpoint` in the table `vertex` of the settings leads to it.
"""

import argparse
import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.vertex_checks import Refusal, invalid
from tests.vertex_faults import Request
from tests.vertex_service import KINDS, Vertex

_PARENT = r"(?P<parent>projects/[^/]+/locations/[^/]+)"
_KINDS = f"(?P<collection>{'|'.join(KINDS)})"
_ROUTES: tuple[tuple[str, str, Callable[..., dict[str, Any]]], ...] = (
    ("POST", rf"{_PARENT}/pipelineJobs", lambda v, q, b, parent: v.create_job(parent, q, b)),
    ("GET", rf"{_PARENT}/pipelineJobs", lambda v, q, b, parent: v.list_jobs(parent, q)),
    ("GET", rf"(?P<name>{_PARENT}/pipelineJobs/[^/:]+)", lambda v, q, b, name, parent: v.get_job(name)),
    ("DELETE", rf"(?P<name>{_PARENT}/pipelineJobs/[^/:]+)", lambda v, q, b, name, parent: v.delete_job(name)),
    ("POST", rf"(?P<name>{_PARENT}/pipelineJobs/[^/:]+):cancel", lambda v, q, b, name, parent: v.cancel_job(name)),
    ("POST", rf"{_PARENT}/schedules", lambda v, q, b, parent: v.create_schedule(parent, q, b)),
    ("GET", rf"{_PARENT}/schedules", lambda v, q, b, parent: v.list_schedules(parent, q)),
    ("GET", rf"(?P<name>{_PARENT}/schedules/\d+)", lambda v, q, b, name, parent: v.get_schedule(name)),
    ("DELETE", rf"(?P<name>{_PARENT}/schedules/\d+)", lambda v, q, b, name, parent: v.delete_schedule(name)),
    ("POST", rf"(?P<name>{_PARENT}/schedules/\d+):pause", lambda v, q, b, name, parent: v.pause_schedule(name, b)),
    ("POST", rf"(?P<name>{_PARENT}/schedules/\d+):resume", lambda v, q, b, name, parent: v.resume_schedule(name, b)),
    ("POST", rf"{_PARENT}/models:upload", lambda v, q, b, parent: v.create_resource(parent, "models", b)),
    (
        "POST",
        rf"{_PARENT}/(?P<collection>customJobs|endpoints)",
        lambda v, q, b, parent, collection: v.create_resource(parent, collection, b),
    ),
    ("GET", rf"{_PARENT}/{_KINDS}", lambda v, q, b, parent, collection: v.list_resources(parent, collection, q)),
    (
        "GET",
        rf"(?P<name>{_PARENT}/{_KINDS}/\d+)",
        lambda v, q, b, name, parent, collection: v.get_resource(name),
    ),
    (
        "DELETE",
        rf"(?P<name>{_PARENT}/{_KINDS}/\d+)",
        lambda v, q, b, name, parent, collection: v.delete_resource(name),
    ),
    ("POST", rf"(?P<name>{_PARENT}/customJobs/\d+):cancel", lambda v, q, b, name, parent: v.cancel_custom_job(name, b)),
    ("POST", rf"(?P<name>{_PARENT}/endpoints/\d+):deployModel", lambda v, q, b, name, parent: v.deploy_model(name, b)),
    (
        "POST",
        rf"(?P<name>{_PARENT}/endpoints/\d+):undeployModel",
        lambda v, q, b, name, parent: v.undeploy_model(name, b),
    ),
    ("GET", rf"(?P<name>{_PARENT}/.*operations/\d+)", lambda v, q, b, name, parent: v.get_operation(name)),
)


class _Handler(BaseHTTPRequestHandler):
    vertex: Vertex
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer goes out in one piece
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        address = urlsplit(self.path)
        path, query = unquote(address.path), dict(parse_qsl(address.query))
        with self.vertex.lock:
            fault = next((each for each in self.vertex.faults if each.meets(self.command, path)), None)
            try:
                body = _body(raw)
                self.vertex.requests.append(Request(self.command, path, query, body))
                if fault is None or fault.is_done_first:
                    code, answer = 200, _route(self.vertex, self.command, path, query, body)
                if fault is not None:
                    fault.times -= 1
                    if fault.refusal is None:
                        self.close_connection = True
                        return
                    raise fault.refusal
            except Refusal as refusal:
                code, answer = refusal.code, refusal.body()
            content = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _body(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else {}
    except ValueError:
        raise invalid("Invalid JSON payload received.") from None


def _route(vertex: Vertex, method: str, path: str, query: dict[str, str], body: Any) -> dict[str, Any]:
    for wanted, pattern, action in _ROUTES:
        found = re.fullmatch(f"/v1/{pattern}", path)
        if wanted == method and found:
            return action(vertex, query, body, **found.groupdict())
    raise Refusal(404, "NOT_FOUND", f"This server has no {method} {path}.")


@contextlib.contextmanager
def running_vertex(port: int = 0) -> Iterator[Vertex]:
    """Serve a new, empty Vertex AI on a free port of this machine, or on the given one."""
    vertex = Vertex()
    server = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {"vertex": vertex}))
    server.daemon_threads = True
    vertex.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield vertex
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="A local Vertex AI.")
    parser.add_argument("--port", type=int, default=0)
    with running_vertex(parser.parse_args().port) as vertex, contextlib.suppress(KeyboardInterrupt):
        print(vertex.endpoint, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
