"""Calls to Kubeflow Pipelines through its own client: repeated while they may yet succeed, explained if not."""

import contextlib
import json
import logging
import re
import warnings
from collections.abc import Iterator
from typing import Any

import tenacity

from pagemill.cloud.backend import Unreachable, one_line
from pagemill.errors import UserError
from pagemill.google_apis import LOGIN
from pagemill.settings import KfpSettings
from pagemill.waiting import failure_of, pause_seconds

ATTEMPTS = 5
BACKOFF = tenacity.wait_exponential_jitter(initial=0.5, max=20, jitter=0.5)
LONGEST_WAIT_SECONDS = 120.0
TIMEOUT_SECONDS = (10, 60)  # to connect, and for each answer
UNDONE_STATUSES = frozenset({429, 503})  # the service did nothing: anything may be asked again
PASSING_STATUSES = UNDONE_STATUSES | {408, 502, 504}
SIGN_IN = f"set PAGEMILL_KFP__TOKEN to a token that is valid, or run `{LOGIN}`"
ADDRESS = "set kfp.host to the URL that Kubeflow Pipelines is opened with"
MENDS = {
    400: ("is refused", "correct what it names"),
    401: ("does not take the sign-in", SIGN_IN),
    403: (
        "is not allowed",
        "ask for the role kubeflow-edit in the namespace, or set kfp.namespace to one that is yours",
    ),
    404: ("is not there", "`pagemill status` and `pagemill schedule list` name what is"),
    409: ("conflicts with what is there", "look at it in the console, and ask again"),
    429: ("gets too many requests", "wait a few minutes, and ask again"),
}
TROUBLE = ("cannot do it now", "ask again later; the log of the deployment ml-pipeline tells more")
LOOK = "look there before you ask again"
TOKEN = re.compile(r"[!-~]+")
SECRETS = re.compile(r"(?i)bearer\s+\S+")

log = logging.getLogger("pagemill")


class Calls:
    """The API of one Kubeflow Pipelines; nothing is asked, and kfp is not loaded, before the first call."""

    def __init__(self, settings: KfpSettings) -> None:
        self.settings = settings
        self._client: Any = None
        self._signed_in = False

    def ask(self, subject: str, service: str, method: str, *, repeatable: bool = True, **arguments: Any) -> Any:
        """Call a method of the generated API.

        Args:
            subject: What it is about, for the user.
            service: Attribute of `kfp.Client`: runs, recurring_runs or experiments.
            method: As in `kfp_server_api`.
            repeatable: Whether it may be made again when it is not known whether it has taken place.
            **arguments: Of the method.

        Raises:
            UserError: It failed in a way that the user can mend; an Unreachable if for longer than this waits.
        """
        calling = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: _is_passing(error, repeatable)),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=_wait_seconds,
            before_sleep=_announce,
            reraise=True,
        )
        try:
            return calling(self._signed_in_anew, service, method, arguments)
        except Exception as error:
            raise self._explained(error, subject, repeatable) from None

    def _signed_in_anew(self, service: str, method: str, arguments: dict[str, Any]) -> Any:
        """Make a call; a Google sign-in that was good and is over, after an hour, is renewed."""
        try:
            answer = self._ask_once(service, method, arguments)
        except Exception as error:
            if status_of(error) != 401 or not self._signed_in or self.settings.bearer:
                raise
            self._client = None
            answer = self._ask_once(service, method, arguments)
        self._signed_in = True
        return answer

    def _ask_once(self, service: str, method: str, arguments: dict[str, Any]) -> Any:
        from kfp_server_api import ApiException

        with _quiet():
            self._client = self._client or _connect(self.settings)
            call = getattr(getattr(self._client, service), method)
            try:
                answer = call(_request_timeout=TIMEOUT_SECONDS, **arguments)
            except (AttributeError, UnicodeDecodeError) as error:  # of an ApiException whose body is none, or no text
                raise error.__context__ if isinstance(error.__context__, ApiException) else error from None
            kind = call.__self__.api_client.last_response.getheader("content-type", "")
        if "json" not in kind:
            raise NotTheApi
        return answer

    def _explained(self, error: Exception, subject: str, repeatable: bool) -> Exception:
        """Return the error that the user is told of; one that nobody expected is returned as it is."""
        from google.auth.exceptions import GoogleAuthError
        from urllib3.exceptions import HTTPError, LocationValueError

        host = f"Kubeflow Pipelines at {self.settings.host}"
        status = status_of(error)
        if isinstance(error, NotTheApi) or (status is not None and 300 <= status < 400):
            return UserError(
                host, "answers with a page, not as the API", f"{ADDRESS}; if it asks to sign in, {SIGN_IN}"
            )
        if isinstance(error, GoogleAuthError):
            return UserError(host, "cannot be signed in to with a Google account", SIGN_IN)
        if status == 0 or isinstance(error, LocationValueError):
            return UserError(host, f"cannot be spoken to ({_line(getattr(error, 'reason', error))})", ADDRESS)
        if status is not None:
            reason, mend = MENDS.get(status, TROUBLE)
            said = _message(error)
            if status == 404 and not said:
                return UserError(host, "has no such API", ADDRESS)
            reason = f"{reason} ({said or status})"
            if not repeatable and status >= 500 and status not in UNDONE_STATUSES:
                return UserError(subject, f"{reason}, but it may have taken place", LOOK)
            mistake = Unreachable if status in PASSING_STATUSES or status >= 500 else UserError
            return mistake(host if status == 401 else subject, reason, mend)
        if not isinstance(error, HTTPError):
            return error
        if repeatable or _never_sent(error):
            return Unreachable(host, "does not answer", f"{ADDRESS}, and check the network")
        lost = f"no answer came from {host}, so it may have taken place"
        return UserError(subject, lost, LOOK)


