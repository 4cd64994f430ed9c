"""Whether a deck really says what a model quotes: quotes are looked up, however they are spaced and hyphenated."""

import dataclasses
import enum
import re
import unicodedata
from collections.abc import Iterable

from pagemill.decks.records import Record, TextSource
from pagemill.decks.visual import SlideAnalysis

MIN_QUOTE_CHARACTERS = 3
SHORT_QUOTE_CHARACTERS = 12  # a quote as short as this could stand within other words: it has to be words of its own
_DASHES = re.compile("[\u00ad\u2010-\u2015\u2212-]")
_BULLETS = re.compile("[\u2022\u2023\u25aa\u25b6\u25cb\u25cf\u25e6\u2043]")
_EDGES = " \t\n\"'.,;:\u2018\u2019\u201c\u201d\u201e\u2026\u00ab\u00bb"
_SAME = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u2026": "..."})


class Flag(enum.StrEnum):
    """What is wrong with a value that a model gave: the closed list."""

    UNSUPPORTED = "unsupported"  # the deck does not have these words
    NO_QUOTE = "no_quote"
    OTHER_SLIDE = "other_slide"  # the deck has these words, on another slide than the model said
    NO_SUCH_SLIDE = "no_such_slide"
    ONLY_DESCRIBED = "only_described"  # only the vision model says that the slide has these words
    MISMATCH = "mismatch"  # the quoted words say something else
    UNREADABLE = "unreadable"  # the value, or the quote, is not a date or amount that code can read
    UNCITED = "uncited"


class Support(Record):
    """Where the deck says what was quoted."""

    slide: int | None = None  # None: nowhere
    source: TextSource = TextSource.NONE
    flags: tuple[Flag, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class _Squeezed:
    """A text without spaces and hyphens, and where in it words begin or end."""

    text: str
    edges: frozenset[int]

    @classmethod
    def of(cls, text: str) -> "_Squeezed":
        plain = unicodedata.normalize("NFKC", _DASHES.sub("-", _BULLETS.sub(" ", text))).casefold().translate(_SAME)
        kept: list[str] = []
        edges = {0}
        for before, character in zip(" " + plain, plain, strict=False):
            if not (before.isalnum() and character.isalnum()):
                edges.add(len(kept))
            if not character.isspace() and character != "-":
                kept.append(character)
        return cls("".join(kept), frozenset(edges | {len(kept)}))

    def has(self, quote: "_Squeezed") -> bool:
        begin = self.text.find(quote.text)
        while begin >= 0:
            end = begin + len(quote.text)
            if len(quote.text) > SHORT_QUOTE_CHARACTERS or (begin in self.edges and end in self.edges):
                return True
            begin = self.text.find(quote.text, begin + 1)
        return False


class DeckWords:
    """The words of a deck, slide by slide, to look quotes up in."""

    def __init__(self, rows: Iterable[SlideAnalysis]) -> None:
        self._sources: dict[int, list[tuple[TextSource, _Squeezed]]] = {}
        for row in rows:
            described = described_words(row)
            sources = [(row.slide.source, row.slide.text), (TextSource.DESCRIPTION, described)]
            self._sources[row.slide.number] = [(source, _Squeezed.of(text)) for source, text in sources if text]

    def has_slide(self, number: int) -> bool:
        """Say whether the deck has a slide of this number."""
        return number in self._sources

    def support(self, quote: str | None, slide: int | None) -> Support:
        """Return where the deck has these words: on the slide that was named, else on the first that has them."""
        wanted = _Squeezed.of((quote or "").strip(_EDGES))
        flags: tuple[Flag, ...] = () if slide is None or self.has_slide(slide) else (Flag.NO_SUCH_SLIDE,)
        if len(wanted.text) < MIN_QUOTE_CHARACTERS:
            return Support(flags=(*flags, Flag.NO_QUOTE))
        places = [
            (source is TextSource.DESCRIPTION, number != slide, number, source)
            for number, sources in self._sources.items()
            for source, words in sources
            if words.has(wanted)
        ]
        if not places:
            return Support(flags=(*flags, Flag.UNSUPPORTED))
        only_described, elsewhere, number, source = min(places)  # the slide's own words, on the slide that was named
        flags += (Flag.OTHER_SLIDE,) * elsewhere + (Flag.ONLY_DESCRIBED,) * only_described
        return Support(slide=number, source=source, flags=flags)


def described_words(row: SlideAnalysis) -> str:
    """Return the words that the vision model says are on a slide; not its own words on pictures and layout."""
    if row.description is None:
        return ""
    description = row.description
    labels = [
        " ".join((chart.title, chart.unit, *(point.label for point in chart.points))) for chart in description.charts
    ]
    return "\n".join([description.title, description.text, *labels])


def contains(text: str, words: str) -> bool:
    """Say whether a text has these words, however they are spaced and hyphenated."""
    wanted = _Squeezed.of(words.strip(_EDGES))
    return bool(wanted.text) and _Squeezed.of(text).has(wanted)
