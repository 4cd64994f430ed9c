"""Sections of a text: the blocks between headings, under the headings that hold for them."""

import dataclasses
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pagemill.text.mmd.blocks import Block, BlockKind, heading_title

TITLE_CHARACTERS = 200  # of a heading in a path; a longer "heading" is a misread paragraph

_NUMBER = re.compile(r"(?:\d{1,3}(?:\.\d{1,3}){0,5}|[A-Z](?:\.\d{1,3}){1,5})(?=[.:)]?\s)")


class Heading(NamedTuple):
    """A heading that holds for what follows it."""

    level: int  # hash signs
    number: tuple[str, ...]  # the parts of "2.3.1", () when it has none
    title: str


Trail = tuple[Heading, ...]  # headings that hold, outermost first


@dataclasses.dataclass(slots=True)
class Section:
    """Headings that follow one another, and the blocks up to the next heading."""

    above: Trail  # what holds before its headings
    trail: Trail  # what holds for its content
    headings: list[Block]
    content: list[Block]
    path: tuple[str, ...]


def sections(text: str, blocks: Iterable[Block], trail: Trail = ()) -> Iterator[Section]:
    """Yield the sections of a text in order.

    Args:
        text: The text.
        blocks: Its blocks.
        trail: The headings that hold for what comes before the first one.
    """
    section = _section(trail)
    for block in blocks:
        if block.kind is not BlockKind.HEADING:
            section.content.append(block)
            continue
        if section.content:
            yield section
            section = _section(section.trail)
        section.trail = descend(section.trail, read_heading(heading_title(text, block), block.level))
        section.headings.append(block)
        section.path = _path(section.trail)
    if section.headings or section.content:
        yield section


def _section(trail: Trail) -> Section:
    return Section(trail, trail, [], [], _path(trail))


def _path(trail: Trail) -> tuple[str, ...]:
    return tuple(heading.title for heading in trail)


def read_heading(title: str, level: int) -> Heading:
    """Return what a heading says of its place."""
    number = _NUMBER.match(title)
    return Heading(level, tuple(number[0].split(".")) if number else (), title[:TITLE_CHARACTERS].rstrip())


def descend(trail: Trail, heading: Heading) -> Trail:
    """Return the headings that hold below a new one.

    Nougat's levels cannot be relied on, so a section number goes first: "2.3" belongs under "2" and
    beside "2.1", whatever their hash signs say. Without a number to go by, a heading closes those of
    its own level and deeper; gaps between levels mean nothing.
    """
    number = heading.number
    siblings = [
        (above.level == heading.level, index)
        for index, above in enumerate(trail)
        if number and above.number[:-1] == number[:-1] and _may_follow(heading, above)
    ]
    if siblings:
        return (*trail[: max(siblings)[1]], heading)
    parents = [index for index, above in enumerate(trail) if _is_part_of(number, above.number)]
    if parents:
        return (*trail[: parents[-1] + 1], heading)
    return (*(above for above in trail if above.level < heading.level), heading)


def _may_follow(heading: Heading, above: Heading) -> bool:
    """Say whether a number of as many parts can come beside another: at the same level, or as a later one."""
    if len(above.number) != len(heading.number):
        return False
    return above.level == heading.level or int(heading.number[-1]) > int(above.number[-1])


def _is_part_of(number: tuple[str, ...], parent: tuple[str, ...]) -> bool:
    return 0 < len(parent) < len(number) and number[: len(parent)] == parent
