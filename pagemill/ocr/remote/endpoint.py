"""A client of the server that reads pages: behind an endpoint of Vertex AI, or at a URL."""

import asyncio
import dataclasses
import logging
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
import tenacity

from pagemill.errors import UserError
from pagemill.google_apis import GoogleApis, redirected
from pagemill.ocr.remote.answers import config_in
from pagemill.ocr.remote.pieces import inline_instance
from pagemill.ocr.remote.resources import find_resource
from pagemill.ocr.serving.config import EngineConfig
from pagemill.ocr.serving.kits import self_test_pdf
from pagemill.records import Reason
from pagemill.waiting import asked_seconds, failure_of, pause_seconds

VERTEX_REQUEST_BYTES = 1_500_000  # that Vertex AI allows an online request
VERTEX_LIMIT_SECONDS = 60.0  # in which it wants the answer
GRACE_SECONDS = 15.0  # beyond that, before the client gives up itself
SERVER_ERROR_ATTEMPTS = 3  # a request that a server fails on so often is not repeated as it is
SHORTEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 300.0  # whatever the server asks for
BACKOFF = tenacity.wait_exponential_jitter(initial=1, max=60, jitter=1)

_GOOGLE_HOSTS = (".googleapis.com", ".prediction.vertexai.goog")
_BUSY = frozenset({408, 425, 429, 502, 503})
_SERVER_ERROR, _TIMED_OUT, _TOO_LARGE = 500, 504, 413
_MENDS = {
    401: ("does not accept the credentials", "log in again, or give the service account access"),
    403: ("may not be used with these credentials", "give the service account the role roles/aiplatform.user"),
    404: ("is not there, or has no model", "deploy the model, and look at project, location and number"),
}

log = logging.getLogger("pagemill")


