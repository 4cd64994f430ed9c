"""Puts back spaces that were lost between two words, where the book itself shows that two were meant.

No dictionary is asked: what a word is, in any language, the book says by using it. A form that the
book has once only, such as "ofthe" or "hypothesisstipulates", is taken apart if both its parts are
words that stand on their own in the book, and the book either has them side by side elsewhere, or
is a book that does not write such parts as one word ("railway", "Regenwetter").
"""

import bisect
import functools
import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from pagemill.text.cleaning.joining import HYPHENS, protected_spans, span_around
from pagemill.text.cleaning.words import CLOSING, OPENING, Pairs, Words
from pagemill.text.mmd.blocks import parse_layout

# Chosen on eleven books in English, German, French and Dutch from which one space of a hundred between
# letters was taken at random. Three English books that had no part in the choice then gave a precision
# of 0.992 and a recall of 0.20; whole, they get 7 wrong spaces in 278,000 words.
_KNOWN_COUNT = 3  # a word that stands alone this often is well known to the book
_PART_CHARACTERS = 2
_JOINED_CHARACTERS = 5
_MAX_JOINED_CHARACTERS = 64
_PAIR_COUNT = 3  # side by side elsewhere this often, two words are meant to be two
_COMPOUNDING_PAIR_COUNT = 8  # the same if one of the two is also part of compounds
_LOST_SPACE_RATIO = 3  # this much rarer than its parts side by side, a known form is no compound either
_FREQUENT_SHARE = 0.005  # of all words: "the", "of", "which"
_FREQUENT_COUNT = 20  # in a short text, shares say little
_FREQUENT_CHARACTERS = 3
_BESIDE_FREQUENT_CHARACTERS = 5
_LONG_PART_CHARACTERS = 5
_LONG_JOINED_CHARACTERS = 12
_COMPOUND_CHARACTERS = 10
_COMPOUND_PART_CHARACTERS = 4
_MAX_COMPOUND_SHARE = 0.05  # of a book's long words; English books have 0.02 to 0.07, German ones 0.1
_MIN_LONG_WORDS = 50  # fewer say nothing of how a book writes compounds
_STEM_CHARACTERS = 2  # what a form may share with another word beyond its first part

_LETTERS = r"[^\W\d_]++"
_WORD = re.compile(OPENING + _LETTERS + CLOSING)
_AFTER_ALL_LETTERS = "\U0010ffff"
_FEW_FORMS = 40  # so many are looked for faster one by one than by finding all words of a page


def restore_spaces(
    pages: Sequence[str], words: Words | None = None, pairs: Pairs | None = None
) -> tuple[list[str], int]:
    """Put back the spaces that were lost between two words of a book.

    Mathematics, tables, code, addresses, and words with capitals within them stay as they are, and
    so does a form that the book has twice. Only spaces are added. The time is linear in the length
    of the text, but for the sorting of the book's words.

    Args:
        pages: The pages of a book in order; the words of all of them say what is a word.
        words: The words of these pages, if they have been counted already.
        pairs: The pairs of words that were counted when spaces were put into these pages before.

    Returns:
        The pages and how many spaces were put back. A page without any is the same object.
    """
    ends = find_joined(pages, words, pairs)
    if not ends:
        return list(pages), 0
    restored, count, follows_cut = [], 0, False
    for text in pages:
        spaced = _with_spaces(text, ends, follows_cut)
        restored.append(spaced)
        count += len(spaced) - len(text)
        follows_cut = text.endswith(HYPHENS)
    return restored, count


def find_joined(pages: Sequence[str], words: Words | None = None, pairs: Pairs | None = None) -> dict[str, int]:
    """Return the forms that are two words, with the length of the first.

    Args:
        pages: The pages of a book.
        words: The words of these pages, if they have been counted already.
        pairs: What has been counted of pairs in these pages, as they are or as they were.
    """
    words = words or Words(pages)
    book = _Book(words)
    book.pairs = (pairs or Pairs()).count(book.telling_pairs(), pages, words)
    found = ((form, book.end_of_first_word(form)) for form in book.candidates)
    return {form: end for form, end in found if end}


