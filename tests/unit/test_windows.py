"""A text is cut window by window: alike however it is pieced together, and without holding more than a part of it."""

from collections.abc import Iterator
from itertools import pairwise
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill.text.chunking import chunker
from pagemill.text.chunking.chunker import Passage, chunk
from pagemill.text.chunking.windows import TextWindows
from pagemill.text.mmd.blocks import BlockKind, math_spans, parse_blocks, parse_layout, parse_part
from tests.unit.test_chunking import (
    COUNTER,
    TEXTS,
    WORDS,
    CountingCounter,
    cuts_inside,
    is_indivisible,
    make_table,
    sentence,
    tokens,
)


def windows_of(characters: int, largest: int = 16):
    """Make windows that small, and the largest ones so many times as long."""
    sizes = {"WINDOW_CHARACTERS": characters, "WINDOW_CHARACTERS_PER_TOKEN": 0, "LARGEST_WINDOW": largest}
    return mock.patch.multiple(chunker, **sizes)


def cut(text, target: int, maximum: int, overlap: int = 0, counter=COUNTER) -> list[Passage]:
    return list(chunk(text, counter, target_tokens=target, max_tokens=maximum, overlap_tokens=overlap))


def in_pieces(text: str, places: list[int]) -> Iterator[str]:
    edges = sorted({0, len(text), *(place for place in places if place < len(text))})
    yield from (text[start:end] for start, end in pairwise(edges))


PLACES = st.lists(st.integers(0, 2000))
BOOKS = st.lists(
    st.one_of(
        st.sampled_from(["# Part\n\n", "## 1 One\n\n", "### 1.1 Two\n\n", "## Notes\n\n", "###### Abstract\n"]),
        st.sampled_from(WORDS).map(lambda word: f"{sentence(word, 12)} {sentence('the', 5)}\n\n"),
        st.sampled_from(
            ["Let \\(x\n= y\\) be. So \\[x = y\\]\n\n", "\\[a\\] \\[b\\], where \\(c\\).\n\n", "* one\n* two\n\n"]
        ),
        st.sampled_from(
            [make_table(2), "```\nfirst\n\n# no heading\n```\n\n", "Figure 1: It.\n\n", "Footnote 1: It.\n\n"]
        ),
    ),
    max_size=40,
).map("".join)


# -- pieces -------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300), PLACES, st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50))))
def test_windows_show_the_text_as_it_is(text: str, places: list[int], steps: list[tuple[int, int]]) -> None:
    windows = TextWindows(in_pieces(text, places))
    offset = 0
    for characters, dropped in steps:
        content, ends = windows.window(characters)
        assert content == text[offset : offset + characters]
        assert ends == (offset + characters >= len(text))
        offset += min(dropped, len(content))
        windows.drop(min(dropped, len(content)))
        assert windows.offset == offset


@settings(max_examples=150, deadline=None)
@given(TEXTS, PLACES, st.integers(8, 200), st.integers(1, 40), st.integers(0, 20))
def test_it_makes_no_difference_how_a_text_is_pieced_together(
    text: str, places: list[int], window: int, target: int, overlap: int
) -> None:
    with windows_of(window):
        whole = cut(text, target, 2 * target, min(overlap, target - 1))
        assert cut(in_pieces(text, places), target, 2 * target, min(overlap, target - 1)) == whole
        assert cut(iter(text), target, 2 * target, min(overlap, target - 1)) == whole


def test_an_open_file_is_a_text(tmp_path) -> None:
    path = tmp_path / "book.mmd"
    path.write_text("".join(f"# Part {number}\n\n{sentence('the', 30)}\n\n" for number in range(50)))
    with path.open() as lines:
        assert cut(lines, 50, 100) == cut(path.read_text(), 50, 100)


@pytest.mark.parametrize("pieces", [[], [""], ["", "", ""]])
def test_no_text_has_no_passages(pieces: list[str]) -> None:
    assert cut(pieces, 10, 20) == []


