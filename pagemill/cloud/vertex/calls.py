"""Calls to Vertex AI: its clients, calls repeated while they may yet succeed, explained when they cannot."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from pagemill.cloud.vertex.mistakes import OUT_OF_QUOTA, mistake, server_message
from pagemill.google_apis import GoogleApis
from pagemill.settings import VertexSettings

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0
PATIENCE_SECONDS = 90.0  # until a call that fails again and again is given up
REQUEST_SECONDS = 60.0

PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
REFUSED_STATUSES = frozenset({429, 503})  # of these it is certain that nothing was done

log = logging.getLogger("pagemill")


class Clients(NamedTuple):
    """Google's clients of the services that are used, over REST."""

    pipelines: Any
    schedules: Any


def connect(settings: VertexSettings) -> Clients:
    """Return clients for a project's region, or for the endpoint that the settings name, without signing in there."""
    from google.api_core.client_options import ClientOptions
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.aiplatform_v1.services.pipeline_service import PipelineServiceClient
    from google.cloud.aiplatform_v1.services.schedule_service import ScheduleServiceClient

    account = GoogleApis(quota_project=settings.project)
    credentials = AnonymousCredentials() if settings.endpoint else account.session.credentials  # type: ignore[no-untyped-call]
    host = settings.endpoint.rstrip("/") or f"{settings.region}-aiplatform.googleapis.com"
    options: dict[str, Any] = {
        "credentials": credentials,
        "transport": "rest",
        "client_options": ClientOptions(api_endpoint=host),
    }
    return Clients(PipelineServiceClient(**options), ScheduleServiceClient(**options))


def patiently(*, may_be_done: bool = True) -> dict[str, Any]:
    """Return the arguments with which a client repeats a call while the service is overloaded or out of reach.

    Args:
        may_be_done: Whether to repeat also a call that may have been carried out although its answer was lost.
    """
    from google.api_core.retry import Retry
    from google.api_core.timeout import ConstantTimeout

    retry = Retry(
        predicate=is_passing if may_be_done else _is_refused,
        initial=FIRST_WAIT_SECONDS,
        maximum=LONGEST_WAIT_SECONDS,
        timeout=PATIENCE_SECONDS,
        on_error=_announce,
    )
    return {"retry": retry, "timeout": ConstantTimeout(REQUEST_SECONDS)}  # type: ignore[no-untyped-call]


@contextmanager
def explained(subject: str, settings: VertexSettings) -> Iterator[None]:
    """Turn every failure of a call into a `UserError` about the subject."""
    from google.api_core.exceptions import GoogleAPIError, RetryError
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except RetryError as error:
        raise mistake(subject, error.cause or error, settings) from error
    except (GoogleAPIError, GoogleAuthError, OSError) as error:  # what requests raises is an OSError
        raise mistake(subject, error, settings) from error


def is_passing(error: BaseException) -> bool:
    """Say whether the same call may succeed a little later; not so when an allotment is used up."""
    from google.auth.exceptions import TransportError

    status = getattr(error, "code", None)
    if status == 429 and OUT_OF_QUOTA.search(server_message(error)):
        return False
    return status in PASSING_STATUSES or isinstance(error, (OSError, TransportError))


def has_unknown_end(error: BaseException) -> bool:
    """Say whether a call that failed so may have been carried out all the same."""
    return isinstance(error, OSError) or getattr(error, "code", None) in PASSING_STATUSES - REFUSED_STATUSES


def _is_refused(error: BaseException) -> bool:
    return getattr(error, "code", None) in REFUSED_STATUSES and is_passing(error)


def _announce(error: Exception) -> None:
    """Log what is being waited for, by status or kind alone: texts of errors may quote requests."""
    if is_passing(error):
        log.warning("Vertex AI: %s; trying again", getattr(error, "code", None) or type(error).__name__)
