"""What cutting did to a document, told by the document's truth and not by anybody's parser."""

import bisect
import dataclasses
import re
from collections.abc import Callable, Collection, Sequence
from itertools import pairwise
from typing import NamedTuple

from benchmarks.text.corpus import Document, Kind, Mark

SENTENCE_ENDS = (".", "?", "!")  # the corpus has them nowhere else in a paragraph, but in formulas
_SENTENCE = re.compile(r"[.?!](?=\s|\Z)")
_WRITTEN = re.compile(r"\S+")


class Span(NamedTuple):
    """A range of characters that a chunk holds."""

    start: int
    end: int


@dataclasses.dataclass
class Cuts:
    """What was cut, of how many."""

    display_cut: int = 0
    displays: int = 0
    inline_cut: int = 0
    inlines: int = 0
    tables_cut: int = 0  # of those that fit together with their headings, caption and the white space after them
    tables: int = 0  # that fit
    headings_orphaned: int = 0  # nothing of what they head is in their chunk
    headings: int = 0
    captions_parted: int = 0  # from their table's end, or cut themselves
    captions: int = 0
    code_cut: int = 0  # of blocks that fit
    codes: int = 0
    sentences_cut: int = 0  # by ends of chunks within paragraphs
    sentences: int = 0
    lost_characters: int = 0  # written ones that no chunk holds

    def add(self, other: "Cuts") -> None:
        """Add what was cut in another document."""
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


def align(text: str, chunks: Sequence[str]) -> list[Span | None]:
    """Find each chunk in the text it was cut from, by its written characters: white space may have changed.

    Chunks are looked for one after another; one that is not found (None) was rewritten by its splitter.
    """
    dense = _Dense(text)
    spans: list[Span | None] = []
    position = 0
    for chunk in chunks:
        written = "".join(chunk.split())
        found = dense.text.find(written, position) if written else -1
        if found < 0:
            spans.append(None)
            continue
        position = found + len(written)
        spans.append(Span(dense.offset(found), dense.offset(position - 1) + 1))
    return spans


class _Dense:
    """A text without its white space, and where each of its characters was."""

    def __init__(self, text: str) -> None:
        runs = [match.span() for match in _WRITTEN.finditer(text)]
        self.text = "".join(text[start:end] for start, end in runs)
        self.starts = [start for start, _ in runs]
        self.dense_starts = [0]
        for start, end in runs:
            self.dense_starts.append(self.dense_starts[-1] + end - start)

    def offset(self, position: int) -> int:
        run = bisect.bisect_right(self.dense_starts, position) - 1
        return self.starts[run] + position - self.dense_starts[run]


def cuts_of_spans(document: Document, spans: Sequence[Span], fits: Callable[[int, int], bool]) -> Cuts:
    """Tell what was cut where chunks are spans of a document.

    Args:
        document: What was cut.
        spans: What the chunks hold, in any order.
        fits: Whether a range of characters fits a chunk.
    """
    ordered = sorted(spans)
    starts = [span.start for span in ordered]

    def is_whole(start: int, end: int) -> bool:
        index = bisect.bisect_right(starts, start) - 1
        return index >= 0 and ordered[index].end >= end

    cuts = _cuts(document, lambda mark: is_whole(mark.start, mark.end), fits)
    for heading, content in _headed(document):
        cuts.headings += 1
        cuts.headings_orphaned += not is_whole(heading.start, content.start + 1)
    for table, caption in _captioned(document):
        cuts.captions += 1
        cuts.captions_parted += not is_whole(table.end - 1, caption.end)
    for mark in document.marks(Kind.PARAGRAPH):
        first, last = bisect.bisect_right(starts, mark.start), bisect.bisect_left(starts, mark.end)
        befores = (document.text[mark.start : start].rstrip() for start in starts[first:last])
        cuts.sentences_cut += sum(not before.endswith(SENTENCE_ENDS) for before in befores)
    cuts.lost_characters = _lost(document.text, ordered)
    return cuts


class Holding(NamedTuple):
    """A chunk that is no span of the document: its text, and the marks of which it holds something."""

    text: str
    marks: Collection[int]  # as indices in the document's truth


