"""What was found out about a prerequisite of a run, and what a check has to find it out."""

import dataclasses
import enum
from collections.abc import Iterator, Mapping
from typing import Any

from pagemill.google_apis import GoogleApis
from pagemill.presets import Preset
from pagemill.settings import Settings

WRITTEN_PARAMETERS = ("store", "publish")


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


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """Who holds which roles, as the policies of a project and of things in it say.

    `complete` is False where one of the policies may not be read.
    """

    bindings: tuple[Mapping[str, Any], ...] = ()
    complete: bool = True

    def with_bindings(self, bindings: list[Mapping[str, Any]] | None) -> "Policy":
        """Return this policy with another one's bindings, or with what is missing when that may not be read."""
        return Policy(self.bindings + tuple(bindings or ()), self.complete and bindings is not None)

    def verdict(self, account: str, roles: frozenset[str]) -> Verdict:
        """Say whether an account holds one of some roles.

        It may hold one unseen: through a group, a role of the organization's own making, or under a condition.
        """
        member = f"serviceAccount:{account}"
        own = [each for each in self.bindings if _names(each, member)]
        if any(each["role"] in roles and "condition" not in each for each in own):
            return Verdict.OK
        made_here = any(not each["role"].startswith("roles/") for each in own)
        conditional = any(each["role"] in roles for each in own)
        through_others = any(each["role"] in roles and _names_others(each) for each in self.bindings)
        unseen = made_here or conditional or through_others or not self.complete
        return Verdict.UNKNOWN if unseen else Verdict.FAILED


def _names(binding: Mapping[str, Any], member: str) -> bool:
    return not {member, "allUsers", "allAuthenticatedUsers"}.isdisjoint(binding.get("members", ()))


def _names_others(binding: Mapping[str, Any]) -> bool:
    return any(member.startswith(("group:", "domain:", "principalSet:")) for member in binding.get("members", ()))


@dataclasses.dataclass(frozen=True, slots=True)
class Needs:
    """What a run needs, and by what it can be looked up."""

    settings: Settings
    preset: Preset
    parameters: Mapping[str, Any]
    ocr: str
    apis: GoogleApis
    account: str = ""  # e-mail of the service account that tasks run as; "" where it is not known
    policy: Policy = Policy(complete=False)  # of the project

    @property
    def project(self) -> str:
        """The Google Cloud project's id."""
        return self.settings.vertex.project

    @property
    def buckets(self) -> list[str]:
        """Names of the buckets that the run writes to."""
        places = [self.settings.bucket, *(str(self.parameters.get(name, "")) for name in WRITTEN_PARAMETERS)]
        names = [each.removeprefix("gs://").partition("/")[0] for each in places if each.startswith("gs://")]
        return list(dict.fromkeys(names))

    def secrets(self) -> Iterator[tuple[str, str]]:
        """Yield parameter and name of every secret that the run reads."""
        if str(self.parameters.get("publish", "")).startswith("hf://"):
            yield "hf_token", str(self.parameters.get("hf_token") or self.settings.hf_token)
        if passwords := str(self.parameters.get("passwords", "")):
            yield "passwords", passwords
