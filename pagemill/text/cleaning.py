"""Cleans what OCR read of a book and joins its pages into one text."""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from pagemill.text.heads import RUNNING_MIN_PAGES, RUNNING_SHARE, remove_running_lines
from pagemill.text.joining import book_words, join_lines, join_pages
from pagemill.text.latex import Repaired, repair_latex
from pagemill.text.loops import LOOP_REPEATS, remove_loop_at_end, remove_repeated_lines
from pagemill.text.scrubbing import collapse_gaps, remove_markers, repair
from pagemill.text.spaces import restore_spaces
from pagemill.text.tagging import tag_pages

_MAX_PASSES = 10  # one changes the text, the next finds nothing left to change; more are rare


@dataclasses.dataclass(frozen=True, slots=True)
class Removed:
    """How much cleaning took out, and put back, by kind."""

    control_characters: int = 0
    page_markers: int = 0
    loop_lines: int = 0
    running_lines: int = 0
    line_end_hyphens: int = 0  # words that a line's end had cut, joined again
    lost_spaces: int = 0  # put back between two words


@dataclasses.dataclass(frozen=True, slots=True)
class Cleaned:
    """A book's text with, for each page that went in, where it ends and what it is.

    `text[page_ends[i - 1] : page_ends[i]]` is page i; what separates it from the next belongs to it.
    """

    text: str
    page_ends: tuple[int, ...]
    page_tags: tuple[str, ...]
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
        The text, its pages' ends and tags, and what was removed and repaired.
    """
    removed: Counter[str] = Counter()
    texts = [_tally(repair(text), "control_characters", removed) for text in _as_pages(pages)]
    words = book_words(texts)
    texts = [_settle(text, words, loop_repeats, removed) for text in texts]
    with_heads = texts
    texts, removed["running_lines"] = remove_running_lines(texts, running_share, running_min_pages)
    texts = [
        new if new == old else _settle(new, words, loop_repeats, removed)
        for old, new in zip(with_heads, texts, strict=True)
    ]
    repaired: Counter[str] = Counter()
    texts = [_balance(text, words, loop_repeats, removed, repaired) for text in texts]
    texts = _part_words(texts, words, loop_repeats, removed)
    text, page_ends = join_pages(texts, words)
    return Cleaned(text, page_ends, tag_pages(texts), Removed(**removed), Repaired(**repaired))


def _as_pages(pages: str | Sequence[str]) -> Sequence[str]:
    return [pages] if isinstance(pages, str) else pages


def _settle(text: str, words: Mapping[str, int], loop_repeats: int, removed: Counter[str]) -> str:
    """Scrub a page and join its lines until there is nothing left to change."""
    for _ in range(_MAX_PASSES):
        before = text
        text = _scrub(text, loop_repeats, removed)
        text = _tally(join_lines(text, words), "line_end_hyphens", removed)
        if text == before:
            break
    return text


def _balance(
    text: str, words: Mapping[str, int], loop_repeats: int, removed: Counter[str], repaired: Counter[str]
) -> str:
    """Repair a page's LaTeX; where that shows something else to clean, clean and repair again."""
    for _ in range(_MAX_PASSES):
        before = text
        text, found = repair_latex(before)
        repaired.update(dataclasses.asdict(found))
        settled = text if text == before else _settle(text, words, loop_repeats, removed)
        if settled == text:
            break
        text = settled
        repaired["openers_left"] -= found.openers_left
    return text


def _part_words(texts: list[str], words: Mapping[str, int], loop_repeats: int, removed: Counter[str]) -> list[str]:
    """Put lost spaces back, each of which may make another certain, until there is none left to find."""
    for _ in range(_MAX_PASSES):
        spaced, count = restore_spaces(texts)
        if not count:
            break
        removed["lost_spaces"] += count
        texts = [
            new if new == old else _settle(new, words, loop_repeats, removed)
            for old, new in zip(texts, spaced, strict=True)
        ]
    return texts


def _scrub(text: str, loop_repeats: int, removed: Counter[str]) -> str:
    text = _tally(repair(text), "control_characters", removed)
    text = _tally(remove_markers(text), "page_markers", removed)
    text = _tally(remove_repeated_lines(text, loop_repeats), "loop_lines", removed)
    text = _tally(remove_loop_at_end(text, loop_repeats), "loop_lines", removed)
    return collapse_gaps(text)


def _tally(result: tuple[str, int], kind: str, removed: Counter[str]) -> str:
    text, count = result
    removed[kind] += count
    return text
