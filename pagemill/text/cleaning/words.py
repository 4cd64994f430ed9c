"""Counts the words of a book, and goes on counting while its pages change.

A text is cut at spaces and line ends first, which is many times faster than finding letters in it: what
stands between two spaces comes many times in a book, and has to be looked at only once.
"""

import bisect
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set

_LETTERS = r"[^\W\d_]++"
_LETTER_RUN = re.compile(_LETTERS)
_WORD = re.compile(rf"{_LETTERS}(?:[-\u2010]{_LETTERS})*+")
# What may stand around a word that is one, and no part of an address, a command or a name in a program.
OPENING = r"(?<![^\s(\[\"'\u201c\u2018\u201e\u00ab*_\u2014\u2013])"
CLOSING = r"(?=[.,;:!?)\]\"'\u201d\u2019\u00bb*_\u2026]*+(?:[\s\u2014\u2013]|\Z))"
_ALONE = re.compile(OPENING + _LETTERS + CLOSING)
# Tokens between spaces that end with the first word of a pair, or begin with the last, and that word.
_FIRST_OF_PAIR = re.compile(rf" (?=[^ ]*+(?<=[^\W\d_]))([^ ]*?{OPENING}({_LETTERS}))(?= )")
_LAST_OF_PAIR = re.compile(rf" (({_LETTERS}){CLOSING}[^ ]*+)")

_MAX_TOKENS = 200_000  # different ones that are held at a time, about 20 MB of them
_SAME_CHARACTERS = 16  # with which a paragraph that has changed begins as it did
_MAX_CHANGED_SHARE = 0.25  # of a book, beyond which all is counted anew


class Words:
    """How often a book has its words, as they are written.

    Attributes:
        runs: Everything made of letters, also within code, but for tokens with a backslash: they are LaTeX.
        alone: Of these, what stands between spaces and punctuation.
        runs_without_case: The same, in lower case.
        with_capitals: How else the book writes words in lower case.
        compounds: Words with hyphens in them; their parts are runs, too.
        mixed: What stands between two spaces and is more than letters, or was so before pages changed;
            each at least once, with spaces between and around.
    """

    def __init__(self, pages: Iterable[str] = ()) -> None:
        self.runs: Counter[str] = Counter()
        self.alone: Counter[str] = Counter()
        self.compounds: Counter[str] = Counter()
        self.runs_without_case: Counter[str] = Counter()
        self.mixed: list[str] = []
        tokens: Counter[str] = Counter()
        for text in pages:
            tokens.update(tokens_of(text))
            if len(tokens) > _MAX_TOKENS:
                self._read(tokens)
                tokens.clear()
        self._read(tokens)
        self.runs_without_case.update(self.runs)
        self.with_capitals: dict[str, list[str]] = {}
        for run in [run for run in self.runs if run != run.casefold()]:
            self.runs_without_case[run.casefold()] += self.runs_without_case.pop(run)
            self.with_capitals.setdefault(run.casefold(), []).append(run)

    def recounted(self, before: Sequence[str], after: Sequence[str]) -> "Words":
        """Return the words of a book some of whose pages have changed.

        Args:
            before: The pages whose words these are.
            after: The same pages as they are now; one that has not changed is best the same object.
        """
        changes = changes_between(before, after)
        if changes is None:
            return Words(after)
        if not changes:
            return self
        gone, come = map(Words, gone_and_come(changes))
        result = Words()
        result.runs = _sum(self.runs, come.runs, gone.runs)
        result.alone = _sum(self.alone, come.alone, gone.alone)
        result.runs_without_case = _sum(self.runs_without_case, come.runs_without_case, gone.runs_without_case)
        result.with_capitals = self.with_capitals | {
            word: [*self.with_capitals.get(word, ()), *forms] for word, forms in come.with_capitals.items()
        }
        result.compounds = _sum(self.compounds, come.compounds, gone.compounds)
        result.mixed = self.mixed + come.mixed
        return result

    def in_lower_case(self) -> Counter[str]:
        """Count words without case, compounds with their hyphens as one word each.

        The first part of a compound counts with its hyphen, too: "well-" comes as often as "well-known",
        "well-being" and others together.
        """
        words = self.runs_without_case.copy()
        for compound, count in self.compounds.items():
            folded = compound.casefold().replace("\u2010", "-")
            parts = folded.split("-")
            for part in parts:
                words[part] -= count
            words[folded] += count
            words[f"{parts[0]}-"] += count
            for part in parts:
                if not words[part]:
                    del words[part]
        return words

    def _read(self, tokens: Mapping[str, int]) -> None:
        """Add the words of tokens, which come so often."""
        plain = {token: count for token, count in tokens.items() if token.isalpha()}
        self.runs.update(plain)
        self.alone.update(plain)
        by_count: dict[int, list[str]] = {}
        for token in itertools.filterfalse(str.isalpha, tokens):
            if "\\" not in token:
                by_count.setdefault(tokens[token], []).append(token)
        for count, same in by_count.items():
            text = " ".join(["", *same, ""])
            self.mixed.append(text)
            words = _WORD.findall(text)
            compounds = [word for word in words if "-" in word or "\u2010" in word]
            others = itertools.filterfalse(set(compounds).__contains__, words)
            _add(self.runs, [*others, *_LETTER_RUN.findall(" ".join(compounds))], count)
            _add(self.alone, _ALONE.findall(text), count)
            _add(self.compounds, compounds, count)


