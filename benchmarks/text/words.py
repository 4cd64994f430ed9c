"""English prose by chance: the words of Python's own documentation in an order that it might have, and coined words."""

import functools
import itertools
import pydoc_data.topics
import random
import re
import sysconfig
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

COINED_SHARE = 0.05  # of a document's words: names and terms that no other document has
COINED_WORDS = 900
TOPIC_SHARE = 0.08  # of a document's words: those that it is about

_LEFT_OUT = frozenset({"test", "tests", "idlelib", "lib2to3", "site-packages", "turtledemo", "pydoc_data", "encodings"})
_DOCSTRING = re.compile(r'"""(.*?)"""', re.DOTALL)
_COMMENT = re.compile(r"(?:^[ \t]*# .*\n){2,}", re.MULTILINE)
_WORD = re.compile(
    r"(?<![\w.`'\"/@<\\-])(?:[A-Z]?[a-z]+(?:-[a-z]+|'(?:s|t|re|ll|ve))?|[aAI])(?![\w`'\"(/=@>\\-]|\.\w)[.,;:!?]?"
)
_PROSE_SHARE = 0.75  # of a paragraph's words that are plain ones, lest code is taken for prose
_MIN_WORDS = 6
_SYLLABLE = re.compile(r"[^aeiou]*[aeiou]+")
_CAPITALIZED_SHARE = 0.4  # of coined words: names
_ACCENTED_SHARE = 0.4  # of names, where they have the letter
_ACCENTS = (("e", "\u00e9"), ("o", "\u00f6"), ("u", "\u00fc"), ("a", "\u00e1"), ("c", "\u00e7"), ("n", "\u00f1"))


@functools.cache
def documentation() -> str:
    """Return the prose of Python's documentation, a line a paragraph: language reference, docstrings, comments."""
    library = Path(sysconfig.get_path("stdlib"))
    texts = list(pydoc_data.topics.topics.values())
    for path in sorted(library.rglob("*.py")):
        if not _LEFT_OUT & set(path.relative_to(library).parts):
            source = path.read_text(encoding="utf-8", errors="replace")
            texts += _DOCSTRING.findall(source)
            texts += (comment.replace("#", " ") for comment in _COMMENT.findall(source))
    paragraphs = (paragraph for text in texts for paragraph in re.split(r"\n\s*\n", text))
    return "\n\n".join(prose for paragraph in paragraphs if (prose := _prose(paragraph)))


def _prose(paragraph: str) -> str:
    """Return the words of a paragraph with their punctuation; "" when it is no prose."""
    if ">>>" in paragraph or "::=" in paragraph:
        return ""
    words = _WORD.findall(paragraph)
    return " ".join(words) if len(words) >= max(_MIN_WORDS, _PROSE_SHARE * len(paragraph.split())) else ""


class Language:
    """What the documentation tells of English: which word follows which, and how often a word comes."""

    def __init__(self) -> None:
        followers: dict[str, list[str]] = {}
        counts: Counter[str] = Counter()
        for paragraph in documentation().split("\n\n"):
            words = [_bare(word) for word in paragraph.split()]
            counts.update(words)
            for word, following in itertools.pairwise(words):
                followers.setdefault(word, []).append(following)
        self.followers = {word: tuple(following) for word, following in followers.items()}
        self.words = [word for word, _ in counts.most_common()]
        self.content_words = [word for word in self.words[100:] if len(word) > 3 and word.isalpha()]


@functools.cache
def language() -> Language:
    """Return what the documentation tells, read once."""
    return Language()


def _bare(word: str) -> str:
    stripped = word.rstrip(".,;:!?")
    return stripped if stripped == "I" else stripped.lower()


class Prose:
    """Writes the sentences of one document.

    Each word follows the one before as in Python's documentation. A share of them is replaced by the
    document's own: topic words, and coined ones in Zipf's proportions, of which some are names.
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.topics = chance.sample(language().content_words, 40)
        self.coined = [self._coin() for _ in range(COINED_WORDS)]
        self.coined_weights = list(itertools.accumulate(rank**-0.8 for rank in range(1, COINED_WORDS + 1)))
        self.apostrophe = "\u2019" if chance.random() < 0.5 else "'"
        self.last = "the"

    def words(self, count: int) -> list[str]:
        """Return so many words in lower case, names apart."""
        chance, followers, starts = self.chance.random, language().followers, language().words
        found, word = [], self.last
        for _ in range(count):
            following = followers.get(word)
            word = following[int(chance() * len(following))] if following else starts[int(chance() ** 3 * len(starts))]
            draw = chance()
            if draw < COINED_SHARE:
                found.append(self.name_or_term())
            elif draw < COINED_SHARE + TOPIC_SHARE and len(word) > 4:
                found.append(self.topics[int(chance() ** 2 * len(self.topics))])
            else:
                found.append(word.replace("'", self.apostrophe))
        self.last = word
        return found

    def sentence(self, insertions: Sequence[str] = ()) -> str:
        """Return a sentence of 5 to 60 words, around 20, with insertions such as formulas somewhere in it."""
        words = self.words(min(60, max(5, round(self.chance.lognormvariate(2.95, 0.45)))))
        for place in range(self.chance.randint(7, 14), len(words) - 3, 11):
            words[place] += self.chance.choice([",", ",", ",", ";"])
        for insertion in insertions:
            words.insert(self.chance.randint(1, len(words) - 1), insertion)
        words[0] = words[0][0].upper() + words[0][1:]
        return " ".join(words) + self.chance.choices([".", "?", "!"], [97, 2, 1])[0]

    def title(self, least: int = 1, most: int = 6) -> str:
        """Return a title of a few words."""
        words = [word for word in self.words(self.chance.randint(least, most) * 2) if len(word) > 2]
        return " ".join(words[: max(least, len(words) // 2)] or ["remarks"]).capitalize()

    def name_or_term(self) -> str:
        """Return one of the document's coined words."""
        return self.chance.choices(self.coined, cum_weights=self.coined_weights)[0]

    def name(self) -> str:
        """Return a surname."""
        return self.name_or_term().capitalize()

    def _coin(self) -> str:
        """Blend the syllables of two words: "recursive" and "dictionary" may give "recurnary"."""
        first, last = self.chance.sample(language().content_words, 2)
        head, tail = _SYLLABLE.findall(first)[:2], last[_middle(last) :]
        word = "".join(head) + tail
        if self.chance.random() >= _CAPITALIZED_SHARE:
            return word
        plain, accented = self.chance.choice(_ACCENTS)
        return (
            word.replace(plain, accented, 1).capitalize()
            if self.chance.random() < _ACCENTED_SHARE
            else word.capitalize()
        )


def _middle(word: str) -> int:
    """Return where a word's last two syllables begin."""
    starts = [match.start() for match in _SYLLABLE.finditer(word)]
    return starts[-2] if len(starts) > 1 else 0
