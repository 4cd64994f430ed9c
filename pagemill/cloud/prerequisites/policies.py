"""Who holds which roles, as IAM policies say; a policy that may not be read leaves the question open."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pagemill.cloud.prerequisites.findings import Finding, Verdict, failed, ok, unknown
from pagemill.google_apis import GoogleApis, GoogleError

BASIC_ROLES = ("roles/editor", "roles/owner")


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


UNSEEN = Policy(complete=False)


def role_finding(policy: Policy, account: str, roles: frozenset[str], subject: str, grant: str) -> Finding:
    """Return whether an account holds one of some roles; `grant` is the command that gives it the least of them."""
    least = grant.partition("--role ")[2].partition(" ")[0]
    verdict = policy.verdict(account, roles)
    if verdict is Verdict.OK:
        return ok(subject, f"{account} has {least} or more")
    if verdict is Verdict.UNKNOWN:
        return unknown(subject, f"whether {account} has {least} cannot be seen by this account", grant)
    return failed(subject, f"{account} lacks {least}", grant)


def bindings_at(apis: GoogleApis, url: str, **params: Any) -> list[Mapping[str, Any]] | None:
    """Return the bindings of a policy; None when this account may not read it."""
    try:
        return list(apis.get(url, **params).get("bindings", ()))
    except GoogleError:
        return None
