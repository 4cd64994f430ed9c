r"""The block model of Nougat's Markdown: a text as typed spans that cover it without a gap.

The parser takes any string and never fails. It runs in linear time: one pass finds what must not be
cut (code, tables, mathematics, markers), a second one walks from block to block. What is opened and
never closed, such as a stray ``\[`` or ``\begin{table}``, is ordinary text.
"""

import dataclasses
import enum
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from pagemill.text.mmd.fences import code_spans


class BlockKind(enum.StrEnum):
    """What a block is to a reader."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST = "list"
    DISPLAY_MATH = "display_math"
    TABLE = "table"
    FIGURE_CAPTION = "figure_caption"
    CODE = "code"
    FOOTNOTE = "footnote"
    REFERENCES = "references"
    MISSING_PAGE = "missing_page"


WHOLE = frozenset({BlockKind.DISPLAY_MATH, BlockKind.TABLE, BlockKind.CODE})  # neither changed nor cut lightly
ITEMIZED = frozenset({BlockKind.LIST, BlockKind.REFERENCES})


class Span(NamedTuple):
    """A half-open range of characters."""

    start: int
    end: int


class Block(NamedTuple):
    """A typed span of a text; it includes the white space that follows it.

    The first block also includes the white space at the text's beginning, so that consecutive
    blocks cover the text. `level` is the number of hash signs of a heading, else 0.
    """

    kind: BlockKind
    start: int
    end: int
    level: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """A text's blocks in order, and the formulas that lie within them: inline ones, and any in tables."""

    blocks: list[Block]
    inline_math: list[Span]


TABLE_ENVIRONMENTS = frozenset(
    {"table", "table*", "tabular", "tabular*", "tabularx", "longtable", "longtable*", "sidewaystable", "wraptable"}
)
MATH_ENVIRONMENTS = frozenset(
    name + star
    for name in ("equation", "align", "alignat", "displaymath", "eqnarray", "flalign", "gather", "multline")
    for star in ("", "*")
)

_KINDS = {str(kind): kind for kind in BlockKind}
_INLINE = "inline"  # stands beside the block kinds while spans are being found
_FORMULAS = frozenset({_INLINE, BlockKind.DISPLAY_MATH})

# Every alternative begins with a literal outside of groups, which lets the engine skip plain text at full speed.
_TOKEN = re.compile(
    r"\\(?:\\|(?P<delimiter>[()\[\]])|(?P<edge>begin|end)\{(?P<name>[A-Za-z]{1,20}\*?)\})"
    r"|\n(?:(?P<gap>(?=[ \t\r]*+\n))|(?P<heading>#{1,6}[ \t]))"
    r"|\[(?P<missing>MISSING_PAGE_[A-Z]{1,20}(?::\d{1,9})?\])"
)
_SPACE = re.compile(r"\s*")
_PUNCTUATION = re.compile(r"[ \t]*+[.,;:]++(?=\s|\Z)")

_FIGURE = r"(?:Figure|FIGURE|Fig\.|FIG\.|Plate|Scheme)[ \t]+[A-Z]?[0-9IVXLC]{1,6}[\w.-]{0,8}[ \t]?[:.]"
_TABLE = r"(?:Table|TABLE|Tab\.)[ \t]+[A-Z]?[0-9IVXLC]{1,6}[\w.-]{0,8}[ \t]?[:.]"
_FOOTNOTE = r"(?:Footnote[ \t]+[\w*]{1,4}[ \t]?:|\[\^\w{1,8}\]:)"
_MASK = "(?:EMAIL|PHONE|IP)"  # stands where personal data stood, and is no label of a reference
_LINE_START = re.compile(
    r"[ \t]*+(?:"
    r"(?P<heading>\#{1,6})[ \t]"
    rf"|(?P<footnote>{_FOOTNOTE})"
    rf"|(?P<figure_caption>{_FIGURE})"
    rf"|(?P<table_caption>{_TABLE})"
    rf"|(?P<references>[*+-][ \t]+\[(?!{_MASK}\])[^\[\]\n]{{1,24}}\])"
    r"|(?P<list>(?:[*+•-]|\d{1,3}[.)]|\([a-z0-9]{1,4}\))[ \t])"
    r")"
)
_LINE_END = re.compile(r"\n")
# Where a list ends, and where any other text block ends: a new line that begins something else.
_OTHERS = rf"\#{{1,6}}[ \t]|{_FOOTNOTE}|{_FIGURE}|{_TABLE}"
_LIST_END = re.compile(rf"\n[ \t\r]*+(?:\n|{_OTHERS})")
_TEXT_END = re.compile(rf"\n[ \t\r]*+(?:\n|[*+•-][ \t]|{_OTHERS})")
_ENDS = {"heading": _LINE_END, "list": _LIST_END, "references": _LIST_END}


