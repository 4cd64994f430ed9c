"""Takes running heads and feet and printed page numbers off the pages of a book, by their recurrence."""

import bisect
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import NamedTuple

from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from pagemill.text.cleaning.page_numbers import (
    WINDOW_PAGES,
    Numeral,
    Sequences,
    Sighting,
    find_sequences,
    lone_numeral,
    numerals_beside_words,
)

RUNNING_SHARE = 0.25  # of the pages on which a running head must recur
RUNNING_MIN_PAGES = 3

_EDGE_LINES = 2  # at a page's top and bottom: a running head and a page number, each on its line
_TOP, _BOTTOM = 0, 1
_MAX_HEAD_CHARACTERS = 120
_EDGE_CHARACTERS = _EDGE_LINES * (_MAX_HEAD_CHARACTERS + 4)
_MIN_RUN_PAGES = 5  # on which a chapter's head must recur, on every page or on every other one
_MIN_TITLED_RUN_PAGES = 3  # if a heading has said the same before
_MAX_RUN_GAP = 2  # one page in a row may lack it
_WITHIN_SHARE = 0.25  # of lines that stand within pages, against those at the edges
_MIN_ALIKE_LETTERS = 6
_MIN_LONG_LETTERS = 12
_MIN_LONG_SIMILARITY = 0.85
_MIN_SIMILARITY = 0.8  # of a head's letters: one in five may be misread
_MAX_ABOVE_NUMBER_CHARACTERS = 60
_RULES = " -\u2013\u2014|[]*_~."  # that may stand around a page's number
_LETTER = re.compile(r"[^\W\d_]")
_DIGITS = re.compile(r"\d+")
_NOT_LETTERS = re.compile(r"[\W\d_]+")
_LINES = re.compile(r"[^\n]*\S[^\n]*")
_HEADINGS = re.compile(r"^#{1,6}[ \t]([^\n]*)", re.MULTILINE)
_DIVISION = re.compile(
    r"[\W_]*+(?:chapter|chap|part|section|book|kapitel|teil|abschnitt|chapitre|partie|cap[ií]tulo)\b"
    r"[\W_]*+(?:\d+|[ivxlcdm]+\b)",
    re.IGNORECASE,
)


class RunningLines(NamedTuple):
    """What is left of a book's pages without their running heads and feet.

    `labels` has for each page the number printed on it, as it is printed ("xiv", "62", "A-3"), "" where
    none was found.
    """

    texts: list[str]
    removed: int
    labels: list[str]


class _Line(NamedTuple):
    """A line at a page's top or bottom.

    `depth` is 0 for the outermost; `key` is what the line shares with the same head on other pages: its
    letters without case and space, a heading's the whole line; `number` is the number alone on it.
    """

    page: int
    edge: int
    depth: int
    start: int
    end: int
    text: str
    key: str
    number: Numeral | None


def remove_running_lines(
    pages: Sequence[str], share: float = RUNNING_SHARE, min_pages: int = RUNNING_MIN_PAGES
) -> RunningLines:
    """Remove running heads and feet and page numbers, of which one may stand above the other.

    A line at a page's edge is one when a number in it counts on from page to page, when its letters
    recur on a share of all pages, or on the pages, or every other page, of a chapter, or when they are
    nearly those of such a line on a page nearby. Headings must recur to the letter. The first of a
    heading stays, and so does the first of a chapter's heads, unless it bears the page's number or a
    heading has said the same before: it is the real one. No page loses the only words it has.

    Args:
        pages: Texts without white space around them; "" for a page without text.
        share: A line on at least this share of the pages is a running head wherever they lie.
        min_pages: Fewer pages than this never make a line a running head.
    """
    lines = [line for page, text in enumerate(pages) if text for line in _edge_lines(page, text)]
    heads = _Heads(pages, lines, find_sequences(list(_sightings(lines)), min_pages))
    heads.find_recurring(max(min_pages, share * sum(map(bool, pages))))
    heads.find_in_chapters(min_pages)
    heads.find_alike()
    heads.find_above_numbers()
    heads.find_misread_numbers()
    return heads.removed()


