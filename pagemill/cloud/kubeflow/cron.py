"""Cron expressions of five fields, and what Kubeflow Pipelines reads: six, with seconds, and Sunday as 0 alone."""

import re

from pagemill.errors import UserError

SECONDS = "0"
UTC = ("TZ=UTC", "TZ=Etc/UTC")
_RANGE = re.compile(r"(?P<first>\d)(-(?P<last>\d))?(/(?P<step>\d+))?")


def six_fields(cron: str) -> str:
    """Return a five-field expression as Kubeflow Pipelines wants it, at second 0.

    It knows one time zone, that of its controller, which is UTC unless the cluster's CRON_SCHEDULE_TIMEZONE says other.

    Raises:
        UserError: There are not five fields, or they are meant in another time zone than UTC.
    """
    fields = cron.split()
    if fields and fields[0].startswith("TZ="):
        zone = fields.pop(0)
        if zone not in UTC:
            mend = "give the times in UTC; CRON_SCHEDULE_TIMEZONE of the cluster's controller sets another for all"
            raise UserError(f"cron {cron!r}", "Kubeflow Pipelines takes no time zone", mend)
    if len(fields) != 5:
        raise UserError(f"cron {cron!r}", f"has {len(fields)} fields", "write five, as in `0 3 * * 1`")
    fields[-1] = ",".join(_days(part) for part in fields[-1].split(","))
    return " ".join([SECONDS, *fields])


def five_fields(cron: str) -> str:
    """Return an expression of Kubeflow Pipelines in five fields; one that five fields cannot say stays as it is."""
    seconds, *fields = cron.split() or [""]
    return " ".join(fields) if len(fields) == 5 and seconds == SECONDS else cron


def _days(part: str) -> str:
    """Spell out a part of the days of the week that calls Sunday 7."""
    found = _RANGE.fullmatch(part)
    if not found or found["step"] == "0" or "7" not in (found["first"], found["last"]):
        return part
    days = range(int(found["first"]), int(found["last"] or found["first"]) + 1, int(found["step"] or 1))
    return ",".join(map(str, sorted({day % 7 for day in days}))) or part
