"""Why a task has no result, as its clients are told: a table from what it raised."""

import logging
from collections.abc import Callable, Mapping

from pydantic import ValidationError

from pagemill.decks.asking import AskingFailed, BadAnswer, ModelUnavailable
from pagemill.decks.keeping import ResultLost
from pagemill.errors import UserError
from pagemill.reviews.wire import MEANINGS, ErrorKind, Problem

log = logging.getLogger("pagemill")


class Ended(Exception):
    """Raised where a task reports progress: nobody wants it any more."""


def problem_of(error: BaseException, fields: Mapping[str, str] | None = None) -> Problem:
    """Return what is told of a task's error; what nobody expected is logged with its traceback, and not told.

    Args:
        error: What the task raised.
        fields: Which task it was, for the log.
    """
    told = next((told for kind, told in TABLE if isinstance(error, kind)), _internal)
    if told is _internal:
        log.error("a task failed", exc_info=error, extra={"fields": fields or {}})
    return told(error)


def _plain(kind: ErrorKind) -> Callable[[BaseException], Problem]:
    return lambda error: Problem(error=kind, message=str(error))


def _lost(error: BaseException) -> Problem:
    assert isinstance(error, ResultLost)
    return Problem(error=ErrorKind.RESULT_LOST, message=str(error), lost=error.name)


def _asking_failed(kind: ErrorKind) -> Callable[[BaseException], Problem]:
    def told(error: BaseException) -> Problem:
        assert isinstance(error, AskingFailed)
        return Problem(error=kind, message=error.message, raw=error.raw, calls=error.calls)

    return told


def _internal(error: BaseException) -> Problem:
    return Problem(error=ErrorKind.INTERNAL, message=MEANINGS[ErrorKind.INTERNAL].text)


def _missing(error: BaseException) -> Problem:
    return Problem(error=ErrorKind.INVALID, message=f"There is no {error}.")


TABLE: tuple[tuple[type[BaseException], Callable[[BaseException], Problem]], ...] = (
    (UserError, _plain(ErrorKind.REFUSED)),
    (ResultLost, _lost),
    (ModelUnavailable, _asking_failed(ErrorKind.MODEL_UNAVAILABLE)),
    (BadAnswer, _asking_failed(ErrorKind.BAD_ANSWER)),
    (Ended, _plain(ErrorKind.CANCELLED)),
    (ValidationError, _internal),  # a ValueError that quotes what it found
    (ValueError, _plain(ErrorKind.INVALID)),
    (KeyError, _missing),
)
