"""A local Vertex AI over REST: pipeline jobs, schedules, custom jobs, models and endpoints."""

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.servers import JsonHandler, Request, listening
from tests.vertex_checks import Refusal, invalid
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


class _Handler(JsonHandler):
    vertex: Vertex

    def serve(self) -> None:
        raw = self.received()
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
        self.send(code, content)


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
def running_vertex() -> Iterator[Vertex]:
    """Serve a new, empty Vertex AI on a free port of this machine."""
    vertex = Vertex()
    with listening(_Handler, vertex=vertex) as vertex.endpoint:
        yield vertex
