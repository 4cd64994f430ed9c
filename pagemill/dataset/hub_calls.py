"""Calls to the Hugging Face Hub: repeated while they may yet succeed, explained when they cannot."""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import tenacity

from pagemill.errors import UserError
from pagemill.secrets import check_reference, read_secret
from pagemill.waiting import asked_seconds, failure_of, pause_seconds

HUB_TOKEN = "env:HF_TOKEN"  # the name of the secret; where it is not set, the Hub's own login counts

CALL_ATTEMPTS = 8
CONFLICT_ATTEMPTS = 5
LONGEST_WAIT_SECONDS = 300.0  # the Hub counts requests in windows of five minutes
BACKOFF = tenacity.wait_exponential_jitter(max=60, jitter=1)

RATE_LIMIT_EXHAUSTED = re.compile(r"\br=0;\s*t=(?P<seconds>\d+)")  # `"api";r=0;t=55`: nothing left for 55 seconds
PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
CONFLICT_STATUS = 412
CONNECTION_ERRORS = frozenset(  # by name: which library is underneath depends on huggingface_hub's version
    {
        "requests.exceptions.ConnectionError",
        "requests.exceptions.Timeout",
        "requests.exceptions.ChunkedEncodingError",
        "httpx.TransportError",
        "httpx2.TransportError",
    }
)
REFUSALS = (401, 403)

log = logging.getLogger("pagemill")
Result = TypeVar("Result")


def patiently(call: Callable[[], Result]) -> Result:
    """Make a call, again and again while the Hub is overloaded or out of reach.

    It waits as long as the Hub asks for, else exponentially longer with jitter; after
    `CALL_ATTEMPTS` the last error is raised.
    """
    return _repeating(_is_passing, CALL_ATTEMPTS)(call)


def on_latest_head(update: Callable[[], Result]) -> Result:
    """Make an update, anew when somebody else committed between its reading and its commit."""
    return _repeating(lambda error: status_of(error) == CONFLICT_STATUS, CONFLICT_ATTEMPTS)(update)


def hub_token(target: str, hf_token: str) -> str:
    """Read the token that a publication signs in with.

    Args:
        target: What is published to.
        hf_token: Name of the secret.

    Raises:
        UserError: No secret is named, there is none of that name, or it may not be read.
    """
    from huggingface_hub import get_token

    check_reference(hf_token, "hf_token")
    token = get_token() if hf_token == HUB_TOKEN else read_secret(hf_token).strip()
    if not token:
        raise UserError(
            target, "no token for the Hub", f"{_where_it_goes(hf_token)} a token that may write{_or_log_in(hf_token)}"
        )
    return token


@contextmanager
def explained(target: str, hf_token: str) -> Iterator[None]:
    """Turn what the user can mend into a `UserError` about the target; other errors pass."""
    from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled

    try:
        yield
    except HFValidationError as error:
        raise UserError(target, str(error), "write hf://<user>/<name>") from None
    except OfflineModeIsEnabled:
        raise UserError(target, "the Hub is switched off", "unset HF_HUB_OFFLINE, or publish to a folder") from None
    except Exception as error:
        if (status := status_of(error)) not in REFUSALS:
            raise
        raise UserError(target, *_refusal(status, hf_token)) from error


def status_of(error: BaseException | None) -> int | None:
    """Return the HTTP status behind an error; None when no server answered."""
    answer = _response(error)
    return None if answer is None else int(answer.status_code)


def _refusal(status: int, hf_token: str) -> tuple[str, str]:
    """Return why the Hub refuses, and the mend."""
    if status == 403:
        return "the token may not write there", "use a token with write access, or another user or name"
    where = f"{_where_it_goes(hf_token)} a valid token that may write{_or_log_in(hf_token, ' again')}"
    return "the Hub does not accept the token", where


def _where_it_goes(hf_token: str) -> str:
    """Return how a mend begins: "set HF_TOKEN to", or the secret's name."""
    prefix, _, name = hf_token.partition(":")
    return f"set {name} to" if prefix == "env" else f"add to {name}"


def _or_log_in(hf_token: str, again: str = "") -> str:
    return f", or log in{again}" if hf_token == HUB_TOKEN else ""


def _repeating(may_repeat: Callable[[BaseException], bool], attempts: int) -> tenacity.Retrying:
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(may_repeat),
        stop=tenacity.stop_after_attempt(attempts),
        wait=_wait_seconds,
        before_sleep=_announce,
        reraise=True,
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__


def _response(error: BaseException | None) -> Any:
    """Return the HTTP answer behind an error, of requests or of httpx; None when there is none."""
    answers = (getattr(cause, "response", None) for cause in _causes(error))
    return next((answer for answer in answers if answer is not None), None)


def _is_passing(error: BaseException) -> bool:
    """Say whether the same call may succeed a little later."""
    if (status := status_of(error)) is not None:
        return status in PASSING_STATUSES
    kinds = {f"{kind.__module__}.{kind.__qualname__}" for cause in _causes(error) for kind in type(cause).__mro__}
    return not kinds.isdisjoint(CONNECTION_ERRORS)


def _wait_seconds(state: tenacity.RetryCallState) -> float:
    answer = _response(failure_of(state))
    asked = None if answer is None else _asked_seconds(answer.headers)
    return BACKOFF(state) if asked is None else min(asked, LONGEST_WAIT_SECONDS)


def _asked_seconds(headers: Mapping[str, str]) -> float | None:
    """Read how long the Hub asks to wait, from its RateLimit or Retry-After."""
    if exhausted := RATE_LIMIT_EXHAUSTED.search(headers.get("RateLimit", "")):
        return float(exhausted["seconds"])
    return asked_seconds(headers)


def _announce(state: tenacity.RetryCallState) -> None:
    """Log what is being waited for, by status or kind alone: texts of errors may quote requests."""
    failure = failure_of(state)
    what = status_of(failure) or type(failure).__name__
    log.warning("the Hub: %s; trying again in %.0f s", what, pause_seconds(state))
