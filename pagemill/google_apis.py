"""Calls to Google's REST APIs, signed as the account that runs this and repeated while they may yet succeed."""

import contextlib
import functools
import os
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import tenacity

from pagemill.errors import UserError

REDIRECT_VARIABLE = "PAGEMILL_GOOGLE_APIS"  # http://<host>:<port> that stands for https://, for tests
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
BACKOFF = tenacity.wait_exponential_jitter(max=30, jitter=1)
LOGIN = "gcloud auth application-default login"


class GoogleError(Exception):
    """An API's refusal: the HTTP status, Google's code and reason for it, and its message."""

    def __init__(self, status: int, code: str, reason: str, message: str, service: str = "") -> None:
        super().__init__(status, code, reason, message, service)  # so that it travels between processes
        self.status = status
        self.code = code  # google.rpc.Code by name: PERMISSION_DENIED
        self.reason = reason  # google.rpc.ErrorInfo: SERVICE_DISABLED; "" where it is not told
        self.message = message
        self.service = service  # that the reason speaks of

    def __str__(self) -> str:
        return f"{self.status} {self.reason or self.code}: {self.message}".replace("\n", " ")

    @property
    def is_disabled_api(self) -> bool:
        """Whether the API is not enabled in the project."""
        return self.reason == "SERVICE_DISABLED"


class _Passing(Exception):
    """An answer that may be another one a little later."""


class GoogleApis:
    """The APIs as one account sees them."""

    def __init__(self, *, quota_project: str = "", attempts: int = 6, timeout_seconds: float = 30.0) -> None:
        """Set up calls; nothing is asked for yet.

        Args:
            quota_project: Project that calls count for, where the account is a person's and names none.
            attempts: How often a call is made that fails in passing.
            timeout_seconds: How long one attempt waits for an answer.
        """
        self._quota_project = quota_project
        self._attempts = attempts
        self.timeout_seconds = timeout_seconds

    def get(self, url: str, **params: Any) -> dict[str, Any]:
        """Return the JSON at a URL.

        Raises:
            GoogleError: The API refuses.
            UserError: There is no account to sign in as.
        """
        return _json_of(self.send("GET", url, params=params))

    def post(self, url: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the JSON that a POST of a JSON body gives; raises as `get`."""
        return _json_of(self.send("POST", url, json=body))

    def send(self, method: str, url: str, *, signed: bool = True, **request: Any) -> Any:
        """Send a request and return the answer of `requests`, whatever it is; passing failures are tried again.

        Args:
            method: Of HTTP.
            url: Absolute, with https.
            signed: Whether the account is told; False for hosts that are not Google's.
            **request: As `requests` takes it.

        Raises:
            OSError: There is no answer.
            UserError: There is no account to sign in as.
        """
        import requests

        ask = self.session.request if signed else requests.request

        def attempt() -> Any:
            answer = ask(method, redirected(url), timeout=self.timeout_seconds, **request)
            if answer.status_code in PASSING_STATUSES:
                raise _Passing(answer)
            return answer

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_pass),
            stop=tenacity.stop_after_attempt(self._attempts),
            wait=BACKOFF,
            reraise=True,
        )
        try:
            with _explained():
                return retrying(attempt)
        except _Passing as passing:
            return passing.args[0]

    def sign_in(self) -> str:
        """Have an account to sign as, and return its access token; raises as `send`."""
        from google.auth.transport.requests import Request

        credentials = self.session.credentials
        with _explained():
            if not credentials.valid:
                credentials.refresh(Request())
        return str(credentials.token or "")

    @functools.cached_property
    def session(self) -> Any:
        """The session that signs requests, as nobody when they are redirected."""
        import google.auth.credentials
        import google.auth.exceptions
        import google.oauth2.credentials
        from google.auth.transport.requests import AuthorizedSession

        if os.environ.get(REDIRECT_VARIABLE):
            return AuthorizedSession(google.auth.credentials.AnonymousCredentials())  # type: ignore[no-untyped-call]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a person's own account is meant to be used
                credentials: Any = google.auth.default([SCOPE])[0]
        except google.auth.exceptions.DefaultCredentialsError:
            raise UserError("Google account", "nobody is signed in", LOGIN) from None
        is_person = isinstance(credentials, google.oauth2.credentials.Credentials)
        if is_person and self._quota_project and not credentials.quota_project_id:
            credentials = credentials.with_quota_project(self._quota_project)
        return AuthorizedSession(credentials)  # type: ignore[no-untyped-call]


def redirected(url: str) -> str:
    """Return where a URL is asked for: itself, or below the address that PAGEMILL_GOOGLE_APIS gives."""
    base = os.environ.get(REDIRECT_VARIABLE, "").rstrip("/")
    return f"{base}/{url.removeprefix('https://')}" if base and url.startswith("https://") else url


def _may_pass(error: BaseException) -> bool:
    """Say whether the same request may succeed a little later."""
    import requests
    from google.auth.exceptions import GoogleAuthError, TransportError

    connection = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError, TransportError)
    return isinstance(error, (_Passing, *connection)) or (isinstance(error, GoogleAuthError) and error.retryable)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn errors of signing in into those that `GoogleApis` promises."""
    from google.auth.exceptions import GoogleAuthError, TransportError

    try:
        yield
    except TransportError as error:
        raise ConnectionError(type(error).__name__) from error
    except GoogleAuthError:
        mend = f"{LOGIN}; in a cloud, check the service account that tasks run as"
        raise UserError("Google account", "Google gives it no token", mend) from None


def _json_of(answer: Any) -> dict[str, Any]:
    if answer.ok:
        return dict(answer.json())
    try:
        error = answer.json()["error"]
        details = [each for each in error.get("details", []) if "reason" in each]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise GoogleError(answer.status_code, "", "", answer.reason or "no explanation") from None
    reason = details[0]["reason"] if details else ""
    service = details[0].get("metadata", {}).get("service", "") if details else ""
    raise GoogleError(answer.status_code, error.get("status", ""), reason, error.get("message", ""), service)
