r"""A corpus of Nougat's Markdown made by chance from a seed, with the truth of what is where.

Documents are LaTeX-heavy books and papers: sections of 1 to 20 paragraphs under headings whose levels are as
unreliable as Nougat's, formulas in lines and displays, tables of 3 to 80 rows with captions, figures' captions,
lists, code, footnotes and references. The truth is not found in the text, it is kept while the text is written.
"""

import dataclasses
import enum
import itertools
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from benchmarks.text.formulas import display, inline, program, tabular
from benchmarks.text.words import Prose

DOCUMENT_PAGES = (8, 120)  # of a document; short ones are more frequent
PAGE_CHARACTERS = (1800, 3400)

_LEAST_CHARACTERS = 80  # of a paragraph that begins at the foot of a page
BREAK = "\n\n"


class Kind(enum.StrEnum):
    """What a span of a document is in truth."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST = "list"
    DISPLAY = "display"
    INLINE = "inline"  # lies within a paragraph, a list, a caption or a table
    TABLE = "table"
    TABLE_CAPTION = "table_caption"  # follows its table on the next line
    FIGURE_CAPTION = "figure_caption"
    CODE = "code"
    FOOTNOTE = "footnote"
    REFERENCES = "references"


class Mark(NamedTuple):
    """A span of a document, without white space around it. `level` is the true one of a heading, else 0."""

    start: int
    end: int
    kind: Kind
    level: int = 0


@dataclasses.dataclass(frozen=True)
class Document:
    """A document as it should be read.

    `pages` are its parts in order, without white space at their ends. Where a page ends within a paragraph, a
    space has been between the two parts, else an empty line. `truth` is in order of `start`, inline formulas
    after what they lie in; all others cover the text but for white space.
    """

    name: str
    text: str
    pages: tuple[str, ...]
    page_starts: tuple[int, ...]
    truth: tuple[Mark, ...]

    def marks(self, *kinds: Kind) -> list[Mark]:
        """Return the marks of these kinds in order."""
        return [mark for mark in self.truth if mark.kind in kinds]


def documents(seed: int, pages: int) -> Iterator[Document]:
    """Yield documents with so many pages together; the last one is as short as it must be."""
    chance = random.Random(f"documents {seed}")
    least, most = DOCUMENT_PAGES
    for number in itertools.count():
        length = min(pages, round(least * (most / least) ** chance.random()))
        if length <= 0:
            return
        pages -= length
        yield book(seed, length, name=f"{seed}-{number}")


def book(seed: int, pages: int, name: str = "book") -> Document:
    """Return one document of so many pages."""
    return _Author(random.Random(f"{name} {seed} {pages}")).write(name, pages)


def book_pages(seed: int, pages: int) -> Iterator[str]:
    r"""Yield the pages of a book of any length in constant memory; joined with "\n\n" they are its text."""
    for part in itertools.count():
        length = min(pages, 100)
        if length <= 0:
            return
        pages -= length
        yield from book(seed, length, name=f"part {part}").pages


class _Block(NamedTuple):
    """A block that is being written; the spans of its marks begin at its own start."""

    text: str
    marks: tuple[Mark, ...]
    can_break: bool = False  # a page may end within it


class _Author:
    """Writes one document."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.prose = Prose(chance)
        self.numbered = chance.random() < 0.6
        self.formula_share = chance.choice([0.05, 0.2, 0.35])  # of sentences that hold one or more
        self.counts = dict.fromkeys(("section", "subsection", "equation", "table", "figure", "footnote"), 0)
        self.shift = chance.choice([0, 0, 1])  # of all levels

    def write(self, name: str, pages: int) -> Document:
        """Write a document of so many pages."""
        marks: list[Mark] = []
        starts = [0]
        limit = self._page_length()
        pieces: list[str] = []
        length = 0
        held = 0  # where the headings begin that stand right before a block, which must not end a page
        for block in self._blocks():
            separator = "\n" if block.marks[0].kind is Kind.TABLE_CAPTION else BREAK if pieces else ""
            start = length + len(separator)
            after_heading = bool(marks) and marks[-1].kind is Kind.HEADING
            held = held if after_heading else start
            if start + len(block.text) - starts[-1] > limit and block.marks[0].kind is not Kind.TABLE_CAPTION:
                for page_start in self._page_starts(block, start, max(held, 1), starts[-1], limit):
                    starts.append(page_start)
                    limit = self._page_length()
            if len(starts) > pages:
                break
            pieces += [separator, block.text]
            length = start + len(block.text)
            marks += [mark._replace(start=mark.start + start, end=mark.end + start) for mark in block.marks]
        text = "".join(pieces)
        starts = [start for start in starts if start < length][:pages]
        parts = tuple(text[start:end].strip() for start, end in itertools.pairwise([*starts, length]))
        return Document(name, text, parts, tuple(starts), tuple(marks))

    def _page_length(self) -> int:
        return self.chance.randint(*PAGE_CHARACTERS)

    def _page_starts(self, block: _Block, start: int, held: int, page_start: int, limit: int) -> Iterator[int]:
        """Yield where new pages begin when a block does not fit the page: within it, or before it and its headings."""
        if not block.can_break:
            if held > page_start:
                yield held
            return
        formulas = [mark for mark in block.marks if mark.kind is Kind.INLINE]
        while start + len(block.text) - page_start > limit:
            cut = block.text.rfind(" ", 0, max(0, page_start + limit - start))
            cut = next((mark.start - 1 for mark in formulas if mark.start < cut < mark.end), cut)
            page_start = start + cut + 1 if cut >= _LEAST_CHARACTERS else held
            yield page_start

    def _blocks(self) -> Iterator[_Block]:
        yield _whole(f"# {self.prose.title(3, 8)}", Kind.HEADING, level=1)
        yield _whole(f"{self.prose.name()} {self.prose.name()} and {self.prose.name()}", Kind.PARAGRAPH)
        if self.chance.random() < 0.7:
            yield _whole("###### Abstract", Kind.HEADING, level=2)
            yield self._paragraph(self.chance.randint(4, 9))
        while True:
            yield from self._section()
            if self.counts["section"] % 8 == 0:
                yield _whole("## References", Kind.HEADING, level=2)
                yield self._references()

    def _section(self) -> Iterator[_Block]:
        self.counts["section"] += 1
        self.counts["subsection"] = 0
        yield self._heading(2)
        subsections = self.chance.choice([0, 0, 2, 3, 5])
        if not subsections or self.chance.random() < 0.7:
            yield from self._content()
        for _ in range(subsections):
            self.counts["subsection"] += 1
            yield self._heading(3)
            yield from self._content()
            if self.chance.random() < 0.15:
                yield self._heading(4)
                yield from self._content()

    def _heading(self, level: int) -> _Block:
        """Return a heading; its printed level is right in seven of ten."""
        number = ""
        if self.numbered and level < 4:
            number = f"{self.counts['section']}"
            number += f".{self.counts['subsection']} " if level == 3 else " "
        wrong = self.chance.choices([0, 1, -1], [70, 20, 10])[0]
        printed = min(6, max(1, level + self.shift + wrong))
        return _whole(f"{'#' * printed} {number}{self.prose.title()}", Kind.HEADING, level=level)

    def _content(self) -> Iterator[_Block]:
        """Yield 1 to 20 paragraphs, few being most frequent, and what stands between them."""
        others: list[tuple[float, Callable[[], Iterator[_Block]]]] = [
            (0.32, self._derivation),
            (0.06, self._table),
            (0.06, self._figure),
            (0.06, self._list),
            (0.02, self._code),
        ]
        for _ in range(min(20, 1 + int(self.chance.expovariate(0.28)))):
            paragraph = self._paragraph(min(14, max(1, round(self.chance.lognormvariate(1.4, 0.6)))))
            if self.chance.random() < 0.04:
                self.counts["footnote"] += 1
                yield self._with_note_mark(paragraph)
                yield self._footnote()
            else:
                yield paragraph
            for share, write in others:
                if self.chance.random() < share:
                    yield from write()

    def _sentences(self, count: int) -> tuple[str, list[Mark]]:
        """Return sentences and the formulas in them."""
        text, marks = "", list[Mark]()
        for _ in range(count):
            formulas: list[str] = []
            if self.chance.random() < self.formula_share:
                formulas = [inline(self.chance) for _ in range(self.chance.choice([1, 1, 2, 3]))]
            notes = [self._mention()] if self.chance.random() < 0.1 else []
            sentence = self.prose.sentence([*formulas, *notes])
            text += " " if text else ""
            position = len(text)
            text += sentence
            marks += _inline_marks(text, position, set(formulas))
        return text, marks

    def _mention(self) -> str:
        form = self.chance.random()
        if form < 0.4:
            return f"[{self.chance.randint(1, 60)}]"
        if form < 0.7:
            return f"({self.prose.name()}, {self.chance.randint(1950, 2020)})"
        return f"(see Table {self.chance.randint(1, 9)})"

    def _paragraph(self, sentences: int) -> _Block:
        text, formulas = self._sentences(sentences)
        return _Block(text, (Mark(0, len(text), Kind.PARAGRAPH), *formulas), can_break=True)

    def _derivation(self) -> Iterator[_Block]:
        """Yield one display, or several on a line, and now and then how the sentence goes on after it."""
        displays = []
        for _ in range(self.chance.choices([1, 2, 3], [85, 11, 4])[0]):
            self.counts["equation"] += 1
            tag = f"{self.counts['section']}.{self.counts['equation']}" if self.chance.random() < 0.5 else ""
            displays.append(display(self.chance, tag))
        ends = list(itertools.accumulate(len(formula) + 1 for formula in displays))
        marks = [Mark(end - len(text) - 1, end - 1, Kind.DISPLAY) for text, end in zip(displays, ends, strict=True)]
        yield _Block(" ".join(displays), tuple(marks))
        if self.chance.random() < 0.5:
            block = self._paragraph(self.chance.randint(1, 4))
            first = self.chance.choice(["where", "so that", "which implies", "for all"])
            yield _shifted(block, f"{first} {block.text[0].lower()}{block.text[1:]}", len(first) + 1)

    def _table(self) -> Iterator[_Block]:
        self.counts["table"] += 1
        rows = round(3 * (80 / 3) ** self.chance.random())
        columns = self.chance.randint(2, 8)
        words = [word.strip("-") for word in self.prose.words(rows + columns)]
        body = tabular(self.chance, words, rows, columns)
        yield _whole(f"\\begin{{table}}\n{body}\n\\end{{table}}", Kind.TABLE, formulas=True)
        if self.chance.random() < 0.92:
            text, formulas = self._sentences(self.chance.choice([1, 1, 2, 3]))
            yield self._captioned(f"Table {self.counts['table']}: ", text, formulas, Kind.TABLE_CAPTION)

    def _figure(self) -> Iterator[_Block]:
        self.counts["figure"] += 1
        text, formulas = self._sentences(self.chance.choice([1, 1, 2, 3]))
        yield self._captioned(f"Figure {self.counts['figure']}: ", text, formulas, Kind.FIGURE_CAPTION)

    def _with_note_mark(self, block: _Block) -> _Block:
        r"""Put a footnote's mark, as Nougat writes it, after the first word of a paragraph."""
        mark = rf"\({{}}^{{{self.counts['footnote']}}}\)"
        end = len(block.text.split(" ", 1)[0])
        text = block.text[:end] + mark + block.text[end:]
        first, *formulas = _shifted(block, text, len(mark)).marks
        return block._replace(text=text, marks=(first, Mark(end, end + len(mark), Kind.INLINE), *formulas))

    def _footnote(self) -> _Block:
        text, formulas = self._sentences(self.chance.choice([1, 1, 2]))
        return self._captioned(f"Footnote {self.counts['footnote']}: ", text, formulas, Kind.FOOTNOTE)

    def _captioned(self, label: str, text: str, formulas: list[Mark], kind: Kind) -> _Block:
        block = _Block(text, (Mark(0, len(text), kind), *formulas))
        return _shifted(block, label + text, len(label))

    def _list(self) -> Iterator[_Block]:
        numbered = self.chance.random() < 0.4
        text, marks = "", list[Mark]()
        for item in range(1, self.chance.randint(3, 12)):
            lead = ("\n" if text else "") + (f"{item}. " if numbered else "* ")
            sentences, formulas = self._sentences(self.chance.choice([1, 1, 2]))
            offset = len(text) + len(lead)
            marks += [mark._replace(start=mark.start + offset, end=mark.end + offset) for mark in formulas]
            text += lead + sentences
        yield _Block(text, (Mark(0, len(text), Kind.LIST), *marks))

    def _code(self) -> Iterator[_Block]:
        words = [word for word in self.prose.words(60) if word.isalpha() and word.islower()]
        yield _whole(f"```\n{program(self.chance, words, self.chance.randint(3, 40))}\n```", Kind.CODE)

    def _references(self) -> _Block:
        items = []
        for number in range(1, self.chance.randint(8, 60)):
            authors = ", ".join(f"{self.chance.choice('ABCDEFGHJKLMPRST')}. {self.prose.name()}" for _ in range(2))
            where = f"_{self.prose.title(2, 5)}_, {self.chance.randint(1, 90)}({self.chance.randint(1, 12)})"
            items.append(
                f"* [{number}] {authors}. {self.prose.title(3, 9)}. {where}, {self.chance.randint(1950, 2020)}."
            )
        return _whole("\n".join(items), Kind.REFERENCES)


def _whole(text: str, kind: Kind, level: int = 0, formulas: bool = False) -> _Block:
    """Make a block of one mark, and of the formulas that it holds."""
    inner = _inline_marks(text, 0, None) if formulas else []
    return _Block(text, (Mark(0, len(text), kind, level), *inner))


def _shifted(block: _Block, text: str, by: int) -> _Block:
    """Give a block a text that begins earlier; its first mark covers all of it."""
    first, *others = block.marks
    moved = [mark._replace(start=mark.start + by, end=mark.end + by) for mark in others]
    return block._replace(text=text, marks=(first._replace(end=len(text)), *moved))


def _inline_marks(text: str, start: int, formulas: set[str] | None) -> list[Mark]:
    r"""Return the inline formulas from a place on; the author writes `\(` and `\)` nowhere else."""
    marks = []
    while (opening := text.find(r"\(", start)) >= 0:
        start = text.index(r"\)", opening) + 2
        assert formulas is None or text[opening:start] in formulas
        marks.append(Mark(opening, start, Kind.INLINE))
    return marks
