r"""Figures that say how good a page and a book are: letters, mathematics, garbage, loops, broken LaTeX."""

import dataclasses
import re
import zlib
from collections.abc import Iterable, Sequence

from pagemill.language import UNDETERMINED
from pagemill.records import PageQuality, PageRecord, Quality, Status
from pagemill.text.cleaning.book import Removed
from pagemill.text.cleaning.latex import Repaired
from pagemill.text.cleaning.tagging import BODY
from pagemill.text.judging.garbage import garbage_score
from pagemill.text.mmd.blocks import BlockKind, Layout, Span, math_spans, parse_blocks
from pagemill.text.mmd.prose import layout_beside_prose

REPEATED_PAGE = "repeated_page"  # stands where a rule's name stands for a page that repeats another

_LATEX = re.compile(
    r"\\\\|\\[{}]"
    r"|\\(?P<delimiter>[()\[\]])"
    r"|\\(?P<edge>begin|end)\{(?P<name>[A-Za-z]{1,40}\*?)\}"
    r"|\\(?P<side>left|right)(?![A-Za-z])"
    r"|(?P<brace>[{}])"
    r"|(?P<gap>\n(?=[ \t\r]*+\n))"
)
_MAY_BE_OPEN = re.compile(r"[\\{}]")
_OPENER_OF = {"}": "{", ")": "(", "]": "[", "right": "left"}
_PUNCTUATION = " \t.,;:"  # what a block of display mathematics may have after its formula
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalpha())
_FASTEST = 1  # level of zlib


def page_quality(
    text: str,
    layout: Layout | None = None,
    *,
    language: str = UNDETERMINED,
    language_score: float = 0.0,
    tag: str = BODY,
    loop_lines: int = 0,
    read: PageRecord | None = None,
) -> PageQuality:
    """Return the figures of a page.

    Args:
        text: The page's cleaned text.
        layout: What `parse_layout` or `layout_beside_prose` says of it, where that is known already.
        language: What `pagemill.text.judging.language.detect` says of it.
        language_score: Likewise, 0 to 1.
        tag: What the page is, as `pagemill.text.cleaning.tagging` names it.
        loop_lines: Repeats that cleaning took out of the page.
        read: The page as it was read, for its agreement and for the errors of its LaTeX before the repair.
    """
    layout = layout or layout_beside_prose(text)
    letters = _count_letters(text, _math_of(text, layout))
    return PageQuality(
        characters=letters.everything,
        alphabetic_share=letters.alphabetic_share,
        math_share=letters.math_share,
        garbage_score=garbage_score(text, layout),
        compressed_share=_compressed_share(text),
        loop_lines=loop_lines,
        latex_errors=latex_errors(read.text) if read else 0,
        language=language,
        language_score=language_score,
        tag=tag,
        agreement=_agreement(read),
    )


def _agreement(read: PageRecord | None) -> float | None:
    """Return how far a page's text agrees with its text layer; that of a fallback's text is not known.

    The row of such a page keeps the agreement of what was read first and is not its text any more.
    """
    return None if read is None or read.status is Status.FALLBACK else read.agreement


def book_quality(
    pages: Sequence[PageQuality],
    *,
    dropped: Sequence[str] = (),
    ledger: Sequence[PageRecord] = (),
    removed: Removed | None = None,
    repaired: Repaired | None = None,
) -> Quality:
    """Return the figures of a book from those of its pages; shares of its text are weighted by characters.

    Args:
        pages: Figures of every page, pages without text included.
        dropped: For each page the name of what left it out of the text, "" for nothing; () for no page.
        ledger: The pages as they were read; without them, what only they tell is 0 or None.
        removed: What cleaning took out.
        repaired: What cleaning repaired.
    """
    dropped = dropped or [""] * len(pages)
    kept = [page for page, rule in zip(pages, dropped, strict=True) if not rule]
    filled = [(page, rule) for page, rule in zip(pages, dropped, strict=True) if page.characters]
    words = [page.characters * (1 - page.math_share) for page in kept]
    characters = [page.characters for page in kept]
    removed, repaired = removed or Removed(), repaired or Repaired()
    repairs = dataclasses.asdict(repaired)
    return Quality(
        alphabetic_share=_mean([page.alphabetic_share for page in kept], words),
        math_share=_mean([page.math_share for page in kept], characters),
        missing_share=_share(map(is_missing, (page for page in ledger if page.status is not Status.EMPTY))),
        truncated_share=_share(page.status is Status.TRUNCATED for page in ledger),
        loop_lines_removed=removed.loop_lines,
        running_lines_removed=removed.running_lines,
        latex_errors=sum(page.latex_errors for page in pages),
        characters=sum(characters),
        garbage_score=_mean([page.garbage_score for page in kept], words),
        looped_share=_share(page.loop_lines > 0 for page, _ in filled),
        repeated_share=_share(rule == REPEATED_PAGE for _, rule in filled),
        dropped_share=_share(rule not in ("", REPEATED_PAGE) for _, rule in filled),
        lost_spaces=removed.lost_spaces,
        footnotes_moved=removed.footnotes_moved,
        latex_repairs=sum(count for kind, count in repairs.items() if kind != "openers_left"),
        agreement=_mean_of_known([page.agreement for page in pages]),
    )


