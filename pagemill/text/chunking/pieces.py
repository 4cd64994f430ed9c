r"""Counts the tokens of a text piece by piece, each distinct piece once, exactly as a tokenizer counts the whole.

What allows it: most tokenizers never let a token reach from a character that is no white space over a space
after it, whatever surrounds the two. A text may be parted there, and the tokens of the parts add up. Which
tokenizers do so is read from their tokenizer.json; for all others there is no such counter. Those that work on
bytes part every such piece into words, which are found here and counted by the tokenizer's model alone: both the
words and the pieces are remembered.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, chain, filterfalse, islice
from operator import sub
from typing import TYPE_CHECKING, Any

from pagemill.text.chunking.words import WordFinder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

REMEMBERED_PIECES = 1 << 16  # in each memory, some 10 MB at most; then they are forgotten and counted anew
REMEMBERED_CHARACTERS = 64  # longer pieces hardly come twice

# A text parts before every space that follows what is no white space, unless the text ends there.
_PIECE = re.compile(r"\s*+\S++(?:[^\S ]\s*+\S++)*+(?:[^\S ]\s*+\Z)?+|\s++")

_SURROGATE = re.compile("[\ud800-\udfff]")

_COMPOSING = frozenset({"NFC", "NFD", "NFKC", "NFKD"})  # leave ASCII as it is
_NORMALIZERS = _COMPOSING | {"Lowercase", "BertNormalizer"}
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

_FEW_CHARACTERS = 100  # whose words are found faster than remembered
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
    if not _is_by_words(described):
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


def _is_by_words(described: dict[str, Any]) -> bool:
    """Say whether the tokens of ASCII are those of its words, written as bytes, whatever surrounds these."""
    pre_tokenizer = described["pre_tokenizer"]
    return (
        described["model"]["type"] == "BPE"
        and all(step["type"] in _COMPOSING for step in _flat(described["normalizer"], "normalizers"))
        and pre_tokenizer["type"] == "ByteLevel"
        and bool(pre_tokenizer["use_regex"])
    )


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
    """Counts by the words that a byte-level tokenizer parts a text into, each counted by its model alone.

    There are three memories: of words, of what stands before the first space of a text, and of all that stands after
    one, which is one word or several. What a text holds is mostly in the last one, which takes no regular expression
    to look it up in.
    """

    def __init__(self, tokenizer: "Tokenizer", otherwise: PieceCounter, added: list[str], any_script: bool) -> None:
        self.model = tokenizer.model
        self.otherwise = otherwise
        self.added = added
        self.any_script = any_script
        self.finder = WordFinder()
        self.remembered = _Remembered(self._count_word)
        self.remembered_first = _Remembered(self._count_words)
        self.remembered_after_space: dict[str, int] = {}  # nothing in it begins with white space or is empty

    def __call__(self, text: str) -> int:
        """Return the number of tokens of a text."""
        count = self.within(text)
        return count([text])[0] if count else self.otherwise(text)

    def within(self, text: str) -> Callable[[Sequence[str]], list[int]] | None:
        """Return what counts the tokens of parts of a text, if its words are known by patterns alone."""
        for token in self.added:
            if token in text:
                return None
        is_certain = self.finder.learn(text) if self.any_script else text.isascii()
        return self._count_parts if is_certain else None

    def _count_parts(self, parts: Sequence[str]) -> list[int]:
        """Count by what stands between spaces, each of which begins a word unless it ends its part alone."""
        if sum(map(len, parts)) <= _FEW_CHARACTERS:
            return list(map(self._count_words, parts))
        end_with_space = [part.endswith(" ") and not part[-2:-1].isspace() for part in parts]
        after_spaces = [
            (part[:-1] if ends else part).split(" ") for part, ends in zip(parts, end_with_space, strict=True)
        ]
        firsts = [texts.pop(0) for texts in after_spaces]
        known = self._remember_after_spaces(after_spaces)
        counts = []
        for part, first, others, ends in zip(parts, firsts, after_spaces, end_with_space, strict=True):
            try:
                count = self.remembered_first[first] + sum(map(known.__getitem__, others))
                counts.append(count + self.remembered[" "] if ends else count)
            except KeyError:  # not remembered as it is long, or white space that more white space follows
                counts.append(self._count_words(part))
        return counts

    def _remember_after_spaces(self, texts: Iterable[list[str]]) -> dict[str, int]:
        """Return the tokens of texts with a space before each; find the words of those not remembered in one go."""
        known = self.remembered_after_space
        unseen = dict.fromkeys(filterfalse(known.__contains__, chain.from_iterable(texts)))
        if len(known) + len(unseen) > REMEMBERED_PIECES:
            self.remembered_after_space = known = {}
            unseen = dict.fromkeys(islice(chain.from_iterable(texts), REMEMBERED_PIECES))
        short = [text for text in unseen if 0 < len(text) <= REMEMBERED_CHARACTERS and not text[0].isspace()]
        words = self.finder.words(" ".join(["", *short]))
        sums = list(accumulate(map(self.remembered.__getitem__, words), initial=0))
        starts = [before for before, word in zip(sums, words, strict=False) if word[0] == " "]
        known.update(zip(short, map(sub, [*starts[1:], sums[-1]], starts), strict=True))
        return known

    def _count_words(self, part: str) -> int:
        return sum(map(self.remembered.__getitem__, self.finder.words(part)))

    def _count_word(self, word: str) -> int:
        if word.isascii() and word.isprintable():
            return len(self.model.tokenize(word.replace(" ", _SPACE_LETTER)))
        return len(self.model.tokenize(word.encode().decode("latin-1").translate(_BYTE_LETTERS)))
