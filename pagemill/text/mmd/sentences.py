"""Where sentences begin, in any script, never inside a formula."""

import bisect
import re
from collections.abc import Iterator, Sequence

from pagemill.text.mmd.blocks import Span

# A full stop ends a sentence before white space; ideographic ones need none.
_STOP = re.compile(r"[.!?…؟۔।॥]++[)\]\"'”’»]*+\s++|[。！？]++[」』”’）]*+\s*+")  # noqa: RUF001
_LOOK_BEHIND_CHARACTERS = 16

# What a full stop belongs to: before a number or a formula only, and before anything.
_BEFORE_NUMBERS = frozenset(
    {"art", "ch", "chap", "col", "ed", "eq", "eqn", "eqns", "eqs", "fig", "figs", "lect", "nn", "no", "nos", "nr", "op"}
    | {"p", "par", "pl", "pp", "prob", "prop", "ref", "refs", "sec", "sect", "tab", "th", "thm", "vol", "vols"}
)
_BEFORE_ANYTHING = frozenset(
    {"al", "approx", "bzw", "ca", "cf", "dept", "dr", "e.g", "eds", "i.e", "mr", "mrs", "ms", "mt", "prof", "resp"}
    | {"sr", "st", "u.k", "u.s", "viz", "vs", "z.b"}
)


def sentence_starts(text: str, start: int, end: int, formulas: Sequence[Span] = ()) -> Iterator[int]:
    """Yield where each sentence of a range begins, the range's own start first.

    Args:
        text: The text that the range belongs to.
        start: Offset of the range's first character.
        end: Offset after the range's last character.
        formulas: Spans, in order and disjoint, in which nothing ends a sentence.
    """
    yield start
    for stop in _STOP.finditer(text, start, end):
        if stop.end() < end and _ends_sentence(text, stop, start) and not inside(formulas, stop.end()):
            yield stop.end()


def inside(spans: Sequence[Span], position: int) -> Span | None:
    """Return the span that a cut at `position` would go through, if there is one."""
    index = bisect.bisect_left(spans, (position, position)) - 1
    return spans[index] if index >= 0 and position < spans[index].end else None


def _ends_sentence(text: str, stop: re.Match[str], start: int) -> bool:
    following = text[stop.end()]
    if text[stop.start()] not in ".…":
        return True
    if following.islower():
        return False
    behind = text[max(start, stop.start() - _LOOK_BEHIND_CHARACTERS) : stop.start()].split()
    word = behind[-1].lstrip("([\"'“‘").lower() if behind else ""  # noqa: RUF001
    if len(word) == 1 and word.isalpha() and following.isupper():
        return False  # the initial of a name
    if word in _BEFORE_NUMBERS:
        return not (following.isdigit() or following in "([\\")
    return word not in _BEFORE_ANYTHING
