"""What Vertex AI refuses, told in one line with its mend: quota, permissions, services that are off, wrong names."""

import re
from typing import NamedTuple

from pagemill.cloud.backend import Unreachable, one_line
from pagemill.errors import UserError
from pagemill.google_apis import LOGIN
from pagemill.settings import VertexSettings

OUT_OF_QUOTA = re.compile(r"exceeds? quota limits?:? *(?P<quota>[\w./-]*\w)?", re.IGNORECASE)
ANYTHING = re.compile("")
LOG_IN_AGAIN = f"log in again: {LOGIN}"


class _Case(NamedTuple):
    """What is said of an error with one of these statuses whose text has the pattern; its groups may be used."""

    statuses: tuple[int, ...]
    pattern: re.Pattern[str]
    reason: str
    mend: str


_ROLE = "ask for the role roles/aiplatform.user in project {project}"
_CASES = (
    _Case(
        (403,),
        re.compile(r"SERVICE_DISABLED|has not been used in project|it is disabled"),
        "the Vertex AI API is off in project {project}",
        "gcloud services enable aiplatform.googleapis.com --project {project}",
    ),
    _Case(
        (403,),
        re.compile(r"BILLING_DISABLED|requires billing"),
        "project {project} has no billing account",
        "link one at https://console.cloud.google.com/billing/linkedaccount?project={project}",
    ),
    _Case(
        (400, 403),
        re.compile(r"act as (?:service[ _]account:? *)?(?P<account>[\w.@-]*\w)"),
        "you may not have tasks run as {account}",
        "ask for the role roles/iam.serviceAccountUser on that account",
    ),
    _Case(
        (400, 403),
        re.compile(r"storage\.(?:objects|buckets)\.\w+"),
        "the bucket may not be used ({message})",
        "grant the tasks' service account roles/storage.objectAdmin on the bucket",
    ),
    _Case((403,), re.compile(r"[Pp]ermission '(?P<permission>[\w.]+)'"), "{permission} is not permitted", _ROLE),
    _Case((403,), ANYTHING, "is not permitted ({message})", _ROLE),
    _Case(
        (429,),
        OUT_OF_QUOTA,
        "the quota {quota} of region {region} is used up",
        "wait for other runs, or ask for more at https://console.cloud.google.com/iam-admin/quotas?project={project}",
    ),
    _Case((429,), ANYTHING, "Vertex AI is asked too often ({message})", "try again in a few minutes"),
    _Case((401,), ANYTHING, "Vertex AI does not accept the account", LOG_IN_AGAIN),
    _Case(
        (404,),
        ANYTHING,
        "is not in project {project}, region {region}",
        "check its id, and vertex.project and vertex.region in `pagemill config show`",
    ),
    _Case((400, 409, 412), ANYTHING, "Vertex AI refuses it ({message})", "correct what it names"),
)


def mistake(subject: str, error: BaseException, settings: VertexSettings) -> UserError:
    """Return the line that explains the failure of a call; an `Unreachable` if it might succeed a little later."""
    status = getattr(error, "code", None)
    if status is None:
        return _without_answer(subject, error, settings)
    text = server_message(error)
    kind = Unreachable if _is_passing(status, text) else UserError
    for case in _CASES:
        found = case.pattern.search(f"{text} {getattr(error, 'reason', None) or ''}")
        if status in case.statuses and found:
            words = {name: value or "" for name, value in found.groupdict().items()}
            words |= {"project": settings.project, "region": settings.region, "message": text}
            return kind(subject, case.reason.format(**words), case.mend.format(**words))
    mend = "try again later; https://status.cloud.google.com tells of outages"
    return kind(subject, f"Vertex AI has failed ({status}: {text})", mend)


def server_message(error: BaseException) -> str:
    """Return what the service said, in one line; its client puts the request's address before it."""
    text = str(getattr(error, "message", None) or error)
    return one_line(re.sub(r"^[A-Z]+ https?://\S+: ", "", text))


def _is_passing(status: int, text: str) -> bool:
    return status == 408 or status >= 500 or (status == 429 and not OUT_OF_QUOTA.search(text))


def _without_answer(subject: str, error: BaseException, settings: VertexSettings) -> UserError:
    from google.auth.exceptions import DefaultCredentialsError, RefreshError

    if isinstance(error, (DefaultCredentialsError, RefreshError)):
        return UserError(subject, "the Google account is not signed in any more", LOG_IN_AGAIN)
    where = settings.endpoint or f"Vertex AI in {settings.region}"
    reason = f"{where} cannot be reached ({type(error).__name__})"
    return Unreachable(subject, reason, "check the network and vertex.region, and try again")
