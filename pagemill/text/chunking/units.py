r"""Units: the smallest spans that chunks are packed from, none of which is cut any more.

Blocks that belong together (headings with what they head, an equation with what introduces it) are one
unit when they fit a chunk. When they do not, they are taken apart where it hurts least: between sentences,
list items, table rows or lines of code, then between words, then between characters. Formulas are never cut.
"""

import bisect
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from pagemill.text.chunking.tokens import TokenCounter
from pagemill.text.mmd.blocks import ITEMIZED, TABLE_ENVIRONMENTS, WHOLE, Block, BlockKind, Layout, Span
from pagemill.text.mmd.sections import Section
from pagemill.text.mmd.sentences import inside, sentence_starts

WINDOW_CHARACTERS = 1 << 16  # how much of an endless sentence is tokenized at once
_SPACE_CHARACTERS = 8
_WORD_CHARACTERS = 64
_WORD = re.compile(r"[^\s]++(?![\x1c-\x1f])")  # what ends at white space by everybody's definition
LATE_SHARE = 0.7  # of what fits; from there on a pause is preferred to a word's end

_INTRODUCING = frozenset({BlockKind.PARAGRAPH, BlockKind.LIST, BlockKind.FOOTNOTE, BlockKind.DISPLAY_MATH})

_TABULAR = TABLE_ENVIRONMENTS - {"table", "table*", "sidewaystable", "wraptable"}  # those that hold rows themselves

_ROW_TOKEN = re.compile(
    r"(?P<row>\\\\(?:\*|\[[^\[\]\n]{0,20}\])?(?:\s*+\\(?:hline|toprule|midrule|bottomrule|(?:cline|cmidrule)\{[\d-]{1,9}\}))*+\s*+)"
    r"|\\(?P<edge>begin|end)\{(?P<name>[A-Za-z]{1,20}\*?)\}"
)
_LINE = re.compile(r"\n")
_ITEM = re.compile(r"\n(?=[ \t]*+(?:[*+•-]|\d{1,3}[.)]|\([a-z0-9]{1,4}\))[ \t])")
# Where a sentence too long is best cut, from best to worst.
_PAUSES = (re.compile(r"[.!?][\"'”’)]?\s+"), re.compile(r"[;:,—–][\"'”’)]?\s+"))  # noqa: RUF001


class Unit(NamedTuple):
    """A span that is not cut any more, and what it weighs by itself."""

    start: int
    end: int
    tokens: int
    repeat: str = ""  # a table's head, put before the unit when a chunk starts with it
    repeat_tokens: int = 0


class _Piece(NamedTuple):
    """A part of something that does not fit as a whole."""

    start: int
    end: int
    kind: BlockKind
    holds_next: bool = False  # must not be parted from the piece after it
    repeat: str = ""


