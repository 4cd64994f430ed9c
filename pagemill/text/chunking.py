"""Chunking: a text cut where a reader would, into passages that a language model can take in."""

import dataclasses
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise, takewhile

from pagemill.errors import UserError
from pagemill.text.blocks import BlockKind, Span, parse_layout
from pagemill.text.sections import Section, sections
from pagemill.text.sentences import sentence_starts
from pagemill.text.tokens import AnyTokenizer, TokenCounter, load_tokenizer
from pagemill.text.units import Cutter, Unit

SCRAP_SHARE = 0.25  # of the target; a section's last passage below it joins the one before, if they fit
BATCH_PASSAGES = 256  # counted at once

_OVERLAPPED = frozenset({BlockKind.PARAGRAPH, BlockKind.LIST, BlockKind.FOOTNOTE, BlockKind.REFERENCES})


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
class _Draft:
    """Units that are to become a passage."""

    path: tuple[str, ...]
    units: list[Unit]
    opens: bool  # whether it begins a section
    closes: bool  # whether it ends one

    @property
    def span(self) -> Span:
        return Span(self.units[0].start, self.units[-1].end)


def chunk(
    text: str, tokenizer: AnyTokenizer, *, target_tokens: int = 512, max_tokens: int = 1024, overlap_tokens: int = 0
) -> Iterator[Passage]:
    r"""Cut Nougat's Markdown into passages, in linear time.

    A heading starts a passage and is carried as its path; it never ends one, unless the text ends with it
    or what follows fills a passage alone. Formulas are never cut, nor are tables and lines of code that fit;
    a longer table is cut between rows, with its head repeated. An equation stays with the sentence before it,
    a caption with its table. Blocks that fit are not cut; longer paragraphs are cut between sentences, then
    between words, then between characters. Small sections under one heading share a passage.

    Args:
        text: Any text; headings, tables and formulas as Nougat writes them.
        tokenizer: A `TokenCounter`, a `tokenizers.Tokenizer`, or the path or URI of a tokenizer.json.
        target_tokens: What passages come as close to as good cuts allow.
        max_tokens: What no passage exceeds, except one that is a single formula.
        overlap_tokens: At most so many tokens of whole sentences from the passage before are repeated
            at the start of the next one in the same section.

    Returns:
        Passages in order; none for the empty text.

    Raises:
        UserError: The numbers contradict one another, or there is no such tokenizer.
    """
    check_lengths(target_tokens, max_tokens, overlap_tokens)
    chunker = _Chunker(text, load_tokenizer(tokenizer), target_tokens, max_tokens, overlap_tokens)
    return chunker.passages()


def check_lengths(target_tokens: int, max_tokens: int, overlap_tokens: int) -> None:
    """Raise UserError when the lengths that a text is to be cut to contradict one another."""
    if not 0 < target_tokens <= max_tokens:
        reason = f"is not between 1 and max_tokens ({max_tokens})"
        raise UserError(f"target_tokens {target_tokens}", reason, "lower it or raise max_tokens")
    if not 0 <= overlap_tokens < target_tokens:
        reason = f"is not between 0 and target_tokens ({target_tokens})"
        raise UserError(f"overlap_tokens {overlap_tokens}", reason, "lower it, a tenth of the target is usual")


