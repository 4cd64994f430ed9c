"""Packs units into passages: as full as the target asks for, and ended where sections end if they are full enough."""

import enum
from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from pagemill.text.chunking.units import Unit
from pagemill.text.mmd.sections import Section

FULL_SHARE = 0.75  # of the target; a passage this full ends where a section ends rather than in the next one
SCRAP_SHARE = 0.25  # of the target; what is left of a section below it is taken in, if the maximum allows it


class Reason(enum.Enum):
    """Why a passage ends where it ends."""

    TEXT_ENDS = enum.auto()
    NOTHING_IN_COMMON = enum.auto()  # no heading holds for this section and the next
    SECTION_ENDS = enum.auto()
    FULL = enum.auto()
    PARTED = enum.auto()  # a single unit that by itself was longer than it was taken for


class Part(NamedTuple):
    """A unit at its place in the text."""

    unit: Unit
    weight: int  # tokens that it adds to a passage that it does not begin
    is_exact: bool  # whether it adds just as many
    section: Section
    opens: bool  # whether it begins the section


class Pack(NamedTuple):
    """The parts from `first` up to `end` as one passage."""

    first: int
    end: int
    path: tuple[str, ...]  # headings that hold for all of it
    reason: Reason


def next_pack(parts: Sequence[Part], first: int, target: int, maximum: int, complete: bool) -> Pack | None:
    """Return the passage that begins with a part, decided by what it holds and by what comes right after it.

    Args:
        parts: Of a text, in order.
        first: Index of the part.
        target: Tokens that a passage comes as near to as it can.
        maximum: Tokens that it does not exceed, unless it is a single part.
        complete: Whether the text ends with the parts.

    Returns:
        The passage; None where what follows the parts could still change it.
    """
    return _Filling(parts, first, target, maximum).pack(complete)


def shortened(pack: Pack, parts: Sequence[Part], by: int) -> Pack:
    """Return a passage without its last parts, of which one is left at least."""
    end = max(pack.first + 1, pack.end - by)
    path = parts[pack.first].section.path
    for part in parts[pack.first + 1 : end]:
        if part.opens:
            path = common(path, part.section.path)
    return Pack(pack.first, end, path, Reason.FULL)


class _Filling:
    """A passage that is being filled."""

    def __init__(self, parts: Sequence[Part], first: int, target: int, maximum: int) -> None:
        self.parts = parts
        self.first = first
        self.target = target
        self.maximum = maximum
        self.size = parts[first].unit.repeat_tokens + parts[first].unit.tokens
        self.path = parts[first].section.path
        self.section_ends: list[tuple[int, int, tuple[str, ...]]] = []  # index, size and path up to there

    def pack(self, complete: bool) -> Pack | None:
        """Fill the passage and return where it ends; None if only more of the text could tell."""
        for index in range(self.first + 1, len(self.parts)):
            part = self.parts[index]
            path = self.path
            if part.opens:
                path = common(path, part.section.path)
                if not path:
                    return Pack(self.first, index, self.path, Reason.NOTHING_IN_COMMON)
                self.section_ends.append((index, self.size, self.path))
            grown = self.size + part.weight
            if grown > self.maximum or grown - self.target >= max(1, self.target - self.size):
                return self._full(index, complete)
            self.size, self.path = grown, path
        return Pack(self.first, len(self.parts), self.path, Reason.TEXT_ENDS) if complete else None

    def _full(self, index: int, complete: bool) -> Pack | None:
        ends = [end for end in self.section_ends if end[1] >= FULL_SHARE * self.target or end[0] == index]
        if ends:
            end, _, path = min(ends, key=lambda each: (len(self.parts[each[0]].section.path), -each[0]))
            return Pack(self.first, end, path, Reason.SECTION_ENDS)
        room = min(self.maximum - self.size, int(SCRAP_SHARE * self.target))
        for end in range(index, len(self.parts)):
            if self.parts[end].opens:
                return Pack(self.first, end, self.path, Reason.SECTION_ENDS)
            room -= self.parts[end].weight
            if room < 0:
                return Pack(self.first, index, self.path, Reason.FULL)
        return Pack(self.first, len(self.parts), self.path, Reason.TEXT_ENDS) if complete else None


def common(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    """Return the headings that two paths begin with alike."""
    if first == second:
        return first
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))
    return tuple(heading for heading, _ in pairs)