class Stuck(RuntimeError):
    """A request that the server does not bring to an end, for the sake of its pages or for its own."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class RequestTooLarge(RuntimeError):
    """A request with more bytes or pages than the server takes."""


class _Busy(RuntimeError):
    """The server cannot take the request now, or was not reached."""

    def __init__(self, detail: str, wait_seconds: float | None = None) -> None:
        super().__init__(detail)
        self.wait_seconds = wait_seconds


class _ServerError(RuntimeError):
    """The server failed on the request."""


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """Where requests go."""

    url: str
    authenticated: bool  # at Vertex AI, whose limits hold then

    @classmethod
    def of(cls, endpoint: str) -> Self:
        """Find out where requests go: to a resource of Vertex AI, or to a URL, with /predict where it has no path.

        Credentials are sent to Google alone.

        Raises:
            UserError: It is neither.
        """
        if resource := find_resource(endpoint, "endpoints"):
            return cls(redirected(f"{resource.uri}:predict"), True)
        parts = urlsplit(endpoint)
        if parts.scheme in ("http", "https") and parts.hostname:
            path = parts.path if parts.path.strip("/") else "/predict"
            on_google = parts.scheme == "https" and parts.hostname.endswith(_GOOGLE_HOSTS)
            return cls(parts._replace(path=path).geturl(), on_google)
        mend = "give projects/<project>/locations/<region>/endpoints/<number>, or http://<host>:<port>"
        raise UserError(f"endpoint {endpoint}", "is neither an endpoint of Vertex AI nor a URL", mend)


class Endpoint:
    """Sends requests to a server, each again and again while it may yet be answered.

    Args:
        name: What the user gave, for messages.
        address: Where requests go.
        max_connections: At once.
        patience_seconds: How long a request is repeated while the server is overloaded or out of reach.
    """

    def __init__(self, name: str, address: Address, *, max_connections: int = 1, patience_seconds: float) -> None:
        self.name, self.address = f"endpoint {name}", address
        self.max_connections, self.patience_seconds = max_connections, patience_seconds
        self.google = GoogleApis() if address.authenticated else None
        self.signing_in = asyncio.Lock()
        self.limit_seconds = VERTEX_LIMIT_SECONDS + GRACE_SECONDS if address.authenticated else None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=self.max_connections)
        timeout = aiohttp.ClientTimeout(total=self.limit_seconds, sock_connect=30.0)
        self.session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def self_test(self) -> EngineConfig:
        """Have a page of three lines read, and return what it was read with.

        Raises:
            UserError: The server does not answer, or cannot read the page.
        """
        try:
            prediction = await self.predict(inline_instance(self_test_pdf()))
        except (Stuck, RequestTooLarge) as error:
            raise UserError(self.name, f"cannot read a page ({error})", "look at the server's log") from None
        config = config_in(prediction, self.name)
        pages = prediction.get("pages") or []
        if not any(page.get("tokens") for page in pages):
            reasons = [prediction.get("reason"), *(page.get("reason") for page in pages)]
            reason = next(filter(None, reasons), "nothing was read")
            raise UserError(self.name, f"cannot read a page ({reason})", "look at the server's log")
        return config

    async def predict(self, instance: Mapping[str, Any]) -> dict[str, Any]:
        """Return the prediction for one instance.

        Raises:
            Stuck: The server fails on it, or does not answer in time.
            RequestTooLarge: The request is larger than it takes.
            UserError: The server is out of reach, or does not let us in.
        """
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type((_Busy, _ServerError)),
            stop=_Limits(self.patience_seconds),
            wait=_wait_seconds,
            before_sleep=self._announce,
            reraise=True,
        )
        try:
            answer: dict[str, Any] = await retrying(self._post, {"instances": [instance]})
        except _ServerError as error:
            raise Stuck(Reason.MODEL_ERROR, str(error)) from None
        except _Busy as error:
            reason = f"has not answered for {self.patience_seconds:,.0f} s ({error})"
            raise UserError(self.name, reason, "look at its log and run again: what was read is kept") from None
        return answer

    async def _post(self, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            async with self.session.post(self.address.url, json=body, headers=await self._headers()) as answer:
                if answer.status != 200:
                    raise self._refusal(answer.status, answer.headers, await answer.text(errors="replace"))
                (prediction,) = (await answer.json(content_type=None))["predictions"]
                return dict(prediction)
        except aiohttp.ClientError as error:  # also when no connection is had in time
            raise _Busy(f"{type(error).__name__}: {error}") from None
        except TimeoutError:
            raise Stuck(Reason.TIME_LIMIT, f"no answer within {self.limit_seconds} s") from None
        except (ValueError, KeyError, TypeError):
            mend = "look whether it is a server of pagemill"
            raise UserError(self.name, "answers something that is no prediction", mend) from None

    async def _headers(self) -> dict[str, str]:
        if self.google is None:
            return {}
        try:
            async with self.signing_in:
                token = await asyncio.to_thread(self.google.sign_in)
        except OSError as error:
            raise _Busy(f"Google gives no token ({error})") from None
        return {"Authorization": f"Bearer {token}"}

    def _refusal(self, status: int, headers: Mapping[str, str], text: str) -> Exception:
        """Return what an answer without predictions means."""
        said = f"{status}: {' '.join(text.split())[:200]}"
        if status in _BUSY:
            return _Busy(said, asked_seconds(headers))
        if status == _TIMED_OUT:
            return Stuck(Reason.TIME_LIMIT, said)
        if status == _TOO_LARGE:
            return RequestTooLarge(said)
        if status >= _SERVER_ERROR:
            return _ServerError(said)
        if status in _MENDS:
            return UserError(self.name, *_MENDS[status])
        return UserError(self.name, f"refused a request ({said})", "look whether it is of the same version as this")

    def _announce(self, state: tenacity.RetryCallState) -> None:
        log.warning("%s: %s; trying again in %.0f s", self.name, failure_of(state), pause_seconds(state))


def check_endpoint(endpoint: str, *, patience_seconds: float = 600.0) -> EngineConfig:
    """Have an endpoint read a page, and return what it reads with.

    Args:
        endpoint: Resource name or URL.
        patience_seconds: How long it may be out of reach.

    Raises:
        UserError: It cannot.
    """

    async def ask() -> EngineConfig:
        async with Endpoint(endpoint, Address.of(endpoint), patience_seconds=patience_seconds) as one:
            return await one.self_test()

    return asyncio.run(ask())


class _Limits(tenacity.stop.stop_base):
    """Ends the attempts at a request: soon where the server fails on it, late where it is busy."""

    def __init__(self, patience_seconds: float) -> None:
        self.patience_seconds = patience_seconds

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        if isinstance(failure_of(retry_state), _ServerError):
            return retry_state.attempt_number >= SERVER_ERROR_ATTEMPTS
        return (retry_state.seconds_since_start or 0.0) >= self.patience_seconds


def _wait_seconds(state: tenacity.RetryCallState) -> float:
    asked = getattr(failure_of(state), "wait_seconds", None)
    return BACKOFF(state) if asked is None else min(max(asked, SHORTEST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)
