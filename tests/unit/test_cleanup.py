"""Nougat's clean-up of a page: the installed package's own, without torch, and without its quadratic search."""

import json
import pickle
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pagemill.ocr.engine import Draft
from pagemill.ocr.nougat.cleanup import Cleanup, installed_postprocessing, truncate_repetitions
from pagemill.records import Reason, Status
from tests.steps import count_steps

DEMO = Path(__file__).parents[2] / "demo"
TRUTH = [json.loads(line)["text"] for line in (DEMO / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
MISSING = "[MISSING_PAGE_POST]"


def prose(words: int, seed: int = 0) -> str:
    vocabulary = ["the", "of", "theorem", "proof", "let", "functions", "number", "alpha", "convergence", "bounded"]
    return " ".join(random.Random(seed).choices(vocabulary, k=words))


def references(count: int) -> str:
    return "## References\n\n" + "\n".join(
        f"* [{i}] A. Author, {prose(6, i)}. _J. Math._ **{i}**, {1900 + i}." for i in range(count)
    )


# A page of dot leaders as long as Nougat can write one
CONTENTS = "\n\n".join(f"{line // 16}.{line % 16} {prose(3, line)} " + "." * 50 + f" {line}" for line in range(190))

NASTY = {
    "nothing": "",
    "white space": " \n\n \t\n",
    "one letter": "a",
    "prose": "\n\n".join(f"{prose(60, seed)}." for seed in range(12)),
    "last word known": "It was the best of the theorem",
    "last word unknown": "It was the best of the qqzzx",
    "loop": prose(20) + " and again the same sentence, over and over." * 40,
    "loop from the start": "I am a loop of words that never ends. " * 60,
    "loop in another case": "The Same Sentence, Over And Over. " + "the same sentence, over and over. " * 20,
    "dot leaders": CONTENTS,
    "only dots": "Contents\n\n" + "." * 3000,
    "letters that grow in lower case": "İİ İstanbul'da İki İyi İnsan. " * 30,
    "references": references(60),
    "one reference for ever": "## References\n\n" + "\n".join(f"* [{i}] A. Author, On loops." for i in range(120)),
    "loop in references": references(9) + "\n" + "\n".join(f"* [{i}] B. Author, On loops." for i in range(9, 120)),
    "empty brackets": "* [1][] A. Author\n* [2] A. B. C. D. E. F. G. H. I. J. K. L. M. N.",
    "table": "\\begin{table} \\begin{tabular}{l c}\na & b \\\\\nc & d \\\\\n\\end{tabular} \\end{table} Table 1: x",
    "wrong table": "before\n" + "& " * 450 + "\nafter",
    "table in a line": "\\begin{tabular}{l l}  & \\\\ \\end{tabular} and \\begin{tabular}{ll} & \\\\ \\end{tabular}",
    "list": "* 1 one - 1.1 two * three\n- one - two - three\n* a * b",
    "list in one line": "- " + " - ".join(f"1.{i} item {i}" for i in range(20)),
    "title at the end": f"{prose(30)}.\n## The end",
    "title too long": "## 1. " + prose(40),
    "title without words": "## 1.2.3\n\nText of the section.",
    "footnotes": "a[FOOTNOTE:1]b[ENDFOOTNOTE]c\nFootnote 1: footnotetext: Thanks to all.\n\n",
    "mathematics": "(1) \\[a=b\\]\n\\[c=d\\] (2.3a)\n\\[e\\] (4) \\[f\\]\n_x_ and _a__i_ , \\bm{v} \\begin{array}[]{",
    "address": "see https://example.org/a?b=c, or http://x.y",
    "algorithm": "``` for i in x do y ```\n\n```\nleft open",
    "only a table's mark": "Table 3",
    "heading": "# A book\n\nby nobody",
}


@pytest.fixture(scope="module")
def cleanup() -> Cleanup:
    return Cleanup()


@pytest.fixture(scope="module")
def stock():
    """The installed functions, untouched."""
    return installed_postprocessing()


def draft(text: str, status: Status = Status.OK, reason: Reason | None = None) -> Draft:
    return Draft("page", text, 7, status, reason)


def program(lines: str) -> str:
    return subprocess.run([sys.executable, "-c", lines], check=True, capture_output=True, text=True).stdout


# The text


@pytest.mark.parametrize("text", [*TRUTH, *NASTY.values()], ids=[*map(str, range(len(TRUTH))), *NASTY])
def test_a_page_reads_as_the_installed_package_has_it(cleanup, stock, text):
    wanted = stock.markdown_compatible(stock.postprocess(text, markdown_fix=False))
    page = cleanup(draft(text))
    assert page.text == ("" if wanted.strip() in ("", MISSING) else wanted)


@settings(max_examples=100)
@given(
    st.lists(
        st.sampled_from(
            ["#", " ", "\n", "\n\n", "* [1] ", "- ", "1.", "ix ", "_a_", "\\(x\\)", "A. ", "&", "The word"]
        ),
        max_size=40,
    )
)
def test_any_markup_reads_as_the_installed_package_has_it(cleanup, stock, pieces):
    text = "".join(pieces)
    wanted = stock.markdown_compatible(stock.postprocess(text, markdown_fix=False))
    assert cleanup(draft(text)).text == ("" if wanted.strip() in ("", MISSING) else wanted)


# What became of the page


def test_a_page_that_was_read_to_its_end_is_ok(cleanup):
    page = cleanup(draft("A whole page."))
    assert (page.text, page.tokens, page.status, page.reason) == ("A whole page.\n\n", 7, Status.OK, None)


@pytest.mark.parametrize("reason", [Reason.REPETITION, Reason.LENGTH_LIMIT])
@pytest.mark.parametrize("text", ["What stands before the loop.", ""])
def test_a_truncated_page_keeps_its_text_and_reason(cleanup, text, reason):
    page = cleanup(draft(text, Status.TRUNCATED, reason))
    assert page.text.strip() == text
    assert (page.tokens, page.status, page.reason) == (7, Status.TRUNCATED, reason)


def test_a_page_that_looped_from_its_start_stays_failed_and_empty(cleanup):
    page = cleanup(draft("whatever", Status.FAILED, Reason.REPETITION_FROM_START))
    assert (page.text, page.tokens, page.status, page.reason) == ("", 7, Status.FAILED, Reason.REPETITION_FROM_START)


@pytest.mark.parametrize("status", [Status.OK, Status.TRUNCATED])
def test_a_page_of_which_clean_up_leaves_nothing_but_its_mark_has_failed(cleanup, status):
    page = cleanup(draft(NASTY["one reference for ever"], status))
    assert (page.text, page.status, page.reason) == ("", Status.FAILED, Reason.REPETITION_FROM_START)


@pytest.mark.parametrize("text", ["", " \n ", "\n\n\n"])
def test_a_page_without_text_is_empty(cleanup, text):
    page = cleanup(draft(text))
    assert (page.text, page.tokens, page.status, page.reason) == ("", 7, Status.EMPTY, Reason.NO_TEXT)


# In a child


def test_it_needs_neither_torch_nor_transformers_and_prints_nothing():
    answer = program(
        "import sys\n"
        "from pagemill.ocr.engine import Draft\n"
        "from pagemill.ocr.nougat.cleanup import Cleanup\n"
        "Cleanup()(Draft(1, 'Some text.\\n## A title at the end', 7, 'ok'))\n"
        "sys.exit(bool({'torch', 'transformers', 'nougat', 'timm'} & set(sys.modules)))"
    )
    assert answer == ""


def test_it_travels_to_a_child(cleanup):
    arrived = pickle.loads(pickle.dumps(cleanup))
    assert arrived(draft(NASTY["prose"])) == cleanup(draft(NASTY["prose"]))


# The search for repetitions

PIECES = st.sampled_from(
    ["a", "ab.", "İ", "ẞß", "ﬁ", "Σς", ".", "..", "\n", "?", " ", "Word word! ", "." * 31, "x" * 29]
)


@settings(max_examples=300)
@given(st.lists(st.tuples(PIECES, st.integers(0, 40)), max_size=8), st.text(max_size=3))
@example([], "")
@example([("İ", 30), ("ab.", 40)], "")
def test_repetitions_are_cut_as_the_original_cuts_them(stock, parts, end):
    text = "".join(piece * times for piece, times in parts) + end
    assert truncate_repetitions(text) == stock.truncate_repetitions(text)


@settings(max_examples=200)
@given(
    st.text("aB.İ\n", max_size=60), st.text("aB.İ\n", min_size=1, max_size=12), st.integers(1, 9), st.integers(1, 30)
)
def test_repetitions_of_any_length_are_cut_as_the_original_cuts_them(stock, head, loop, times, min_len):
    text = head + loop * times
    assert truncate_repetitions(text, min_len) == stock.truncate_repetitions(text, min_len)


@pytest.mark.parametrize("name", NASTY)
def test_repetitions_of_whole_pages_are_cut_as_the_original_cuts_them(stock, name):
    text = NASTY[name][-4000:]
    assert truncate_repetitions(text) == stock.truncate_repetitions(text)


def test_the_longest_page_of_dot_leaders_costs_a_number_of_steps_in_proportion_to_its_length():
    letters = CONTENTS[-14_000:] + "." * 14_000
    steps = [count_steps(truncate_repetitions, text) for text in (letters[:14_000], letters)]
    assert len(CONTENTS) > 14_000
    assert steps[1] < 3 * steps[0] < 20 * 3 * 14_000
