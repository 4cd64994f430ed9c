"""Reads pages into passages, so that notes, figures and tables stand behind the paragraphs that they parted."""

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pagemill.text.cleaning.footnotes import is_parted, note_labels, note_marks, pages_with_marks, starts_movable
from pagemill.text.cleaning.joints import PARAGRAPH_BREAK, begins_within, ends_sentence, first_kind, goes_on, last_kind
from pagemill.text.mmd.blocks import BlockKind, parse_blocks

_TEXTS = frozenset({BlockKind.PARAGRAPH, BlockKind.LIST})
_MOVABLE = frozenset({BlockKind.FOOTNOTE, BlockKind.FIGURE_CAPTION, BlockKind.TABLE})
_CAPTION = re.compile(r"(?:\A|\n)[ \t]*+(?:Table|TABLE|Tab\.)[ \t]")
_DISPLAY = r"\["
_END_CHARACTERS = 1000
_PAIRS = (("{", "}"), (r"\(", r"\)"), (r"\[", r"\]"), (r"\begin{", r"\end{"))


class Piece(NamedTuple):
    """A part of a book's text, and the page that it belongs to.

    `gap` is the white space between it and the next piece; None where its sentence, or its word, goes
    on in the next one. `is_moved_note` says that the piece is a footnote which stood elsewhere.
    """

    text: str
    page: int
    gap: str | None
    is_moved_note: bool = False


class _Element(NamedTuple):
    """A block of a page, or a page as a whole, whose `kind` is None; `gap` is the white space behind it."""

    text: str
    gap: str
    page: int
    number: int
    kind: BlockKind | None = None


class _Passage:
    """Elements of which one goes on in another, through equations and over pages, and what goes behind them."""

    def __init__(self) -> None:
        self.parts: list[_Element] = []
        self.end = ""  # the latest words of what its latest parts, joined, make
        self.behind: list[_Element] = []
        self.texts_behind: set[str] = set()
        self.latest_float = -1  # number of the latest that is no note

    def elements(self) -> Iterator[_Element]:
        """Yield what it consists of and what goes behind it."""
        return itertools.chain(self.parts, self.behind)

    def put_behind(self, element: _Element) -> None:
        """Add a note or a float."""
        self.behind.append(element)
        self.texts_behind.add(element.text)
        if element.kind is not BlockKind.FOOTNOTE:
            self.latest_float = element.number


class _Notes:
    """The labels of a page's notes, and the passages that bear the marks of notes on that page."""

    def __init__(self, text: str = "") -> None:
        self.labels = Counter(note_labels(text))
        self.marked: defaultdict[str, list[_Passage]] = defaultdict(list)


def arrange(pages: Sequence[str]) -> Iterator[Piece]:
    """Yield the text of a book's pages with the notes in their places.

    A footnote goes behind the paragraph that bears its mark, where exactly one does before it on its
    page, or else on the page before. Any other note stays, unless it parts a sentence; so do the
    caption of a figure, and a table with a caption, unless they part it where a page ends. Then they go
    behind the paragraph, wherever it ends, and the sentence goes on. What remains of a note that ran
    over its page goes to that note.

    Pages come in order. What was moved belongs to its own page if the text around it does, else to
    the page on which it then stands.

    Args:
        pages: Texts without white space around them; "" for a page without text.
    """
    reader = _Reader()
    marked = pages_with_marks(pages)
    for page, text in enumerate(pages):
        if text:
            reader.read(page, text, page in marked or is_parted(text))
        else:
            reader.miss_page()
    return reader.pieces()


