"""Weighs what the words of a book say of forms that may be two words without the space between them."""

import bisect
import functools
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence, Set

from pagemill.text.cleaning.words import CLOSING, OPENING, Words

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
_MIN_RIVAL_CHARACTERS = _PART_CHARACTERS + _STEM_CHARACTERS + 1  # that rivals share

_AFTER_ALL_LETTERS = "\U0010ffff"
_SIDE_BY_SIDE = re.compile(rf"{OPENING}([^\W\d_]++)[ \n](?=([^\W\d_]++){CLOSING})")


class Evidence:
    """What the words of a book say of two words being one; everything but `alone` is without case.

    `candidates` are the forms that may be two words, with where they can be cut into two that stand alone;
    `pairs` has how often two words stand side by side, of the `telling_pairs` of the candidates.
    """

    def __init__(self, words: Words) -> None:
        self.alone = words.alone
        self.runs = words.runs_without_case
        self.known_alone = {word for word, count in self.alone.items() if count >= _KNOWN_COUNT}
        self.known = {word for word, count in self.runs.items() if count >= _KNOWN_COUNT}
        self.frequent = _frequent_count(words)
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.candidates = self._find_candidates()
        self._compounds_beginning: dict[str, list[str]] = {}
        self._compounds_ending: dict[str, list[str]] = {}
        self._ends = self._find_compounds()
        self._rivals: dict[str, list[str]] = {}
        self._begins_compounds: dict[str, bool] = {}
        self._ends_compounds: dict[str, bool] = {}
        beginnings = {form.casefold()[:_MIN_RIVAL_CHARACTERS] for form in self.candidates}
        self._like_candidates = sorted(form for form in self.runs if form[:_MIN_RIVAL_CHARACTERS] in beginnings)

    def _find_candidates(self) -> dict[str, list[int]]:
        lengths = range(_JOINED_CHARACTERS, _MAX_JOINED_CHARACTERS + 1)
        forms = [form for form, count in self.alone.items() if count == 1 and len(form) in lengths]
        capitals = {word for word, count in self.alone.items() if count < _KNOWN_COUNT and not word.islower()}
        firsts = self.known_alone.union(filter(self._begins_well, capitals))
        found: dict[str, list[int]] = {}
        for form, end in _possible_cuts(forms, firsts, self.known_alone):
            if form[1:].islower() and self._begins_well(form[:end]) and self.runs[form.casefold()] == 1:
                found.setdefault(form, []).append(end)
        return {form: sorted(ends) for form, ends in found.items()}

    def _find_compounds(self) -> dict[str, list[int]]:
        """Return where the forms that the book has more than once can be cut into two known words."""
        forms = [form for form, count in self.runs.items() if count > 1 and len(form) <= _MAX_JOINED_CHARACTERS]
        ends: dict[str, list[int]] = {form: [] for form in forms}
        for form, end in _possible_cuts(forms, self.known, self.known):
            if form[:end] in self.known:
                ends[form].append(end)
                self._compounds_beginning.setdefault(form[:end], []).append(form)
                self._compounds_ending.setdefault(form[end:], []).append(form)
        return ends

    def telling_pairs(self) -> set[tuple[str, str]]:
        """Return the pairs of words that tell whether candidates, and what speaks against them, lack a space."""
        cuts = [(form.casefold(), form, end) for form, ends in self.candidates.items() for end in ends]
        telling = {folded for folded, _, _ in cuts}
        for beginning in {_rivals_beginning(folded, end) for folded, _, end in cuts}:
            telling.update(self._beginning_with(beginning))
        for first in {form[:end].casefold() for _, form, end in cuts}:
            telling.update(self._compounds_beginning.get(first, ()))
        for last in {form[end:].casefold() for _, form, end in cuts}:
            telling.update(self._compounds_ending.get(last, ()))
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

    def is_the_same(self, words: Words, gone: str, come: str) -> bool:
        """Say whether changed words certainly tell the same of every form that is there still.

        So they do if those that changed are well-known as before, or came once and have gone, and if they, and
        the pairs that changed, say nothing of other forms. False says nothing.

        Args:
            words: The words as they are now.
            gone: The passages that have changed, as they were.
            come: The same passages as they are.
        """
        before, after = Words([gone]), Words([come])
        alone = [word for word in before.alone | after.alone if self.alone[word] != words.alone[word]]
        runs = before.runs_without_case | after.runs_without_case
        changed = [form for form in runs if self.runs[form] != words.runs_without_case[form]]
        pairs = _pairs_in(gone), _pairs_in(come)
        cuts = [(form.casefold(), end) for form, ends in self.candidates.items() if words.alone[form] for end in ends]
        beginnings = {beginning for form, end in cuts if (beginning := _rivals_beginning(form, end))}
        return (
            self.frequent == _frequent_count(words)
            and all(self._is_known_as_before(word, words) for word in alone)
            and all(self._says_nothing_of_others(form, words, beginnings) for form in changed)
            and not any(a + b in words.runs_without_case for a, b in (pairs[0] - pairs[1]) | (pairs[1] - pairs[0]))
        )

    def _is_known_as_before(self, word: str, words: Words) -> bool:
        """Say whether a word is gone that came once, or is as well-known and as frequent as it was."""
        count, lower = words.alone[word], word.lower()
        if not count and self.runs[word.casefold()] == 1:
            return True
        if word != lower and lower in self.known_alone and words.alone[lower] >= _KNOWN_COUNT:
            return True
        is_frequent = count >= self.frequent
        return word in self.known_alone and count >= _KNOWN_COUNT and is_frequent == (self.alone[word] >= self.frequent)

    def _says_nothing_of_others(self, form: str, words: Words, beginnings: Set[str]) -> bool:
        """Say whether a form whose count changed was no rival that is gone, and is as much of a compound as before."""
        count = words.runs_without_case[form]
        if not count and self.runs[form] == 1:
            return beginnings.isdisjoint(form[:length] for length in range(_MAX_JOINED_CHARACTERS + _STEM_CHARACTERS))
        if form not in self.known or count < _KNOWN_COUNT:
            return False
        return not self._ends_of(form) or (count > self.runs[form] and self._is_sound(form))

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
            self._begins_compounds[first] = any(map(self._is_sound, self._compounds_beginning.get(first, ())))
        if last not in self._ends_compounds:
            self._ends_compounds[last] = any(map(self._is_sound, self._compounds_ending.get(last, ())))
        return self._begins_compounds[first] or self._ends_compounds[last]

    def _beginning_with(self, beginning: str) -> Sequence[str]:
        return _with_prefix(self._like_candidates, beginning) if beginning else ()

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


