r"""Balances the LaTeX that OCR left open: braces, environments, ``\left`` and ``\right``, formulas.

Every formula and every table is repaired for itself, so that no mistake spreads to the text around it;
what balances is left as it is, to the byte. Every token is read once and every opener pushed and popped
once, so the time is linear on any input.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from pagemill.text.cleaning.balanced import is_balanced, is_balanced_formula
from pagemill.text.cleaning.formulas import Piece, ends_escaped, find_pieces
from pagemill.text.mmd.blocks import Span, parse_layout

_MAX_PASSES = 10  # one repairs, the next finds nothing left; more only where formulas and environments cross

_NAME = r"[A-Za-z]{1,40}\*?"
_TOKEN = re.compile(
    rf"\\begin\{{(?P<begin>{_NAME})\}}(?:\[[A-Za-z]\])?"
    rf"|\\end\{{(?P<end>{_NAME})\}}"
    r"|\\(?P<side>left|right)(?![A-Za-z])"
    r"|(?P<word>\\[A-Za-z]++)"
    r"|(?P<row>\\\\(?:\*?\[[^\[\]{}&\\\n]{0,20}\])?(?:\s*+\\hline(?![A-Za-z]))*+)"
    r"|\\."
    r"|(?P<brace>[{}])"
    r"|(?P<cell>&)",
    re.DOTALL,
)
_END = re.compile(rf"\\\\|\\end\{{(?P<name>{_NAME})\}}")
_LEFT = r"\left"  # no environment has this name
_TAG = re.compile(r"\\tag\*?\{[^{}&\\]*\}\s*")


@dataclasses.dataclass(frozen=True, slots=True)
class Repaired:
    r"""How much LaTeX was repaired, by kind.

    Attributes:
        braces_added: ``}`` that were put where their group ends.
        braces_removed: ``}`` that closed nothing.
        environments_added: ``\end{...}`` that were put where their environment ends.
        environments_removed: ``\end{...}`` that ended nothing.
        sides_added: ``\left.`` and ``\right.`` that were put beside the other one.
        formulas_closed: ``\(`` and ``\[`` that were closed at their paragraph's end.
        openers_left: ``\(`` and ``\[`` that still stand open, for prose or another formula follows.
    """

    braces_added: int = 0
    braces_removed: int = 0
    environments_added: int = 0
    environments_removed: int = 0
    sides_added: int = 0
    formulas_closed: int = 0
    openers_left: int = 0

    def counts(self) -> dict[str, int]:
        """Return the kinds of which there are any."""
        return {kind: count for kind, count in dataclasses.asdict(self).items() if count} if self != _NOTHING else {}


_NOTHING = Repaired()


class _Edit(NamedTuple):
    """What replaces a range of a text."""

    start: int
    end: int
    replacement: str


def repair_latex(text: str) -> tuple[str, Repaired]:
    r"""Balance each formula and each table of a text.

    Missing braces, ``\end{...}`` and ``\right.`` are added where their group ends, at the latest at the
    formula's end, before its ``\tag``; stray ones are removed, and a stray ``\right`` gets a ``\left.``
    at the start of its group or cell. A ``\(`` or ``\[`` that nothing closes is closed at its paragraph's
    end if no prose stands between. The text outside formulas stays, and so does a text whose
    repair does not come to an end in a few passes, as only formulas crossed on purpose do.

    Returns:
        The text, and what was repaired. Repairing again changes nothing.
    """
    if is_balanced(text):
        return text, _NOTHING
    total: Counter[str] = Counter()
    repaired = text
    for _ in range(_MAX_PASSES):
        before = repaired
        repaired, found, openers_left = _repair_once(before)
        total.update(found)
        if repaired == before or is_balanced(repaired):
            return repaired, Repaired(**total, openers_left=openers_left if repaired == before else 0)
    return text, _NOTHING


def _repair_once(text: str) -> tuple[str, Counter[str], int]:
    pieces, openers_left = find_pieces(text, parse_layout(text))
    edits: list[_Edit] = []
    counts = Counter(formulas_closed=sum(bool(piece.closer) for piece in pieces))
    for piece in pieces:
        if not piece.closer and is_balanced_formula(text, piece.start, piece.end):
            continue
        balance = _Balance(text, piece)
        edits += balance.edits
        counts += balance.counts
        if piece.closer:
            edits.append(_Edit(piece.end, piece.end, piece.closer))
    return _apply(text, edits), counts, openers_left


def _apply(text: str, edits: Iterable[_Edit]) -> str:
    pieces, position = [], 0
    for edit in sorted(edits, key=lambda edit: edit.start):  # stable: at one place, first made comes first
        pieces += [text[position : edit.start], edit.replacement]
        position = max(position, edit.end)
    return "".join([*pieces, text[position:]])


@dataclasses.dataclass(slots=True)
class _Mark:
    r"""A ``{`` or ``\left`` that is open."""

    kind: str
    closer: str
    start: int
    cell_start: int  # of what a brace holds: where a \left. can go
    cell_end: int | None = None  # of the cell in which a \left stands


@dataclasses.dataclass(slots=True)
class _Scope:
    """An open environment, "" for the formula itself, and what is open in it."""

    name: str
    cell_start: int
    marks: list[_Mark] = dataclasses.field(default_factory=list)
    numbers: Counter[str] = dataclasses.field(default_factory=Counter)


class _Balance:
    r"""Reads a piece and finds what balances it.

    A brace or ``\right`` does not close anything outside the environment in which it stands, unless
    nothing else will end that environment. ``\end`` closes all that was opened after its ``\begin``.
    """

    def __init__(self, text: str, piece: Piece) -> None:
        self.edits: list[_Edit] = []
        self.counts: Counter[str] = Counter()
        self._text = text
        self._start = piece.start
        self._scopes = [_Scope("", piece.start)]
        self._open: Counter[str] = Counter()  # environments by name, and marks by kind
        self._word: re.Match[str] | None = None  # the last command
        self._word_end = -1  # and where it ends, stray closers after it removed
        self._ends_ahead = Counter(token["name"] for token in _END.finditer(text, piece.start, piece.end))
        position = piece.start
        for hole in (*piece.holes, Span(piece.end, piece.end)):
            for token in _TOKEN.finditer(text, position, hole.start):
                self._read(token)
            position = hole.end
        self._finish(piece)

    def _read(self, token: re.Match[str]) -> None:
        match token.lastgroup:
            case "brace":
                self._read_brace(token)
            case "begin":
                self._scopes.append(_Scope(token["begin"], token.end()))
                self._open[token["begin"]] += 1
            case "end":
                self._read_end(token)
            case "side":
                self._read_side(token)
            case "cell" | "row":
                self._read_separator(token)
        if token.lastgroup in ("word", "side", "row"):
            self._word, self._word_end = token, token.end()

    def _finish(self, piece: Piece) -> None:
        """Close what is open at the end of the piece, before its tag and the white space there."""
        end = piece.end
        if self._word and self._word[0] == r"\tag" and _TAG.fullmatch(self._text, self._word.start(), end):
            end = self._word.start()
        body = self._text[piece.start : end].rstrip()
        if not ends_escaped(body):
            end = piece.start + len(body)
        while len(self._scopes) > 1:
            self._end_environment(end)
        self._close_marks(end)

    def _read_brace(self, token: re.Match[str]) -> None:
        if token["brace"] == "{":
            names_environment = self._word_end == token.start() and self._word and self._word[0] in (r"\begin", r"\end")
            # a space keeps the rest of a name from becoming an environment
            self._push(_Mark("{", " }" if names_environment else "}", token.start(), token.end()))
            return
        mark = self._pair("{", token.start())
        if mark is None:
            self._remove(token, "braces_removed")
        elif not self._scopes[-1].marks and mark.start == self._scopes[-1].cell_start:
            self._scopes[-1].cell_start = token.end()  # {ll} after \begin{array}

    def _read_side(self, token: re.Match[str]) -> None:
        if token["side"] == "left":
            self._push(_Mark(_LEFT, r"\right.", token.start(), token.end()))
        elif self._pair(_LEFT, token.start()) is None:
            scope = self._scopes[-1]
            self._insert(scope.marks[-1].cell_start if scope.marks else scope.cell_start, r"\left.", "sides_added")

    def _read_end(self, token: re.Match[str]) -> None:
        name = token["end"]
        self._ends_ahead[name] -= 1
        if not self._open[name]:
            self._remove(token, "environments_removed")
            return
        while self._scopes[-1].name != name:
            self._end_environment(token.start())
        self._close_marks(token.start())
        self._open[self._scopes.pop().name] -= 1

    def _read_separator(self, token: re.Match[str]) -> None:
        scope = self._scopes[-1]
        if not scope.marks:
            scope.cell_start = token.end()
        elif scope.marks[-1].kind == "{":
            scope.marks[-1].cell_start = token.end()
        for mark in reversed(scope.marks):
            if mark.kind == "{" or mark.cell_end is not None:
                break
            mark.cell_end = token.start()

    def _push(self, mark: _Mark) -> None:
        self._scopes[-1].marks.append(mark)
        self._scopes[-1].numbers[mark.kind] += 1
        self._open[mark.kind] += 1

    def _pop(self) -> _Mark:
        mark = self._scopes[-1].marks.pop()
        self._scopes[-1].numbers[mark.kind] -= 1
        self._open[mark.kind] -= 1
        return mark

    def _pair(self, kind: str, position: int) -> _Mark | None:
        """Close what was opened after the last mark of a kind, and that mark; None if there is none."""
        while self._open[kind] and not self._scopes[-1].numbers[kind]:
            if self._ends_ahead[self._scopes[-1].name]:
                return None
            self._end_environment(position)
        if not self._open[kind]:
            return None
        while (mark := self._pop()).kind != kind:
            self._close_mark(mark, position)
        return mark

    def _end_environment(self, position: int) -> None:
        self._close_marks(position)
        name = self._scopes.pop().name
        self._open[name] -= 1
        self._insert(position, rf"\end{{{name}}}", "environments_added")

    def _close_marks(self, position: int) -> None:
        while self._scopes[-1].marks:
            self._close_mark(self._pop(), position)

    def _close_mark(self, mark: _Mark, position: int) -> None:
        at = position if mark.cell_end is None else mark.cell_end
        self._insert(at, mark.closer, "braces_added" if mark.kind == "{" else "sides_added")

    def _insert(self, position: int, addition: str, kind: str) -> None:
        self.edits.append(_Edit(position, position, addition))
        self.counts[kind] += 1

    def _remove(self, token: re.Match[str], kind: str) -> None:
        """Remove a stray closer; a space takes its place where its neighbours would make something new.

        That is a command, or, at a line's start, an empty line or a heading: there the line joins the last one.
        """
        after = self._text[token.end() : token.end() + 1]
        follows_word = self._word_end == token.start()
        joins = (follows_word or token.lastgroup == "end") and (after.isalpha() or after in ("{", "}", "*"))
        if follows_word and not joins:
            self._word_end = token.end()
        line_end = self._line_end_before(token.start())
        replacement = " " if joins or line_end < token.start() else ""
        self.edits.append(_Edit(line_end, token.end(), replacement))
        self.counts[kind] += 1

    def _line_end_before(self, position: int) -> int:
        """Return where the last line ends if only space stands between, else the position."""
        start = position
        while start > self._start and self._text[start - 1] in " \t\r":
            start -= 1
        return start - 1 if start > self._start and self._text[start - 1] == "\n" else position
