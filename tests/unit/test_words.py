"""The words of a book are counted as they stand, at once and while its pages change."""

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill.text.cleaning.words import CLOSING, OPENING, Pairs, Words, changes_between

LETTERS = r"[^\W\d_]++"


def counted(words):
    return words.runs, words.alone, words.compounds, words.runs_without_case


def test_words_alone_and_words_within_something_else():
    words = Words(["Rain, rain (and rain): x2y rain() https://rain.org it's — rain—rain"])
    assert words.runs["rain"] == 6
    assert words.runs_without_case["rain"] == 7
    assert words.alone == {"Rain": 1, "rain": 4, "and": 1, "s": 1}


def test_what_has_a_backslash_is_latex_and_no_word():
    words = Words([r"Let \(a\) and \(\operatorname{rain} = b\) be rain"])
    assert words.runs == {"Let": 1, "and": 1, "be": 1, "rain": 1}


def test_compounds_and_their_first_parts():
    words = Words(["well-known and Well\u2010known, well-being"])
    assert words.compounds == {"well-known": 1, "Well\u2010known": 1, "well-being": 1}
    assert words.in_lower_case() == {"well-known": 2, "well-being": 1, "well-": 3, "and": 1}


PIECES = ["rain", "Rain", "sea", "the", "\u00df", "\u0130a", "\u00b2", "\u6c34", "-", "\u2010", "(", "\u201c", "\u2014"]
TEXT = st.lists(st.sampled_from([*PIECES, ",", ".", "'", "\\", "_", "3", " ", " ", " ", "\n", "\t", "\u00a0"])).map(
    "".join
)
PAGES = st.lists(TEXT, max_size=4)


@settings(max_examples=300)
@given(PAGES)
def test_counting_tokens_is_counting_words(pages):
    words = Words(pages)
    pages = [re.sub(r"[^ \n]*\\[^ \n]*", "", text) for text in pages]  # which is LaTeX
    hyphenated = [
        word for text in pages for word in re.findall(rf"{LETTERS}(?:[-\u2010]{LETTERS})*+", text) if not word.isalpha()
    ]
    assert words.runs == Counter(run for text in pages for run in re.findall(LETTERS, text))
    assert words.alone == Counter(run for text in pages for run in re.findall(OPENING + LETTERS + CLOSING, text))
    assert words.compounds == Counter(word for word in hyphenated if "-" in word or "\u2010" in word)
    assert words.runs_without_case == Counter(run.casefold() for run in words.runs.elements())


CHANGES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 99), st.integers(0, 3), TEXT), max_size=3)


def changed(pages, changes):
    """Return pages some of which had a few characters replaced."""
    pages = list(pages)
    for page, start, length, text in changes:
        if page < len(pages):
            pages[page] = pages[page][:start] + text + pages[page][start + length :]
    return pages


@settings(max_examples=300)
@given(PAGES, CHANGES)
def test_only_what_changed_is_counted_again(pages, changes):
    after = changed(pages, changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pagemill.text.cleaning.words._MAX_CHANGED_SHARE", 1e9)
        assert counted(Words(pages).recounted(pages, after)) == counted(Words(after))


def test_a_book_that_changed_much_is_counted_anew():
    assert counted(Words(["rain"]).recounted(["rain"], ["a sea"])) == counted(Words(["a sea"]))
    assert counted(Words(["rain"]).recounted(["rain"], ["a sea", "rain"])) == counted(Words(["a sea", "rain"]))


def test_paragraphs_that_come_and_go_are_all_that_is_counted_again():
    before = ["A head\n\nOften it rains on the sea.\n\nIt rains.", "It rains.\n\nIt rains.", "Much more. " * 50]
    after = ["Often it rains on a sea.\n\nIt rains.\n\nNew.", "It rains.", before[2]]
    assert sorted(changes_between(before, after)) == [
        ("", "New."),
        (" on the sea.", " on a sea."),
        ("A head", ""),
        ("It rains.", ""),
    ]
    assert counted(Words(before).recounted(before, after)) == counted(Words(after))


PAIR = re.compile(rf"{OPENING}({LETTERS})[ \n](?=({LETTERS}){CLOSING})")
WANTED = frozenset(
    {("rain", "sea"), ("sea", "rain"), ("the", "rain"), ("rain", "rain"), ("ss", "the"), ("the", "\u6c34")}
)


@settings(max_examples=300)
@given(PAGES, CHANGES)
def test_pairs_are_words_side_by_side(pages, changes):
    after = changed(pages, changes)
    pairs = Pairs()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pagemill.text.cleaning.words._MAX_CHANGED_SHARE", 1e9)
        for each in (pages, after):
            found = Counter((a.casefold(), b.casefold()) for text in each for a, b in PAIR.findall(text))
            counts = pairs.count(WANTED, each, Words(each))
            assert {pair: counts[pair] for pair in WANTED} == {pair: found[pair] for pair in WANTED}


def test_other_pairs_are_counted_when_they_are_asked_for():
    pages, pairs = ["the rain and the sea"], Pairs()
    assert pairs.count({("the", "rain")}, pages, Words(pages))["the", "rain"] == 1
    assert pairs.count({("the", "sea")}, pages, Words(pages)) == {("the", "sea"): 1}


def test_few_tokens_are_held_at_a_time(monkeypatch):
    pages = [f"rain {number} the-{number} sea. " * 3 for number in range(50)]
    whole = counted(Words(pages))
    monkeypatch.setattr("pagemill.text.cleaning.words._MAX_TOKENS", 10)
    assert counted(Words(pages)) == whole


def test_ten_million_letters_are_one_word():
    assert Words(["a" * 10_000_000]).runs == {"a" * 10_000_000: 1}
    assert Words(["\u201ca" * 100_000 + "-a" * 100_000]).alone == {}
