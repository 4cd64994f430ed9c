"""What every server of deck review does with a request: lets in who has the token, bounds it, says what was wrong."""

import asyncio
import collections
import contextlib
import hmac
import logging
import re
import time
import uuid
from collections.abc import Mapping
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pagemill.errors import UserError
from pagemill.reviews.wire import HEALTH_ROUTE, MEANINGS, ErrorKind, Problem
from pagemill.secrets import read_secret

REQUEST_ID_HEADER = "X-Request-Id"
REQUEST_ID = re.compile(r"[\w.-]{1,100}", re.ASCII)
MAX_BODY_BYTES = 8 << 20
DISCARD_SECONDS = 2.0  # for the rest of a body that is not wanted: who still sends would not hear the answer
TOKEN = re.compile(r"[\x20-\x7e]+")
TOLD_FAULTS = 5  # of a request that is not understood
BY_STATUS = {404: ErrorKind.NOT_FOUND, 405: ErrorKind.NOT_ALLOWED}  # of what the framework refuses by itself
access = logging.getLogger("pagemill.access")
log = logging.getLogger("pagemill")

BEARER = Depends(HTTPBearer(auto_error=False, description="The token that backend and containers share."))


def shared_token(reference: str) -> str:
    """Read the token that backend and containers share.

    Raises:
        UserError: There is none, it is empty, or no header can hold it.
    """
    token = read_secret(reference).strip()
    if not token:
        raise UserError(reference, "is empty", "set it to a long random text")
    if not TOKEN.fullmatch(token):
        raise UserError(reference, "is no token, as HTTP has them", "make it of letters and digits without accents")
    return token


class Refused(HTTPException):
    """A request that gets a Problem for an answer.

    Args:
        problem: What is told.
        retry_after_seconds: After which another attempt may do better; 0 when that is not known.
    """

    def __init__(self, problem: Problem, retry_after_seconds: int = 0) -> None:
        headers = {"Retry-After": str(retry_after_seconds)} if retry_after_seconds else {}
        if problem.error is ErrorKind.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        super().__init__(MEANINGS[problem.error].status, problem.message, headers)
        self.problem = problem


def refused(error: ErrorKind, message: str, retry_after_seconds: int = 0) -> Refused:
    """Return what to raise for a kind of error."""
    return Refused(Problem(error=error, message=message), retry_after_seconds)


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem as an answer."""
    return JSONResponse(problem.model_dump(mode="json"), MEANINGS[problem.error].status, headers)


def documented(*errors: ErrorKind) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI is to say of these answers, and of those that any route may give.

    Use it as `responses=` of a route, with `dependencies=[BEARER]` beside it.
    """
    usual = (ErrorKind.UNAUTHORIZED, ErrorKind.TOO_LARGE, ErrorKind.INVALID, ErrorKind.INTERNAL)
    by_status: dict[int, list[ErrorKind]] = collections.defaultdict(list)
    for error in dict.fromkeys((*usual, *errors)):
        by_status[MEANINGS[error].status].append(error)
    return {status: _documented(kinds) for status, kinds in sorted(by_status.items())}


def _documented(kinds: list[ErrorKind]) -> dict[str, Any]:
    examples = {kind.value: {"value": Problem(error=kind, message=MEANINGS[kind].text).model_dump()} for kind in kinds}
    description = " Or: ".join(MEANINGS[kind].text for kind in kinds)
    return {"model": Problem, "description": description, "content": {"application/json": {"examples": examples}}}


