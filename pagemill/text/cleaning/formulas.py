r"""Finds what has to balance for itself: the inside of each formula and table, and formulas left open."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from pagemill.text.mmd.blocks import ITEMIZED, MATH_ENVIRONMENTS, TABLE_ENVIRONMENTS, Block, BlockKind, Layout, Span

_EDGE = re.compile(r"\\\\|\\(?P<edge>begin|end)\{(?P<name>[A-Za-z]{1,20}\*?)\}")
_DELIMITER = re.compile(r"\\\\|\\(?P<delimiter>[()\[\]])")
_CLOSER_OF = {"(": r"\)", "[": r"\]"}
_PUNCTUATION = ".,;:"

# What may hold words within mathematics: text, names, indices.
_WORDED = re.compile(r"(?:\\(?:text|math|mbox|operatorname|begin|end|tag|label|ref)[a-z]*\*?|[_^])\{[^{}]*\}")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_PROSE = re.compile(r"[^\W\d_]{3}|(?<!\S)(?!d)[^\W\d_]{2}(?!\S)")

_NO_PARAGRAPHS = frozenset({BlockKind.CODE, BlockKind.DISPLAY_MATH, BlockKind.MISSING_PAGE})


class Piece(NamedTuple):
    """What is balanced for itself: the inside of a formula or table, without the formulas in it."""

    start: int
    end: int
    holes: list[Span]
    closer: str = ""  # what ends the formula, where the text does not


class _Gap(NamedTuple):
    """Text of a block between formulas; `is_last` says that a paragraph's end follows, no formula."""

    start: int
    end: int
    is_last: bool


def find_pieces(text: str, layout: Layout) -> tuple[list[Piece], int]:
    r"""Return the formulas and tables of a text, those to be closed at a paragraph's end included.

    Returns:
        The pieces, and how many ``\(`` and ``\[`` are left open because prose or another formula follows.
    """
    tables = [_table_span(text, block) for block in layout.blocks if block.kind is BlockKind.TABLE]
    unclosed, openers_left = _unclosed_formulas(text, layout, tables)
    return [*_closed_formulas(text, layout), *_tables(text, layout, tables), *unclosed], openers_left


def _closed_formulas(text: str, layout: Layout) -> Iterator[Piece]:
    for start, end in layout.inline_math:
        yield _inside(text, start, end, [])
    for block in layout.blocks:
        if block.kind is BlockKind.DISPLAY_MATH:
            start, end = _bare(text, block)
            body = text[start:end].rstrip(_PUNCTUATION).rstrip()
            yield _inside(text, start, start + len(body), [])


def _tables(text: str, layout: Layout, tables: list[Span]) -> Iterator[Piece]:
    formulas = iter(layout.inline_math)
    formula = next(formulas, None)
    for start, end in tables:
        holes = []
        while formula is not None and formula.start < end:
            if formula.start >= start:
                holes.append(formula)
            formula = next(formulas, None)
        yield _inside(text, start, end, holes)


def _inside(text: str, start: int, end: int, holes: list[Span]) -> Piece:
    r"""Return what stands between ``\(`` and ``\)``, ``\[`` and ``\]``, or the edges of an environment."""
    edge = _EDGE.match(text, start)
    if edge is None:
        return Piece(start + 2, end - 2, holes)
    return Piece(edge.end(), end - len(rf"\end{{{edge['name']}}}"), holes)


def _bare(text: str, block: Block) -> Span:
    """Return a block without the white space around it."""
    body = text[block.start : block.end]
    return Span(block.end - len(body.lstrip()), block.start + len(body.rstrip()))


def _table_span(text: str, block: Block) -> Span:
    """Return where a table is in its block, which may begin or end with the caption.

    Environments are paired as the parser pairs them; the table is the widest one at either edge.
    """
    first, last = _bare(text, block)
    opened: list[tuple[str, int]] = []
    names: Counter[str] = Counter()
    widest = Span(first, first)
    for token in _EDGE.finditer(text, first, last):
        name = token["name"]
        if name not in TABLE_ENVIRONMENTS and name not in MATH_ENVIRONMENTS:
            continue
        if token["edge"] == "begin":
            opened.append((name, token.start()))
            names[name] += 1
            continue
        while names[name]:
            other, start = opened.pop()
            names[other] -= 1
            if other != name:
                continue
            at_edge = start == first or token.end() == last
            if at_edge and name in TABLE_ENVIRONMENTS and token.end() - start > widest.end - widest.start:
                widest = Span(start, token.end())
            break
    return widest


def _unclosed_formulas(text: str, layout: Layout, tables: list[Span]) -> tuple[list[Piece], int]:
    r"""Return the formulas to close at their paragraph's end, and how many openers are left as they are."""
    pieces, left = [], 0
    for block, gap in _gaps(layout, tables):
        tokens = [token for token in _DELIMITER.finditer(text, gap.start, gap.end) if token["delimiter"]]
        for index, token in enumerate(tokens):
            if token["delimiter"] not in _CLOSER_OF:
                continue
            following = tokens[index + 1] if index + 1 < len(tokens) else None
            end = following.start() if following else gap.end
            is_last = following["delimiter"] == "[" if following else gap.is_last
            line_end = text.find("\n", token.end(), end) if block.kind in ITEMIZED else -1
            if line_end >= 0:
                end, is_last = line_end, True
            piece = _close(text, token, end) if is_last else None
            if piece is None:
                left += 1
            else:
                pieces.append(piece)
    return pieces, left


def _gaps(layout: Layout, tables: list[Span]) -> Iterator[tuple[Block, _Gap]]:
    """Yield the text between formulas, block by block; code, markers and what is in tables is none."""
    formulas, tables_left = iter(layout.inline_math), iter(tables)
    formula = next(formulas, None)
    for block in layout.blocks:
        position = block.start
        table = next(tables_left) if block.kind is BlockKind.TABLE else None
        while formula is not None and formula.start < block.end:
            if table and formula.start >= table.start:
                yield block, _Gap(position, table.start, True)
                position, table = table.end, None
            if formula.start >= position:
                yield block, _Gap(position, formula.start, False)
                position = formula.end
            formula = next(formulas, None)
        if table:
            yield block, _Gap(position, table.start, True)
            position = table.end
        if block.kind not in _NO_PARAGRAPHS:
            yield block, _Gap(position, block.end, True)


def _close(text: str, opener: re.Match[str], end: int) -> Piece | None:
    """Return the formula that goes from an opener to the end of its paragraph, or None if that is not one."""
    rest = text[opener.end() : end].rstrip()
    if opener["delimiter"] == "(":
        rest = rest.rstrip(_PUNCTUATION).rstrip()
    if not _looks_like_math(rest) or ends_escaped(rest):
        return None
    return Piece(opener.end(), opener.end() + len(rest), [], _CLOSER_OF[opener["delimiter"]])


def _looks_like_math(text: str) -> bool:
    """Say whether a text has letters or numbers but no words, save where mathematics has them too."""
    bare = _COMMAND.sub(" ", _WORDED.sub(" ", text))
    return any(map(str.isalnum, text)) and not _PROSE.search(bare)


def ends_escaped(text: str) -> bool:
    """Say whether the character after a text would be escaped by a backslash at the text's end."""
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1
