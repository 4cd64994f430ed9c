"""Tokens counted piece by piece are those that the tokenizer counts of the whole, for any tokenizer and any text."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Token, Tokenizer, models, normalizers, pre_tokenizers, trainers

from pagemill.text.chunking import pieces
from pagemill.text.chunking.pieces import PieceCounter, WordCounter, piece_counter
from pagemill.text.chunking.tokens import TokenCounter
from pagemill.text.chunking.words import WordFinder

LINES = [
    "the quick brown fox, isn't it 12345 \\(x_{1}\\)\n\n",
    "na\u00efve \u201cquotes\u201d \u2014 \u4e2d\u6587\u3002 dogs and cats\n",
    *("\n ", "\t ", "\xa0 ", "\u3000 ", " \n", " \xa0"),  # white space that is one token
] * 50
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False)
DIGITS = pre_tokenizers.Digits(individual_digits=True)
PUNCTUATION = pre_tokenizers.Split(Regex(pieces._PUNCTUATION_RUNS), "isolated")
SCIENTIFIC = pre_tokenizers.Sequence(
    [pre_tokenizers.Split("SPL1T", "removed"), DIGITS, PUNCTUATION, pre_tokenizers.Split("\n", "isolated"), BYTES]
)
WIDE_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@pytest.fixture(scope="module", params=[0, pieces._FEW_CHARACTERS], autouse=True)
def _few_characters(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have the short texts of these tests read as long ones are, too."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pieces, "_FEW_CHARACTERS", request.param)
        yield


def by_words(pattern: str) -> pre_tokenizers.Sequence:
    bytes_alone = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), bytes_alone])


def byte_pairs(pre_tokenizer, normalizer=None, **options) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(**options))
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer:
        tokenizer.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=alphabet, special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


def word_pieces() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]", "[CLS]"], show_progress=False)
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


def unigrams() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=120, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


def with_added(*tokens: AddedToken) -> Tokenizer:
    tokenizer = byte_pairs(BYTES)
    tokenizer.add_special_tokens(list(tokens))
    return tokenizer


SPACES = "\t\n\v\f\r\x85\xa0\u2003\u3000"

# A tokenizer and what counts by pieces for it.
TOKENIZERS = {
    "byte level": (byte_pairs(BYTES), WordCounter),
    "byte level, normalized": (byte_pairs(BYTES, normalizers.NFKC()), WordCounter),
    "byte level, digits and marks apart": (byte_pairs(SCIENTIFIC, normalizers.NFKC()), PieceCounter),
    "words with the space before": (byte_pairs(by_words(WIDE_WORDS)), PieceCounter),
    "byte level, capitals made small": (byte_pairs(BYTES, normalizers.Lowercase()), PieceCounter),
    "word pieces": (word_pieces(), PieceCounter),
    "unigrams": (unigrams(), type(None)),
    "nothing parts the text": (byte_pairs(pre_tokenizers.Sequence([])), type(None)),
    "an unknown regular expression": (byte_pairs(by_words(r"\w+ \w+|.")), type(None)),
    "a space before the first word": (byte_pairs(pre_tokenizers.ByteLevel(add_prefix_space=True)), type(None)),
    "merges left out by chance": (byte_pairs(BYTES, dropout=0.5), type(None)),
    "an added token that takes spaces before it": (with_added(AddedToken("<m>", lstrip=True)), WordCounter),
    "an added token that takes spaces after it": (with_added(AddedToken("<m>", rstrip=True)), type(None)),
    "an added token of two words": (with_added(AddedToken("two words")), type(None)),
    "an added token that is a word": (with_added(AddedToken("the", single_word=True)), WordCounter),
}  # fmt: skip
COUNTERS = {name: piece_counter(tokenizer) for name, (tokenizer, _) in TOKENIZERS.items()}
COUNTED = {name: counter for name, counter in COUNTERS.items() if counter}

FRAGMENTS = st.sampled_from(
    [
        " ", "  ", "\n", "\n\n", "\n ", " \n", "\xa0 ", " \xa0", "\u3000 ", "\x1c ", " \x1c", "\x85 ",
        "\t", "\r\n", "\x1c", "\x85", "\xa0", "\u2003", "\u3000", "\u200b", "\u180e",
        "the", "isn't", "'ll", "'S", "Dogs", "12", "345", "\u00b2", "\u2167", "\u00bd", ".", ",", "...", "@", "##",
        "<s>", "</s>", " <s>", "<m>", "[CLS]", "<", "s>", "two words", "SPL1T", "\\(", "_{", "\u00e9", "e\u0301",
        "\u0301", "\u0345", "\u00a8", "\u201c", "\u201d", "\u2014", "\u4e2d\u6587", "\u3002", "\U0001f600", "\u05d0",
        "\u202e", "\ufb01", "\u017f", "\uff41", "\x00", "\x7f", "\u0378", "\U000323b0", "\u1e9e", "\u0130", "\u03a3",
        "\ud800", "\U0001d465", "\U0001d7d9",
    ]
)  # fmt: skip
TEXTS = st.one_of(st.lists(FRAGMENTS, max_size=30).map("".join), st.text(max_size=60))


def count(tokenizer: Tokenizer, text: str) -> int:
    written = "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)
    return len(tokenizer.encode(written, add_special_tokens=False))


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_tokenizer_tells_whether_it_can_be_counted_by_pieces(name: str) -> None:
    assert type(COUNTERS[name]) is TOKENIZERS[name][1]


@pytest.mark.parametrize("name", COUNTED)
@settings(max_examples=120, deadline=None)
@given(TEXTS)
def test_pieces_count_as_the_tokenizer_counts_the_whole(name: str, text: str) -> None:
    assert COUNTED[name](text) == count(TOKENIZERS[name][0], text)


@pytest.mark.parametrize("name", [name for name, counter in COUNTED.items() if isinstance(counter, WordCounter)])
@settings(max_examples=120, deadline=None)
@given(TEXTS, st.integers(0, 60), st.integers(0, 60), TEXTS)
def test_parts_of_a_text_count_as_though_they_stood_alone(
    name: str, text: str, start: int, end: int, other: str
) -> None:
    counter = COUNTED[name]
    assert isinstance(counter, WordCounter)
    count_parts = counter.within(text)
    counter.within(other)  # what else is counted in the meantime makes no difference
    if count_parts:
        parts = [text[start:end], text[end:], text[:start]]
        assert count_parts(parts) == [count(TOKENIZERS[name][0], part) for part in parts]


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize(
    "space", [" ", "\n ", "\xa0 ", "\u3000 ", "\t ", "\x1c ", " \n", " \xa0", "  ", " \n ", "\n\n  "]
)
def test_white_space_counts_as_it_does_in_the_whole_wherever_it_stands(name: str, space: str) -> None:
    for text in (
        space,
        f"{space}the",
        f"the{space}",
        f"the{space}dogs",
        f"the cats.{space}",
        f"{space}the cats{space}",
    ):
        assert COUNTED[name](text) == count(TOKENIZERS[name][0], text), repr(text)


@pytest.mark.parametrize("name", COUNTED)
def test_every_script_counts_as_the_tokenizer_counts_it(name: str) -> None:
    tokenizer, counter = TOKENIZERS[name][0], COUNTED[name]
    assert counter is not None
    mathematical = range(0x1D3FC, 0x1D804, 3)
    for code in [*range(0x20, 0x3100, 7), *range(0x3100, 0xD800, 501), *range(0xE000, 0x30000, 1009), *mathematical]:
        each = chr(code)
        text = f"a{each}b {each} 1{each}2 {each}{each}\n.{each}. \n{each}"
        assert counter(text) == count(tokenizer, text), hex(code)


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.sampled_from(["\n", "\n\n", " \n", "\t\n\n", ""]), TEXTS)
def test_counts_add_up_at_the_ends_of_lines(first: str, space: str, second: str) -> None:
    counter = TokenCounter(TOKENIZERS["byte level"][0])
    first, second = first.rstrip() + "." + space, second.lstrip()
    if not space or not second or not counter.within(first + second):
        return
    more = count_of(counter, f"{space}a") - count_of(counter, space) - 1
    assert count_of(counter, first + second) == count_of(counter, first) + count_of(counter, second) + more


def count_of(counter: TokenCounter, text: str) -> int:
    return counter.count([text])[0]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "REMEMBERED_PIECES", 10)
    for name, counter in COUNTED.items():
        assert counter is not None
        for number in range(50):
            text = f" word{number} {'x' * 100}{number}"
            assert counter(text) == count(TOKENIZERS[name][0], text)
        assert len(counter.remembered) <= 10
        assert max(map(len, counter.remembered), default=0) <= pieces.REMEMBERED_CHARACTERS
        if isinstance(counter, WordCounter):
            many = " ".join(map(str, range(1000)))
            assert counter(many) == count(TOKENIZERS[name][0], many)
            assert len(counter.remembered_after_space) <= 10
            assert max(map(len, counter.remembered_after_space)) <= pieces.REMEMBERED_CHARACTERS


def test_what_comes_again_is_counted_once() -> None:
    tokenizer = byte_pairs(BYTES)
    counter = piece_counter(tokenizer)
    assert isinstance(counter, WordCounter)
    asked: list[str] = []
    model = counter.model

    class Listening:
        def tokenize(self, word: str) -> list[Token]:
            asked.append(word)
            return model.tokenize(word)

    counter.model = Listening()
    assert counter(" the cat and the dog and the cat" * 10) == count(tokenizer, " the cat and the dog and the cat" * 10)
    assert sorted(asked) == sorted({"\u0120the", "\u0120cat", "\u0120and", "\u0120dog"})


def test_what_stands_between_spaces_is_parted_into_words_once() -> None:
    tokenizer = byte_pairs(BYTES)
    counter = piece_counter(tokenizer)
    assert isinstance(counter, WordCounter)
    text = "The dogs, isn't it? The dogs,\n\nisn't it?"
    assert counter(text * 9) == count(tokenizer, text * 9)
    assert set(counter.remembered_after_space) == {"dogs,", "isn't", "it?", "it?The", "The", "dogs,\n\nisn't"}
    parted: list[str] = []

    class Listening(WordFinder):
        def words(self, text: str) -> list[str]:
            parted.append(text)
            return super().words(text)

    counter.finder = Listening()
    again = f"{text * 9} Foxes"
    assert counter(again) == count(tokenizer, again)
    assert parted == [" Foxes"]  # what was not seen before


@given(st.lists(TEXTS, max_size=5))
@settings(max_examples=60, deadline=None)
def test_nothing_that_no_word_begins_with_is_remembered_to_stand_after_a_space(texts: list[str]) -> None:
    counter = piece_counter(TOKENIZERS["byte level"][0])
    assert isinstance(counter, WordCounter)
    for text in texts:
        counter(text)
    assert not any(known != known.lstrip(f" {SPACES}") or not known for known in counter.remembered_after_space)


@pytest.mark.parametrize("fragment", ["x", " ", "\n", "x ", " x", "\t\n", "\n ", ".\n", "\u4e2d", "a\n"])
def test_huge_texts_without_words_or_lines_are_counted(fragment: str) -> None:
    text = fragment * (200_000 // len(fragment))
    for name in ("byte level", "words with the space before", "word pieces"):
        counter = COUNTED[name]
        assert counter is not None
        assert counter(text) == count(TOKENIZERS[name][0], text)


def test_the_regular_expression_of_byte_level_tokenizers_may_also_be_spelled_out() -> None:
    spelled = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    tokenizer = byte_pairs(by_words(spelled))
    assert json.loads(tokenizer.to_str())["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] == spelled
    assert isinstance(piece_counter(tokenizer), PieceCounter)
