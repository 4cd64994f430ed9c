"""Finds the numbers printed on a book's pages: those that count on from page to page."""

import bisect
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

WINDOW_PAGES = 8  # how far to either side pages bear witness for one another

_MIN_SEQUENCE_PAGES = 3
_MIN_UNLIKE_PAGES = 5  # that bear a number beside words, if the words are not the same
_MIN_SPREADS = 5
_MAX_MISREAD_CHARACTERS = 6
_MAX_NUMERAL_CHARACTERS = 24  # with what stands around it
_NUMERAL = r"(?P<numeral>(?:[A-Z]{1,2}[-\u2013.])?\d{1,4}|[ivxlcdm]{1,8}|[IVXLCDM]{1,8})"
_PAGE_WORD = r"(?i:page|pag|pg|p|seite|s|página)"
_ALONE = re.compile(
    rf"[\W_]*+(?:{_PAGE_WORD}\b[\W_]*+)?{_NUMERAL}(?:\s*+(?:/|(?i:of|von|de|sur|di)\s)\s*+\d{{1,4}})?[\W_]*+"
)
# A number next to a word: parted from it by a space or a bar, or, if the space was lost, by nothing.
_AT_START = re.compile(rf"[\W_]*+{_NUMERAL}(?:(?=[\s|])|(?<=\d)(?=[^\W\d_]{{2}}))")
_AT_END = re.compile(rf"(?:(?<=[\s|])|(?<=[^\W\d_][^\W\d_])(?=\d)|(?<=[^\W\d_]\.)(?=\d)){_NUMERAL}[\W_]*+\Z")
_PREFIX = re.compile(r"\D+")
_ROMAN_VALUES = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100, "d": 500, "m": 1000}
_ROMAN_SIGNS = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"),
    (50, "l"), (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip
_LOOKALIKES = str.maketrans("OoQlI|!iZzSsBGbgq", "00011111225586699")


class Numeral(NamedTuple):
    """A number as it is printed; numerals of one series count together: "12", "xii", "XII" and "A-12" do not."""

    series: str
    value: int
    printed: str


class Sighting(NamedTuple):
    """A numeral on a line at a page's edge: the index that the caller has for the line, and where on a page it is."""

    page: int
    line: int
    place: int
    numeral: Numeral
    words: str  # that stand on the line with it
    step: int = 1  # by which the pages count: 2 where each shows two pages of a book

    @property
    def sequence(self) -> tuple[str, int]:
        """What it has in common with the numerals of other pages that count on with it."""
        return self.numeral.series, self.numeral.value - self.step * self.page


def lone_numeral(line: str) -> Numeral | None:
    """Return the number that a line has and no words with it: "12", "- xii -", "Page 3 of 9"."""
    match = _ALONE.fullmatch(line)
    return _read(match["numeral"]) if match else None


def numerals_beside_words(line: str) -> list[Numeral]:
    """Return the numbers with which a line begins and ends."""
    found = [
        match and _read(match["numeral"])
        for match in (_AT_START.match(line), _AT_END.search(line, max(0, len(line) - _MAX_NUMERAL_CHARACTERS)))
    ]
    return [numeral for numeral in found if numeral]


def find_sequences(sightings: Sequence[Sighting], min_pages: int) -> "Sequences":
    """Find how pages are numbered: one by one, or, where that numbers more of them, two by two.

    Args:
        sightings: Numerals in order of their pages.
        min_pages: So many pages, none further than `WINDOW_PAGES` from the one in the middle, make a sequence.
    """
    single = Sequences(sightings, max(min_pages, _MIN_SEQUENCE_PAGES))
    if 2 * len(single.printed) > len({sighting.page for sighting in sightings}):
        return single
    spreads = [sighting._replace(step=2) for sighting in sightings if not sighting.numeral.series]
    double = Sequences(spreads, max(min_pages, _MIN_SPREADS))
    return double if len(double.printed) > len(single.printed) else single


class Sequences:
    """The numerals at pages' edges that count on from page to page.

    `printed` has for each page the one that numbers it; `again` are those that repeat it, in a place where
    they do so on other pages; `others` are those that number anything else. Where two
    sequences run side by side, as when a book has a poem a page and numbers both, the Arabic one
    numbers the pages, or else the longer one.
    """

    def __init__(self, sightings: Sequence[Sighting], min_pages: int) -> None:
        self._pages: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        for sighting in sightings:
            pages = self._pages[sighting.sequence]
            if not pages or pages[-1] != sighting.page:
                pages.append(sighting.page)
        words = Counter((sighting.sequence, sighting.words) for sighting in sightings)
        likely = [sighting for sighting in sightings if self._support(sighting) >= min_pages]
        members = [
            sighting
            for sighting in likely
            if not sighting.words
            or words[sighting.sequence, sighting.words] > 1
            or self._support(sighting) >= _MIN_UNLIKE_PAGES
        ]
        self._places = Counter((sighting.sequence, sighting.place) for sighting in members)
        beaten = self._beaten(members)
        self.printed: dict[int, Sighting] = {}
        for sighting in sorted(members, key=self._weight):
            if sighting.sequence not in beaten:
                self.printed[sighting.page] = sighting
        own = {(page, sighting.sequence) for page, sighting in self.printed.items()}
        self.others = [sighting for sighting in members if (sighting.page, sighting.sequence) not in own]
        repeated = [sighting for sighting in members if self._places[sighting.sequence, sighting.place] >= min_pages]
        self.again = [sighting for sighting in repeated if (sighting.page, sighting.sequence) in own]
        self._numbered = sorted(self.printed)

    def misread(self, page: int, place: int, word: str) -> str:
        """Return a page's number, as the pages around it let expect, if a word can be a misreading of it, else ""."""
        if not word or len(word) > _MAX_MISREAD_CHARACTERS:
            return ""
        expected = self._expected(page, place)
        likely = word.translate(_LOOKALIKES) == expected
        near = len(expected) > 1 and word[:1].isdigit() and Levenshtein.distance(word, expected) == 1
        return expected if likely or near else ""

    def _expected(self, page: int, place: int) -> str:
        """Return the Arabic number that pages before and after, which have it in the same place, agree on, else ""."""
        index = bisect.bisect_left(self._numbered, page)
        around = [self.printed[other] for other in self._numbered[max(0, index - 1) : index + 1]]
        near = [other for other in around if abs(other.page - page) <= WINDOW_PAGES]
        counts = {(other.place, other.sequence) for other in near}
        if len(counts) != 1 or near[0].place != place or near[0].numeral.series:
            return ""
        return str(near[0].numeral.value + near[0].step * (page - near[0].page))

    def _beaten(self, members: Iterable[Sighting]) -> set[tuple[str, int]]:
        """Return the sequences that number something else, as on most of their pages another one weighs more."""
        lost: Counter[tuple[str, int]] = Counter()
        by_page = itertools.groupby(members, key=lambda sighting: sighting.page)
        for _, sightings in by_page:
            *others, best = sorted(sightings, key=self._weight)
            lost.update({other.sequence for other in others} - {best.sequence})
            lost.subtract({best.sequence})
        return {sequence for sequence, count in lost.items() if count > 0}

    def _support(self, sighting: Sighting) -> int:
        """Count the pages around that bear a numeral of the same sequence."""
        pages, page = self._pages[sighting.sequence], sighting.page
        return bisect.bisect_right(pages, page + WINDOW_PAGES) - bisect.bisect_left(pages, page - WINDOW_PAGES)

    def _weight(self, sighting: Sighting) -> tuple[bool, int, int, bool, int]:
        length = len(self._pages[sighting.sequence])
        in_place = self._places[sighting.sequence, sighting.place]
        return not sighting.numeral.series, length, in_place, not sighting.words, sighting.line


def _read(printed: str) -> Numeral | None:
    """Return what a number counts, None for letters that are no Roman number."""
    if printed[-1].isdigit():
        series = _PREFIX.match(printed)
        digits = printed[series.end() :] if series else printed
        return Numeral(series[0] if series else "", int(digits), printed)
    small = printed.lower()
    value = _roman_value(small)
    return Numeral("i" if printed == small else "I", value, printed) if _roman(value) == small else None


def _roman_value(small: str) -> int:
    values = [_ROMAN_VALUES[sign] for sign in small]
    following = [*values[1:], 0]
    return sum(value if value >= after else -value for value, after in zip(values, following, strict=True))


def _roman(value: int) -> str:
    signs = []
    for worth, sign in _ROMAN_SIGNS:
        signs.append(sign * (value // worth))
        value %= worth
    return "".join(signs)