def _edge_lines(page: int, text: str) -> Iterator[_Line]:
    """Yield the lines at a page's edges, from the outside inwards, that can be running heads or feet."""
    tops = itertools.islice(_LINES.finditer(text, 0, _EDGE_CHARACTERS), _EDGE_LINES)
    bottoms = reversed(list(_LINES.finditer(text, max(0, len(text) - _EDGE_CHARACTERS)))[-_EDGE_LINES:])
    for edge, matches in ((_TOP, tops), (_BOTTOM, bottoms)):
        for depth, match in enumerate(matches):
            start, end = match.span()
            is_whole = (not start or text[start - 1] == "\n") and text[end : end + 1] in ("", "\n")
            line = match.group().strip()
            if not is_whole or len(line) > _MAX_HEAD_CHARACTERS or "\\" in line or "```" in line:
                break
            number = None if line.startswith("#") else lone_numeral(line)
            yield _Line(page, edge, depth, start, end, line, _key(line), number)


def _key(line: str) -> str:
    if line.startswith("#"):
        return line
    return line.casefold() if _DIVISION.fullmatch(line) else _letters(line)


def _letters(line: str) -> str:
    return _NOT_LETTERS.sub("", line).casefold()


def _sightings(lines: Iterable[_Line]) -> Iterator[Sighting]:
    """Yield the numbers on lines that are no headings: chapters count on, too."""
    for index, line in enumerate(lines):
        if line.number:
            yield Sighting(line.page, index, _place(line), line.number, "")
        elif not line.key.startswith("#") and not _DIVISION.fullmatch(line.text):
            for numeral in numerals_beside_words(line.text):
                yield Sighting(line.page, index, _place(line), numeral, line.key)


def _place(line: _Line) -> int:
    return line.edge * _EDGE_LINES + line.depth


