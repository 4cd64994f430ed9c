"""Cleans what OCR read of a book and joins its pages into one text."""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

from pagemill.text.cleaning.heads import RUNNING_MIN_PAGES, RUNNING_SHARE, remove_running_lines
from pagemill.text.cleaning.joining import join_lines, join_pages
from pagemill.text.cleaning.latex import Repaired, repair_latex
from pagemill.text.cleaning.loops import LOOP_REPEATS, remove_loop_at_end, remove_repeated_lines
from pagemill.text.cleaning.scrubbing import collapse_gaps, remove_markers, repair
from pagemill.text.cleaning.spaces import JoinedForms, restore_spaces
from pagemill.text.cleaning.tagging import tag_pages
from pagemill.text.cleaning.words import Words

_MAX_PASSES = 10  # one changes the text, the next finds nothing left to change; more are rare


@dataclasses.dataclass(frozen=True, slots=True)
class Removed:
    """How much cleaning took out of a book, put back or moved, by kind.

    Attributes:
        control_characters: Control characters, lone surrogates and noncharacters that were dropped.
        page_markers: Markers of missing pages, such as `[MISSING_PAGE_FAIL:3]`, that were taken out.
        loop_lines: Lines, or passages at a page's end, that only repeated what stood before them.
        running_lines: Running heads and feet, and lines with nothing but the page's number.
        line_end_hyphens: Words that a line's end had cut in two, joined again.
        lost_spaces: Spaces that were put back between two words.
        footnotes_moved: Notes that stood within a paragraph and now follow it.
    """

    control_characters: int = 0
    page_markers: int = 0
    loop_lines: int = 0
    running_lines: int = 0
    line_end_hyphens: int = 0
    lost_spaces: int = 0
    footnotes_moved: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Cleaned:
    """A book's text with, for each page that went in, where it ends and what it is.

    `text[page_ends[i - 1] : page_ends[i]]` is page i; what separates it from the next belongs to it.

    Attributes:
        text: The pages, joined.
        page_ends: Where in the text each page ends.
        page_tags: What each page is: its body, front matter, contents, index, references, copyright.
        page_labels: The number printed on each page, as it was printed; "" where none was found.
        page_loop_lines: How many lines, or passages at its end, a loop had left on each page.
        removed: What was taken out, put back or moved in the whole book.
        repaired: What was done to its LaTeX.
    """

    text: str
    page_ends: tuple[int, ...]
    page_tags: tuple[str, ...]
    page_labels: tuple[str, ...]
    page_loop_lines: tuple[int, ...]
    removed: Removed
    repaired: Repaired

    def pages(self) -> Iterator[str]:
        """Yield the text of each page."""
        for start, end in itertools.pairwise((0, *self.page_ends)):
            yield self.text[start:end]


def clean(
    pages: str | Sequence[str],
    *,
    running_share: float = RUNNING_SHARE,
    running_min_pages: int = RUNNING_MIN_PAGES,
    loop_repeats: int = LOOP_REPEATS,
) -> Cleaned:
    """Clean the pages of a book and join them into one text.

    Unicode is repaired; Nougat's page markers, what a loop left behind, and running heads and feet
    go; words and sentences that a page cut in two are joined, and words that lost the space between
    them are parted. LaTeX that does not balance is repaired; other mathematics, tables and code stay as
    they are. Cleaning the text of a single page again changes nothing.

    Args:
        pages: Text of each page in order, "" for one without text; a str is a single page.
        running_share: A line at the top or bottom of at least this share of the pages is a running
            head or foot, digits apart.
        running_min_pages: Fewer pages than this never make a line a running head.
        loop_repeats: A line, or a passage at a page's end, that comes this often in a row is a loop.

    Returns:
        The text, its pages' ends, tags and labels, and what was removed and repaired.
    """
    book = _Book([pages] if isinstance(pages, str) else pages, loop_repeats)
    book.settle_changed([""] * len(book.texts), book.texts)
    labels = book.remove_running_lines(running_share, running_min_pages)
    book.balance()
    book.part_words()
    joined = join_pages(book.texts, book.words_at_first)
    return Cleaned(
        joined.text,
        joined.page_ends,
        tag_pages(book.texts),
        labels,
        tuple(book.loop_lines),
        Removed(**book.removed, footnotes_moved=joined.footnotes_moved),
        Repaired(**book.repaired),
    )