class _Reader:
    """Reads a book page by page; an element is only ever compared with the one before it."""

    def __init__(self) -> None:
        self.passages: list[_Passage] = []
        self.joined: set[int] = set()  # numbers of elements in which the one before goes on
        self.latest: tuple[_Element, _Passage] | None = None  # what was read last, and where it went
        self.notes = self.notes_before = _Notes()  # of this page and the one before
        self.count = 0

    def miss_page(self) -> None:
        """Take note of a page without text: nothing goes on over it."""
        self.latest = None
        self.notes = _Notes()

    def read(self, page: int, text: str, in_blocks: bool) -> None:
        """Read a page, in blocks if that is asked for or what comes before goes on in it, else as a whole."""
        whole = _Element(text, PARAGRAPH_BREAK, page, self.count)
        elements = list(_blocks(whole)) if in_blocks or self._goes_on_in(whole) else [whole]
        self.count += len(elements)
        self.notes_before, self.notes = self.notes, _Notes(text)
        rest = self._take_rest_of_note(elements)
        for element in elements:
            if element is not rest:
                self.latest = element, self._place(element)

    def pieces(self) -> Iterator[Piece]:
        """Yield what was read, passage by passage."""
        pages: list[int] = []
        for passage, following in itertools.zip_longest(self.passages, self.passages[1:]):
            for element in passage.elements():
                page = min(element.page, next(following.elements()).page) if following else element.page
                pages.append(max(page, pages[-1]) if pages else page)
        elements = list(itertools.chain.from_iterable(passage.elements() for passage in self.passages))
        is_moved = False
        befores, afters = [None, *elements][:-1], [*elements, None][1:]
        for before, element, after, page in zip(befores, elements, afters, pages, strict=True):
            is_moved = element.kind is BlockKind.FOOTNOTE and _is_moved(before, element, is_moved)
            yield Piece(element.text, page, self._gap(element, after) if after else "", is_moved)

    def _gap(self, element: _Element, after: _Element) -> str | None:
        if after.number in self.joined:
            return None
        return element.gap if _is_next(element, after) else PARAGRAPH_BREAK

    def _place(self, element: _Element) -> _Passage:
        """Put an element where it belongs and return the passage that it became part of."""
        is_inline = self.latest is not None and _is_inline(self.latest[0], element)
        if _is_movable(element) and not is_inline:
            passage = self._marked_passage(element) or self._latest_passage() or self._begin()
            passage.put_behind(element)
            return passage
        passage, end = self._latest_passage() or self._begin(), element.text
        if passage.parts and self._goes_on(passage, element):
            last = passage.parts[-1]
            if not _is_next(last, element) and last.kind is not BlockKind.DISPLAY_MATH and not _is_display(element):
                self.joined.add(element.number)
                end = f"{passage.end[-_END_CHARACTERS:]} {element.text}"
        elif not is_inline and (passage.parts or passage.behind):
            passage = self._begin()
        passage.parts.append(element)
        passage.end = end
        for label in note_marks(element.text) if element.kind in _TEXTS else ():
            self.notes.marked[label].append(passage)
        return passage

    def _begin(self) -> _Passage:
        self.passages.append(_Passage())
        return self.passages[-1]

    def _latest_passage(self) -> _Passage | None:
        return self.passages[-1] if self.latest else None

    def _marked_passage(self, element: _Element) -> _Passage | None:
        """Return the one passage that bears the mark of a note."""
        label = next(iter(note_labels(element.text)), "")
        if not label or self.notes.labels[label] > 1:
            return None
        marked = self.notes.marked[label]
        if not marked and not self.notes_before.labels[label]:
            marked = self.notes_before.marked[label]
        return marked[0] if marked and all(passage is marked[0] for passage in marked) else None

    def _goes_on_in(self, whole: _Element) -> bool:
        """Say whether a passage or a note before a page may go on in it, so that it must be read in blocks."""
        passage = self._latest_passage()
        if passage is None or self.latest is None:
            return False
        if _is_cut_note(self.latest[0]):
            return True
        if not passage.parts:
            return False
        if passage.behind and self._goes_on(passage, whole):
            return True
        return starts_movable(whole.text) and not ends_sentence(passage.end)

    def _goes_on(self, passage: _Passage, element: _Element) -> bool:
        """Say whether a passage goes on in the next element that need stand where it stands."""
        last = passage.parts[-1]
        if last.kind is BlockKind.DISPLAY_MATH:
            return _is_display(element) or (begins_within(element.text) and _first_kind(element) is BlockKind.PARAGRAPH)
        if _is_display(element):
            return last.kind in _TEXTS and (passage.end.endswith(":") or not ends_sentence(passage.end))
        if last.page == element.page and passage.latest_float > last.number:
            return False  # between two lines of a page a table stands where the author wants it
        if not goes_on(passage.end, element.text):
            return False
        if _last_kind(last) not in _TEXTS or _first_kind(element) is not BlockKind.PARAGRAPH:
            return False
        if _is_next(last, element) or (last.page != element.page and not passage.behind):
            return True
        have_twins = len(passage.behind) > len(passage.texts_behind)  # which together could pass for a loop
        return not have_twins and _make_one_block(last, element)

    def _take_rest_of_note(self, elements: Sequence[_Element]) -> _Element | None:
        """Put the rest of a note that ran over the page's end, small letters at the foot of the next, behind it."""
        if self.latest is None or not _is_cut_note(self.latest[0]):
            return None
        *_, before, rest = (None, None, *(element for element in elements if not _is_movable(element)))
        if before is None or rest is None or rest.kind is not BlockKind.PARAGRAPH or before.kind not in _TEXTS:
            return None
        if not ends_sentence(before.text) or not begins_within(rest.text):
            return None
        self.latest[1].put_behind(rest)
        self.joined.add(rest.number)
        return rest