class NotTheApi(Exception):
    """Something answered that is no API, as a page to sign in does."""


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that the API refused with; 0 when TLS failed, None for what is no refusal."""
    from kfp_server_api import ApiException

    return int(error.status or 0) if isinstance(error, ApiException) else None


def _connect(settings: KfpSettings) -> Any:
    """Make a client that neither reads nor writes ~/.config/kfp, nor follows redirects to a page to sign in."""
    import kfp.client

    token = settings.bearer
    if not settings.host:
        raise UserError("kfp.host", "is not set", ADDRESS)
    if token and not TOKEN.fullmatch(token):  # the error of an impossible header would quote it
        raise UserError("kfp.token", "is no token: it holds more than letters, digits and signs", SIGN_IN)

    class Client(kfp.client.Client):  # type: ignore[misc]
        def _load_config(self, *arguments: Any) -> Any:
            configuration = super()._load_config(*arguments)
            configuration.retries = False  # they are made here, where their log is
            return configuration

        def _load_context_setting_or_default(self) -> None:
            self._context_setting = {"namespace": settings.namespace}

    return Client(host=settings.url, namespace=settings.namespace, existing_token=token or None)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what kfp warns and logs of from the user: each time it is made, and when there is no Google account."""
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    root.addFilter(_nothing)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeFilter(_nothing)
        root.handlers[:] = before  # kfp logs by functions that add one


def _nothing(record: logging.LogRecord) -> bool:
    return False


def _is_passing(error: BaseException, repeatable: bool) -> bool:
    """Say whether the same call may succeed a little later, and may be made."""
    from urllib3.exceptions import ProtocolError, TimeoutError

    if (status := status_of(error)) is not None:
        return status in (PASSING_STATUSES if repeatable else UNDONE_STATUSES)
    return _never_sent(error) or (repeatable and isinstance(error, (ProtocolError, TimeoutError)))


def _never_sent(error: BaseException) -> bool:
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    return isinstance(error, (NewConnectionError, ConnectTimeoutError))


def _wait_seconds(state: tenacity.RetryCallState) -> float:
    headers = getattr(failure_of(state), "headers", None) or {}
    asked = headers.get("Retry-After", "")
    return min(float(asked), LONGEST_WAIT_SECONDS) if asked.isdecimal() else BACKOFF(state)


def _announce(state: tenacity.RetryCallState) -> None:
    """Log what is being waited for, by status or kind alone: texts of errors may quote requests."""
    error = failure_of(state)
    what = (error and status_of(error)) or type(error).__name__
    log.warning("Kubeflow Pipelines: %s; trying again in %.0f s", what, pause_seconds(state))


def _message(error: Exception) -> str:
    """Return what the API server says of an error, in one line; "" when it was not the API server that answered."""
    try:
        said = json.loads(getattr(error, "body", None) or "")["message"]
    except (ValueError, KeyError, TypeError):
        return ""
    return _line(said)


def _line(text: object) -> str:
    return SECRETS.sub("Bearer ...", one_line(text))