class Pairs:
    """How often a book has pairs of words side by side, of those that somebody asked for."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._wanted: Set[tuple[str, str]] = frozenset()
        self._pages: Sequence[str] = ()

    def count(self, wanted: Set[tuple[str, str]], pages: Sequence[str], words: Words) -> Counter[tuple[str, str]]:
        """Count pairs of words without case; what has been counted and has not changed is not looked at again.

        Args:
            wanted: The pairs.
            pages: The pages of a book.
            words: The words of these pages.
        """
        changes = changes_between(self._pages, pages) if wanted <= self._wanted else None
        if changes is None:
            self._wanted = wanted
            self._counts = _count_pairs(pages, wanted, words)
        elif changes:
            gone, come = gone_and_come(changes)
            self._counts.update(_count_pairs(come, self._wanted, Words(come)))
            self._counts.subtract(_count_pairs(gone, self._wanted, Words(gone)))
        self._pages = pages
        return self._counts


def _count_pairs(pages: Sequence[str], wanted: Set[tuple[str, str]], words: Words) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    if not wanted:
        return counts
    first_of = _forms_of({first for first, _ in wanted}, words, _FIRST_OF_PAIR)
    last_of = _forms_of({last for _, last in wanted}, words, _LAST_OF_PAIR)
    for text in pages:
        tokens = ["", *tokens_of(text)]
        lasts = [index for index, token in enumerate(tokens) if token in last_of]
        pairs = [(first_of[tokens[at - 1]], last_of[tokens[at]]) for at in lasts if tokens[at - 1] in first_of]
        counts.update(filter(wanted.__contains__, pairs))
    return counts


def _forms_of(wanted: Set[str], words: Words, pattern: re.Pattern[str]) -> dict[str, str]:
    """Return the tokens that are a word that is wanted, or as a pattern says have one, with that word without case."""
    forms = {run: word for word in wanted for run in (word, *words.with_capitals.get(word, ()))}
    found = itertools.chain.from_iterable(map(pattern.findall, words.mixed))
    return forms | {token: word for token, part in found if (word := part.casefold()) in wanted}


def changes_between(before: Sequence[str], after: Sequence[str]) -> list[tuple[str, str]] | None:
    """Return what was and what is where pages have changed, in whole tokens; None if that is much of the book."""
    pages = itertools.zip_longest(before, after, fillvalue="")
    changes = [change for old, new in pages if old is not new for change in _changed_paragraphs(old, new)]
    is_much = sum(len(old) + len(new) for old, new in changes) > _MAX_CHANGED_SHARE * sum(map(len, after))
    return None if is_much else changes


def gone_and_come(changes: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Return what was and what is, each as a page that has nothing else."""
    return ["\n\n".join(old for old, _ in changes)], ["\n\n".join(new for _, new in changes)]


def _changed_paragraphs(old: str, new: str) -> list[tuple[str, str]]:
    """Return where paragraphs differ; no two words stand side by side across an empty line."""
    was, now = Counter(old.split("\n\n")), Counter(new.split("\n\n"))
    gone: dict[str, list[str]] = {}
    for text in (was - now).elements():
        gone.setdefault(text[:_SAME_CHARACTERS], []).append(text)
    changes = []
    for text in (now - was).elements():
        same_beginning = gone.get(text[:_SAME_CHARACTERS])
        changes.append(_change(same_beginning.pop() if same_beginning else "", text))
    return changes + [(text, "") for texts in gone.values() for text in texts]


def tokens_of(text: str) -> list[str]:
    """Cut a text at every space and line end; two in a row leave "" between them."""
    return text.replace("\n", " ").split(" ")


def _add(words: Counter[str], found: Iterable[str], count: int) -> None:
    if count == 1:
        words.update(found)
        return
    for word, times in Counter(found).items():
        words[word] += times * count


def _sum(words: Counter[str], come: Mapping[str, int], gone: Mapping[str, int]) -> Counter[str]:
    result = words.copy()
    result.update(come)
    for word, count in gone.items():
        result[word] -= count
        if not result[word]:
            del result[word]
    return result


def _change(old: str, new: str) -> tuple[str, str]:
    """Return where two texts differ, in whole tokens and one more to either side."""
    shorter = min(len(old), len(new))
    start = bisect.bisect_right(range(1, shorter + 1), False, key=lambda length: old[:length] != new[:length])
    limit = shorter - start
    tail = bisect.bisect_right(range(1, limit + 1), False, key=lambda length: old[-length:] != new[-length:])
    start, tail = _before_token(old, start), len(old) - _after_token(old, len(old) - tail)
    return old[start : len(old) - tail], new[start : len(new) - tail]


def _before_token(text: str, position: int) -> int:
    """Return where the token before that of a position begins."""
    for _ in range(2):
        position = max(text.rfind(" ", 0, position), text.rfind("\n", 0, position), 0)
    return position


def _after_token(text: str, position: int) -> int:
    """Return where the token after that of a position ends."""
    for _ in range(2):
        ends = [end for end in (text.find(" ", position), text.find("\n", position)) if end >= 0]
        position = min(ends, default=len(text)) + 1
    return min(position - 1, len(text))
