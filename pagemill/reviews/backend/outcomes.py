"""What the queue is to do about each kind of problem that a container tells of."""

from collections.abc import Callable, Mapping

from pydantic import ValidationError

from pagemill.decks.tasks import BY_NAME, TASKS
from pagemill.flow.runner import NeedLost, ServerLost, TaskFailed
from pagemill.reviews.wire import ErrorKind, Problem

# Where the results lie that other tasks read, and which task makes them.
MAKERS = {BY_NAME[need].keeper.folder: need for task in TASKS for need in task.needs}

# What an answer means that has no problem in it, since it is not of a container but of something in between.
BY_STATUS = {
    401: ErrorKind.UNAUTHORIZED,
    403: ErrorKind.UNAUTHORIZED,
    413: ErrorKind.TOO_LARGE,
    429: ErrorKind.BUSY,
    502: ErrorKind.DRAINING,
    503: ErrorKind.DRAINING,
    504: ErrorKind.DRAINING,
}


def problem_of(status: int, body: bytes) -> Problem:
    """Return the problem in an answer."""
    try:
        return Problem.model_validate_json(body)
    except ValidationError:
        return Problem(error=BY_STATUS.get(status, ErrorKind.INTERNAL), message=f"it answers with HTTP status {status}")


def failure_of(problem: Problem) -> Exception:
    """Return what a runner has to raise."""
    return _FAILURES[problem.error](problem)


def _lost(problem: Problem) -> Exception:
    return ServerLost(problem.message)


def _failed(problem: Problem) -> Exception:
    return TaskFailed(problem.message, detail=_detail(problem))


def _refused(problem: Problem) -> Exception:
    return TaskFailed(problem.message, retry=False, detail=_detail(problem))


def _unauthorized(problem: Problem) -> Exception:
    message = "backend and container do not share the token; give both the same secret (decks.token)"
    return TaskFailed(message, retry=False, detail=_detail(problem))


def _need_lost(problem: Problem) -> Exception:
    maker = MAKERS.get(folder_of(problem.lost))
    return NeedLost(maker) if maker else _failed(problem)


def folder_of(name: str) -> str:
    """Return the folder of a result by its name, `decks/<folder>/<key>.json`; "" when it is none."""
    parts = name.split("/")
    return parts[1] if len(parts) == 3 else ""


def _detail(problem: Problem) -> dict[str, object]:
    whole: dict[str, object] = problem.model_dump(mode="json", include={"error", "calls", "raw"})
    return whole


_FAILURES: Mapping[ErrorKind, Callable[[Problem], Exception]] = {
    ErrorKind.UNAUTHORIZED: _unauthorized,
    ErrorKind.NOT_FOUND: _failed,  # a container of another version; the next may know the task
    ErrorKind.NOT_ALLOWED: _failed,
    ErrorKind.RESULT_LOST: _need_lost,
    ErrorKind.TOO_LARGE: _refused,
    ErrorKind.INVALID: _refused,
    ErrorKind.REFUSED: _refused,
    ErrorKind.BUSY: _lost,
    ErrorKind.CANCELLED: _lost,  # not by this attempt: by one that it took over from, and that did not know
    ErrorKind.INTERNAL: _failed,
    ErrorKind.BAD_ANSWER: _failed,
    ErrorKind.MODEL_UNAVAILABLE: _failed,
    ErrorKind.DRAINING: _lost,
}
