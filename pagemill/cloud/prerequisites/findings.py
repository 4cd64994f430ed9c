"""What was found out about a prerequisite of a run."""

import dataclasses
import enum

from pagemill.google_apis import GoogleError


class Verdict(enum.StrEnum):
    """How a prerequisite stands."""

    OK = "ok"
    FAILED = "failed"  # the run could not work: nothing is submitted
    UNKNOWN = "unknown"  # it cannot be seen from here, or not by this account: no reason to stop


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """A prerequisite and how it stands."""

    subject: str
    verdict: Verdict
    reason: str
    mend: str = ""

    @property
    def failed(self) -> bool:
        """Whether this is a reason not to submit."""
        return self.verdict is Verdict.FAILED

    def __str__(self) -> str:
        parts = (f"{self.subject}: {self.reason}", self.mend)
        return "; ".join(part for part in parts if part).replace("\n", " ")


def ok(subject: str, reason: str) -> Finding:
    """Return that a prerequisite is met."""
    return Finding(subject, Verdict.OK, reason)


def failed(subject: str, reason: str, mend: str) -> Finding:
    """Return that a prerequisite is not met."""
    return Finding(subject, Verdict.FAILED, reason, mend)


def unknown(subject: str, reason: str, mend: str = "") -> Finding:
    """Return that nobody here can tell whether a prerequisite is met."""
    return Finding(subject, Verdict.UNKNOWN, reason, mend)


def refused(subject: str, error: GoogleError) -> Finding:
    """Return that an API would not say how something stands."""
    if error.is_disabled_api:
        mend = f"gcloud services enable {error.service}"
        return unknown(subject, f"cannot be looked up, {error.service} is not enabled", mend)
    told = error.reason or error.code or error.status
    if error.status == 403:
        return unknown(subject, f"this account may not look ({told})", "ask an owner of the project to look")
    return unknown(subject, f"cannot be looked up ({told})", "try again")