def is_missing(page: PageRecord) -> bool:
    """Say whether a page has no text although it is not blank."""
    return page.status is not Status.EMPTY and not page.text.strip()


def shares(text: str) -> tuple[float, float]:
    """Return the share of letters outside mathematics, and the share of characters inside it.

    White space counts in neither; both are 0.0 for a text without other characters.
    """
    letters = _count_letters(text, math_spans(text))
    return letters.alphabetic_share, letters.math_share


def latex_errors(text: str) -> int:
    r"""Count what is opened and never closed, or closed and never opened, outside code.

    Braces, environments, ``\left`` and ``\right``, ``\(`` and ``\[`` must nest. What is open at a
    paragraph's end counts as left open there, except an environment, which may hold empty lines.
    """
    if not _MAY_BE_OPEN.search(text):
        return 0
    if "```" in text:
        blocks = (block for block in parse_blocks(text) if block.kind is not BlockKind.CODE)
        text = "".join(text[block.start : block.end] for block in blocks)
    balance = _Balance()
    for token in _LATEX.finditer(text):
        if token.lastgroup:
            balance.read(token)
    return balance.errors + len(balance.open)


@dataclasses.dataclass(frozen=True, slots=True)
class _Letters:
    """Numbers of characters that are no white space."""

    everything: int
    outside: int  # of mathematics
    alphabetic: int  # of those outside

    @property
    def alphabetic_share(self) -> float:
        return round(self.alphabetic / self.outside, 4) if self.outside else 0.0

    @property
    def math_share(self) -> float:
        return round(1 - self.outside / self.everything, 4) if self.everything else 0.0


def _count_letters(text: str, mathematics: Iterable[Span]) -> _Letters:
    pieces, position = [], 0
    for start, end in mathematics:
        pieces.append(text[position:start])
        position = max(position, end)
    words = "".join([*pieces, text[position:]])
    foreign = "" if words.isascii() else "".join(_NOT_ASCII.findall(words))
    alphabetic = len(words.encode("ascii", "ignore").translate(None, _NO_LETTERS)) + sum(map(str.isalpha, foreign))
    outside = _without_space(words)
    return _Letters(_without_space(text) if pieces else outside, outside, alphabetic)


def _math_of(text: str, layout: Layout) -> list[Span]:
    """Return what `math_spans` finds, from blocks that are there already."""
    display = (block for block in layout.blocks if block.kind is BlockKind.DISPLAY_MATH)
    spans = [Span(start, start + len(text[start:end].rstrip().rstrip(_PUNCTUATION))) for _, start, end, _ in display]
    return sorted(spans + layout.inline_math)


def _compressed_share(text: str) -> float:
    content = text.encode(errors="replace")
    return round(min(1.0, len(zlib.compress(content, _FASTEST)) / len(content)), 4) if content else 0.0


class _Balance:
    """A stack of what is open; every token is pushed and popped once at most, so reading is linear."""

    def __init__(self) -> None:
        self.open: list[str] = []
        self.numbers: dict[str, int] = {}
        self.errors = 0

    def read(self, token: re.Match[str]) -> None:
        """Take the next token into account."""
        if token["gap"]:
            self._leave_paragraph()
        elif token["edge"]:
            name = f"environment {token['name']}"
            self._push(name) if token["edge"] == "begin" else self._close(name)
        else:
            mark = token["delimiter"] or token["side"] or token["brace"]
            # \( and ( differ from a brace's mark, so one table serves all
            self._close(_OPENER_OF[mark]) if mark in _OPENER_OF else self._push(mark)

    def _push(self, mark: str) -> None:
        self.open.append(mark)
        self.numbers[mark] = self.numbers.get(mark, 0) + 1

    def _pop(self) -> str:
        mark = self.open.pop()
        self.numbers[mark] -= 1
        return mark

    def _close(self, opener: str) -> None:
        if not self.numbers.get(opener):
            self.errors += 1
            return
        while self._pop() != opener:
            self.errors += 1

    def _leave_paragraph(self) -> None:
        while self.open and not self.open[-1].startswith("environment "):
            self._pop()
            self.errors += 1


def _without_space(text: str) -> int:
    return sum(map(len, text.split()))


def _share(facts: Iterable[bool]) -> float:
    facts = list(facts)
    return round(sum(facts) / len(facts), 4) if facts else 0.0


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    total = sum(weights)
    weighted = sum(value * weight for value, weight in zip(values, weights, strict=True))
    return round(weighted / total, 4) if total else 0.0


def _mean_of_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 4) if known else None
