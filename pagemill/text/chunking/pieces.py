r"""Counts the tokens of a text piece by piece, each distinct piece once, exactly as a tokenizer counts the whole.

What allows it: most tokenizers never let a token reach from a character that is no white space over a space
after it, whatever surrounds the two. A text may be parted there, and the tokens of the parts add up. Which
tokenizers do so is read from their tokenizer.json; for all others there is no such counter.
"""

import functools
import itertools
import json
import re
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

REMEMBERED_PIECES = 1 << 18  # some 40 MB at most; then they are forgotten and counted anew
REMEMBERED_CHARACTERS = 64  # longer pieces hardly come twice

# A text parts before every space that follows what is no white space, unless the text ends there.
_PIECE = re.compile(r"\s*+\S++(?:[^\S ]\s*+\S++)*+(?:[^\S ]\s*+\Z)?+|\s++")

_SURROGATE = re.compile("[\ud800-\udfff]")

_NORMALIZERS = frozenset({"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "BertNormalizer"})
_PARTING = frozenset({"ByteLevel", "BertPreTokenizer", "Whitespace", "WhitespaceSplit"})  # at white space themselves
_LOCAL = frozenset({"Digits", "Punctuation"})  # look at nothing but the characters they part
# Regular expressions that published tokenizers part texts with; none matches a space after anything but white space.
_PUNCTUATION_RUNS = r"""[\(\)\[\]\{\}]|([!"\#\$%\&'\*\+,\-\./:;<=>\?\\\^_`\|\~])\1*"""
_LOCAL_REGEXES = frozenset({_PUNCTUATION_RUNS})
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_PARTING_REGEXES = frozenset(
    {r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"}
    | {
        rf"{contractions}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{number}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
        for contractions in (_CONTRACTIONS, _CONTRACTIONS.replace("i:", "?i:"))
        for number in (r"\p{N}{1,3}", r"\p{N}")
    }
)

_WHITE_SPACE = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_SPACED_OUT = re.compile(f" [{_WHITE_SPACE}]")  # where a text cannot be parted at every space
_MATHEMATICAL_LETTERS = range(0x1D400, 0x1D800)  # those of other planes that books have most
# Byte-level tokenizers write each byte as a character that can be seen.
_BYTE_LETTERS = {
    byte: 256 + index
    for index, byte in enumerate(byte for byte in range(256) if byte < 33 or 126 < byte < 161 or byte == 173)
}
_SPACE_LETTER = chr(_BYTE_LETTERS[32])


def piece_counter(tokenizer: "Tokenizer") -> "PieceCounter | WordCounter | None":
    """Return what counts the tokens of a text by its pieces; None for a tokenizer that has no such pieces.

    Args:
        tokenizer: It must not change afterwards.
    """
    described = json.loads(tokenizer.to_str())
    if not _is_separable(described):
        return None
    by_piece = PieceCounter(tokenizer)
    if described["model"]["type"] != "BPE" or not _is_plain_byte_level(described["pre_tokenizer"]):
        return by_piece
    added = [token["content"] for token in described["added_tokens"]]
    return WordCounter(tokenizer, by_piece, added, any_script=described["normalizer"] is None)


def _is_separable(described: dict[str, Any]) -> bool:
    """Say whether no token reaches from what is no white space over a space after it."""
    beyond = [token for token in described["added_tokens"] if token["rstrip"] or re.search(r"\s", token["content"])]
    normalizers = _flat(described["normalizer"], "normalizers")
    steps = _flat(described["pre_tokenizer"], "pretokenizers")
    return (
        not beyond
        and not described["model"].get("dropout")
        and all(step["type"] in _NORMALIZERS for step in normalizers)
        and all(_is_local(step) or _parts_at_space(step) for step in steps)
        and any(map(_parts_at_space, steps))
    )


def _flat(step: dict[str, Any] | None, name: str) -> list[dict[str, Any]]:
    """Return the steps of a sequence, or a single one, as a list."""
    if step is None:
        return []
    return [each for inner in step[name] for each in _flat(inner, name)] if step["type"] == "Sequence" else [step]


def _parts_at_space(step: dict[str, Any]) -> bool:
    if step["type"] == "ByteLevel":
        return bool(step["use_regex"]) and not step["add_prefix_space"]
    if step["type"] == "Split":
        regex = step["pattern"].get("Regex", "")
        return regex in _PARTING_REGEXES and step["behavior"] in ("Isolated", "Removed")
    return step["type"] in _PARTING


def _is_local(step: dict[str, Any]) -> bool:
    if step["type"] == "ByteLevel":
        return not step["add_prefix_space"]
    if step["type"] == "Split" and step["behavior"] in ("Isolated", "Removed") and not step["invert"]:
        literal = step["pattern"].get("String", " ")
        return step["pattern"].get("Regex") in _LOCAL_REGEXES or literal == "\n" or not re.search(r"\s", literal)
    return step["type"] in _LOCAL and step.get("behavior", "Isolated") == "Isolated"


def _is_plain_byte_level(pre_tokenizer: dict[str, Any]) -> bool:
    return pre_tokenizer["type"] == "ByteLevel" and bool(pre_tokenizer["use_regex"])


def encodable(text: str) -> str:
    """Replace lone surrogates, which no tokenizer takes, one character for one."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


class _Remembered(dict[str, int]):
    """Counts of texts by text, bounded in number and in length."""

    def __init__(self, count: Callable[[str], int]) -> None:
        super().__init__()
        self.count = count

    def __missing__(self, text: str) -> int:
        tokens = self.count(text)
        if len(text) <= REMEMBERED_CHARACTERS:
            if len(self) >= REMEMBERED_PIECES:
                self.clear()
            self[text] = tokens
        return tokens


class PieceCounter:
    """Counts by pieces that begin with a space, for any tokenizer that parts there."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self.remembered = _Remembered(lambda text: len(tokenizer.encode(text, add_special_tokens=False)))

    def __call__(self, text: str) -> int:
        """Return the number of tokens of a text."""
        return sum(map(self.remembered.__getitem__, _PIECE.findall(encodable(text))))


class WordCounter:
    """Counts by the words that a byte-level tokenizer parts a text into, each counted by its model alone."""

    def __init__(self, tokenizer: "Tokenizer", otherwise: PieceCounter, added: list[str], any_script: bool) -> None:
        self.model = tokenizer.model
        self.otherwise = otherwise
        self.added = added
        self.any_script = any_script
        self.remembered = _Remembered(self._count_word)
        self.remembered_after_space = _Remembered(lambda rest: self._count_words(f" {rest}"))

    def __call__(self, text: str) -> int:
        """Return the number of tokens of a text."""
        count = self.within(text)
        return count(text) if count else self.otherwise(text)

    def within(self, text: str) -> Callable[[str], int] | None:
        """Return what counts the tokens of parts of a text, if its words are known by patterns alone."""
        for token in self.added:
            if token in text:
                return None
        if text.isascii() or (self.any_script and not _unsettled().search(text)):
            return self._count_part
        return None

    def _count_part(self, part: str) -> int:
        """Count by what stands between spaces, where no space stands before other white space."""
        if _SPACED_OUT.search(part):
            return self._count_words(part)
        first, *others = part.split(" ")
        return self._count_words(first) + sum(map(self.remembered_after_space.__getitem__, others))

    def _count_words(self, part: str) -> int:
        words = _ascii_words() if part.isascii() else _words()
        return sum(map(self.remembered.__getitem__, words.findall(part)))

    def _count_word(self, word: str) -> int:
        if word.isascii() and word.isprintable():
            return len(self.model.tokenize(word.replace(" ", _SPACE_LETTER)))
        return len(self.model.tokenize(word.encode().decode("latin-1").translate(_BYTE_LETTERS)))


def _word_pattern(letters: str, numbers: str, space: str) -> re.Pattern[str]:
    """Return how byte-level tokenizers part a text, for given characters."""
    return re.compile(
        rf"'(?:[stmd]|re|ve|ll)| ?[{letters}]+| ?[{numbers}]+| ?[^{space}{letters}{numbers}]+"
        rf"|[{space}]+(?![^{space}])|[{space}]+"
    )


@functools.cache
def _ascii_words() -> re.Pattern[str]:
    return _word_pattern("A-Za-z", "0-9", "\t-\r ")


@functools.cache
def _words() -> re.Pattern[str]:
    ranges = _settled_ranges()
    return _word_pattern(ranges["L"], ranges["N"], _WHITE_SPACE)


@functools.cache
def _unsettled() -> re.Pattern[str]:
    """Match characters that not every version of Unicode takes for the same: letter, number or neither."""
    return re.compile(f"[^{''.join(_settled_ranges().values())}]")


@functools.cache
def _settled_ranges() -> dict[str, str]:
    """Return the letters, the numbers and the rest of the characters that are settled, as insides of classes."""
    ranges = {"L": "", "N": "", "-": ""}
    for codes in (range(0x10000), _MATHEMATICAL_LETTERS):
        start = codes.start
        for kind, same in itertools.groupby(map(_settled_kind, map(chr, codes))):
            end = start + sum(1 for _ in same)
            if kind in ranges:
                ranges[kind] += f"\\U{start:08x}-\\U{end - 1:08x}"
            start = end
    return ranges


def _settled_kind(
    character: str,
    category: Callable[[str], str] = unicodedata.category,
    before: Callable[[str], str] = unicodedata.ucd_3_2_0.category,
) -> str:
    """Return "L" for a letter, "N" for a number, "-" for anything else; "?" if Unicode 3.2 did not know it as that.

    Lone surrogates, which are no characters, are "?" as well.
    """
    kinds = [found[0] if found[0] in "LN" else "-" for found in (category(character), before(character))]
    is_known = category(character) not in ("Cn", "Cs") and before(character) != "Cn"
    return kinds[0] if is_known and kinds[0] == kinds[1] else "?"
