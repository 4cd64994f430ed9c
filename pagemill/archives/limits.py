"""Limits on what one archive may cost, so that no archive can fill the disk or hold up a run."""

import dataclasses

from pagemill.archives.backends.process import Deadline
from pagemill.archives.content import Fault
from pagemill.archives.headers import Headers, Member
from pagemill.records import Reason

RATIO_FROM_BYTES = 16 << 20  # below, the most extreme ratio does no harm


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What is allowed to one archive, the archives inside it included."""

    max_members: int
    max_member_bytes: int
    max_archive_bytes: int
    max_ratio: float
    max_depth: int
    time_limit_seconds: float


class Budget:
    """What is left of an archive's limits while it is being read."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.members_left = limits.max_members
        self.bytes_left = limits.max_archive_bytes
        self.deadline = Deadline(limits.time_limit_seconds)

    def charge(self, headers: Headers) -> dict[int, Fault]:
        """Take an archive's members off the budget by their declared sizes.

        No more than the declared size of a member is ever written, so that it is safe to go by it.

        Returns:
            The members that go over a limit, by index.
        """
        self.members_left -= len(headers.members)
        refused = {}
        for member in headers.members:
            if fault := self._refusal(member, headers):
                refused[member.index] = fault
            else:
                self.bytes_left -= member.size_bytes
        return refused

    def _refusal(self, member: Member, headers: Headers) -> Fault | None:
        limits, size_bytes = self.limits, member.size_bytes
        if size_bytes > limits.max_member_bytes:
            return Fault(Reason.MEMBER_TOO_LARGE, f"{size_bytes} bytes, {limits.max_member_bytes} are allowed")
        ratio = _ratio(member, headers)
        if size_bytes > RATIO_FROM_BYTES and ratio > limits.max_ratio:
            return Fault(
                Reason.RATIO_TOO_HIGH, f"unpacks to {ratio:.0f} times its size, {limits.max_ratio:g} is allowed"
            )
        if size_bytes > self.bytes_left:
            return Fault(Reason.ARCHIVE_TOO_LARGE, f"goes over the {limits.max_archive_bytes} bytes of an archive")
        return None


def _ratio(member: Member, headers: Headers) -> float:
    """Return how many times larger a member gets; in a solid archive, whose members share bytes, all of them."""
    members = headers.members if headers.solid else [member]
    return sum(each.size_bytes for each in members) / max(1, sum(each.packed_bytes for each in members))
