"""A small Kubeflow Pipelines: its v2beta1 API over HTTP, with runs that are played without containers."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.kfp_service import Failure, Kfp
from tests.kfp_shapes import Refused
from tests.servers import JsonHandler, Request, listening

CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 429: 8, 503: 14}


@contextlib.contextmanager
def running_kfp() -> Iterator[Kfp]:
    """Run a new, empty Kubeflow Pipelines on a free port of this machine."""
    kfp = Kfp()
    with listening(_Handler, kfp=kfp) as kfp.endpoint:
        yield kfp


class _Handler(JsonHandler):
    kfp: Kfp

    def serve(self) -> None:
        content = self.received()
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
        if isinstance(told, Failure):
            self.send(told.status, (told.page or "").encode(), {"Content-Type": "text/html", **told.headers})
            return
        self.send(status, json.dumps(told, default=vars).encode(), headers)


def _error(status: int, message: str) -> dict[str, Any]:
    return {"error": message, "code": CODES.get(status, 13), "message": message, "details": []}