class _Chunker:
    def __init__(self, text: str, counter: TokenCounter, target: int, maximum: int, overlap: int) -> None:
        self.text = text
        self.counter = counter
        self.target = target
        self.maximum = maximum
        self.overlap = overlap
        self.layout = parse_layout(text)
        self.cutter = Cutter(text, self.layout, counter, maximum)
        self.block_starts = [block.start for block in self.layout.blocks]
        self.tables = [Span(block.start, block.end) for block in self.layout.blocks if block.kind is BlockKind.TABLE]

    def passages(self) -> Iterator[Passage]:
        """Yield the passages in order."""
        packed = (self._pack(section) for section in sections(self.text, self.layout.blocks))
        drafts = self._join_siblings(packed)
        previous: _Draft | None = None
        while batch := list(islice(drafts, BATCH_PASSAGES)):
            sized = list(self._within_maximum(batch))
            befores = [previous, *(draft for draft, _ in sized)]
            yield from self._finished(sized, befores)
            previous = befores[-1]

    def _pack(self, section: Section) -> list[_Draft]:
        """Fill passages with units, each as near to the target as the next unit lets it come."""
        packs: list[list[Unit]] = []
        size = 0
        for unit in self.cutter.units(section):
            grown = size + self._weight(unit)
            if packs and grown <= self.maximum and grown - self.target < max(1, self.target - size):
                packs[-1].append(unit)
                size = grown
            else:
                packs.append([unit])
                size = self._estimate([unit])
        self._join_scrap(packs)
        units = [unit for pack in packs for unit in pack]
        return _drafts(packs, _Draft(section.path, units, opens=True, closes=True))

    def _join_scrap(self, packs: list[list[Unit]]) -> None:
        if len(packs) < 2 or self._estimate(packs[-1]) >= SCRAP_SHARE * self.target:
            return
        joined = packs[-2] + packs[-1]
        if self._estimate(joined) <= self.maximum:
            packs[-2:] = [joined]

    def _join_siblings(self, packed: Iterable[list[_Draft]]) -> Iterator[_Draft]:
        """Join small sections, each a single draft, while one heading holds for all of them."""
        waiting: _Draft | None = None
        for drafts in packed:
            joined = self._joined(waiting, drafts[0]) if waiting and drafts[0].closes else None
            if waiting and joined is None:
                yield waiting
            *ready, waiting = [joined] if joined else drafts
            yield from ready
        if waiting:
            yield waiting

    def _joined(self, first: _Draft, second: _Draft) -> _Draft | None:
        path = _common(first.path, second.path)
        units = first.units + second.units
        if not path or not first.opens or self._estimate(units) > self.target:
            return None
        return _Draft(path, units, opens=True, closes=True)

    def _estimate(self, units: Sequence[Unit]) -> int:
        """Return what units have together, or a little more."""
        return units[0].repeat_tokens + sum(map(self._weight, units))

    def _weight(self, unit: Unit) -> int:
        """Return a unit's tokens, and one more after a line end: byte-level tokenizers part it from others there."""
        return unit.tokens + (unit.start > 0 and self.text[unit.start - 1] == "\n")

    def _within_maximum(self, drafts: Sequence[_Draft]) -> Iterator[tuple[_Draft, int]]:
        """Count what the drafts really have, and part those that have too much after all."""
        counts = self.counter.count([self._content(draft, draft.span.start) for draft in drafts])
        for draft, tokens in zip(drafts, counts, strict=True):
            parts = self._parts(draft) if tokens > self.maximum else []
            if parts:
                yield from self._within_maximum(parts)
            else:
                yield draft, tokens

    def _parts(self, draft: _Draft) -> list[_Draft]:
        """Part a draft in two, or its only unit in finer ones; [] when nothing is left to cut."""
        units = draft.units
        middle = len(units) // 2
        if middle:
            packs = [units[:middle], units[middle:]]
        elif units[0].repeat:
            packs = [[Unit(*draft.span, units[0].tokens)]]
        else:
            packs = [[unit] for unit in self.cutter.words(*draft.span, max(1, self.maximum // 2))]
            packs = packs if len(packs) > 1 else []
        return _drafts(packs, draft)

    def _content(self, draft: _Draft, start: int) -> str:
        return draft.units[0].repeat + self.text[start : draft.span.end]

    def _finished(self, sized: Sequence[tuple[_Draft, int]], befores: Sequence[_Draft | None]) -> Iterator[Passage]:
        """Turn drafts and their token counts into passages, with overlap where it fits."""
        starts = [
            self._overlap_start(before, draft, tokens) for before, (draft, tokens) in zip(befores, sized, strict=False)
        ]
        lent = [index for index, (draft, _) in enumerate(sized) if starts[index] < draft.span.start]
        counts = self.counter.count([self._content(sized[index][0], starts[index]) for index in lent])
        with_overlap = dict(zip(lent, counts, strict=True))
        for index, (draft, tokens) in enumerate(sized):
            total = with_overlap.get(index, tokens)
            if total <= self.maximum:
                yield self._passage(draft, starts[index], total)
            else:
                yield self._passage(draft, draft.span.start, tokens)

    def _overlap_start(self, before: _Draft | None, draft: _Draft, tokens: int) -> int:
        """Return where the whole sentences begin that the passage before lends to this one."""
        start = draft.span.start
        room = min(self.overlap, self.maximum - tokens)
        if room <= 0 or before is None or draft.opens:
            return start
        block = self.layout.blocks[bisect_left(self.block_starts, start) - 1]
        if block.kind not in _OVERLAPPED:
            return start
        begin = max(block.start, before.span.start)
        sentences = [*sentence_starts(self.text, begin, start, self.cutter.formulas), start]
        weights = self.counter.count([self.text[left:right] for left, right in pairwise(sentences)])
        whole = 0 if begin == block.start else 1  # a range that begins inside a block may begin inside a sentence
        for sentence, weight in reversed([*zip(sentences, weights, strict=False)][whole:]):
            room -= weight
            if room < 0:
                break
            start = sentence
        return start

    def _passage(self, draft: _Draft, overlap_start: int, tokens: int) -> Passage:
        span = Span(overlap_start, draft.span.end)
        return Passage(
            start=draft.span.start,
            end=draft.span.end,
            content=self._content(draft, overlap_start),
            token_count=tokens,
            heading_path=draft.path,
            has_math=_touches(span, self.cutter.formulas),
            has_table=_touches(span, self.tables),
            overlap_start=overlap_start,
            repeated_head=draft.units[0].repeat,
            over_maximum=tokens > self.maximum,
        )


def _drafts(packs: Sequence[list[Unit]], whole: _Draft) -> list[_Draft]:
    """Make drafts of the packs that a draft is parted into."""
    last = len(packs) - 1
    return [
        _Draft(whole.path, pack, whole.opens and index == 0, whole.closes and index == last)
        for index, pack in enumerate(packs)
    ]


def _common(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    """Return the headings that two paths begin with alike."""
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))
    return tuple(heading for heading, _ in pairs)


def _touches(span: Span, others: Sequence[Span]) -> bool:
    """Say whether a span has a character in common with any of others, in order and disjoint."""
    index = bisect_left(others, (span.end,)) - 1
    return index >= 0 and others[index].end > span.start
