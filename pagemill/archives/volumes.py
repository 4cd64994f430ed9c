"""The names of multivolume archives: which files belong together, in what order, and which are missing."""

import dataclasses
import re
from collections.abc import Iterable

_PART = re.compile(r"(?P<stem>.+)\.part(?P<number>\d{1,6})\.rar", re.IGNORECASE | re.DOTALL)
_LETTERED = re.compile(r"(?P<stem>.+)\.(?P<letter>[r-z])(?P<number>\d\d)", re.IGNORECASE | re.DOTALL)
_SINGLE = re.compile(r"(?P<stem>.+)\.(?:rar|exe|sfx)", re.IGNORECASE | re.DOTALL)
_VOLUMES_A_LETTER = 100


@dataclasses.dataclass(frozen=True, slots=True)
class VolumeName:
    """Where a file stands in its set, told from its name alone."""

    name: str
    stem: str
    numbering: str  # "part" for book.part01.rar, "letter" for book.rar, book.r00
    number: int  # from 1

    @property
    def set_key(self) -> tuple[str, str]:
        """What all volumes of one set have in common, in whatever case they are written."""
        return (self.stem.casefold(), self.numbering)


def parse_volume_name(name: str) -> VolumeName | None:
    """Read a volume's name; None when it is not that of a RAR archive."""
    if part := _PART.fullmatch(name):
        return VolumeName(name, part["stem"], "part", int(part["number"]))
    if lettered := _LETTERED.fullmatch(name):
        hundreds = (ord(lettered["letter"].lower()) - ord("r")) * _VOLUMES_A_LETTER
        return VolumeName(name, lettered["stem"], "letter", hundreds + int(lettered["number"]) + 2)
    if single := _SINGLE.fullmatch(name):
        return VolumeName(name, single["stem"], "letter", 1)
    return None


def has_archive_suffix(name: str) -> bool:
    """Say whether a name is that of a RAR archive or of one of its volumes."""
    return parse_volume_name(name) is not None


def sibling_name(volume: VolumeName, number: int) -> str:
    """Return the name that volume `number` of the same set has, or would have."""
    if volume.numbering == "part":
        digits = re.search(r"(\d+)\.rar$", volume.name, re.IGNORECASE)
        assert digits is not None
        return f"{volume.name[: digits.start()]}{number:0{len(digits[1])}d}{volume.name[digits.end(1) :]}"
    if number == 1:
        return f"{volume.stem}.rar"
    letter, rest = divmod(number - 2, _VOLUMES_A_LETTER)
    return f"{volume.stem}.{chr(ord('r') + letter)}{rest:02d}"


def group_volumes(names: Iterable[str]) -> list[list[VolumeName]]:
    """Group names into sets, each in the order of its numbers; a number that comes twice counts once.

    A lettered volume (`book.r00`) makes a set of its `book.rar`; alone, `book.rar` is a set of one.
    """
    sets: dict[tuple[str, str], dict[int, VolumeName]] = {}
    for name in sorted(names):
        if volume := parse_volume_name(name):
            sets.setdefault(volume.set_key, {}).setdefault(volume.number, volume)
    return [[numbered[number] for number in sorted(numbered)] for numbered in sets.values()]


def missing_names(volumes: list[VolumeName]) -> tuple[str, ...]:
    """Return the names of the volumes that a sorted set lacks before its last one."""
    present = {volume.number for volume in volumes}
    gaps = (number for number in range(1, volumes[-1].number) if number not in present)
    return tuple(sibling_name(volumes[-1], number) for number in gaps)


def positions(present: int, missing: Iterable[str]) -> list[int]:
    """Return the numbers, from 1, of `present` volumes in order when those named in `missing` are not there."""
    absent = {volume.number for name in missing if (volume := parse_volume_name(name))}
    numbers = (number for number in range(1, present + len(absent) + 1) if number not in absent)
    return list(numbers)[:present]
