"""Joins lines and pages where the page cut a word or a sentence in two."""

import bisect
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pagemill.text.cleaning.joints import cuts_word
from pagemill.text.cleaning.passages import arrange
from pagemill.text.cleaning.words import Words
from pagemill.text.mmd.blocks import WHOLE, Layout, Span, parse_layout

SOFT_HYPHEN = "\u00ad"
HYPHENS = ("-", "\u2010")
_ALL_HYPHENS = (*HYPHENS, SOFT_HYPHEN)

_MAX_WORD_CHARACTERS = 64  # how far a cut word is followed to either side
_KNOWN_COUNT = 3  # a word that comes this often is well known to the book
_CONJUNCTIONS = frozenset({"and", "or", "und", "oder", "et", "ou"})
_LETTER = r"[^\W\d_]"
_LAST_WORD = re.compile(rf"(?<!{_LETTER}){_LETTER}++(?:[-\u2010]{_LETTER}++)*+\Z")
_FIRST_WORD = re.compile(rf"{_LETTER}++")
_LINE_BREAK = re.compile(rf"[-\u2010{SOFT_HYPHEN}](?<={_LETTER}.)[ \t]*+\n[ \t]*+(?={_LETTER})")


class Joined(NamedTuple):
    """A book's text, where in it each page ends, and how many footnotes had to move."""

    text: str
    page_ends: tuple[int, ...]
    footnotes_moved: int


def book_words(pages: Iterable[str]) -> Counter[str]:
    """Count the words of a book in lower case, as `Words.in_lower_case` has them."""
    return Words(pages).in_lower_case()


def keeps_hyphen(left: str, right: str, words: Mapping[str, int]) -> bool:
    """Say whether a hyphen at the end of a line belongs to the word.

    Where the book has the word elsewhere, it does as the book mostly does. Otherwise the hyphen
    belongs to the word when what follows is a capital (Anglo-Saxon), when the word has another
    hyphen (state-of-the-art), or when both parts are well-known words of which the first begins
    other compounds (well-meant, after well-known).

    Args:
        left: The word's letters before the hyphen.
        right: The word's letters after the line's end.
        words: The book's own words, as `book_words` gives them.
    """
    first, last = left.casefold().replace("\u2010", "-"), right.casefold()
    joined, hyphenated = words.get(first + last, 0), words.get(f"{first}-{last}", 0)
    if joined or hyphenated:
        return hyphenated > joined
    if "-" in first or not right[0].islower():
        return True
    return bool(words.get(f"{first}-")) and min(words.get(first, 0), words.get(last, 0)) >= _KNOWN_COUNT


def stands_for_rest(left: str, right: str, words: Mapping[str, int]) -> bool:
    """Say whether a hyphen stands for the rest of a word that comes later: "pre- and post-war".

    Args:
        left: The letters before the hyphen.
        right: The next word.
        words: The book's own words, as `book_words` gives them.
    """
    return right.casefold() in _CONJUNCTIONS and not words.get((left + right).casefold())


def join_lines(text: str, words: Mapping[str, int]) -> tuple[str, int]:
    """Join the words that a line's end cuts in two, outside mathematics, tables and code.

    Soft hyphens, which mark nothing but a place to cut, go everywhere in what is not protected.

    Returns:
        The text and how many words were joined.
    """
    if not _may_cut_words(text) or not _LINE_BREAK.search(text):
        return _without_soft_hyphens(text), 0
    layout = parse_layout(text)
    protected = protected_spans(layout)
    starts = {block.start for block in layout.blocks}
    joined, position, count = [], 0, 0
    for cut in _LINE_BREAK.finditer(text):
        if cut.end() in starts or span_around(protected, cut.start()):
            continue
        hyphen = _hyphen_at(text, cut, words)
        joined += [text[position : cut.start()], hyphen]
        position, count = cut.end(), count + (not hyphen.endswith(" "))
    joined.append(text[position:])
    return _without_soft_hyphens("".join(joined)), count


def join_pages(pages: Sequence[str], words: Mapping[str, int]) -> Joined:
    """Join the texts of pages into one.

    A sentence that goes on over the page goes on in the text: with a space, or without one where
    the page cuts a word. Anything else begins a new paragraph. Footnotes, and the figures and tables
    that part a sentence, find their places as `arrange` says.

    Args:
        pages: Texts without white space around them; "" for a page without text.
        words: The book's own words, as `book_words` gives them.

    Returns:
        The text with the ends of its pages; what stands between two pages belongs to the first.
    """
    pieces = list(arrange(pages))
    lengths, texts = [0] * len(pages), []
    for piece, after in itertools.zip_longest(pieces, pieces[1:]):
        goes_on = piece.gap is None and after
        texts.append(_with_joint(piece.text, after.text, words) if goes_on else f"{piece.text}{piece.gap}")
        lengths[piece.page] += len(texts[-1])
    moved = sum(piece.is_moved_note for piece in pieces)
    return Joined("".join(texts), tuple(itertools.accumulate(lengths)), moved)


def protected_spans(layout: Layout) -> list[Span]:
    """Return where a text must stay as it is, in order: mathematics, tables and code."""
    blocks = [Span(block.start, block.end) for block in layout.blocks if block.kind in WHOLE]
    return sorted(blocks + layout.inline_math)


def span_around(spans: Sequence[Span], position: int) -> Span | None:
    """Return the span, of ordered ones that do not overlap, in which a position lies."""
    index = bisect.bisect_right(spans, position, key=lambda span: span.start) - 1
    return spans[index] if index >= 0 and position < spans[index].end else None


def _may_cut_words(text: str) -> bool:
    """Say whether a line ends with a hyphen."""
    return any(line.rstrip(" \t").endswith(_ALL_HYPHENS) for line in text.split("\n"))


def _hyphen_at(text: str, cut: re.Match[str], words: Mapping[str, int]) -> str:
    """Return what takes the place of a hyphen at a line's end and of the line's end."""
    if text[cut.start()] == SOFT_HYPHEN:
        return ""
    left, right = _last_word(text, cut.start()), _first_word(text, cut.end())
    if stands_for_rest(left, right, words):
        return f"{text[cut.start()]} "
    return text[cut.start()] if keeps_hyphen(left, right, words) else ""


def _last_word(text: str, end: int) -> str:
    match = _LAST_WORD.search(text[max(0, end - _MAX_WORD_CHARACTERS) : end])
    return match.group() if match else ""


def _first_word(text: str, position: int = 0) -> str:
    match = _FIRST_WORD.match(text, position, position + _MAX_WORD_CHARACTERS)
    return match.group() if match else ""


def _without_soft_hyphens(text: str) -> str:
    """Drop soft hyphens; at the text's end, where the next page may go on, a plain one stands for it."""
    if text.endswith(SOFT_HYPHEN):
        text = text.rstrip(SOFT_HYPHEN) + "-"
    return text.replace(SOFT_HYPHEN, "")


def _with_joint(before: str, after: str, words: Mapping[str, int]) -> str:
    """Return a text with what stands between it and the one in which its sentence or its word goes on."""
    if cuts_word(before, after):
        left, right = _last_word(before, len(before) - 1), _first_word(after)
        if stands_for_rest(left, right, words):
            return f"{before} "
        return before if keeps_hyphen(left, right, words) else before[:-1]
    return before if _is_unspaced(before[-1]) and _is_unspaced(after[0]) else f"{before} "


def _is_unspaced(character: str) -> bool:
    """Say whether a character belongs to a script that sets no spaces between words: kana and Han."""
    return "\u3040" <= character <= "\u9fff"