def cuts_of_holdings(document: Document, chunks: Sequence[Holding], fits: Callable[[int, int], bool]) -> Cuts:
    """Tell what was cut where chunks say which marks they hold, and words are looked for in their text.

    What is in more than one chunk is cut. An inline formula is cut if no chunk that holds something of what the
    formula lies in, or of the table above that, has all of the formula. A caption is parted if no chunk with
    something of its table has it. A heading is orphaned if no chunk with something of what it heads has its words.
    """
    holders: dict[int, list[str]] = {}
    for chunk in chunks:
        written = "".join(chunk.text.split())
        for index in set(chunk.marks):
            holders.setdefault(index, []).append(written)
    index_of = {mark: index for index, mark in enumerate(document.truth)}
    outer_of = _outer_marks(document)
    table_of = {caption: table for table, caption in _captioned(document)}

    def shows(mark: Mark, among: Mark) -> bool:
        words = document.text[mark.start : mark.end].lstrip("#")
        return any("".join(words.split()) in text for text in holders.get(index_of[among], ()))

    def is_whole(mark: Mark) -> bool:
        if mark.kind is Kind.INLINE:
            outer = outer_of[mark]
            return shows(mark, outer) or (outer in table_of and shows(mark, table_of[outer]))
        return len(holders.get(index_of[mark], ())) == 1

    cuts = _cuts(document, is_whole, fits)
    for heading, content in _headed(document):
        cuts.headings += 1
        cuts.headings_orphaned += not shows(heading, content)
    for table, caption in _captioned(document):
        cuts.captions += 1
        cuts.captions_parted += not shows(caption, table)
    for mark in document.marks(Kind.PARAGRAPH):
        befores = holders.get(index_of[mark], [])[:-1]
        cuts.sentences_cut += sum(not before.endswith(SENTENCE_ENDS) for before in befores)
    blocks = [mark for mark in document.truth if mark.kind not in (Kind.INLINE, Kind.HEADING, Kind.TABLE_CAPTION)]
    cuts.lost_characters = sum(
        len("".join(document.text[mark.start : mark.end].split())) for mark in blocks if index_of[mark] not in holders
    )
    return cuts


def _cuts(document: Document, is_whole: Callable[[Mark], bool], fits: Callable[[int, int], bool]) -> Cuts:
    """Count the formulas, and the tables and code that fit, and those of them that are not whole."""
    cuts = Cuts()
    captions = dict(_captioned(document))
    begins, ends = _begins(document), _ends(document)
    for mark in document.truth:
        if mark.kind is Kind.DISPLAY:
            cuts.displays += 1
            cuts.display_cut += not is_whole(mark)
        elif mark.kind is Kind.INLINE:
            cuts.inlines += 1
            cuts.inline_cut += not is_whole(mark)
        elif mark.kind is Kind.PARAGRAPH:
            cuts.sentences += len(_SENTENCE.findall(document.text[mark.start : mark.end]))
        elif mark.kind is Kind.TABLE and fits(begins[mark], ends[captions.get(mark, mark)]):
            cuts.tables += 1
            cuts.tables_cut += not is_whole(mark)
        elif mark.kind is Kind.CODE and fits(begins[mark], ends[mark]):
            cuts.codes += 1
            cuts.code_cut += not is_whole(mark)
    return cuts


def _blocks(document: Document) -> list[Mark]:
    return [mark for mark in document.truth if mark.kind is not Kind.INLINE]


def _begins(document: Document) -> dict[Mark, int]:
    """Return where each block begins together with the headings right before it."""
    begins, begin = {}, None
    for mark in _blocks(document):
        begin = mark.start if begin is None else begin
        begins[mark] = begin
        begin = begin if mark.kind is Kind.HEADING else None
    return begins


def _ends(document: Document) -> dict[Mark, int]:
    """Return where each block ends together with the white space after it, for chunks that join to the text hold it."""
    blocks = _blocks(document)
    return dict(zip(blocks, [*(mark.start for mark in blocks[1:]), len(document.text)], strict=True))


def _headed(document: Document) -> list[tuple[Mark, Mark]]:
    """Return each heading with the first block after it that is none."""
    pairs, waiting = [], []
    for mark in _blocks(document):
        if mark.kind is Kind.HEADING:
            waiting.append(mark)
        else:
            pairs += [(heading, mark) for heading in waiting]
            waiting = []
    return pairs


def _captioned(document: Document) -> list[tuple[Mark, Mark]]:
    """Return each table that has a caption, with it."""
    pairs = pairwise(_blocks(document))
    return [(first, second) for first, second in pairs if second.kind is Kind.TABLE_CAPTION]


def _outer_marks(document: Document) -> dict[Mark, Mark]:
    """Return in which block each inline formula lies."""
    outer, found = None, {}
    for mark in document.truth:
        if mark.kind is not Kind.INLINE:
            outer = mark
        elif outer is not None:
            found[mark] = outer
    return found


def _lost(text: str, ordered: Sequence[Span]) -> int:
    """Count the written characters that no span holds."""
    lost, position = 0, 0
    for start, end in [*ordered, Span(len(text), len(text))]:
        lost += len("".join(text[position:start].split()))
        position = max(position, end)
    return lost
