r"""Figures that say how good a document is: letters, mathematics, lost pages, broken LaTeX."""

import re
from collections.abc import Iterable, Sequence

from pagemill.records import PageRecord, Quality, Status
from pagemill.text.blocks import BlockKind, math_spans, parse_blocks

_LATEX = re.compile(
    r"\\\\|\\[{}]"
    r"|\\(?P<delimiter>[()\[\]])"
    r"|\\(?P<edge>begin|end)\{(?P<name>[A-Za-z]{1,40}\*?)\}"
    r"|\\(?P<side>left|right)(?![A-Za-z])"
    r"|(?P<brace>[{}])"
    r"|(?P<gap>\n(?=[ \t\r]*+\n))"
)
_OPENER_OF = {"}": "{", ")": "(", "]": "[", "right": "left"}


def measure(text: str, pages: Sequence[PageRecord], loop_lines_removed: int, running_lines_removed: int) -> Quality:
    """Return the figures of a document.

    Args:
        text: The cleaned text.
        pages: The ledger of its pages, as they were read: LaTeX is judged before its repair.
        loop_lines_removed: Repeats that cleaning took out.
        running_lines_removed: Running heads and feet that cleaning took out.
    """
    alphabetic, mathematics = shares(text)
    return Quality(
        alphabetic_share=alphabetic,
        math_share=mathematics,
        missing_share=_share(map(is_missing, (page for page in pages if page.status is not Status.EMPTY))),
        truncated_share=_share(page.status is Status.TRUNCATED for page in pages),
        loop_lines_removed=loop_lines_removed,
        running_lines_removed=running_lines_removed,
        latex_errors=sum(latex_errors(page.text) for page in pages),
    )


def is_missing(page: PageRecord) -> bool:
    """Say whether a page has no text although it is not blank."""
    return page.status is not Status.EMPTY and not page.text.strip()


def shares(text: str) -> tuple[float, float]:
    """Return the share of letters outside mathematics, and the share of characters inside it.

    White space counts in neither; both are 0.0 for a text without other characters.
    """
    outside, position = [], 0
    for start, end in math_spans(text):
        outside.append(text[position:start])
        position = max(position, end)
    words = _without_space("".join([*outside, text[position:]]))
    everything = len(_without_space(text))
    alphabetic = sum(map(str.isalpha, words)) / len(words) if words else 0.0
    mathematics = 1 - len(words) / everything if everything else 0.0
    return round(alphabetic, 4), round(mathematics, 4)


def latex_errors(text: str) -> int:
    r"""Count what is opened and never closed, or closed and never opened, outside code.

    Braces, environments, ``\left`` and ``\right``, ``\(`` and ``\[`` must nest. What is open at a
    paragraph's end counts as left open there, except an environment, which may hold empty lines.
    """
    code_free = (text[block.start : block.end] for block in parse_blocks(text) if block.kind is not BlockKind.CODE)
    balance = _Balance()
    for token in _LATEX.finditer("".join(code_free)):
        if token.lastgroup:
            balance.read(token)
    return balance.errors + len(balance.open)


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


def _without_space(text: str) -> str:
    return "".join(text.split())


def _share(facts: Iterable[bool]) -> float:
    facts = list(facts)
    return round(sum(facts) / len(facts), 4) if facts else 0.0