class _Book:
    """What the words of a book say of two words being one; everything but `alone` is without case.

    `candidates` are the forms that may be two words, with where they can be cut into two that stand alone;
    `pairs` has how often two words stand side by side, of the `telling_pairs` of the candidates.
    """

    def __init__(self, words: Words) -> None:
        self.alone = words.alone
        self.runs = words.runs_without_case
        self.known_alone = {word for word, count in self.alone.items() if count >= _KNOWN_COUNT}
        self.known = {word for word, count in self.runs.items() if count >= _KNOWN_COUNT}
        self.frequent = max(_FREQUENT_COUNT, _FREQUENT_SHARE * self.alone.total())
        self.pairs: Counter[tuple[str, str]] = Counter()
        self._ends: dict[str, list[int]] = {}
        self._rivals: dict[str, list[str]] = {}
        self._begins_compounds: dict[str, bool] = {}
        self._ends_compounds: dict[str, bool] = {}
        self.candidates = self._find_candidates()
        folded = [form.casefold() for form in self.candidates]
        firsts = {form[:_PART_CHARACTERS] for form in folded}
        lasts = {form[-_PART_CHARACTERS:] for form in folded}
        # all forms, in order, that have the first letters or the last ones of a candidate, the latter mirrored
        self._with_first_letters = sorted(form for form in self.runs if form[:_PART_CHARACTERS] in firsts)
        self._with_last_letters = sorted(form[::-1] for form in self.runs if form[-_PART_CHARACTERS:] in lasts)

    def _find_candidates(self) -> dict[str, list[int]]:
        known, lengths = self.known_alone, range(_JOINED_CHARACTERS, _MAX_JOINED_CHARACTERS + 1)
        cuts = [
            (form, end)
            for form, count in self.alone.items()
            if count == 1 and len(form) in lengths and form[1:].islower()
            for end in range(_PART_CHARACTERS, len(form) - _PART_CHARACTERS + 1)
            if form[end:] in known
        ]
        found: dict[str, list[int]] = {}
        for form, end in cuts:
            if self._begins_well(form[:end]) and self.runs[form.casefold()] == 1:
                found.setdefault(form, []).append(end)
        return found

    def telling_pairs(self) -> set[tuple[str, str]]:
        """Return the pairs of words that tell whether candidates, and what speaks against them, lack a space."""
        cuts = [(form.casefold(), form, end) for form, ends in self.candidates.items() for end in ends]
        telling = {folded for folded, _, _ in cuts}
        for beginning in {_rivals_beginning(folded, end) for folded, _, end in cuts}:
            telling.update(self._beginning_with(beginning))
        for first in {form[:end].casefold() for _, form, end in cuts}:
            telling.update(self._compounds_beginning(first))
        for last in {form[end:].casefold() for _, form, end in cuts}:
            telling.update(self._compounds_ending(last))
        if any(len(ends) == 1 and form.islower() and _is_long(form, ends[0]) for form, ends in self.candidates.items()):
            telling.update(self._long_forms)
        pairs: set[tuple[str, str]] = set()
        for form in telling:
            needed = _LOST_SPACE_RATIO * self.runs[form]
            parts = ((form[:end], form[end:]) for end in self._ends_of(form))
            pairs.update((first, last) for first, last in parts if self.runs[first] >= needed <= self.runs[last])
        return pairs

    def end_of_first_word(self, form: str) -> int:
        """Return where in a candidate a space is missing, 0 for nowhere."""
        ends = self.candidates[form]
        possible = [end for end in ends if not self._has_rival(form, end)]
        pairs = {end: self._pairs_at(form, end) for end in possible if self._are_often_two(form, end)}
        if pairs:
            best, *others = sorted(pairs, key=pairs.__getitem__, reverse=True)
            return 0 if others and pairs[best] < _LOST_SPACE_RATIO * pairs[others[0]] else best
        return ends[0] if len(ends) == len(possible) == 1 and self._cannot_be_one(form, ends[0]) else 0

    def _begins_well(self, first: str) -> bool:
        """Say whether a first part stands alone often enough, its capital apart."""
        if first in self.known_alone:
            return True
        return not first.islower() and self.alone[first] + self.alone[first.lower()] >= _KNOWN_COUNT

    def _has_rival(self, form: str, end: int) -> bool:
        """Say whether another form shares more with a form than its first part and a stem's end."""
        folded = form.casefold()
        beginning = _rivals_beginning(folded, end)
        if beginning not in self._rivals:
            sound = filter(self._is_sound, self._beginning_with(beginning))
            self._rivals[beginning] = list(itertools.islice(sound, 2))  # the form itself may be one
        return any(rival != folded for rival in self._rivals[beginning])

    def _makes_compounds(self, form: str, end: int) -> bool:
        """Say whether a known compound begins or ends as a form does."""
        first, last = form[:end].casefold(), form[end:].casefold()
        if first not in self._begins_compounds:
            self._begins_compounds[first] = any(map(self._is_sound, self._compounds_beginning(first)))
        if last not in self._ends_compounds:
            self._ends_compounds[last] = any(map(self._is_sound, self._compounds_ending(last)))
        return self._begins_compounds[first] or self._ends_compounds[last]

    def _beginning_with(self, beginning: str) -> Sequence[str]:
        return _with_prefix(self._with_first_letters, beginning) if beginning else ()

    def _compounds_beginning(self, first: str) -> list[str]:
        forms = _with_prefix(self._with_first_letters, first) if first in self.known else ()
        return [form for form in forms if self._is_cut(form, len(first))]

    def _compounds_ending(self, last: str) -> list[str]:
        mirrored = _with_prefix(self._with_last_letters, last[::-1]) if last in self.known else ()
        forms = (form[::-1] for form in mirrored)
        return [form for form in forms if self._is_cut(form, len(form) - len(last))]

    def _is_cut(self, form: str, end: int) -> bool:
        """Say whether a form that the book has more than once can be cut there into two known words."""
        return (
            form[:end] in self.known
            and form[end:] in self.known
            and self.runs[form] > 1
            and _PART_CHARACTERS <= end <= len(form) - _PART_CHARACTERS
            and len(form) <= _MAX_JOINED_CHARACTERS
        )

    def _are_often_two(self, form: str, end: int) -> bool:
        needed = _COMPOUNDING_PAIR_COUNT if self._makes_compounds(form, end) else _PAIR_COUNT
        return self._pairs_at(form, end) >= needed

    def _cannot_be_one(self, form: str, end: int) -> bool:
        """Say whether two known words that the book never has side by side are no compound."""
        if not form.islower() or self._makes_compounds(form, end):
            return False
        first, last = form[:end], form[end:]
        if self._is_frequent(first, beside=last) or self._is_frequent(last, beside=first):
            return True
        return _is_long(form, end) and self._compound_share < _MAX_COMPOUND_SHARE

    def _is_frequent(self, word: str, beside: str) -> bool:
        is_long_enough = len(word) >= _FREQUENT_CHARACTERS and len(beside) >= _BESIDE_FREQUENT_CHARACTERS
        return is_long_enough and self.alone[word] >= self.frequent

    def _pairs_at(self, form: str, end: int) -> int:
        return self.pairs[form[:end].casefold(), form[end:].casefold()]

    def _is_sound(self, form: str) -> bool:
        """Say whether a form, however often it comes, is no slip: not so rare beside its parts side by side."""
        needed = _LOST_SPACE_RATIO * self.runs[form]
        return not any(self._pairs_at(form, end) >= needed for end in self._ends_of(form))

    def _ends_of(self, form: str) -> list[int]:
        """Return where a form can be cut into two known words."""
        if form not in self._ends:
            ends = range(_PART_CHARACTERS, len(form) - _PART_CHARACTERS + 1)
            is_short = len(form) <= _MAX_JOINED_CHARACTERS
            self._ends[form] = [
                end for end in ends if is_short and form[end:] in self.known and form[:end] in self.known
            ]
        return self._ends[form]

    @functools.cached_property
    def _long_forms(self) -> list[str]:
        return [form for form, count in self.runs.items() if count > 1 and len(form) >= _COMPOUND_CHARACTERS]

    @functools.cached_property
    def _compound_share(self) -> float:
        """The share of compounds among the long words that the book has more than once."""
        words = [form for form in self._long_forms if self._is_sound(form)]
        shortest = ((min(end, len(form) - end) for end in self._ends_of(form)) for form in words)
        compounds = sum(any(length >= _COMPOUND_PART_CHARACTERS for length in lengths) for lengths in shortest)
        return compounds / len(words) if len(words) >= _MIN_LONG_WORDS else 1.0


