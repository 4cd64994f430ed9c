"""Cuts one window of a text into passages, and says from where the next window has to go on."""

import dataclasses
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from pagemill.text.chunking.packing import Pack, Part, Reason, next_pack, shortened
from pagemill.text.chunking.tokens import TokenCounter
from pagemill.text.chunking.units import Cutter, Unit, bound_groups
from pagemill.text.mmd.blocks import ITEMIZED, WHOLE, Block, BlockKind, Layout, Span, parse_part
from pagemill.text.mmd.sections import Trail, sections
from pagemill.text.mmd.sentences import sentence_starts

_OVERLAPPED = frozenset({BlockKind.PARAGRAPH, BlockKind.LIST, BlockKind.FOOTNOTE, BlockKind.REFERENCES})
_SPACE_CHARACTERS = 1000  # of white space before a block, in which a line's end is looked for


@dataclasses.dataclass(frozen=True, slots=True)
class Passage:
    """A span of a text, and what it is handed on as.

    `text[start:end]` of all passages join to the whole text. `content` is
    `repeated_head + text[overlap_start:end]`, and `token_count` is counted on it.
    """

    start: int
    end: int
    content: str
    token_count: int
    heading_path: tuple[str, ...]  # headings that hold for the whole passage, outermost first
    has_math: bool
    has_table: bool
    overlap_start: int  # `start` without overlap
    repeated_head: str = ""  # of the table that goes on in this passage
    over_maximum: bool = False  # only a formula, which is never cut, or one character of many tokens


@dataclasses.dataclass(frozen=True, slots=True)
class Lengths:
    """What passages are cut to, in tokens."""

    target: int
    maximum: int
    overlap: int


class Sentence(NamedTuple):
    """A sentence that may be repeated in the next passage."""

    text: str
    tokens: int
    has_math: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """What must be known of a text to go on with it at some place."""

    trail: Trail = ()
    begins_line: bool = True
    lent: tuple[Sentence, ...] = ()  # that end there, whole ones


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """A part of a text, as long as was wanted unless the text ends with it."""

    text: str
    offset: int  # in the text, in characters
    ends: bool  # whether the text ends with it
    largest: bool  # whether it cannot be made longer


@dataclasses.dataclass(frozen=True, slots=True)
class Cutting:
    """A window, what it was cut by, and the passages that nothing after it could change."""

    window: Window  # from whose beginning all but the passages is counted
    layout: Layout
    cutter: Cutter
    parts: list[Part]
    passages: list[Passage]
    reasons: list[Reason]  # of the passages' ends
    next_place: Place


class _Draft:
    """Parts that are to become a passage; `end` is the index of the part after it."""

    __slots__ = ("end", "opens", "path", "reason", "repeat", "span", "tokens")

    def __init__(self, pack: Pack, parts: Sequence[Part], span: Span, repeat: str, tokens: int) -> None:
        first = parts[pack.first]
        self.end = pack.end
        self.path = pack.path
        self.reason = pack.reason
        self.span = span
        self.opens = first.opens and span.start == first.unit.start
        self.repeat = repeat
        self.tokens = tokens


def cut_window(window: Window, place: Place, counter: TokenCounter, lengths: Lengths) -> Cutting | None:
    """Return the passages of a window but the last ones; None if it has to be longer to tell any."""
    return _WindowCutter(window, place, counter, lengths).cutting()


