"""Texts that are made to break a parser go all the way: cleaned, judged, signed and cut, and nothing is lost twice."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill.text import chunk, clean, deduplicate, judge, load_profile
from pagemill.text.chunking.tokens import TokenCounter
from tests.bytewise import bytewise_tokenizer

BOOKS = load_profile("books")
BYTES = 100_000


COUNTER = TokenCounter(bytewise_tokenizer(), "bytes")


def repeated(pattern: str) -> str:
    return pattern * (BYTES // len(pattern))


HOSTILE = {
    "an equation of a megabyte": r"\[" + "x + y = z; " * 90_000 + r"\]",
    "a table of 10,000 rows": r"\begin{tabular}{ll} a & b \\ " + r"cell & 12 \\ " * 10_000 + r"\end{tabular}",
    "no space at all": "".join(random.Random(1).choices("abcdefghij", k=BYTES)),
    "right to left": repeated("\u0634\u0644\u0627\u0645 \u05e9\u05dc\u05d5\u05dd. "),
    "a direction turned around": repeated("\u202eabc\u202c "),
    "NUL and lone surrogates": repeated("a\x00b\ud800 c\udfff. "),
    "a thousand environments within one another": r"\begin{equation}" * 1000 + "x" + r"\end{equation}" * 1000,
    "tables that nothing closes": repeated(r"\begin{table}\begin{tabular}{l} a & b \\ "),
    "braces that nothing closes": r"\(" + repeated("{") + r"\)",
    "left without right": r"\[" + repeated(r"\left( ") + r"\]",
    "delimiters that nothing closes": repeated(r"\( \[ "),
    "ends of nothing": repeated(r"\) \] \end{table} } \right) "),
    "fences": repeated("```\n"),
    "headings of digits": "# " + repeated("1 2 "),
    "empty headings": repeated("# \n"),
    "items": repeated("* [1] \n* "),
    "line ends with hyphens": repeated("ab-\n"),
    "footnotes": repeated("Footnote 1: \n\n"),
    "markers": repeated("[MISSING_PAGE_FAIL:1]"),
    "dots before an address": repeated("a.") + "@",
    "digits with hyphens": repeated("1-"),
    "dots of contents": repeated(". "),
    "white space": repeated(" \n\t"),
    "backslashes": repeated("\\"),
    "ampersands": r"\[" + repeated("& ") + r"\]",
    "entities": repeated("&amp;"),
    "mojibake": repeated("\u00c3\u00a2\u00e2\u201a\u00ac\u00e2\u201e\u00a2 "),
    "one letter": repeated("a"),
    "one word": repeated("loop "),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_nothing_stops_at_a_hostile_page(kind: str) -> None:
    text = HOSTILE[kind]
    cleaned = clean(["The page before ends in mid-", text, "sentence, and this one follows."])
    judged = judge(cleaned, BOOKS)
    assert len(judged.page_ends) == 3
    assert judged.page_ends[-1] == len(judged.text)
    judged.text.encode()  # has nothing that no encoding takes
    passages = list(chunk(judged.text, COUNTER, target_tokens=2000, max_tokens=4000))
    assert "".join(judged.text[passage.start : passage.end] for passage in passages) == judged.text
    assert len(deduplicate([judged.text, text, "Another text of three words."])) == 3


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=120), max_size=6))
def test_any_pages_become_a_text_that_covers_them(pages: list[str]) -> None:
    cleaned = clean(pages)
    judged = judge(cleaned, BOOKS)
    for book in (cleaned, judged):
        assert len(book.page_ends) == len(book.page_tags) == len(book.page_labels) == len(pages)
        assert "".join(book.pages()) == book.text
    assert len(judged.page_dropped) == len(judged.page_quality) == len(pages)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300))
def test_a_clean_and_judged_page_stays_as_it_is(page: str) -> None:
    once = judge(clean([page]), BOOKS)
    again = judge(clean([once.text]), BOOKS)
    assert (again.text, sum(again.masked.values())) == (once.text, 0)