class _Book:
    """The pages of a book at work, and what was done to them."""

    def __init__(self, pages: Sequence[str], loop_repeats: int) -> None:
        self.removed: Counter[str] = Counter()
        self.repaired: Counter[str] = Counter()
        self.loop_lines = [0] * len(pages)
        self._loop_repeats = loop_repeats
        self._sound = [""] * len(pages)  # texts of which repair is known to change nothing
        self.texts = [self._repair(page, text) for page, text in enumerate(pages)]
        self._counted = self.texts  # the pages that the words were counted on
        self._words = Words(self.texts)
        self.words_at_first = self._words.in_lower_case()

    def settle_changed(self, before: Sequence[str], after: Sequence[str]) -> None:
        """Take new texts of the pages, and scrub those that are not what they were and join their lines."""
        pairs = enumerate(zip(before, after, strict=True))
        self.texts = [new if new == old else self._settle(page, new) for page, (old, new) in pairs]

    def remove_running_lines(self, share: float, min_pages: int) -> tuple[str, ...]:
        """Remove running heads and feet, and return the numbers printed on the pages."""
        running = remove_running_lines(self.texts, share, min_pages)
        self.removed["running_lines"] += running.removed
        self.settle_changed(self.texts, running.texts)
        return tuple(running.labels)

    def balance(self) -> None:
        """Repair the LaTeX of all pages."""
        self.texts = [self._balance(page, text) for page, text in enumerate(self.texts)]

    def part_words(self) -> None:
        """Put lost spaces back, each of which may make another certain, until there is none left to find."""
        forms = JoinedForms()
        for _ in range(_MAX_PASSES):
            self._words = self._words.recounted(self._counted, self.texts)
            self._counted = self.texts
            spaced, count = restore_spaces(self.texts, self._words, forms)
            if not count:
                break
            self.removed["lost_spaces"] += count
            self.settle_changed(self.texts, spaced)

    def _settle(self, page: int, text: str) -> str:
        """Scrub a page and join its lines until there is nothing left to change."""
        for _ in range(_MAX_PASSES):
            before = text
            text = self._scrub(page, text)
            text = self._tally(join_lines(text, self.words_at_first), "line_end_hyphens")
            if text == before:
                break
        return text

    def _scrub(self, page: int, text: str) -> str:
        text = self._repair(page, text)
        text = self._tally(remove_markers(text), "page_markers")
        for remove in (remove_repeated_lines, remove_loop_at_end):
            text, count = remove(text, self._loop_repeats)
            self.loop_lines[page] += count
            self.removed["loop_lines"] += count
        return collapse_gaps(text)

    def _repair(self, page: int, text: str) -> str:
        """Repair a page's characters, unless there is nothing to repair in this very text."""
        if text == self._sound[page]:
            return text
        repaired = self._tally(repair(text), "control_characters")
        if repaired == text:
            self._sound[page] = text
        return repaired

    def _balance(self, page: int, text: str) -> str:
        """Repair a page's LaTeX; where that shows something else to clean, clean and repair again."""
        for _ in range(_MAX_PASSES):
            before = text
            text, found = repair_latex(before)
            self.repaired.update(found.counts())
            settled = text if text == before else self._settle(page, text)
            if settled == text:
                break
            text = settled
            self.repaired["openers_left"] -= found.openers_left
        return text

    def _tally(self, result: tuple[str, int], kind: str) -> str:
        text, count = result
        self.removed[kind] += count
        return text