def _possible_cuts(forms: Sequence[str], firsts: Iterable[str], lasts: Set[str]) -> list[tuple[str, int]]:
    """Return where forms may be cut in two, in order of neither.

    What follows the cut is one of the last words; what stands before it is as long as one of the first
    words that has the same first letters, so that few cuts are tried.
    """
    lasts = {word for word in lasts if len(word) >= _PART_CHARACTERS}
    lengths: dict[str, set[int]] = {}
    for word in firsts:
        if len(word) > _PART_CHARACTERS:
            lengths.setdefault(word[: _PART_CHARACTERS + 1].lower(), set()).add(len(word))
    short = [(form, _PART_CHARACTERS) for form in forms if form[_PART_CHARACTERS:] in lasts]
    beginning = slice(_PART_CHARACTERS + 1)
    return short + [
        (form, end) for form in forms for end in lengths.get(form[beginning].lower(), ()) if form[end:] in lasts
    ]


def _frequent_count(words: Words) -> int:
    """Return how often a word stands alone at least that is frequent."""
    return math.ceil(max(_FREQUENT_COUNT, _FREQUENT_SHARE * words.alone.total()))


def _rivals_beginning(folded: str, end: int) -> str:
    """Return the letters that a form's rivals begin with; "" if it is too short to have any."""
    length = end + _STEM_CHARACTERS + 1
    return folded[:length] if length <= len(folded) else ""


def _is_long(form: str, end: int) -> bool:
    return len(form) >= _LONG_JOINED_CHARACTERS and min(end, len(form) - end) >= _LONG_PART_CHARACTERS


def _with_prefix(ordered: Sequence[str], prefix: str) -> Sequence[str]:
    return ordered[bisect.bisect_left(ordered, prefix) : bisect.bisect_left(ordered, prefix + _AFTER_ALL_LETTERS)]


def _pairs_in(text: str) -> Counter[tuple[str, str]]:
    """Count the pairs of words side by side in a short text, without case."""
    return Counter((first.casefold(), last.casefold()) for first, last in _SIDE_BY_SIDE.findall(text))