def guard(
    app: FastAPI,
    token: str,
    *,
    larger: Mapping[str, int] | None = None,
    quiet: tuple[str, ...] = (HEALTH_ROUTE,),
) -> None:
    """Put a guard before an application, and have it answer every error with a Problem.

    Args:
        app: The application.
        token: What a request has to bring as a bearer token.
        larger: How many bytes of a body single paths take that take more than others.
        quiet: Beginnings of paths whose requests are not logged when they go well.
    """

    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, StarletteHTTPException)
        return problem_response(_problem_of(error), error.headers)

    async def explain(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return problem_response(Problem(error=ErrorKind.INVALID, message=_faults(error)))

    app.add_exception_handler(StarletteHTTPException, refuse)
    app.add_exception_handler(RequestValidationError, explain)
    app.add_middleware(Guard, token=token, larger=larger or {}, quiet=quiet)


def _problem_of(error: StarletteHTTPException) -> Problem:
    if isinstance(error, Refused):
        return error.problem
    kind = BY_STATUS.get(error.status_code, ErrorKind.INVALID)
    return Problem(error=kind, message=MEANINGS[kind].text)


def _faults(error: RequestValidationError) -> str:
    """Say where a request is wrong and why, and nothing of what stood there."""
    faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
    more = f" and {len(faults) - TOLD_FAULTS} more" if len(faults) > TOLD_FAULTS else ""
    return "; ".join(faults[:TOLD_FAULTS]) + more


class Guard:
    """Stands before an application: token, size, request id, a line of log, and an answer to what went wrong."""

    def __init__(
        self,
        app: ASGIApp,
        token: str,
        larger: Mapping[str, int],
        quiet: tuple[str, ...],
    ) -> None:
        self.app = app
        self.expected = f"Bearer {token}".encode()
        self.larger, self.quiet = larger, quiet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        visit = _Visit(scope, send)
        bounded = _Bounded(receive, self.larger.get(scope["path"], MAX_BODY_BYTES))
        try:
            self._check(visit, bounded)
            await self.app(scope, bounded.receive, visit.send)
        except ClientDisconnect:
            log.info("a client went away", extra={"fields": visit.fields()})
        except Refused as error:
            await _discard(receive)
            await problem_response(error.problem, error.headers)(scope, receive, visit.send)
        except asyncio.CancelledError:  # the server ends, and this request would not
            if not visit.status:
                await problem_response(Problem(error=ErrorKind.DRAINING, message=MEANINGS[ErrorKind.DRAINING].text))(
                    scope, receive, visit.send
                )
        except Exception:
            log.exception("a request failed", extra={"fields": visit.fields()})
            if visit.status:
                raise  # too late for another answer: the connection breaks
            problem = Problem(error=ErrorKind.INTERNAL, message=MEANINGS[ErrorKind.INTERNAL].text)
            await problem_response(problem)(scope, receive, visit.send)
        finally:
            visit.tell(self.quiet)

    def _check(self, visit: "_Visit", bounded: "_Bounded") -> None:
        """Raise Refused for a request without the token, or with a body that is known to be too large."""
        given = visit.headers.get("Authorization", "").encode("latin-1")
        scheme, _, credentials = given.partition(b" ")
        is_same = hmac.compare_digest(scheme.title() + b" " + credentials.strip(), self.expected)
        if not is_same and visit.path != HEALTH_ROUTE:
            raise refused(ErrorKind.UNAUTHORIZED, MEANINGS[ErrorKind.UNAUTHORIZED].text)
        length = visit.headers.get("Content-Length", "")
        bounded.check(int(length) if length.isdecimal() else 0)


class _Bounded:
    """A body that is cut off by an error when it becomes too large."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._most, self._size = receive, most, 0

    def check(self, size: int) -> None:
        if size > self._most:
            raise refused(ErrorKind.TOO_LARGE, f"The body is larger than {self._most:,} bytes.")

    async def receive(self) -> Message:
        message = await self._receive()
        self._size += len(message.get("body", b""))
        try:
            self.check(self._size)
        except Refused:
            await _discard(self._receive)
            raise
        return message


class _Visit:
    """A request as the log tells of it."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.headers = Headers(scope=scope)
        self.method, self.path = scope["method"], scope["path"]
        given = self.headers.get(REQUEST_ID_HEADER, "")
        self.id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        self.status = 0
        self._send, self._started = send, time.monotonic()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)[REQUEST_ID_HEADER] = self.id
        await self._send(message)

    def fields(self) -> dict[str, Any]:
        seconds = round(time.monotonic() - self._started, 3)
        told = {"request": self.id, "method": self.method, "path": self.path}
        return told | {"status": self.status, "seconds": seconds}

    def tell(self, quiet: tuple[str, ...]) -> None:
        if not (self.path.startswith(quiet) and self.status < 400):
            access.info("request", extra={"fields": self.fields()})


async def _discard(receive: Receive) -> None:
    """Read the rest of a body for a while, so that who sends it listens to the answer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_SECONDS):
            while (message := await receive())["type"] == "http.request" and message.get("more_body"):
                pass