class _Heads:
    """Finds the running lines among the lines at pages' edges: indices go to `found`, page numbers to `labels`."""

    def __init__(self, pages: Sequence[str], lines: list[_Line], numbers: Sequences) -> None:
        self.pages = pages
        self.lines = lines
        self.numbers = numbers
        self.labels = {each.line: each.numeral.printed for each in numbers.printed.values()}
        self.found = {*self.labels, *(sighting.line for sighting in numbers.again)}
        others = {each.line for each in numbers.others}  # a line that counts anything but pages is no running head
        self.groups = _group_alike(lines, frozenset(others - self.found))
        self._titles: dict[str, int] | None = None  # page of the first heading with these words
        self._counts: Counter[str] | None = None  # lines of all pages

    def find_recurring(self, min_pages: float) -> None:
        """Find the lines that recur on many pages of the book, wherever they lie."""
        for indices in self._groups(min_pages):
            if len({self.lines[index].page for index in indices}) >= min_pages:
                self.found.update(indices[1:] if self._begins_otherwise(indices) else indices)

    def find_in_chapters(self, min_pages: int) -> None:
        """Find the lines that recur on the pages, or on every other page, of a part of the book."""
        for indices in self._groups(max(min_pages, _MIN_TITLED_RUN_PAGES)):
            if _is_prose(self.lines[indices[0]].text):
                continue
            for run in self._runs(indices):
                has_title = self._has_title(self.lines[run[0]])
                if len(run) >= max(min_pages, _MIN_TITLED_RUN_PAGES if has_title else _MIN_RUN_PAGES):
                    self.found.update(run[1:] if run[0] == indices[0] and not has_title else run)

    def _groups(self, min_count: float) -> Iterator[list[int]]:
        """Yield lines of the same words, in order, that may be running lines and are not all known as such."""
        for indices in self.groups:
            if len(indices) >= min_count and not self.found.issuperset(indices) and not self._stand_within(indices):
                uncounted = self._uncounted(indices)
                if len(uncounted) >= min_count:
                    yield uncounted

    def _stand_within(self, indices: Sequence[int]) -> bool:
        """Say whether lines stand within pages too, as a refrain or the name of a person of a play does."""
        if self._counts is None:
            self._counts = Counter(line for text in self.pages for line in text.split("\n"))
        at_edges = {(self.lines[index].page, self.lines[index].start) for index in indices}
        within = sum(self._counts[text] for text in {self.lines[index].text for index in indices}) - len(at_edges)
        return within > 1 and within >= _WITHIN_SHARE * len(at_edges)

    def _uncounted(self, indices: list[int]) -> list[int]:
        """Return lines without those whose number counts anything but pages, as in "Letter 4", "Letter 5"."""
        numbers = {index: _DIGITS.findall(self.lines[index].text) for index in indices}
        often = Counter(map(tuple, numbers.values()))
        counted = {
            each for each in indices if each not in self.found and often[tuple(numbers[each])] == 1 and numbers[each]
        }
        return [each for each in indices if each not in counted] if 2 * len(counted) > len(indices) else indices

    def _begins_otherwise(self, indices: Sequence[int]) -> bool:
        """Say whether the first of recurring lines is a heading, or a title in capitals or not when others are."""
        first, *others = (self.lines[index].text for index in indices)
        return first.startswith("#") or 2 * sum(other.isupper() == first.isupper() for other in others) < len(others)

    def _runs(self, indices: Sequence[int]) -> Iterator[list[int]]:
        """Yield which lines lie near one another: on pages one after the other, or on left or right pages alone."""
        every = list(self._chains(indices, 1))
        yield from every
        for side in (0, 1):
            own = [index for index in indices if self.lines[index].page % 2 == side]
            others = [self.lines[index].page for index in indices if self.lines[index].page % 2 != side]
            for chain in self._chains(own, 2):
                first, last = self.lines[chain[0]].page, self.lines[chain[-1]].page
                if bisect.bisect(others, last) - bisect.bisect(others, first) <= 1:
                    yield chain

    def _chains(self, indices: Sequence[int], step: int) -> Iterator[list[int]]:
        chain: list[int] = []
        for index in indices:
            if chain and self.lines[index].page - self.lines[chain[-1]].page > _MAX_RUN_GAP * step:
                yield chain
                chain = []
            chain.append(index)
        if chain:
            yield chain

    def _has_title(self, line: _Line) -> bool:
        """Say whether a heading on a line's page or one before it has the same words, but for a chapter's number."""
        if self._titles is None:
            self._titles = {}
            for index, text in enumerate(self.pages):
                for title in _HEADINGS.findall(text) if "#" in text else ():
                    self._titles.setdefault(_letters(title), index)
                    self._titles.setdefault(_letters(_DIVISION.sub("", title, count=1)), index)
        return not line.key.startswith("#") and self._titles.get(line.key, line.page + 1) <= line.page

    def find_alike(self) -> None:
        """Find the lines whose letters are those of a running line nearby, but for a few that were misread."""
        known: tuple[list[_Line], list[_Line]] = ([], [])
        for index in sorted(self.found):
            if len(self.lines[index].key) >= _MIN_ALIKE_LETTERS:
                known[self.lines[index].edge].append(self.lines[index])
        for index, line in enumerate(self.lines):
            if index in self.found or line.key.startswith("#") or len(line.key) < _MIN_ALIKE_LETTERS:
                continue
            heads = known[line.edge]
            first = bisect.bisect_left(heads, line.page - WINDOW_PAGES, key=_page_of)
            last = bisect.bisect_right(heads, line.page + WINDOW_PAGES, key=_page_of)
            alike = next((head for head in heads[first:last] if _is_alike(head.key, line.key)), None)
            if alike and (alike.page < line.page or self._has_title(alike._replace(page=line.page))):
                self.found.add(index)

    def find_above_numbers(self) -> None:
        """Find the words above a page's number at a page's top: nothing but a head stands there."""
        for index, line in enumerate(self.lines):
            if line.depth and line.edge == _TOP and line.number and index in self.labels:
                above = self.lines[index - 1].text
                if len(above) <= _MAX_ABOVE_NUMBER_CHARACTERS and not above.startswith("#") and above[-1] not in ".,;:":
                    self.found.add(index - 1)

    def find_misread_numbers(self) -> None:
        """Find what can be a misreading of a page's number, alone or in a running line."""
        for index, line in enumerate(self.lines):
            words = line.text.strip(_RULES).split() if line.page not in self.numbers.printed else []
            if len(words) == 1 or index in self.found:
                label = next(
                    filter(None, (self.numbers.misread(line.page, _place(line), word) for word in words)),
                    "",
                )
                if label:
                    self.labels[index] = label
                    self.found.add(index)

    def removed(self) -> RunningLines:
        """Take the lines that were found off their pages, from the outside inwards."""
        texts, labels, count = list(self.pages), [""] * len(self.pages), 0
        for page, indices in itertools.groupby(sorted(self.found), key=lambda index: self.lines[index].page):
            taken: dict[int, _Line] = {}  # by where they start: a page of one line has it at top and bottom
            edges = set()
            for index in sorted(indices, key=lambda index: self.lines[index].depth):
                line = self.lines[index]
                if line.start not in taken and (line.depth == 0 or line.edge in edges or index in self.labels):
                    rest = _without(self.pages[page], [*taken.values(), line])
                    if _has_words(line.text) and not _has_words(rest):
                        continue
                    texts[page], taken[line.start] = rest, line
                edges.add(line.edge)
                labels[page] = labels[page] or self.labels.get(index, "")
            count += len(taken)
        return RunningLines(texts, count, labels)


