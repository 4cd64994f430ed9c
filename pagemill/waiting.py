"""What is known while a call is waited for: why it failed, when it is made again, how long the server asks to wait."""

import email.utils
import time
from collections.abc import Mapping

import tenacity


def failure_of(state: tenacity.RetryCallState) -> BaseException | None:
    """Return the error of the last attempt; None where there was none."""
    return state.outcome.exception() if state.outcome else None


def pause_seconds(state: tenacity.RetryCallState) -> float:
    """Return how long is waited before the next attempt."""
    return state.next_action.sleep if state.next_action else 0.0


def asked_seconds(headers: Mapping[str, str]) -> float | None:
    """Read a Retry-After (RFC 9110, section 10.2.3), seconds or a time; None where there is none to be read."""
    value = headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
