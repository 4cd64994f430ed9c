"""Says in words why a chunk ends where it ends, from what chunking goes by."""

import dataclasses
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from pagemill.text.chunking.cutting import Cutting, Lengths, Passage
from pagemill.text.chunking.packing import Reason
from pagemill.text.chunking.tokens import TokenCounter
from pagemill.text.chunking.units import bound_groups
from pagemill.text.mmd.blocks import Block, BlockKind, Span
from pagemill.text.mmd.sections import sections
from pagemill.text.mmd.sentences import sentence_starts

_ROW_END_CHARACTERS = 100
_ROW_END = re.compile(r"(?:\\\\(?:\*|\[[^\[\]\n]{0,20}\])?|\\[a-z]{0,10}(?:line|rule)(?:\{[\d-]{1,9}\})?)\s*\Z")
_WHY_NOTHING_IN_COMMON = "No heading holds for both this section and the next one, and so for no chunk with both."
_WHY_SECTION = (
    "A chunk of {:,} tokens, for a target of {:,}, ends where a section ends rather than within the next one."
)
_WHY_PARTED = "What was meant to be one chunk came out longer than the maximum when counted as a whole, and was parted."
_LINEWISE = {BlockKind.CODE: "lines of code", BlockKind.LIST: "items", BlockKind.REFERENCES: "references"}


@dataclasses.dataclass(frozen=True, slots=True)
class Cut:
    """Where a chunk ends and why it does not end elsewhere, in words."""

    where: str
    why: str


def explain(cutting: Cutting, counter: TokenCounter, lengths: Lengths) -> list[Cut]:
    """Return why each passage of a window ends where it ends, in order."""
    return list(_Explainer(cutting, counter, lengths).cuts())


class _Explainer:
    def __init__(self, cutting: Cutting, counter: TokenCounter, lengths: Lengths) -> None:
        self.cutting = cutting
        self.text = cutting.window.text
        self.counter = counter
        self.lengths = lengths
        self.blocks = cutting.layout.blocks
        self.block_starts = [block.start for block in self.blocks]
        self.groups = [
            Span(group[0].start, group[-1].end)
            for section in sections(self.text, self.blocks)
            for group in bound_groups(section)
        ]
        self.group_starts = [group.start for group in self.groups]
        self.unit_starts = [part.unit.start for part in cutting.parts]
        self._group_counted = (Span(0, 0), 0)  # the last one, as most cuts of one follow one another

    def cuts(self) -> Iterator[Cut]:
        """Yield the cuts in order."""
        for passage, reason in zip(self.cutting.passages, self.cutting.reasons, strict=True):
            start, end = passage.start - self.cutting.window.offset, passage.end - self.cutting.window.offset
            if end == len(self.text) and self.cutting.window.ends:
                yield Cut("at the end of the text", "There is nothing left.")
            else:
                yield self._cut(start, end, passage, reason)

    def _cut(self, start: int, end: int, passage: Passage, reason: Reason) -> Cut:
        if reason is Reason.NOTHING_IN_COMMON:
            return Cut("between sections", _WHY_NOTHING_IN_COMMON)
        tokens = self.counter.count([passage.repeated_head + self.text[start:end]])[0]
        if reason is Reason.SECTION_ENDS:
            return Cut("between sections", _WHY_SECTION.format(tokens, self.lengths.target))
        why = [self._why_full(start, end, passage.repeated_head, tokens)]
        group = self.groups[bisect_right(self.group_starts, end) - 1]
        if group.start < end and (together := self._count(group)) > self.lengths.maximum:
            name = self._name(*group, together)
            why.insert(
                0, f"What belongs together here ({name}) is longer than the maximum of {self.lengths.maximum:,}."
            )
        return Cut(self._where(start, end), " ".join(why))

    def _count(self, group: Span) -> int:
        if self._group_counted[0] != group:
            self._group_counted = (group, self.counter.count([self.text[group.start : group.end]])[0])
        return self._group_counted[1]

    def _block_at(self, position: int) -> Block:
        return self.blocks[bisect_right(self.block_starts, position) - 1]

    def _where(self, start: int, position: int) -> str:
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
        if block.kind not in _LINEWISE and block.kind is not BlockKind.TABLE:
            begin = max(start, block.start)
            starts = sentence_starts(self.text, begin, min(block.end, position + 1), self.cutting.cutter.formulas)
            if position in starts:
                return f"between sentences of a {kind}"
        if self.text[position - 1].isspace():
            return f"between words of a {kind}"
        return f"between characters of a {kind}"

    def _why_full(self, start: int, end: int, repeated_head: str, tokens: int) -> str:
        """Say why the next unit was not taken in."""
        after = bisect_left(self.unit_starts, end)
        if after == len(self.unit_starts) or self.unit_starts[after] != end:
            return _WHY_PARTED
        following = self.cutting.parts[after].unit
        grown = self.counter.count([repeated_head + self.text[start : following.end]])[0]
        name = self._name(following.start, following.end, following.tokens)
        beginning = f"With what comes next ({name}) the chunk would have {grown:,} tokens"
        if grown > self.lengths.maximum:
            return f"{beginning}, more than the maximum of {self.lengths.maximum:,}."
        if grown - self.lengths.target >= max(1, self.lengths.target - tokens):
            return f"{beginning}; {tokens:,} are nearer to the target of {self.lengths.target:,}."
        return f"{beginning}; added up by its parts it seemed to have more."

    def _name(self, start: int, end: int, tokens: int) -> str:
        first, last = self._block_at(start), self._block_at(end - 1)
        kinds = dict.fromkeys(block.kind.replace("_", " ") for block in (first, last))
        part = "part of " if first.start < start or end < last.end else ""
        return f"{part}{' to '.join(kinds)}, {tokens:,} tokens"
