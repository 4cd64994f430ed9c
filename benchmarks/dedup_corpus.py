"""Books made by chance, seeded: editions of one another in known ways, and others that share only their subject."""

import dataclasses
import functools
import itertools
import random
from collections.abc import Callable

BOOK_WORDS = 8000
PARAGRAPH_WORDS = 80
PAGE_WORDS = 400
VOCABULARY = 20_000
STOCK_PHRASES = 3000  # that books on the subject have in common
STOCK_SHARE = 0.15
BOILERPLATE_WORDS = 400  # a licence at the end of every book

Paragraphs = list[list[str]]


@dataclasses.dataclass(frozen=True, slots=True)
class Book:
    """A text, what was done to get it, and from which book; an original has itself."""

    text: str
    kind: str
    original: int


class Subject:
    """What books on a subject share: words, phrases, and a publisher's boilerplate."""

    def __init__(self, seed: int) -> None:
        self.chooser = random.Random(seed)
        syllables = [first + vowel for first in "bcdfghjklmnprstvw" for vowel in "aeiou"]
        spellings = itertools.product(syllables, repeat=3)
        self.words = ["".join(parts) for parts in self.chooser.sample(list(spellings), VOCABULARY)]
        self.phrases = [self.choose_words(4) for _ in range(STOCK_PHRASES)]
        self.boilerplate = self.choose_words(BOILERPLATE_WORDS)

    def choose_words(self, count: int) -> list[str]:
        """Return words, the first of the vocabulary the most often, by Zipf's law."""
        ranks = (int(VOCABULARY ** self.chooser.random()) - 1 for _ in range(count))
        return [self.words[rank] for rank in ranks]

    def write(self, words: int = BOOK_WORDS) -> Paragraphs:
        """Return a new text in paragraphs."""
        return [self.write_paragraph() for _ in range(words // PARAGRAPH_WORDS)]

    def write_paragraph(self) -> list[str]:
        """Return a paragraph, partly of phrases that others use too."""
        paragraph: list[str] = []
        while len(paragraph) < PARAGRAPH_WORDS:
            stock = self.chooser.random() < STOCK_SHARE / 4 / (STOCK_SHARE / 4 + 1 - STOCK_SHARE)
            paragraph += self.chooser.choice(self.phrases) if stock else self.choose_words(1)
        return paragraph

    def change_words(self, book: Paragraphs, share: float) -> Paragraphs:
        """Return an edition with a share of the words replaced."""
        return [
            [self.choose_words(1)[0] if self.chooser.random() < share else word for word in paragraph]
            for paragraph in book
        ]

    def misread(self, book: Paragraphs, share: float) -> Paragraphs:
        """Return a reading with a share of the characters wrong."""
        return [[self._misread_word(word, share) for word in paragraph] for paragraph in book]

    def _misread_word(self, word: str, share: float) -> str:
        letters = (self.chooser.choice("acemnorsuvl1") if self.chooser.random() < share else each for each in word)
        return "".join(letters)

    def cut(self, book: Paragraphs, share: float) -> Paragraphs:
        """Return an edition without a share of the paragraphs."""
        return [paragraph for paragraph in book if self.chooser.random() >= share]

    def add(self, book: Paragraphs, share: float) -> Paragraphs:
        """Return an edition with a share of new paragraphs among the old."""
        added = ([self.write_paragraph()] if self.chooser.random() < share else [] for _ in book)
        return [each for paragraph, new in zip(book, added, strict=True) for each in (paragraph, *new)]

    def reset(self, book: Paragraphs) -> str:
        """Return the same text set anew: other line ends, hyphens there, ligatures, quotes, capitals in headings."""
        lines = []
        for paragraph in book:
            words = [
                f"{word[:4]}-\n{word[4:]}" if self.chooser.random() < 0.08 else word
                for word in (paragraph[0].upper(), *paragraph[1:])
            ]
            lines.append("\u201c" + " ".join(words).replace("fi", "\ufb01") + ".\u201d")
        return "\n\n".join(lines)


def printed(book: Paragraphs) -> str:
    """Return a text as it is printed plainly."""
    return "\n\n".join(" ".join(paragraph).capitalize() + "." for paragraph in book)


def make_books(originals: int, seed: int) -> list[Book]:
    """Return originals, then their editions, one of each kind a book; all end with the same boilerplate."""
    subject = Subject(seed)
    books = [subject.write() for _ in range(originals)]
    end = " ".join(subject.boilerplate)
    kinds: dict[str, Callable[[Paragraphs], str]] = {
        "set anew": subject.reset,
        "other front matter": lambda book: printed([*subject.write(400), *book]),
        "10 % of the paragraphs removed": lambda book: printed(subject.cut(book, 0.1)),
        "30 % of the paragraphs removed": lambda book: printed(subject.cut(book, 0.3)),
        "30 % of paragraphs added": lambda book: printed(subject.add(book, 0.3)),
    }
    for percent in (0.2, 0.5, 1.0, 2.0):
        kinds[f"{percent:g} % of the characters misread"] = functools.partial(_misread, subject, percent / 100)
    for percent in (1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0):
        kinds[f"{percent:g} % of the words changed"] = functools.partial(_changed, subject, percent / 100)
    made = [Book(f"{printed(book)}\n\n{end}", "original", index) for index, book in enumerate(books)]
    made += (
        Book(f"{make(book)}\n\n{end}", kind, index) for kind, make in kinds.items() for index, book in enumerate(books)
    )
    return made


def _misread(subject: Subject, share: float, book: Paragraphs) -> str:
    return printed(subject.misread(book, share))


def _changed(subject: Subject, share: float, book: Paragraphs) -> str:
    return printed(subject.change_words(book, share))


def make_pages(count: int, twice: int, seed: int) -> tuple[list[str], list[int]]:
    """Return the pages of a book, some of them twice, and for each the index of the one that it repeats, or -1.

    One page in ten is a table with the head that all tables have, one is of an index; the others are prose. Of those
    that come twice both readings have wrong words: 0, 1, 2, 3 % of them, in turn. The second comes right after the
    first, or some pages later.
    """
    subject = Subject(seed)
    doubled = dict(zip(sorted(subject.chooser.sample(range(count), twice)), itertools.cycle(range(4)), strict=False))
    texts: list[str] = []
    repeated: list[int] = []
    waiting: list[tuple[list[str], int]] = []
    for number in range(count):
        page = _page(subject, number)
        share = doubled.get(number, 0) / 100
        texts.append(" ".join(subject.change_words([page], share)[0]))
        repeated.append(-1)
        if number in doubled:
            waiting.append((subject.change_words([page], share)[0], len(texts) - 1))
        if waiting and subject.chooser.random() < 0.3:
            for words, original in waiting:
                texts.append(" ".join(words))
                repeated.append(original)
            waiting.clear()
    return texts, repeated


def _page(subject: Subject, number: int) -> list[str]:
    chooser = subject.chooser
    if number % 10 == 3:
        head = r"\begin{tabular}{l r r r} Number & Sine & Cosine & Tangent \\"
        return [head, *(str(chooser.randrange(100_000)) for _ in range(PAGE_WORDS // 2))]
    if number % 10 == 7:
        entries = sorted(subject.choose_words(PAGE_WORDS // 2))
        return [each for entry in entries for each in (f"{entry},", str(chooser.randrange(1, 400)))]
    return [word for _ in range(PAGE_WORDS // PARAGRAPH_WORDS) for word in subject.write_paragraph()]