def _blocks(whole: _Element) -> Iterator[_Element]:
    """Yield the blocks of a page."""
    blocks = parse_blocks(whole.text)
    for number, block in enumerate(blocks, whole.number):
        body = whole.text[block.start : block.end]
        text = body.rstrip()
        gap = body[len(text) :] if block is not blocks[-1] else whole.gap
        yield _Element(text, gap, whole.page, number, block.kind)


def _is_next(element: _Element, after: _Element) -> bool:
    """Say whether two elements follow one another on a page."""
    return after.number == element.number + 1 and after.page == element.page


def _is_moved(before: _Element | None, note: _Element, before_is_moved: bool) -> bool:
    """Say whether a note does not follow what it followed on its page, or follows a note that does not."""
    follows = note.number == (before.number + 1 if before else 0)
    return not follows or before_is_moved


def _is_inline(element: _Element, after: _Element) -> bool:
    """Say whether two elements stand on one line."""
    return _is_next(element, after) and "\n" not in element.gap


def _is_movable(element: _Element) -> bool:
    """Say whether an element need not stand where it stands: a note, a figure's caption, a table with a caption."""
    if element.kind not in _MOVABLE or "\n" not in element.gap or not _is_balanced(element.text):
        return False
    return element.kind is not BlockKind.TABLE or bool(_CAPTION.search(element.text))


def _first_kind(element: _Element) -> BlockKind:
    return element.kind or first_kind(element.text)


def _last_kind(element: _Element) -> BlockKind:
    return element.kind or last_kind(element.text)


def _is_display(element: _Element) -> bool:
    return element.kind is BlockKind.DISPLAY_MATH or (element.kind is None and element.text.startswith(_DISPLAY))


def _is_cut_note(element: _Element) -> bool:
    """Say whether an element is a note that ends within a sentence or a word."""
    return element.kind is BlockKind.FOOTNOTE and (element.text[-1].isalpha() or element.text[-1] in ",;-\u2010")


def _make_one_block(before: _Element, after: _Element) -> bool:
    """Say whether two paragraphs are one when they are joined, whatever markup is broken in them."""
    ends = before.text[before.text.rfind(PARAGRAPH_BREAK) + 1 :], after.text.partition(PARAGRAPH_BREAK)[0]
    if not all(map(_is_balanced, ends)):
        return False
    blocks = parse_blocks(" ".join(ends))
    return len(blocks) == 1 and blocks[0].kind is _last_kind(before)


def _is_balanced(text: str) -> bool:
    """Say whether nothing is opened or closed in a text that another text could close or open."""
    return "```" not in text and all(text.count(opener) == text.count(closer) for opener, closer in _PAIRS)
