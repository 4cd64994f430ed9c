"""The words that byte-level tokenizers part a text into, found by the characters that texts have."""

import functools
import itertools
import re
import threading
import unicodedata

WHITE_SPACE = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # as the inside of a class

_ASCII = bytes(range(128))
_PAGE_CHARACTERS = 256  # how many characters are looked up together


class WordFinder:
    """Parts texts into words: at first those in ASCII, then those in any script that it has been shown.

    Whoever shows it a script pays for looking that up, in time and memory that grow with the number of scripts.
    """

    def __init__(self) -> None:
        self._in_ascii = _word_pattern("A-Za-z", "0-9", "\t-\r ")
        self._in_any = self._in_ascii
        self._pages: frozenset[int] = frozenset()
        self._learning = threading.Lock()

    def learn(self, text: str) -> bool:
        """Take in the characters of a text; return whether the text's words are certain.

        They are not where a character is not the same (letter, number or neither) in every version of Unicode.
        """
        if text.isascii():
            return True
        beyond_ascii = text.encode("utf-8", "surrogatepass").translate(None, _ASCII)
        codes = set(map(ord, beyond_ascii.decode("utf-8", "surrogatepass")))
        if any(_kinds(code // _PAGE_CHARACTERS)[code % _PAGE_CHARACTERS] == "?" for code in codes):
            return False
        pages = {0}.union(code // _PAGE_CHARACTERS for code in codes)
        if not pages <= self._pages:
            with self._learning:
                known = self._pages | pages
                self._in_any = _word_pattern(_ranges(known, "L"), _ranges(known, "N"), WHITE_SPACE)
                self._pages = known
        return True

    def words(self, text: str) -> list[str]:
        """Return the words of a text, or of any part of it that begins where a word begins."""
        return (self._in_ascii if text.isascii() else self._in_any).findall(text)


def _word_pattern(letters: str, numbers: str, space: str) -> re.Pattern[str]:
    """Return how byte-level tokenizers part a text, for given characters."""
    return re.compile(
        rf"'(?:[stmd]|re|ve|ll)| ?[{letters}]+| ?[{numbers}]+| ?[^{space}{letters}{numbers}]+"
        rf"|[{space}]+(?![^{space}])|[{space}]+"
    )


def _ranges(pages: frozenset[int], kind: str) -> str:
    """Return the characters of a kind on given pages, as the inside of a class."""
    ranges = ""
    for page in sorted(pages):
        code = page * _PAGE_CHARACTERS
        for found, same in itertools.groupby(_kinds(page)):
            end = code + sum(1 for _ in same)
            if found == kind:
                ranges += f"\\U{code:08x}-\\U{end - 1:08x}"
            code = end
    return ranges


@functools.cache
def _kinds(page: int) -> str:
    """Return the kinds of the characters of a page in order."""
    return "".join(_kind(chr(code)) for code in range(page * _PAGE_CHARACTERS, (page + 1) * _PAGE_CHARACTERS))


def _kind(character: str) -> str:
    """Return "L" for a letter, "N" for a number, "-" for anything else; "?" if Unicode 3.2 did not know it as that.

    Lone surrogates, which are no characters, are "?" as well.
    """
    now, before = unicodedata.category(character), unicodedata.ucd_3_2_0.category(character)
    kind, kind_before = (found[0] if found[0] in "LN" else "-" for found in (now, before))
    return kind if kind == kind_before and now not in ("Cn", "Cs") and before != "Cn" else "?"
