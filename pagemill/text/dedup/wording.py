r"""What a text says, apart from how it is set and how well it was read: its words, and runs of them as numbers."""

import re
import string
import unicodedata
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SHINGLE_WORDS = 3

# All of these meet text in small letters. A formula reaches to the next delimiter, so that one that is left open costs
# no more than its own length.
_INSIDE = r"(?:[^\\]++|\\[^()\[\]])*+"
_LATEX = re.compile(
    rf"\\\((?P<inline>{_INSIDE})\\\)"
    rf"|\\\[(?P<display>{_INSIDE})\\\]"
    r"|\\(?:begin|end)\{[a-z]{1,20}\*?\}(?:\[[^\[\]\n]{0,9}\])?(?:\{[^{}\n]{0,200}\})?"
    r"|\\[a-z]++"
    r"|\\."
    r"|\[missing_page_[a-z]{1,9}(?::\d{1,9})?\]",
    re.DOTALL,
)
# What says how a formula looks, not what it says: two readings of a page differ in it.
_LOOKS = re.compile(
    r"\\(?:[hv]space\*?|label)\{[^{}]{0,80}\}"
    r"|\\(?:(?:math|text)[a-z]*|mbox|hbox|operatorname|bm|boldsymbol|rm|bf|it|cal|displaystyle|scriptstyle|left|right"
    r"|middle|bigg?[lrm]?|limits|nolimits|quad|qquad|tag|nonumber|notag)(?![a-z])"
    r"|[^\w\\]++|[\\_]"
)

_ASCII_MARKS = {ord(mark): "-" for mark in "\u00ad\u2010\u2011"} | {ord(mark): "'" for mark in "\u2018\u2019\u02bc"}
_FOREIGN = re.compile(r"[^\x00-\x7f]+")
_MAX_REMEMBERED = 8
_ACCENTS = re.compile(r"[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u064b-\u065f\u0670]+")

# Scripts without spaces between words: Thai to Tibetan, Burmese, Khmer, kana, Han. Each character counts as a word.
_UNSPACED = (
    r"\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\uf900-\ufaff\U00020000-\U0003ffff"
)
_INDIC = r"\u0900-\u0963\u0966-\u0dff"  # vowel signs are part of words there, though they are no letters
_FOREIGN_MARKS = re.compile(rf"[^\w\x00-\x7f{_UNSPACED}{_INDIC}]+")
_UNSPACED_RUN = re.compile(rf"[{_UNSPACED}]+")
_PARTING = bytes(range(128)).translate(None, string.ascii_letters.encode() + string.digits.encode())
_TO_SPACES = bytes.maketrans(_PARTING, b" " * len(_PARTING))


def words_of(text: str) -> list[bytes]:
    r"""Return the words of a text, in UTF-8, as far as two readings of the same edition have them in common.

    Case, accents, ligatures, punctuation and line ends do not count, nor does LaTeX outside formulas, nor the marks
    of missing pages. A hyphen within a word goes, at a line's end too ("to-day", "today"), and so does an apostrophe.
    Digits stay: two yearbooks may differ in nothing else. A formula is one word, of its letters, its digits and the
    names of its commands apart from those of style: what is misread in it costs one word only, and still a text of
    nothing but formulas is told from another. In scripts without spaces each character is a word.

    Args:
        text: Nougat's Markdown, or plain text of any length. The time is linear in it.
    """
    text = text.casefold()
    if not text.isascii():
        plain = _PlainForms()
        text = _FOREIGN.sub(lambda run: plain[run[0]], text)
    if "\\" in text or "[missing" in text:
        text = _LATEX.sub(_worded, text)
    text = text.replace("--", " ").replace("-\n", "").replace("-", "").replace("'", "")
    return text.encode().translate(_TO_SPACES).split()


def normalise(text: str) -> str:
    """Return the words of a text, as `words_of` has them, with a space between each two."""
    return b" ".join(words_of(text)).decode()


def shingles_of(words: Sequence[bytes]) -> NDArray[np.uint64]:
    """Return a number for each run of `SHINGLE_WORDS` words, in order; runs of the same words have the same number.

    A word counts by its CRC-32, a run by a sum of these with odd factors modulo 2**64. This does not depend on the
    machine, nor on any version of anything.
    """
    hashes = _WordHashes()
    numbers = np.fromiter(map(hashes.__getitem__, words), np.uint64, len(words))
    length = len(words) - SHINGLE_WORDS + 1
    if length <= 0:
        return np.empty(0, np.uint64)
    runs = np.zeros(length, np.uint64)
    for offset, factor in enumerate(_FACTORS):
        runs += numbers[offset : offset + length] * factor
    return runs


class _WordHashes(dict[bytes, int]):
    """The CRC-32 of each word, made when it is first asked for."""

    def __missing__(self, word: bytes) -> int:
        value = self[word] = zlib.crc32(word)
        return value


# The fractional digits of the square roots of 2, 3 and 5, made odd.
_FACTORS = tuple(map(np.uint64, (0x6A09E667F3BCC909, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B)))


class _PlainForms(dict[str, str]):
    """What is left of a run of characters beyond ASCII: letters without accents, and marks as ASCII has them."""

    def __missing__(self, run: str) -> str:
        decomposed = _ACCENTS.sub("", unicodedata.normalize("NFKD", run))
        plain = unicodedata.normalize("NFC", decomposed).casefold().translate(_ASCII_MARKS)
        plain = _UNSPACED_RUN.sub(lambda characters: f" {' '.join(characters[0])} ", _FOREIGN_MARKS.sub(" ", plain))
        if len(run) <= _MAX_REMEMBERED:
            self[run] = plain
        return plain


def _worded(match: re.Match[str]) -> str:
    formula = match["inline"] or match["display"]
    if formula is None:
        return " "
    return f" {formula if formula.isalnum() else _LOOKS.sub('', formula)} "
