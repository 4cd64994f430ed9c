"""Chunks join to the text again, keep what belongs together and never exceed their maximum."""

import itertools
import json
import random
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from pagemill.errors import UserError
from pagemill.text.chunking.chunker import Passage, chunk
from pagemill.text.chunking.tokens import TokenCounter, load_tokenizer
from pagemill.text.chunking.units import bound_groups
from pagemill.text.mmd.blocks import BlockKind, math_spans, parse_blocks
from pagemill.text.mmd.sections import sections

WORDS = tuple(
    "the of and a to in is that it was for on are with as be at by this have from or one had but what all".split()  # noqa: SIM905
)


def make_counter() -> TokenCounter:
    """Train a small byte-level BPE tokenizer, the kind that Nougat's is."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    chooser = random.Random(7)
    lines = [" ".join(chooser.choices(WORDS, k=12)) + ".\n\n" for _ in range(200)]
    tokenizer.train_from_iterator(lines, trainer)
    return TokenCounter(tokenizer, "small")


COUNTER = make_counter()


def tokens(text: str) -> int:
    return COUNTER.count([text])[0]


def sentence(word: str, tokens_wanted: int) -> str:
    """A sentence of that word of at least so many tokens."""
    text = f"Some {word}"
    while tokens(text) < tokens_wanted - 1:
        text += f" {word}"
    return text + "."


def spans(passages: list[Passage]) -> list[tuple[int, int]]:
    return [(passage.start, passage.end) for passage in passages]


def cut(text: str, target: int, maximum: int, overlap: int = 0) -> list[Passage]:
    return list(chunk(text, COUNTER, target_tokens=target, max_tokens=maximum, overlap_tokens=overlap))


def contents(text: str, target: int, maximum: int, overlap: int = 0) -> list[str]:
    return [passage.content for passage in cut(text, target, maximum, overlap)]


# -- what holds for any text --------------------------------------------------------------------------------

FRAGMENTS = st.sampled_from(
    [
        "\n", "\n\n", " ", "word ", "Ends. ", "Begins ", "# Title\n", "\n## 2.1 Part\n", "\n* item ",
        "\n###### Abstract\n", "\\(a. B\\) ",
        "\\[x = y \\\\ z\\] ", "\\[", "\\]", "\\(", "\\)", "\\begin{table}\n", "\\end{table}\n",
        "\\begin{tabular}{ll} ", "a & b \\\\ ", "\\end{tabular}\n", "Table 1: caption.\n", "Figure 2: plate.\n",
        "\n```\n", "code line\n", "Footnote 3: note.\n", "\n* [12] Knuth.\n", "[MISSING_PAGE_EMPTY:3]", "unbroken" * 9,
        "\u4e2d\u6587\u3002", "\U0001f600", "\x00", "\ud800", "\u202e", "\u00e9",
    ]
)  # fmt: skip
TEXTS = st.one_of(st.lists(FRAGMENTS, max_size=60).map("".join), st.text(max_size=200))


def is_indivisible(text: str, passage: Passage) -> bool:
    """Say whether a passage is one formula or one character."""
    span = text[passage.start : passage.end].strip()
    formulas = {text[start:end] for start, end in math_spans(text)}
    return len(span) <= 1 or span.rstrip(".,;:") in formulas or span in formulas


def cuts_inside(cuts: list[int], start: int, end: int) -> bool:
    index = bisect_right(cuts, start)
    return index < len(cuts) and cuts[index] < end


@settings(max_examples=250, deadline=None)
@given(TEXTS, st.integers(1, 40), st.integers(0, 40), st.integers(0, 20))
def test_any_text_is_covered_within_the_maximum(text: str, target: int, slack: int, overlap: int) -> None:
    passages = cut(text, target, target + slack, min(overlap, target - 1))
    assert "".join(text[start:end] for start, end in spans(passages)) == text
    for passage in passages:
        assert passage.start < passage.end
        assert passage.content == passage.repeated_head + text[passage.overlap_start : passage.end]
        assert passage.token_count == tokens(passage.content)
        assert passage.token_count <= target + slack or is_indivisible(text, passage)
        assert passage.over_maximum == (passage.token_count > target + slack)


@pytest.mark.parametrize("formula", [r"\( a \\ b \)", r"\[ a \\ b \]", r"\begin{align} a \\ b \end{align}"])
def test_the_lines_of_a_formula_in_a_table_are_no_rows(formula: str) -> None:
    text = f"\\begin{{tabular}}{{l l}} Name & Law \\\\ first & {formula} \\\\ \\end{{tabular}}\n"
    cuts = [passage.start for passage in cut(text, 1, 1)]
    start = text.index(formula)
    assert not cuts_inside(cuts, start, start + len(formula))


@settings(max_examples=250, deadline=None)
@given(TEXTS, st.integers(1, 60))
def test_no_formula_is_cut_in_any_text(text: str, maximum: int) -> None:
    cuts = [passage.start for passage in cut(text, maximum, maximum)]
    assert not [span for span in math_spans(text) if cuts_inside(cuts, *span)]


@settings(max_examples=250, deadline=None)
@given(TEXTS, st.integers(4, 60))
def test_no_block_is_cut_that_fits_with_what_it_is_bound_to(text: str, maximum: int) -> None:
    cuts = [passage.start for passage in cut(text, max(1, maximum // 2), maximum)]
    blocks = parse_blocks(text)
    groups = [group for section in sections(text, blocks) for group in bound_groups(section)]
    alone = [[block] for block in blocks if block.kind in (BlockKind.TABLE, BlockKind.CODE)]
    for group in groups + alone:
        start, end = group[0].start, group[-1].end
        if tokens(text[start:end]) <= maximum:
            assert not cuts_inside(cuts, start, end), text[start:end]


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_the_same_text_is_always_cut_alike(text: str) -> None:
    assert cut(text, 20, 30, 5) == cut(text, 20, 30, 5)


# -- headings -----------------------------------------------------------------------------------------------


def test_a_heading_starts_a_passage_and_is_carried_as_its_path() -> None:
    text = f"# Book\n\n{sentence('the', 30)}\n\n## Chapter\n\n{sentence('of', 30)}"
    assert [(each.content.strip().split("\n")[0], each.heading_path) for each in cut(text, 40, 60)] == [
        ("# Book", ("Book",)),
        ("## Chapter", ("Book", "Chapter")),
    ]


def test_headings_that_follow_one_another_stay_together_with_the_text_below() -> None:
    text = f"{sentence('to', 30)}\n\n# Part\n\n## Chapter\n\n### Section\n\n{sentence('in', 20)}"
    assert [each.heading_path for each in cut(text, 40, 60)] == [(), ("Part", "Chapter", "Section")]


@pytest.mark.parametrize("maximum", range(26, 60))
def test_no_heading_ends_a_passage(maximum: int) -> None:
    """Also where sections share passages, as small ones do here."""
    paragraph = " ".join(sentence(word, 9) for word in WORDS[:12])
    text = "".join(f"# Part {number}\n\n## Chapter\n\n{paragraph}\n\n" for number in range(5))
    text += "".join(f"## Note {number}\n\n{sentence('it', 8)}\n\n" for number in range(5))
    for passage in cut(text, maximum, maximum):
        assert parse_blocks(text[passage.start : passage.end])[-1].kind is not BlockKind.HEADING


def test_small_sections_under_one_heading_share_a_passage() -> None:
    text = "# Book\n\n" + "".join(f"## Section {number}\n\n{sentence('it', 12)}\n\n" for number in range(4))
    first, second = cut(text, 60, 100)
    assert first.heading_path == ("Book",)
    assert "Section 0" in first.content
    assert "Section 1" in first.content
    assert second.content.startswith("## Section")


def test_small_sections_under_different_headings_do_not_share_a_passage() -> None:
    text = "# One\n\n## A\n\nText.\n\n# Two\n\n## B\n\nText."
    assert [each.heading_path for each in cut(text, 500, 500)] == [("One", "A"), ("Two", "B")]


def test_a_passage_of_several_sections_has_the_headings_that_hold_for_all_of_them() -> None:
    text = "# Book\n\n## One\n\n### A\n\nIt.\n\n### B\n\nIt.\n\n## Two\n\n### C\n\nIt.\n\n"
    assert [each.heading_path for each in cut(text, 500, 500)] == [("Book",)]
    halves = len("# Book\n\n## One\n\n### A\n\nIt.\n\n### B\n\nIt.\n\n")
    size = tokens(text[:halves])
    assert [(each.start, each.heading_path) for each in cut(text, size, size)] == [
        (0, ("Book", "One")),
        (halves, ("Book", "Two", "C")),
    ]


def test_a_passage_that_is_full_enough_ends_with_its_chapter_rather_than_within_the_next() -> None:
    chapter = f"## Chapter\n\n{sentence('it', 20)}\n\n### Section\n\n{sentence('of', 20)}\n\n"
    text = f"# Book\n\n{chapter}{chapter}"
    size = tokens(f"# Book\n\n{chapter}")
    assert [each.start for each in cut(text, size + 15, size + 15)] == [0, len(f"# Book\n\n{chapter}")]


def test_a_passage_that_is_not_full_goes_on_with_the_next_section() -> None:
    text = f"# Book\n\n## One\n\n{sentence('it', 20)}\n\n## Two\n\n{sentence('of', 20)}\n\n{sentence('to', 60)}"
    first, second = cut(text, 80, 80)
    assert "## Two" in first.content
    assert first.heading_path == ("Book",)
    assert second.content == sentence("to", 60)
    assert second.heading_path == ("Book", "Two")


# -- mathematics, tables, code ------------------------------------------------------------------------------


def test_an_equation_stays_with_the_sentence_before_it() -> None:
    words = " ".join(sentence(word, 30) for word in WORDS[:3])
    text = f"{words} We find \\[x = y + z + w\\] and go on.\n\n{sentence('with', 30)}"
    (equation,) = (each for each in contents(text, 40, 60) if "\\[" in each)
    assert "We find \\[x = y + z + w\\]" in equation


def test_an_equation_longer_than_the_maximum_is_one_passage_and_says_so() -> None:
    equation = "\\[" + " + ".join(f"x_{{{index}}}" for index in range(50)) + "\\]"
    passages = cut(f"It is {equation}\n\nThat is all.", 20, 30)
    assert [(each.content.strip(), each.over_maximum) for each in passages] == [
        ("It is", False),
        (equation, True),
        ("That is all.", False),
    ]
    assert [each.has_math for each in passages] == [False, True, False]


def test_a_formula_within_a_sentence_without_end_is_not_cut() -> None:
    formula = "\\(" + " + ".join(["a", "b", "c"] * 5) + "\\)"
    text = f"word {formula} " * 20
    passages = contents(text, 50, 60)
    assert len(passages) > 5
    assert all(each.count("\\(") == each.count("\\)") for each in passages)


def make_table(rows: int) -> str:
    body = "".join(f"item {row} & {row} \\(x_{{{row}}}\\) \\\\ " for row in range(rows))
    return (
        f"\\begin{{table}}\n\\begin{{tabular}}{{l r}} \\hline Name & Value \\\\ \\hline {body}\\end{{tabular}}\n"
        "\\end{table}\nTable 1: All items.\n\n"
    )


def test_a_table_that_fits_is_not_cut_and_keeps_its_caption() -> None:
    table = make_table(6)
    size = tokens(table)
    text = f"{sentence('for', size // 2)}\n\n{table}{sentence('was', size // 2)}"
    (passage,) = (each for each in cut(text, size // 2, size) if each.has_table)
    assert passage.content == table


def test_a_longer_table_is_cut_between_rows_with_its_head_repeated() -> None:
    text = make_table(60)
    head = "\\begin{tabular}{l r} \\hline Name & Value \\\\ \\hline "
    first, *others = passages = cut(text, 150, 200)
    assert len(others) > 3
    assert "".join(text[each.start : each.end] for each in passages) == text
    assert first.repeated_head == ""
    assert all(each.repeated_head == head and each.content.startswith(f"{head}item ") for each in others)
    assert all(each.content.rstrip().endswith("\\\\") for each in passages[:-1])
    assert all(each.has_table and each.token_count <= 200 for each in passages)
    assert passages[-1].content.endswith("\\end{tabular}\n\\end{table}\nTable 1: All items.\n\n")
    assert "item 59" in passages[-1].content


def test_a_table_in_a_cell_is_not_cut() -> None:
    cell = "\\begin{tabular}{c} first \\\\ second \\end{tabular}"
    text = "\\begin{tabular}{l r} Name & Value \\\\ " + f"{cell} & {cell} \\\\ " * 20 + "\\end{tabular}"
    for each in contents(text, 200, 300)[1:]:
        assert each.startswith("\\begin{tabular}{l r} Name & Value \\\\ \\begin{tabular}{c} first")


def test_a_head_too_long_to_be_repeated_is_not() -> None:
    head = " & ".join(WORDS * 2)
    text = f"\\begin{{tabular}}{{l}} {head} \\\\ " + "a & b \\\\ " * 40 + "\\end{tabular}"
    assert {each.repeated_head for each in cut(text, 40, 60)} == {""}


def test_a_table_of_ten_thousand_rows() -> None:
    text = make_table(10_000)
    passages = cut(text, 512, 1024)
    assert "".join(text[each.start : each.end] for each in passages) == text
    assert max(each.token_count for each in passages) <= 1024


def test_code_is_cut_between_lines_and_only_when_it_does_not_fit() -> None:
    lines = [f"value_{index} = the(value_{index}).  # and. That" for index in range(30)]
    code = "```\n" + "\n".join(lines) + "\n```\n\n"
    size = tokens(code)
    assert [each.strip() for each in contents(f"Text.\n\n{code}", size, size)][-1].endswith(code.strip())
    assert set("".join(contents(code, 60, 80)).split("\n")) == set(code.split("\n"))
    assert all(each.endswith("\n") for each in contents(code, 60, 80))


# -- paragraphs ---------------------------------------------------------------------------------------------


def test_a_paragraph_that_does_not_fit_is_cut_between_sentences() -> None:
    text = " ".join(sentence(word, 15) for word in WORDS)
    assert all(each.rstrip().endswith(".") and each.startswith("Some ") for each in contents(text, 40, 60))


def test_a_paragraph_that_fits_is_not_cut_though_it_exceeds_the_target() -> None:
    paragraph = " ".join(sentence(word, 15) for word in WORDS[:5])
    assert contents(f"First.\n\n{paragraph}", 20, tokens(paragraph)) == ["First.\n\n", paragraph]


def test_a_list_that_does_not_fit_is_cut_between_items() -> None:
    text = "".join(f"* item {index}. It goes on.\n" for index in range(30))
    assert all(each.startswith("* item") for each in contents(text, 40, 60))


def test_a_sentence_that_does_not_fit_is_cut_between_words_and_best_after_a_comma() -> None:
    text = "the quick, brown fox, " * 120
    passages = contents(text, 60, 60)
    assert all(each.endswith(" ") for each in passages)
    assert sum(each.endswith(", ") for each in passages) > len(passages) // 3


WORDLESS = {
    "x": "x" * 5000,
    "chinese": "\u4e2d\u6587" * 2000,
    "emoji": "\U0001f600" * 500,
    "hebrew": "\u05e9\u05dc\u05d5\u05dd" * 500,
    "nul": "\x00" * 2000,
    "surrogates": "\ud800" * 700,
}


@pytest.mark.parametrize("text", WORDLESS.values(), ids=WORDLESS)
def test_a_text_without_words_is_cut_between_characters(text: str) -> None:
    passages = cut(text, 50, 64)
    assert "".join(each.content for each in passages) == text
    assert all(30 < each.token_count <= 64 for each in passages[:-2])


def test_passages_come_close_to_the_target() -> None:
    chooser = random.Random(1)
    text = "\n\n".join(" ".join(sentence(word, chooser.randrange(5, 30)) for word in WORDS[:4]) for _ in range(200))
    sizes = [each.token_count for each in cut(text, 512, 1024)]
    assert 0.9 < sum(sizes) / len(sizes) / 512 < 1.1


def test_passages_are_filled_when_the_target_is_the_maximum() -> None:
    text = "\n\n".join(sentence(word, 12) for word in WORDS * 10)
    sizes = [each.token_count for each in cut(text, 200, 200)]
    assert 200 - 20 < min(sizes[:-1]) <= max(sizes) <= 200


def test_passages_count_their_tokens_exactly_though_they_are_added_up() -> None:
    """What is counted is given to the tokenizer hardly more than once."""
    counter = CountingCounter()
    text = "\n\n".join(f"{sentence(word, 30)} {sentence('the', 9)}" for word in WORDS * 10)
    for passage in chunk(text, counter, target_tokens=200, max_tokens=200):
        assert passage.token_count == tokens(passage.content)
    assert counter.characters < 1.05 * len(text) + 500


def test_a_scrap_at_the_end_of_a_section_joins_the_passage_before() -> None:
    text = f"{sentence('but', 99)}\n\nThe end."
    assert len(cut(text, 100, 200)) == 1


# -- overlap ------------------------------------------------------------------------------------------------


def test_overlap_repeats_whole_sentences() -> None:
    text = " ".join(sentence(word, 10) for word in WORDS)
    passages = cut(text, 60, 80, 25)
    for before, after in itertools.pairwise(passages):
        lent = text[after.overlap_start : after.start]
        assert lent.startswith("Some ")
        assert lent.rstrip().endswith(".")
        assert 0 < tokens(lent) <= 25
        assert before.end == after.start
        assert after.content == lent + text[after.start : after.end]


def test_overlap_does_not_go_over_a_heading_nor_take_tables_or_equations() -> None:
    paragraph = " ".join(sentence(word, 12) for word in WORDS[:8])
    text = f"{paragraph}\n\n# Title\n\n{make_table(30)}{sentence('are', 50)}\n\nSo \\[x = y\\]\n\n{sentence('as', 58)}"
    for passage in cut(text, 50, 60, 30):
        lent = text[passage.overlap_start : passage.start]
        assert not set("#&[\\") & set(lent)


def test_overlap_never_exceeds_the_maximum() -> None:
    text = "\n\n".join(" ".join(sentence(word, size) for word in WORDS[:6]) for size in range(5, 25))
    passages = cut(text, 60, 64, 40)
    assert any(each.overlap_start < each.start for each in passages)
    assert all(each.token_count <= 64 for each in passages)


# -- linear work --------------------------------------------------------------------------------------------

LONG = {
    "one word": "x",
    "one sentence": "word ",
    "sentences": "Some words. ",
    "formulas": "\\(x\\) ",
    "opened displays": "\\[",
    "headings": "# a\n",
    "one heading": "# a ",
    "rows": "a \\\\ ",
    "items": "* a\n",
    "displays": "\\[x\\]\n",
}


@pytest.mark.parametrize("fragment", LONG.values(), ids=LONG)
def test_the_characters_that_are_tokenized_grow_with_the_text_and_not_faster(fragment: str) -> None:
    works = []
    for times in (1000, 8000):
        counter = CountingCounter()
        text = fragment * times
        passages = list(chunk(text, counter, target_tokens=50, max_tokens=100))
        assert sum(each.end - each.start for each in passages) == len(text)
        works.append(counter.characters)
    assert works[1] <= 9 * works[0] + 1000


class CountingCounter(TokenCounter):
    """Counts the characters that it is given, too."""

    def __init__(self) -> None:
        super().__init__(Tokenizer.from_str(COUNTER.to_json()))
        self.characters = 0

    def count(self, texts):
        self.characters += sum(map(len, texts))
        return super().count(texts)

    def within(self, text):
        return super().within(text) and self.count

    def token_starts(self, text):
        self.characters += len(text)
        return super().token_starts(text)


# -- bad input ----------------------------------------------------------------------------------------------


def test_the_empty_text_has_no_passages() -> None:
    assert cut("", 10, 20) == []


@pytest.mark.parametrize(
    ("target", "maximum", "overlap", "named"),
    [
        (0, 10, 0, "target_tokens"),
        (11, 10, 0, "target_tokens"),
        (5, 10, 5, "overlap_tokens"),
        (5, 10, -1, "overlap_tokens"),
    ],
)
def test_lengths_that_contradict_one_another_are_refused_at_once(
    target: int, maximum: int, overlap: int, named: str
) -> None:
    with pytest.raises(UserError, match=named):
        chunk("text", COUNTER, target_tokens=target, max_tokens=maximum, overlap_tokens=overlap)


# -- tokenizers ---------------------------------------------------------------------------------------------


@pytest.fixture
def tokenizer_file(tmp_path: Path) -> Path:
    path = tmp_path / "small" / "tokenizer.json"
    path.parent.mkdir()
    path.write_text(COUNTER.to_json())
    return path


@pytest.mark.parametrize(
    "spelled",
    [Path, str, lambda path: path.parent, lambda path: f"file://{path}"],
    ids=["path", "name", "folder", "uri"],
)
def test_a_tokenizer_is_found_by_path_folder_and_uri(tokenizer_file: Path, spelled: Callable[[Path], str]) -> None:
    counter = load_tokenizer(spelled(tokenizer_file))
    assert counter.name == "small"
    assert counter.count(["the and"]) == COUNTER.count(["the and"])
    assert counter.sha256 == load_tokenizer(tokenizer_file).sha256


def test_padding_truncation_and_special_tokens_do_not_count() -> None:
    tokenizer = Tokenizer.from_str(COUNTER.to_json())
    tokenizer.add_special_tokens(["<s>"])
    tokenizer.enable_padding(length=64)
    tokenizer.enable_truncation(max_length=2)
    text = "some longer text than two tokens"
    assert load_tokenizer(tokenizer).count([text, "a"]) == COUNTER.count([text, "a"])


@pytest.mark.parametrize("content", ["", "no json", "{}", json.dumps({"model": None})])
def test_what_is_no_tokenizer_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"tokenizer\.json: is no tokenizer"):
        load_tokenizer(path)


@pytest.mark.parametrize("place", ["nowhere.json", "", "bogus://x/tokenizer.json"])
def test_a_tokenizer_that_is_not_there_is_named(tmp_path: Path, place: str) -> None:
    with pytest.raises(UserError, match=r"holds no tokenizer|cannot be read"):
        load_tokenizer(place if "://" in place else tmp_path / place)


def test_a_lone_surrogate_counts_as_one_character_that_is_not_known() -> None:
    assert COUNTER.count(["a\ud800b"]) == COUNTER.count(["a\ufffdb"])