# -- windows ------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(BOOKS, st.integers(400, 1000), st.integers(10, 60), st.integers(0, 60), st.integers(0, 20))
def test_small_windows_cut_a_book_as_a_large_one_does(
    text: str, window: int, target: int, slack: int, overlap: int
) -> None:
    overlap = min(overlap, target - 1)
    whole = cut(text, target, target + slack, overlap)
    with windows_of(window, largest=64):
        assert cut(text, target, target + slack, overlap) == whole


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.integers(1, 100), st.integers(1, 40), st.integers(0, 40), st.integers(0, 20))
def test_windows_however_small_keep_what_passages_promise(
    text: str, window: int, target: int, slack: int, overlap: int
) -> None:
    with windows_of(window):
        passages = cut(text, target, target + slack, min(overlap, target - 1))
    assert "".join(text[passage.start : passage.end] for passage in passages) == text
    for passage in passages:
        assert passage.start < passage.end
        assert passage.content == passage.repeated_head + text[passage.overlap_start : passage.end]
        assert passage.token_count == tokens(passage.content)
        assert passage.token_count <= target + slack or is_indivisible(text, passage)


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.integers(8, 100), st.integers(1, 60))
def test_no_formula_shorter_than_half_the_largest_window_is_cut(text: str, window: int, maximum: int) -> None:
    with windows_of(window):
        cuts = [passage.start for passage in cut(text, maximum, maximum)]
    short = [span for span in math_spans(text) if span.end - span.start < 8 * window]
    assert not [span for span in short if cuts_inside(cuts, *span)]


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS)
def test_what_is_said_to_be_settled_does_not_change(text: str, more: str) -> None:
    layout, opened = parse_part(text)
    settled = min([opened, *(block.start for block in layout.blocks[-2:])])
    known = [block for block in layout.blocks if block.end <= settled]
    assert parse_layout(text + more).blocks[: len(known)] == known


def test_a_window_grows_for_what_is_opened_in_it() -> None:
    table = make_table(40)
    text = f"{sentence('the', 20)}\n\n{table}{sentence('of', 20)}\n\n"
    with windows_of(200):
        assert len(table) > 4 * 200
        assert cut(text, tokens(table), tokens(table))[1].content == table


def test_code_keeps_what_looks_like_headings_over_windows() -> None:
    code = "```\n" + "# no heading\n\n" * 30 + "```\n\n"
    text = f"# One\n\n{code}Text.\n\n" * 10
    with windows_of(600):
        assert {passage.heading_path for passage in cut(text, 300, 300)} == {("One",)}


# -- how much of a text is held -----------------------------------------------------------------------------

ENDLESS = {
    "pages": f"# Part\n\n{sentence('the', 50)}\n\n",
    "one paragraph": "Some words that go on. ",
    "one sentence": "and so on, ",
    "one word": "x",
    "one list": "* an item\n",
    "empty lines": "\n",
    "tables never closed": "\\begin{table}\n",
    "displays never closed": "\\[ x ",
    "code never closed": "```a\nb\n",
    "formulas": "\\(x\\) ",
    "headings": "# a\n",
}


@pytest.mark.parametrize("fragment", ENDLESS.values(), ids=ENDLESS)
def test_what_is_held_does_not_grow_with_the_text(fragment: str) -> None:
    largest, held = 4, []
    for length in (20_000, 60_000):
        read = most = 0

        def pieces(length: int = length) -> Iterator[str]:
            nonlocal read
            for _ in range(length // len(fragment)):
                read += len(fragment)
                yield fragment

        with windows_of(1000, largest):
            for passage in chunk(pieces(), COUNTER, target_tokens=50, max_tokens=100):
                most = max(most, read - passage.start)
        held.append(most)
    assert held[1] <= held[0] <= largest * 1000 + len(fragment)


@pytest.mark.parametrize("fragment", ENDLESS.values(), ids=ENDLESS)
def test_windows_do_no_work_over_and_over(fragment: str) -> None:
    works = []
    for length in (20_000, 80_000):
        counter = CountingCounter()
        with windows_of(1000, 4):
            cut(fragment * (length // len(fragment)), 50, 100, counter=counter)
        works.append(counter.characters)
    assert works[1] <= 4.5 * works[0] + 1000


# -- hostile texts ------------------------------------------------------------------------------------------


def test_an_equation_of_a_megabyte_is_one_passage() -> None:
    equation = "\\[" + "x + " * 250_000 + "x\\]"
    text = f"{sentence('the', 30)}\n\nWe have {equation}\n\n{sentence('of', 30)}"
    (passage,) = (passage for passage in cut(iter([text[:1000], text[1000:]]), 50, 100) if passage.over_maximum)
    assert passage.content.strip() == equation
    assert passage.has_math


def test_environments_nested_a_thousand_deep_are_cut() -> None:
    text = "\\begin{tabular}{l}" * 1000 + "x \\\\ " + "\\end{tabular}" * 1000
    passages = cut(text, 100, 100)
    assert "".join(text[passage.start : passage.end] for passage in passages) == text
    assert max(passage.token_count for passage in passages) <= 100


def test_a_list_that_is_longer_than_a_window_stays_one() -> None:
    text = "".join(f"* item {number} is\n  long\n" for number in range(200))
    with windows_of(500):
        passages = cut(text, 40, 60)
    assert {block.kind for passage in passages for block in parse_blocks(passage.content)} == {BlockKind.LIST}
