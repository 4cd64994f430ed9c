"""Dates as decks write them, read by code: to hold a model's date against the words it quotes."""

import datetime
import re
from typing import NamedTuple


class PartialDate(NamedTuple):
    """A date as exact as it was written; 0 for what is not said."""

    year: int
    month: int = 0
    day: int = 0

    def __str__(self) -> str:
        return "-".join(f"{part:0{width}}" for part, width in zip(self, (4, 2, 2), strict=True) if part)

    def agrees_with(self, written: "PartialDate") -> bool:
        """Say whether it is what was written, or the less exact part of it."""
        exact = [part for part in self if part]
        return exact == list(written)[: len(exact)]


_NAMES = (
    "january janvier januar", "february février februar", "march mars märz", "april avril", "may mai", "june juin juni",
    "july juillet juli", "august août", "september septembre", "october octobre oktober", "november novembre",
    "december décembre dezember",
)  # fmt: skip
MONTHS = {name: number for number, names in enumerate(_NAMES, 1) for name in names.split()}
MONTHS |= {name[:3]: number for name, number in MONTHS.items() if name.isascii() and name not in {"juin", "juillet"}}
MONTHS |= {"sept": 9, "okt": 10, "dez": 12}
_MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_FORMS = [
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"(?<!\d){_YEAR}[-/.](?P<month>\d{{1,2}})[-/.](?P<day>\d{{1,2}})(?!\d)",
        rf"(?<!\d)(?P<first>\d{{1,2}})[/.](?P<second>\d{{1,2}})[/.]{_YEAR}(?!\d)",
        rf"(?<!\d)(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?(?P<name>{_MONTH})\b\.?,?\s+{_YEAR}(?!\d)",
        rf"\b(?P<name>{_MONTH})\b\.?\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?\s+{_YEAR}(?!\d)",
        rf"\b(?P<name>{_MONTH})\b\.?,?\s+(?:of\s+)?{_YEAR}(?!\d)",
        rf"(?<!\d){_YEAR}[-/](?P<month>\d{{1,2}})(?![\d-])",
        rf"(?<!\d)(?P<month>\d{{1,2}})[/.]{_YEAR}(?!\d)",
        rf"(?<!\d){_YEAR}(?!\d)",
    )
]


def dates_in(text: str) -> list[PartialDate]:
    """Return the dates that a text names, the most exact reading of each; day and month in both orders if both do."""
    found: list[PartialDate] = []
    rest = " ".join(text.split())
    for form in _FORMS:
        for match in form.finditer(rest):
            found.extend(_readings(match))
        rest = form.sub(lambda match: " " * len(match[0]), rest)
    return found


def parse_date(text: str) -> PartialDate | None:
    """Return a date written as YYYY, YYYY-MM or YYYY-MM-DD; None when it is none."""
    match = re.fullmatch(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?", text.strip())
    return _valid(*(int(part or 0) for part in match.groups())) if match else None


def _readings(match: re.Match[str]) -> list[PartialDate]:
    parts = match.groupdict()
    year = int(parts["year"])
    if "first" in parts:
        first, second = int(parts["first"]), int(parts["second"])
        both = {_valid(year, second, first), _valid(year, first, second)}
        return sorted(date for date in both if date)
    month = MONTHS[parts["name"].lower()] if "name" in parts else int(parts.get("month") or 0)
    date = _valid(year, month, int(parts.get("day") or 0))
    return [date] if date else []


def _valid(year: int, month: int = 0, day: int = 0) -> PartialDate | None:
    try:
        datetime.date(year, month or 1, day or 1)
    except ValueError:
        return None
    return PartialDate(year, month, day)