def parse_blocks(text: str) -> list[Block]:
    """Return the blocks of a text: `"".join(text[b.start:b.end] for b in blocks) == text`, for any text.

    Args:
        text: Nougat's Markdown, or anything else.

    Returns:
        Blocks in order; [] for the empty text. White space alone is one paragraph.
    """
    return parse_layout(text).blocks


def parse_layout(text: str) -> Layout:
    """Return the blocks of a text together with its inline formulas."""
    return parse_part(text)[0]


def parse_part(text: str, begins_line: bool = True) -> tuple[Layout, int]:
    """Return the layout of a text that more may follow, and from where on more could change what is in it.

    Args:
        text: The text, as far as it is known.
        begins_line: Whether its first line is one; else it goes on with a paragraph.

    Returns:
        The layout as though nothing followed, and where the first opener stands that nothing has closed
        yet, the text's length if there is none. The last block may go on anyway.
    """
    atoms, inline, opened = _find_spans(text, begins_line)
    return Layout(list(_Walker(text, atoms, inline).blocks(begins_line)), inline), opened


def math_spans(text: str) -> list[Span]:
    r"""Return where mathematics lies, delimiters included: inline, display and bare environments."""
    atoms, inline, _ = _find_spans(text)
    display = [Span(atom.start, atom.end) for atom in atoms if atom.kind is BlockKind.DISPLAY_MATH]
    return sorted(display + inline)


def heading_title(text: str, block: Block) -> str:
    """Return the words of a heading block, without hash signs and surrounding space."""
    return text[block.start : block.end].strip().lstrip("#").strip()


def _find_spans(text: str, begins_line: bool = True) -> tuple[list[Block], list[Span], int]:
    """Find the blocks that stand as they are (code, tables, display math, markers), inline math, and what is open."""
    code, open_fence = code_spans(text, begins_line)
    scanner = _Scanner()
    position = 0
    for start, end in code:
        scanner.read(text, position, start)
        scanner.forget_open()
        scanner.found.append((start, -end, BlockKind.CODE))
        position = end
    scanner.read(text, position, len(text))
    atoms: list[Block] = []
    inline: list[Span] = []
    atoms_end = inline_end = 0
    for start, negative_end, kind in sorted(scanner.found):
        end = -negative_end
        if start < atoms_end:
            in_table = kind in _FORMULAS and end <= atoms_end and atoms[-1].kind is BlockKind.TABLE
            if in_table and start >= inline_end:
                inline.append(Span(start, end))
                inline_end = end
        elif start < inline_end:
            continue
        elif kind == _INLINE:
            inline.append(Span(start, end))
            inline_end = end
        else:
            atoms.append(Block(_KINDS[kind], start, end))
            atoms_end = end
    return atoms, inline, min(open_fence, scanner.first_open(len(text)))


class _Scanner:
    """Pairs delimiters and environments; `found` holds (start, -end, kind) in order of their ends."""

    def __init__(self) -> None:
        self.found: list[tuple[int, int, str]] = []
        self.inline_start: int | None = None
        self.display_start: int | None = None
        self.environments: list[tuple[str, int]] = []  # open ones, outermost first
        self.open_names: Counter[str] = Counter()

    def read(self, text: str, start: int, end: int) -> None:
        """Scan a range that holds no code."""
        for token in _TOKEN.finditer(text, start, end):
            group = token.lastgroup
            if group == "delimiter":
                self._delimiter(text[token.end() - 1], token.start())
            elif group == "gap":
                self.inline_start = self.display_start = None
            elif group == "name":
                self._environment(token["edge"], token["name"], token.start(), token.end())
            elif group == "heading":
                self.forget_open()
            elif group == "missing":
                self.forget_open()
                self.found.append((token.start(), -token.end(), BlockKind.MISSING_PAGE))

    def first_open(self, end: int) -> int:
        """Return where the first of what is still open begins, or the end."""
        starts = (self.inline_start, self.display_start, self.environments[0][1] if self.environments else None)
        return min((start for start in starts if start is not None), default=end)

    def forget_open(self) -> None:
        """Take whatever is still open for plain text."""
        self._forget_math()
        self.environments.clear()
        self.open_names.clear()

    def _forget_math(self) -> None:
        self.inline_start = self.display_start = None

    def _delimiter(self, delimiter: str, start: int) -> None:
        if delimiter == "(":
            self.inline_start = start
        elif delimiter == ")":
            if self.inline_start is not None:
                self.found.append((self.inline_start, -start - 2, _INLINE))
                self.inline_start = None
        elif delimiter == "[":
            self.inline_start, self.display_start = None, start
        elif self.display_start is not None:
            self.found.append((self.display_start, -start - 2, BlockKind.DISPLAY_MATH))
            self._forget_math()

    def _environment(self, edge: str, name: str, start: int, end: int) -> None:
        kind = BlockKind.TABLE if name in TABLE_ENVIRONMENTS else BlockKind.DISPLAY_MATH
        if kind is BlockKind.DISPLAY_MATH and name not in MATH_ENVIRONMENTS:
            return
        if edge == "begin":
            self.environments.append((name, start))
            self.open_names[name] += 1
            return
        while self.open_names[name]:
            opened, opened_at = self.environments.pop()
            self.open_names[opened] -= 1
            if opened == name:
                self.found.append((opened_at, -end, kind))
                return