class _WindowCutter:
    def __init__(self, window: Window, place: Place, counter: TokenCounter, lengths: Lengths) -> None:
        self.window = window
        self.text = window.text
        self.place = place
        self.lengths = lengths
        self.layout, self.opened = parse_part(window.text, place.begins_line)
        self.blocks = self.layout.blocks
        self.block_starts = [block.start for block in self.blocks]
        self.tables = [Span(block.start, block.end) for block in self.blocks if block.kind is BlockKind.TABLE]
        found = sections(window.text, self.blocks, place.trail)
        self.sections = [(section, list(bound_groups(section))) for section in found]
        self.cutter = Cutter(window.text, self.layout, counter, lengths.maximum)
        self.parts: list[Part] = []

    def cutting(self) -> Cutting | None:
        """Cut the window."""
        settled = self._settled()
        if settled is None:
            return None
        self.parts = list(self._all_parts(settled))
        drafts = self._drafts()
        if not drafts:
            return None
        passages = list(self._passages(drafts))
        reasons = [draft.reason for draft in drafts]
        place = self._place_after(drafts[-1])
        return Cutting(self.window, self.layout, self.cutter, self.parts, passages, reasons, place)

    def _settled(self) -> int | None:
        """Return up to where nothing that follows the window could change anything; None if that is not half of it."""
        length = len(self.text)
        half = length // 2
        if self.window.ends:
            return length
        if self.opened < half and not self.window.largest:
            return None
        opened = max(self.opened, half)  # in the largest window, what was opened before is plain text
        group_starts = [group[0].start for _, groups in self.sections for group in groups]
        for starts in (group_starts, self.block_starts):  # the last group or block may go on
            settled = starts[min(bisect_right(starts, opened), len(starts) - 1) - 1] if len(starts) > 1 else 0
            if settled >= half:
                return settled
        if self._block_at(half).kind in WHOLE and not self.window.largest:
            return None
        return min(opened, length - half // 2)

    def _all_parts(self, settled: int) -> Iterator[Part]:
        for section, groups in self.sections:
            opens = bool(section.headings)
            for unit in self.cutter.units([group for group in groups if group[0].start < settled]):
                if unit.end > settled:
                    return
                more, is_exact = self.cutter.joint(unit.start, unit.end)
                yield Part(unit, unit.tokens + more, is_exact, section, opens)
                opens = False

    def _drafts(self) -> list[_Draft]:
        """Return the passages to be up to the last place from where a new window may go on."""
        drafts: list[_Draft] = []
        kept = first = 0
        while first < len(self.parts):
            pack = self._next_pack(first, must=self.window.largest and not drafts)
            if pack is None:
                break
            drafts += self._sized(pack)
            first = drafts[-1].end
            if self._is_safe(first):
                kept = len(drafts)
        if self.window.ends:
            return drafts
        if kept and drafts[kept - 1].span.end >= len(self.text) // 4:
            return drafts[:kept]
        return drafts if self.window.largest else []

    def _next_pack(self, first: int, must: bool) -> Pack | None:
        target, maximum = self.lengths.target, self.lengths.maximum
        pack = next_pack(self.parts, first, target, maximum, self.window.ends)
        return next_pack(self.parts, first, target, maximum, complete=True) if must and pack is None else pack

    def _sized(self, pack: Pack) -> Iterator[_Draft]:
        """Count what a passage really has, and take from it what is too much after all."""
        step = 1
        while True:
            first = self.parts[pack.first].unit
            span = Span(first.start, self.parts[pack.end - 1].unit.end)
            tokens = self._tokens(pack, span)
            if tokens <= self.lengths.maximum:
                yield _Draft(pack, self.parts, span, first.repeat, tokens)
                return
            if pack.end - pack.first == 1:
                break
            pack = shortened(pack, self.parts, step)
            step *= 2
        finest = list(self._finest(first, tokens))
        reason = pack.reason
        for unit, count in finest:
            last = unit.end == span.end
            pack = pack._replace(reason=reason if last else Reason.PARTED)
            yield _Draft(pack, self.parts, Span(unit.start, unit.end), unit.repeat, count)

    def _tokens(self, pack: Pack, span: Span) -> int:
        """Return the tokens of a passage: the sum of its parts where that is certain, else counted anew."""
        first, *others = self.parts[pack.first : pack.end]
        if first.unit.repeat or not self.cutter.adds_up or not all(part.is_exact for part in others):
            return self._count(span, first.unit.repeat)
        return first.unit.tokens + sum(part.weight for part in others)

    def _finest(self, unit: Unit, tokens: int) -> Iterator[tuple[Unit, int]]:
        """Part a unit that is too long by itself, as far as it can be parted at all."""
        if tokens <= self.lengths.maximum:
            yield unit, tokens
        elif unit.repeat:
            yield from self._finest(Unit(unit.start, unit.end, unit.tokens), unit.tokens)
        else:
            finer = list(self.cutter.words(unit.start, unit.end, max(1, self.lengths.maximum // 2)))
            if len(finer) == 1:
                yield unit, tokens
            else:
                for each in finer:
                    yield from self._finest(each, self._count(Span(each.start, each.end)))

    def _count(self, span: Span, before: str = "") -> int:
        text = self.text[span.start : span.end]
        return (self.cutter.counter.count([before + text]) if before else self.cutter.count([text]))[0]

    def _is_safe(self, index: int) -> bool:
        """Say whether a new window that begins with a part is cut as this one would be."""
        if index == len(self.parts):
            return False
        part = self.parts[index]
        block = self._block_at(part.unit.start)
        if block.start == part.unit.start:
            return part.opens or block.kind is not BlockKind.HEADING
        return block.kind not in WHOLE and block.end - block.start > len(self.text) // 2

    def _block_at(self, position: int) -> Block:
        return self.blocks[bisect_right(self.block_starts, position) - 1]

    def _place_after(self, draft: _Draft) -> Place:
        """Return what the next window must know; nothing, if there is none."""
        end = draft.span.end
        if end == len(self.text):
            return Place()
        following = self.parts[draft.end] if draft.end < len(self.parts) else None
        section, opens = (following or self.parts[-1]).section, following is not None and following.opens
        block = self._block_at(end)
        if block.start < end:
            begins_line = block.kind in ITEMIZED and self.text[end - 1] == "\n"
        else:
            before = self.text[max(0, end - _SPACE_CHARACTERS) : end]
            begins_line = "\n" in before[len(before.rstrip()) :]
        return Place(section.above if opens else section.trail, begins_line, tuple(self._sentences_at_end(draft)))

    def _passages(self, drafts: Sequence[_Draft]) -> Iterator[Passage]:
        lent: Sequence[Sentence] = self.place.lent
        for draft in drafts:
            yield self._passage(draft, lent)
            lent = self._sentences_at_end(draft)

    def _sentences_at_end(self, draft: _Draft) -> list[Sentence]:
        """Return the whole sentences that a passage may lend to the next one."""
        if not self.lengths.overlap:
            return []
        block = self._block_at(draft.span.end - 1)
        if block.kind not in _OVERLAPPED:
            return []
        begin = max(block.start, draft.span.start)
        starts = [*sentence_starts(self.text, begin, draft.span.end, self.cutter.formulas), draft.span.end]
        spans = list(pairwise(starts))
        if begin > block.start:
            del spans[0]  # what begins inside a block may begin inside a sentence
        texts = [self.text[start:end] for start, end in spans]
        has_math = [_touches(start, end, self.cutter.formulas) for start, end in spans]
        return list(map(Sentence, texts, self.cutter.count(texts), has_math))

    def _overlap(self, draft: _Draft, lent: Sequence[Sentence]) -> tuple[Sequence[Sentence], int]:
        """Return the sentences that a passage repeats of the one before, and the tokens of both together."""
        room = min(self.lengths.overlap, self.lengths.maximum - draft.tokens)
        first = len(lent)
        if not draft.opens:
            while first and lent[first - 1].tokens <= room:
                first -= 1
                room -= lent[first].tokens
        if first == len(lent):
            return (), draft.tokens
        overlap = "".join(sentence.text for sentence in lent[first:])
        tokens = self._count(draft.span, draft.repeat + overlap)
        return (lent[first:], tokens) if tokens <= self.lengths.maximum else ((), draft.tokens)

    def _passage(self, draft: _Draft, lent: Sequence[Sentence]) -> Passage:
        start, end = draft.span
        repeated, tokens = self._overlap(draft, lent)
        overlap = "".join(sentence.text for sentence in repeated)
        return Passage(
            start=self.window.offset + start,
            end=self.window.offset + end,
            content=draft.repeat + overlap + self.text[start:end],
            token_count=tokens,
            heading_path=draft.path,
            has_math=_touches(start, end, self.cutter.formulas) or any(sentence.has_math for sentence in repeated),
            has_table=_touches(start, end, self.tables),
            overlap_start=self.window.offset + start - len(overlap),
            repeated_head=draft.repeat,
            over_maximum=tokens > self.lengths.maximum,
        )


def _touches(start: int, end: int, others: Sequence[Span]) -> bool:
    """Say whether a span has a character in common with any of others, in order and disjoint."""
    index = bisect_left(others, (end,)) - 1
    return index >= 0 and others[index].end > start