def _with_spaces(text: str, ends: Mapping[str, int], follows_cut: bool) -> str:
    """Return a page with a space in every joined form outside what is protected.

    A word that the page before cut in two begins with its second half, which is no form.
    """
    if not _may_have(text, ends):
        return text
    found = [
        match for match in _WORD.finditer(text) if match.group() in ends and not (follows_cut and not match.start())
    ]
    if not found:
        return text
    protected = protected_spans(parse_layout(text))
    pieces, position = [], 0
    for match in found:
        if not span_around(protected, match.start()):
            cut = match.start() + ends[match.group()]
            pieces.append(text[position:cut])
            position = cut
    return " ".join([*pieces, text[position:]])


def _may_have(text: str, forms: Mapping[str, int]) -> bool:
    """Say whether a page may have one of some forms."""
    if len(forms) <= _FEW_FORMS:
        return any(form in text for form in forms)
    return not forms.keys().isdisjoint(_WORD.findall(text))


def _rivals_beginning(folded: str, end: int) -> str:
    """Return the letters that a form's rivals begin with; "" if it is too short to have any."""
    length = end + _STEM_CHARACTERS + 1
    return folded[:length] if length <= len(folded) else ""


def _is_long(form: str, end: int) -> bool:
    return len(form) >= _LONG_JOINED_CHARACTERS and min(end, len(form) - end) >= _LONG_PART_CHARACTERS


def _with_prefix(ordered: Sequence[str], prefix: str) -> Sequence[str]:
    return ordered[bisect.bisect_left(ordered, prefix) : bisect.bisect_left(ordered, prefix + _AFTER_ALL_LETTERS)]
