"""How far what was read on a page agrees with the PDF's own text of it."""

import re
import unicodedata
from collections.abc import Sequence

from rapidfuzz.distance import Indel

from pagemill.pages.document import GOOD_PRINTABLE_SHARE, printable_share

# A right page scores 0.9 and more, 0.8 with three words of ten misread, 0.65 where half the layer stands in figures;
# another page of the same book 0.3 (of a hundred, 95 stay below 0.44), a page whose last two thirds loop 0.35.
LOW_AGREEMENT_BELOW = 0.5

MIN_LETTERS = 60  # about ten words; fewer agree or disagree by chance
MIN_WORD_LETTERS = 4  # shorter ones are on every page, or stand for themselves in a formula
MAX_CHARACTERS = 20_000  # twice a dense page; bounds the time, which grows with the square
CHANCE = 0.5  # what letters of two pages of one language have in common: 0.41, seldom more than 0.47

_LETTER = r"[^\W\d_]"
_ACCENT = re.compile(rf"\\(?:[\"'`^~=.]|[vcuHkr](?=\{{))\{{?({_LETTER})\}}?")  # LaTeX's, such as \"{o}
_MARKUP = re.compile(
    r"\[MISSING_PAGE[^\]\n]*\]"  # Nougat's mark for what it could not read
    r"|\]\([^\s)]*\)"  # the address of a Markdown link, which its text repeats
    r"|\\(?:begin|end)\{[a-z]+\*?\}"
    r"|\\[A-Za-z]+"
    r"|[\U0001d400-\U0001d7ff]+"  # letters of formulas in a text layer
)
_HYPHEN = re.compile(rf"(?<={_LETTER})[-\u00ad\u2010\u2011](?:[ \t\r]*\n\s*)?(?={_LETTER})")
_WORD = re.compile(rf"{_LETTER}+")


def agreement(text: str, text_layer: str) -> float | None:
    """Return how far what was read agrees with the page's text layer, from 0.0 to 1.0.

    The greater of two measures, both Dice's coefficient: of the words, whatever their order, because
    columns, notes and heads may come in another; and of the letters in their order, less what any two
    pages share, because some text layers have no spaces. Case, ligatures, accents, line breaks, hyphens,
    Markdown, LaTeX commands and short words do not count, and so a formula's symbols do not: a text
    layer has them loose and in an order of its own. What was not read counts as much as what was made up.

    Args:
        text: Markdown of the page, as Nougat writes it.
        text_layer: The PDF's own text of the page.

    Returns:
        None where the text layer is no good judge: it has too few words, or its letters cannot be told.
    """
    text, text_layer = text[:MAX_CHARACTERS], text_layer[:MAX_CHARACTERS]
    if printable_share(text_layer) < GOOD_PRINTABLE_SHARE:
        return None
    read, expected = _words(text), _words(text_layer)
    if sum(map(len, _long(expected))) < MIN_LETTERS:
        return None
    of_words = Indel.normalized_similarity(sorted(_long(read)), sorted(_long(expected)))
    of_letters = Indel.normalized_similarity("".join(read), "".join(expected))
    return max(of_words, (of_letters - CHANCE) / (1 - CHANCE))


def _words(text: str) -> list[str]:
    """Return the words of a text in small letters, without markup, accents and hyphens."""
    plain = _MARKUP.sub(" ", _ACCENT.sub(r"\1", text))
    letters = (c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
    return _WORD.findall(_HYPHEN.sub("", "".join(letters).casefold()))


def _long(words: Sequence[str]) -> list[str]:
    return [word for word in words if len(word) >= MIN_WORD_LETTERS]
