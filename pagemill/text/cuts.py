"""Says in words why a chunk ends where it ends, from what chunking goes by."""

import dataclasses
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from pagemill.text.blocks import Block, BlockKind, Span, parse_layout
from pagemill.text.chunking import Passage
from pagemill.text.sections import sections
from pagemill.text.sentences import sentence_starts
from pagemill.text.tokens import TokenCounter
from pagemill.text.units import Cutter, Unit, bound_groups

_ROW_END_CHARACTERS = 100
_ROW_END = re.compile(r"(?:\\\\(?:\*|\[[^\[\]\n]{0,20}\])?|\\[a-z]{0,10}(?:line|rule)(?:\{[\d-]{1,9}\})?)\s*\Z")
_WHY_SECTION = (
    "A heading begins a section, and a section begins a chunk. Small sections share one only if they have a heading "
    "in common and fit the target of {:,} tokens together."
)
_WHY_PARTED = "Counted as a whole, it came out longer than by its parts, and was parted once more."
_LINEWISE = {BlockKind.CODE: "lines of code", BlockKind.LIST: "items", BlockKind.REFERENCES: "references"}


@dataclasses.dataclass(frozen=True, slots=True)
class Cut:
    """Where a chunk ends and why it does not end elsewhere, in words."""

    where: str
    why: str


class CutExplainer:
    """Explains the cuts of a text from what chunking went by: blocks, what binds them, and tokens."""

    def __init__(self, text: str, counter: TokenCounter, target_tokens: int, max_tokens: int) -> None:
        self.text = text
        self.counter = counter
        self.target = target_tokens
        self.maximum = max_tokens
        layout = parse_layout(text)
        self.blocks = layout.blocks
        self.cutter = Cutter(text, layout, counter, max_tokens)
        self.block_starts = [block.start for block in layout.blocks]
        self.groups: list[Span] = []
        self.section_starts: set[int] = set()
        self.units: list[Unit] = []
        for section in sections(text, layout.blocks):
            groups = [Span(group[0].start, group[-1].end) for group in bound_groups(section)]
            self.groups += groups
            self.section_starts.add(groups[0].start)
            self.units += self.cutter.units(section)
        self.group_starts = [group.start for group in self.groups]
        self.unit_starts = [unit.start for unit in self.units]
        self._group_counted = (Span(0, 0), 0)  # the last one, as most cuts of one follow one another

    def explain(self, passages: Sequence[Passage]) -> list[Cut]:
        """Return why each passage ends where it ends, in order."""
        own_texts = [passage.repeated_head + self.text[passage.start : passage.end] for passage in passages]
        sizes = self.counter.count(own_texts)
        cuts = [self._cut(passage, tokens) for passage, tokens in zip(passages[:-1], sizes, strict=False)]
        return [*cuts, Cut("at the end of the text", "There is nothing left.")][: len(passages)]

    def _cut(self, passage: Passage, tokens: int) -> Cut:
        position = passage.end
        if position in self.section_starts:
            return Cut("between sections", _WHY_SECTION.format(self.target))
        group = self.groups[bisect_right(self.group_starts, position) - 1]
        why = [self._why_full(passage, tokens)]
        if group.start < position and (together := self._count(group)) > self.maximum:
            name = self._name(*group, together)
            why.insert(0, f"What belongs together here ({name}) is longer than the maximum of {self.maximum:,}.")
        return Cut(self._where(passage), " ".join(why))

    def _count(self, group: Span) -> int:
        if self._group_counted[0] != group:
            self._group_counted = (group, self.counter.count([self.text[group.start : group.end]])[0])
        return self._group_counted[1]

    def _block_at(self, position: int) -> Block:
        return self.blocks[bisect_right(self.block_starts, position) - 1]

    def _where(self, passage: Passage) -> str:
        position = passage.end
        block = self._block_at(position)
        if block.start == position:
            return "between blocks"
        kind = block.kind.replace("_", " ")
        if block.kind is BlockKind.TABLE and _ROW_END.search(
            self.text[max(0, position - _ROW_END_CHARACTERS) : position]
        ):
            return "between rows of a table"
        if block.kind in _LINEWISE and self.text[position - 1] == "\n":
            return f"between {_LINEWISE[block.kind]}"
        if block.kind not in _LINEWISE and block.kind is not BlockKind.TABLE and self._ends_sentence(passage, block):
            return f"between sentences of a {kind}"
        if self.text[position - 1].isspace():
            return f"between words of a {kind}"
        return f"between characters of a {kind}"

    def _ends_sentence(self, passage: Passage, block: Block) -> bool:
        begin, position = max(passage.start, block.start), passage.end
        starts = sentence_starts(self.text, begin, min(block.end, position + 1), self.cutter.formulas)
        return any(start == position for start in starts)

    def _why_full(self, passage: Passage, tokens: int) -> str:
        """Say why the next unit was not taken in: by real counts, or by those that chunking adds up of the parts."""
        first, after = (bisect_left(self.unit_starts, position) for position in (passage.start, passage.end))
        if after == len(self.units) or self.units[after].start != passage.end:
            return _WHY_PARTED
        following = self.units[after]
        added = self.units[first].repeat_tokens + sum(map(self._weight, self.units[first:after]))
        for size, more, manner in (
            (tokens, following.tokens, ""),
            (added, self._weight(following), ", added up by its parts"),
        ):
            grown = size + more
            reason = ""
            if grown > self.maximum:
                reason = f", more than the maximum of {self.maximum:,}."
            elif grown - self.target >= max(1, self.target - size):
                reason = f"; {size:,} are nearer to the target of {self.target:,}."
            if reason:
                name = self._name(following.start, following.end, following.tokens)
                return f"With what comes next ({name}) the chunk would have {grown:,} tokens{manner}{reason}"
        return _WHY_PARTED

    def _weight(self, unit: Unit) -> int:
        """Return what a unit is taken to add to a chunk: one more than it counts after a line's end."""
        return unit.tokens + (unit.start > 0 and self.text[unit.start - 1] == "\n")

    def _name(self, start: int, end: int, tokens: int) -> str:
        first, last = self._block_at(start), self._block_at(end - 1)
        kinds = dict.fromkeys(block.kind.replace("_", " ") for block in (first, last))
        part = "part of " if first.start < start or end < last.end else ""
        return f"{part}{' to '.join(kinds)}, {tokens:,} tokens"