class Cutter:
    """Makes the units of a text, each of at most `max_tokens` unless a formula alone is longer."""

    def __init__(self, text: str, layout: Layout, counter: TokenCounter, max_tokens: int) -> None:
        self.text = text
        self.counter = counter
        self.max_tokens = max_tokens
        display = [Span(block.start, block.end) for block in layout.blocks if block.kind is BlockKind.DISPLAY_MATH]
        self.formulas = sorted(display + layout.inline_math)
        self._head_tokens = {"": 0}  # of the table at hand
        self._joints: dict[tuple[str, str], int] = {}  # by white space and what follows it
        self._count_parts = counter.within(text)
        self.adds_up = self._count_parts is not None

    def units(self, groups: Sequence[list[Block]]) -> Iterator[Unit]:
        """Yield the units of groups of blocks in order."""
        counts = iter(self._count(block for group in groups for block in group))
        for group in groups:
            own_counts = [next(counts) for _ in group]
            if len(group) == 1 and own_counts[0] <= self.max_tokens:
                yield Unit(group[0].start, group[0].end, own_counts[0])
            else:
                yield from self._units_of_group(group, own_counts)

    def count(self, texts: Iterable[str]) -> list[int]:
        """Return the number of tokens of parts of the text, or of parts that are put together."""
        return self._count_parts(list(texts)) if self._count_parts else self.counter.count(list(texts))

    def joint(self, start: int, end: int) -> tuple[int, bool]:
        """Return how many tokens more a text and the part after it have together, and whether that is certain.

        White space is taken for other tokens when something follows it, so the white space before the part is counted
        with the part's first word behind it, and without. After a line's end any letter does as well.
        """
        before = self.text[max(0, start - _SPACE_CHARACTERS) : start]
        space = before[len(before.rstrip()) :]
        word, is_certain = "a", False
        if self.adds_up and len(space) < _SPACE_CHARACTERS:
            if space.endswith("\n"):
                is_certain = not self.text[start].isspace()
            elif space.endswith(" "):
                limit = min(end, start + _WORD_CHARACTERS)
                run = _WORD.match(self.text, start, limit)
                is_certain = run is not None and (run.end() < limit or limit == end)
                word = run[0] if run else word
        if (space, word) not in self._joints:
            together, alone, apart = self.count([space + word, word, space])
            self._joints[space, word] = together - alone - apart
        return self._joints[space, word], is_certain

    def words(self, start: int, end: int, limit_tokens: int) -> Iterator[Unit]:
        """Cut a range between words, or characters where there are none, but not inside formulas.

        What a cut leaves may count more tokens than it had in its surroundings, so every part is
        counted again and parts that are too long are cut once more, finer.
        """
        spans = list(self._word_spans(start, end, limit_tokens))
        for span, tokens in zip(spans, self._count(spans), strict=True):
            if tokens > self.max_tokens and limit_tokens > 1 and not self._is_formula(span):
                yield from self.words(span.start, span.end, limit_tokens // 2)
            else:
                yield Unit(span.start, span.end, tokens)

    def _count(self, spans: Iterable[Span | Block | _Piece]) -> list[int]:
        return self.count([self.text[span.start : span.end] for span in spans])

    def _sum(self, parts: Sequence[Block | _Piece], counts: Sequence[int]) -> int:
        """Return the tokens of adjacent parts, counted as one text where the sum leaves a doubt."""
        total = counts[0]
        certain = True
        for part, count in zip(parts[1:], counts[1:], strict=True):
            more, is_certain = self.joint(part.start, part.end)
            total += count + more
            certain &= is_certain
        if certain or not (self.adds_up or self.max_tokens < 2 * total < 4 * self.max_tokens + 32):
            return total
        return self._count([Span(parts[0].start, parts[-1].end)])[0]

    def _repeat_tokens(self, head: str) -> int:
        if head not in self._head_tokens:
            self._head_tokens = {"": 0, head: self.count([head])[0]}
        return self._head_tokens[head]

    def _units_of_group(self, blocks: list[Block], counts: list[int]) -> Iterator[Unit]:
        tokens = self._sum(blocks, counts)
        if tokens <= self.max_tokens:
            yield Unit(blocks[0].start, blocks[-1].end, tokens)
            return
        kinds = [block.kind for block in blocks]
        first = kinds.index(BlockKind.DISPLAY_MATH) + 1 if BlockKind.DISPLAY_MATH in kinds else len(blocks)
        if first < len(blocks):  # later equations of a chain stand alone
            yield from self._units_of_group(blocks[:first], counts[:first])
            yield from (
                Unit(block.start, block.end, count) for block, count in zip(blocks[first:], counts[first:], strict=True)
            )
            return
        pieces = list(self._pieces(blocks, counts))
        weights = iter(self._count(pieces))
        for run in _runs(pieces):
            yield from self._units_of_run(run, [next(weights) for _ in run])

    def _units_of_run(self, run: list[_Piece], counts: list[int]) -> Iterator[Unit]:
        """Keep pieces that hold on to one another together, if that is possible at all."""
        last = run[-1]
        tokens = self._sum(run, counts)
        if tokens <= self.max_tokens:
            repeat_tokens = self._repeat_tokens(run[0].repeat)
            repeat = (run[0].repeat, repeat_tokens) if tokens + repeat_tokens <= self.max_tokens else ("", 0)
            yield Unit(run[0].start, last.end, tokens, *repeat)
        elif len(run) > 1 and (last.kind in WHOLE or run[0].kind in WHOLE):
            yield from self._units_of_run(run[:-1], counts[:-1])
            yield from self._units_of_run(run[-1:], counts[-1:])
        elif last.kind is BlockKind.DISPLAY_MATH:
            yield Unit(last.start, last.end, tokens)
        else:
            yield from self.words(run[0].start, last.end, self.max_tokens)

    def _pieces(self, blocks: list[Block], counts: list[int]) -> Iterator[_Piece]:
        for block, count, following in zip(blocks, counts, [*blocks[1:], None], strict=True):
            if block.kind is BlockKind.HEADING:
                yield _Piece(block.start, block.end, block.kind, holds_next=following is not None)
            elif block.kind is BlockKind.TABLE and count > self.max_tokens:
                yield from self._rows(block)
            elif block.kind in WHOLE and (block.kind is not BlockKind.CODE or count <= self.max_tokens):
                yield _Piece(block.start, block.end, block.kind)
            else:
                cuts = [*self._cuts(block), block.end]
                for start, end in pairwise(cuts):
                    yield _Piece(start, end, block.kind, holds_next=end == block.end and following is not None)

    def _cuts(self, block: Block) -> Iterator[int]:
        """Yield where the lines of code, the items of a list or the sentences of a text begin."""
        if block.kind is BlockKind.CODE or block.kind in ITEMIZED:
            pattern = _LINE if block.kind is BlockKind.CODE else _ITEM
            ends = (match.end() for match in pattern.finditer(self.text, block.start, block.end))
            yield block.start
            yield from (end for end in ends if end < block.end and not inside(self.formulas, end))
        else:
            yield from sentence_starts(self.text, block.start, block.end, self.formulas)

    def _rows(self, block: Block) -> Iterator[_Piece]:
        """Yield a table's rows; its head holds the first row, its end and caption hold the last one."""
        rows = list(_row_ends(self.text, block, self.formulas))
        cuts = [block.start, *(end for end, _ in rows), block.end]
        heads = ["", *(head for _, head in rows)]
        last = len(heads) - 1
        for index, (start, end) in enumerate(pairwise(cuts)):
            if start < end:
                holds_next = (index == 0 and last > 0) or index == last - 1
                yield _Piece(start, end, block.kind, holds_next, heads[index] if index < last else "")

    def _is_formula(self, span: Span) -> bool:
        index = bisect.bisect_left(self.formulas, (span.start, span.start))
        return index < len(self.formulas) and self.formulas[index] == span

    def _word_spans(self, start: int, end: int, limit_tokens: int) -> Iterator[Span]:
        while start < end:
            window_end = min(end, start + WINDOW_CHARACTERS)
            token_starts = [start + offset for offset in self.counter.token_starts(self.text[start:window_end])]
            index = 0
            while len(token_starts) - index > limit_tokens and start < window_end:
                cut = min(end, self._best_cut(start, token_starts[index + limit_tokens]))
                yield Span(start, cut)
                start = cut
                index = bisect.bisect_left(token_starts, start, index)
            if start < end and (window_end == end or index == 0):
                cut = end if window_end == end else min(end, self._best_cut(start, window_end))
                yield Span(start, cut)
                start = cut

    def _best_cut(self, start: int, limit: int) -> int:
        """Return the last good place for a cut after `start`, at most `limit` unless a formula is longer."""
        limit = max(limit, start + 1)
        formula = inside(self.formulas, limit)
        if formula is not None:
            if formula.start <= start:
                return formula.end
            limit = formula.start
        for cut in self._good_cuts(start, limit):
            if cut > start and not inside(self.formulas, cut):
                return cut
        return limit

    def _good_cuts(self, start: int, limit: int) -> Iterator[int]:
        late = start + int((limit - start) * LATE_SHARE)
        for pause in _PAUSES:
            yield from reversed([match.end() for match in pause.finditer(self.text, late, limit)])
        yield max(self.text.rfind(space, start, limit) + 1 for space in " \n")


def bound_groups(section: Section) -> Iterator[list[Block]]:
    """Yield blocks that belong together: headings with the next block, equations with what comes before."""
    group = list(section.headings)
    has_content = False
    for block in section.content:
        introduced = block.kind is BlockKind.DISPLAY_MATH and has_content and group[-1].kind in _INTRODUCING
        if has_content and not introduced:
            yield group
            group = []
        group.append(block)
        has_content = True
    yield group


def _runs(pieces: Iterable[_Piece]) -> Iterator[list[_Piece]]:
    """Yield pieces in runs of those that hold on to the next."""
    run: list[_Piece] = []
    for piece in pieces:
        run.append(piece)
        if not piece.holds_next:
            yield run
            run = []
    if run:
        yield run


def _row_ends(text: str, table: Block, formulas: Sequence[Span]) -> Iterator[tuple[int, str]]:
    """Yield where each row of a table ends, and the head of the tabular that the row belongs to."""
    depth, row_depth = 0, 0
    tabular_start, head = table.start, ""
    for token in _ROW_TOKEN.finditer(text, table.start, table.end):
        match token.lastgroup:
            case "name" if token["edge"] == "begin":
                depth += 1
                if token["name"] in _TABULAR and row_depth in (0, depth):
                    row_depth, tabular_start, head = depth, token.start(), ""
            case "name":
                depth -= 1
            case "row" if depth == row_depth > 0 and not inside(formulas, token.start()):
                head = head or text[tabular_start : token.end()]
                yield token.end(), head
