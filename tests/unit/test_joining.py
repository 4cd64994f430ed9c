"""Words and sentences that a line or a page cut in two are one again."""

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill.text.cleaning.joining import book_words, join_lines, join_pages, keeps_hyphen


def joined(*pages: str) -> str:
    return join_pages(pages, book_words(pages))[0]


# words ------------------------------------------------------------------------------------------


def test_the_words_of_a_book_keep_their_hyphens_and_lose_their_case():
    words = book_words(["A well-known Method", "of 3 methods_x", "a well\u2010known a"])
    assert words == {"a": 3, "well-known": 2, "well-": 2, "method": 1, "of": 1, "methods": 1, "x": 1}


@pytest.mark.parametrize(
    ("left", "right", "words", "keeps"),
    [
        ("hypo", "thesis", {"hypothesis"}, False),
        ("hypo", "thesis", set(), False),
        ("Hypo", "thesis", {"hypothesis"}, False),
        ("well", "known", {"well-known"}, True),
        ("well", "known", set(), False),
        ("re", "cover", {"recover", "re-cover"}, False),
        ("Anglo", "Saxon", set(), True),
        ("state-of-the", "art", set(), True),
        ("to", "day", ["to-day"] * 9 + ["today"], True),
        ("to", "day", ["today"] * 9 + ["to-day"], False),
        ("well", "meant", ["well", "meant"] * 3 + ["well-", "well-known"], True),
        ("well", "meant", ["well", "meant"] * 3, False),
        ("well", "aday", ["well"] * 3 + ["well-", "well-known"], False),
    ],
)
def test_the_book_itself_says_whether_a_hyphen_belongs_to_the_word(left, right, words, keeps):
    assert keeps_hyphen(left, right, Counter(words)) is keeps


def test_a_hyphen_may_stand_for_what_comes_later():
    assert join_lines("the pre-\nand post-war years", {}) == ("the pre- and post-war years", 0)
    assert joined("Sie hat einen Ein-", "und einen Ausgang.") == "Sie hat einen Ein- und einen Ausgang."
    assert join_lines("a thous-\nand", {"thousand": 1}) == ("a thousand", 1)


# lines ------------------------------------------------------------------------------------------


def test_a_word_cut_by_a_line_is_joined():
    assert join_lines("The hypo-\nthesis holds.", {}) == ("The hypothesis holds.", 1)


def test_a_compound_cut_by_a_line_keeps_its_hyphen():
    assert join_lines("A well-\nknown case.", {"well-known": 1}) == ("A well-known case.", 1)


def test_indented_lines_and_several_cuts_are_joined():
    text = "inter- \n  national organi-\nsations"
    assert join_lines(text, {}) == ("international organisations", 2)


def test_soft_hyphens_go():
    assert join_lines("hypo\u00ad\nthesis and syn\u00adthesis", {"hypo-thesis"}) == ("hypothesis and synthesis", 1)


def test_a_soft_hyphen_at_the_end_waits_for_the_next_page():
    assert join_lines("a hypo\u00ad", {}) == ("a hypo-", 0)


@pytest.mark.parametrize(
    "text",
    [
        "\\(x-\ny\\) is inline",
        "\\[a-\nb\\]",
        "\\begin{equation}\na-\nb\n\\end{equation}",
        "\\begin{table}\n\\begin{tabular}{l}a-\nb\\end{tabular}\n\\end{table}\nTable 1: c",
        "```\nfor-\neach\n```",
        "1914-\n1918",
        "a dash -\nbetween",
        "one-\n\ntwo",
        "one-\n# two",
        "one-\n* two",
    ],
)
def test_only_words_of_one_paragraph_are_joined(text):
    assert join_lines(text, {}) == (text, 0)


# pages ------------------------------------------------------------------------------------------


def test_a_sentence_goes_on_over_the_page_with_a_space():
    assert joined("This hypothesis", "stipulates that it rains.") == "This hypothesis stipulates that it rains."


def test_a_word_goes_on_over_the_page_without_one():
    text, ends, _ = join_pages(["An inter-", "national treaty."], {})
    assert text == "An international treaty."
    assert (text[: ends[0]], text[ends[0] :]) == ("An inter", "national treaty.")


def test_a_compound_over_the_page_keeps_its_hyphen():
    assert joined("It is well-known. A well-", "known case.") == "It is well-known. A well-known case."


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("It rains.", "then it stops."),
        ('He said "it rains."', "then it stops."),
        ("It rains", "Then it stops."),
        ("# Rain", "falls from clouds."),
        ("\\[x=y\\]", "where it rains."),
        ("Figure 1: Rain", "falls from clouds."),
        ("Footnote 1: Rain", "falls from clouds."),
        ("```\nrain\n```", "falls"),
        ("It rains", "* a cloud"),
        ("It rains", "# clouds"),
        ("It rains", "\\[x\\]"),
        ("inter-", "# national"),
    ],
)
def test_what_does_not_go_on_begins_a_new_paragraph(before, after):
    assert joined(before, after) == f"{before}\n\n{after}"


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("Rain, snow,", "Hail and sleet.", "Rain, snow, Hail and sleet."),
        ("where", "\\(x\\) is rain.", "where \\(x\\) is rain."),
        ("水的沸点取决于", "空气的压力。", "水的沸点取决于空气的压力。"),
        ("تعتمد درجة", "غليان الماء.", "تعتمد درجة غليان الماء."),
        ("* a list whose item", "goes on", "* a list whose item goes on"),
    ],
)
def test_what_goes_on_stays_in_its_paragraph(before, after, text):
    assert joined(before, after) == text


def test_nothing_goes_on_over_a_page_that_is_missing():
    assert joined("The sentence", "", "is not this one.") == "The sentence\n\nis not this one."


def test_no_pages_and_empty_pages_are_an_empty_text():
    assert join_pages([], {}) == ("", (), 0)
    assert join_pages(["", ""], {}) == ("", (0, 0), 0)


PAGES = st.lists(st.text(alphabet="abA-., \n#\\()[]水").map(str.strip), max_size=6)


@settings(max_examples=150, deadline=None)
@given(PAGES)
def test_joining_changes_nothing_but_spaces_and_hyphens(pages):
    words = book_words(pages)
    lines = [join_lines(page, words)[0] for page in pages]
    text = join_pages(lines, words).text
    assert [c for c in text if not c.isspace() and c != "-"] == [
        c for page in pages for c in page if not c.isspace() and c != "-"
    ]


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="abA-\u00ad \n#\\()[]"))
def test_joining_lines_again_changes_nothing(text):
    once = join_lines(text, book_words([text]))[0]
    assert join_lines(once, book_words([once])) == (once, 0)


@settings(max_examples=150, deadline=None)
@given(PAGES)
def test_every_page_is_where_its_end_says(pages):
    text, ends, _ = join_pages(pages, book_words(pages))
    assert len(ends) == len(pages)
    assert list(ends) == sorted(ends)
    assert (ends[-1] if ends else 0) == len(text)
    for page, (start, end) in zip(pages, itertools.pairwise((0, *ends)), strict=True):
        found = text[start:end].rstrip("\n ")
        assert found in (page, page.removesuffix("-"))