def _is_prose(line: str) -> bool:
    """Say whether a line ends as a sentence does and most of its words are no title's."""
    words = line.split()
    return line[-1] in ".,;:!?" and 2 * sum(word[0].islower() for word in words) > len(words)


def _group_alike(lines: Sequence[_Line], left_out: Set[int]) -> list[list[int]]:
    """Return the indices of lines of equal words, long ones with those nearby that were misread in a few letters."""
    groups: dict[tuple[int, str], list[int]] = {}
    recent: tuple[dict[str, int], dict[str, int]] = ({}, {})  # long lines at each edge, with their latest page
    for index, line in enumerate(lines):
        if not line.key or line.number or index in left_out:
            continue
        key = line.key
        if len(key) >= _MIN_LONG_LETTERS and line.depth == 0 and key[0] != "#":
            key = _latest_alike(line, recent[line.edge]) if (line.edge, key) not in groups else key
            recent[line.edge].pop(key, None)
            recent[line.edge][key] = line.page
        groups.setdefault((line.edge, key), []).append(index)
    return list(groups.values())


def _latest_alike(line: _Line, recent: dict[str, int]) -> str:
    """Return the key nearly equal to a line's on a page not far before, else the line's own."""
    while recent and next(iter(recent.values())) < line.page - WINDOW_PAGES:
        del recent[next(iter(recent))]
    if _is_prose(line.text):
        return line.key
    match = process.extractOne(
        line.key, recent.keys(), scorer=Levenshtein.normalized_similarity, score_cutoff=_MIN_LONG_SIMILARITY
    )
    return str(match[0]) if match else line.key


def _page_of(line: _Line) -> int:
    return line.page


def _is_alike(key: str, other: str) -> bool:
    return key == other or Levenshtein.normalized_similarity(key, other, score_cutoff=_MIN_SIMILARITY) > 0


def _without(text: str, lines: Iterable[_Line]) -> str:
    """Return a page without some of its lines."""
    kept, position = [], 0
    for line in sorted(lines, key=lambda line: line.start):
        kept.append(text[position : line.start].strip())
        position = line.end
    return "\n\n".join(filter(None, [*kept, text[position:].strip()]))


def _has_words(text: str) -> bool:
    """Say whether a text has more than headings and numbers."""
    lines = text.split("\n")
    return any(not line.startswith("#") and _LETTER.search(line) and not lone_numeral(line) for line in lines)
