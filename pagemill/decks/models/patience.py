"""Calls to a model's server: repeated while they may yet succeed, and named in a word when they fail."""

import dataclasses
import json
import logging
from collections.abc import Callable
from typing import TypeVar

import httpx
import ollama
import openai
import tenacity

from pagemill.waiting import asked_seconds, failure_of, pause_seconds

PASSING_STATUSES = frozenset({408, 409, 425, 429})  # and all from 500 on
TIMEOUTS = (openai.APITimeoutError, httpx.TimeoutException)
BACKOFF = tenacity.wait_exponential_jitter(initial=0.5, max=30, jitter=0.5)

log = logging.getLogger("pagemill")
Result = TypeVar("Result")


class NoAnswer(Exception):
    """What came is no answer of the protocol: a page of a proxy, a download that broke off."""


UNREADABLE = (NoAnswer, json.JSONDecodeError)
PASSING_ERRORS = (*UNREADABLE, openai.APIConnectionError, httpx.TransportError, ConnectionError)


@dataclasses.dataclass(frozen=True, slots=True)
class Patience:
    """How often and for how long a call is tried: no attempt begins later than `seconds` after the first."""

    attempts: int = 6
    seconds: float = 600.0

    def repeat(self, call: Callable[[], Result], model: str) -> Result:
        """Make a call, again and again while the server is overloaded, failing or out of reach.

        It waits as long as the server asks for, else exponentially longer with jitter; the last error is raised.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_passing),
            stop=tenacity.stop_after_attempt(self.attempts) | tenacity.stop_before_delay(self.seconds),
            wait=_wait_seconds,
            before_sleep=lambda state: _announce(model, state),
            reraise=True,
        )
        return retrying(call)


def is_passing(error: BaseException) -> bool:
    """Say whether the same call may succeed a little later."""
    status = status_of(error)
    return isinstance(error, PASSING_ERRORS) if status is None else status in PASSING_STATUSES or status >= 500


def status_of(error: BaseException | None) -> int | None:
    """Return the HTTP status that a server refused with; None when the error is another."""
    if not isinstance(error, openai.APIStatusError | ollama.ResponseError):
        return None
    return error.status_code if error.status_code > 0 else None  # Ollama's client says -1 for errors within a stream


def named(error: BaseException | None) -> str:
    """Name an error in a word or two; texts of errors are left out, for they may quote what was asked."""
    if status := status_of(error):
        return f"HTTP {status}"
    if isinstance(error, TIMEOUTS):
        return "no answer in time"
    if isinstance(error, UNREADABLE):
        return "an answer that is none"
    return "connection failed" if isinstance(error, PASSING_ERRORS) else type(error).__name__


def _wait_seconds(state: tenacity.RetryCallState) -> float:
    answer = getattr(failure_of(state), "response", None)
    asked = None if answer is None else asked_seconds(answer.headers)
    return BACKOFF(state) if asked is None else asked


def _announce(model: str, state: tenacity.RetryCallState) -> None:
    log.warning("%s: %s; trying again in %.1f s", model, named(failure_of(state)), pause_seconds(state))