class _Walker:
    """Walks a text from block to block; every step goes forward, so the walk is linear."""

    def __init__(self, text: str, atoms: list[Block], inline: list[Span]) -> None:
        self.text = text
        self.atoms = atoms
        self.inline = inline
        self.next_atom = 0
        self.next_inline = 0

    def blocks(self, begins_line: bool) -> Iterator[Block]:
        """Yield the blocks in order."""
        start, position = 0, self._skip_space(0)
        at_line_start = begins_line or "\n" in self.text[:position]
        while position < len(self.text):
            kind, end, level = self._block_at(position, at_line_start)
            position = self._skip_space(end)
            at_line_start = "\n" in self.text[end:position]
            yield Block(kind, start, position, level)
            start = position
        if start < len(self.text):
            yield Block(BlockKind.PARAGRAPH, start, len(self.text))

    def _skip_space(self, position: int) -> int:
        match = _SPACE.match(self.text, position)
        return match.end() if match else position

    def _atom_from(self, position: int) -> Block | None:
        """Return the first atom that starts at or after a position."""
        while self.next_atom < len(self.atoms) and self.atoms[self.next_atom].start < position:
            self.next_atom += 1
        return self.atoms[self.next_atom] if self.next_atom < len(self.atoms) else None

    def _block_at(self, position: int, at_line_start: bool) -> tuple[BlockKind, int, int]:
        atom = self._atom_from(position)
        if atom is not None and atom.start == position:
            return atom.kind, self._end_of_atom(atom), 0
        limit = atom.start if atom is not None else len(self.text)
        opening = _LINE_START.match(self.text, position, limit) if at_line_start else None
        group = (opening and opening.lastgroup) or "paragraph"
        end = self._end_of_text(position, limit, _ENDS.get(group, _TEXT_END))
        if group == "table_caption":
            return self._caption_first(end)
        level = len(opening["heading"]) if opening and group == "heading" else 0
        return _KINDS[group], end, level

    def _end_of_atom(self, atom: Block) -> int:
        if atom.kind is BlockKind.DISPLAY_MATH:
            punctuation = _PUNCTUATION.match(self.text, atom.end)
            return punctuation.end() if punctuation else atom.end
        if atom.kind is BlockKind.TABLE:
            return self._end_with_caption(atom.end)
        return atom.end

    def _end_with_caption(self, table_end: int) -> int:
        """Return where a table ends together with the caption that may follow it."""
        position = self._skip_space(table_end)
        following = self._atom_from(position)
        limit = following.start if following is not None else len(self.text)
        opening = _LINE_START.match(self.text, position, limit)
        if opening is None or opening.lastgroup != "table_caption":
            return table_end
        return self._end_of_text(position, limit, _TEXT_END)

    def _caption_first(self, caption_end: int) -> tuple[BlockKind, int, int]:
        """Join a table's caption with the table right after it; without one it is a paragraph."""
        position = self._skip_space(caption_end)
        atom = self._atom_from(position)
        if atom is None or atom.start != position or atom.kind is not BlockKind.TABLE:
            return BlockKind.PARAGRAPH, caption_end, 0
        return BlockKind.TABLE, atom.end, 0

    def _end_of_text(self, position: int, limit: int, ending: re.Pattern[str]) -> int:
        """Return where a text block ends: at what ends it, outside inline formulas, or at the limit."""
        while match := ending.search(self.text, position, limit):
            formula = self._inline_around(match.start())
            if formula is None:
                return match.start()
            position = formula.end
        return limit

    def _inline_around(self, position: int) -> Span | None:
        while self.next_inline < len(self.inline) and self.inline[self.next_inline].end <= position:
            self.next_inline += 1
        if self.next_inline == len(self.inline) or self.inline[self.next_inline].start > position:
            return None
        return self.inline[self.next_inline]
