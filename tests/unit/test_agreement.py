"""How far a page's text agrees with its text layer: right pages high, wrong ones low, typography without weight."""

import hashlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill.archives import extract_members
from pagemill.ocr.agreement import CHANCE, LOW_AGREEMENT_BELOW, MIN_LETTERS, agreement
from pagemill.pages.document import text_layer
from tests import pdfs

DEMO = Path(__file__).parents[2] / "demo"
BOOKS = ("science-rar4.rar", "treatise.part1.rar")  # those of the demo whose pages have a text layer

PAGE = """It was a bright cold day in April, and the clocks were striking thirteen. The hallway smelt of boiled cabbage
and old rag mats. At one end of it a coloured poster, too large for indoor display, had been tacked to the wall."""
OTHER = """Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my purse, and
nothing particular to interest me on shore, I thought I would sail about a little and see the watery part."""
WORDS = st.lists(st.text("abcdeéßñöøæłŽβδθλ", min_size=4, max_size=9), min_size=20, max_size=60)


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> list[tuple[str, str]]:
    """The right text and the text layer of pages of the demo, those with a fair number of words."""
    folder = tmp_path_factory.mktemp("pdfs")
    extract_members([DEMO / "samples" / name for name in BOOKS], folder)
    found = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in folder.rglob("*.pdf")}
    truth = [json.loads(line) for line in (DEMO / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
    books = ((row["text"], found[row["pdf_sha256"]], row["page"]) for row in truth if row["pdf_sha256"] in found)
    pairs = ((text, text_layer(str(path), page)) for text, path, page in books)
    return [(text, layer) for text, layer in pairs if agreement("", layer) is not None]


# Right and wrong pages


def test_pages_read_right_agree(pages):
    scores = [agreement(text, layer) for text, layer in pages]
    assert len(scores) > 10
    assert min(scores) > 0.85


def test_another_page_does_not_agree(pages):
    scores = [agreement(text, layer) for text, right in pages for _, layer in pages if layer != right]
    assert max(scores) < LOW_AGREEMENT_BELOW


def test_a_looped_page_does_not_agree(pages):
    scores = [agreement(text[: len(text) // 8] * 8, layer) for text, layer in pages]
    assert max(scores) < LOW_AGREEMENT_BELOW


@pytest.mark.parametrize("text", ["", " \n", "12", "[MISSING_PAGE_EMPTY:7]", "\\[x^{2}\\]"])
def test_a_page_of_which_nothing_was_read_does_not_agree_at_all(text):
    assert agreement(text, PAGE) == 0.0


def test_a_page_agrees_less_the_less_of_it_was_read():
    scores = [agreement(PAGE[: len(PAGE) * share // 4], PAGE) for share in range(5)]
    assert scores == sorted(scores)
    assert (scores[0], scores[-1]) == (0.0, 1.0)


def test_what_was_made_up_counts_as_much_as_what_is_missing():
    assert agreement(PAGE, PAGE + OTHER) == agreement(PAGE + OTHER, PAGE) < 0.9


def test_a_running_head_and_a_page_number_that_nougat_leaves_out_change_little():
    assert agreement(PAGE, f"1984\n{PAGE}\nChapter One\n3") > 0.9


def test_a_page_with_some_words_misread_still_agrees():
    assert agreement(re.sub("cold|rag|end", "cxld", PAGE), PAGE) > 0.85


# What does not count

MATHEMATICS = r"""**Theorem 3.** _Let \(f:\mathbb{R}\to\mathbb{R}\) be continuous on \([a,b]\) and differentiable on
\((a,b)\). Then there is a point \(\xi\in(a,b)\) with_

\[f^{\prime}(\xi)=\frac{f(b)-f(a)}{b-a}.\]

By Rolle's theorem

\[\int_{a}^{b}\sum_{k=1}^{n}\alpha_{k}\sin(kx)\cos(mx)dx=\sum_{k=1}^{n}\alpha_{k}\delta_{km}\pi,\qquad
\lim_{n\to\infty}\prod_{i=1}^{n}(1+x_{i}/n)=\exp(x)\]

\[\begin{pmatrix}a_{11}&a_{12}\\ a_{21}&a_{22}\end{pmatrix}\begin{pmatrix}x_{1}\\ x_{2}\end{pmatrix}=0,
\quad\det A\neq 0\]
"""
TYPESET_MATHEMATICS = """
*Theorem 3.* Let $f: RR -> RR$ be continuous on $[a, b]$ and differentiable on $(a, b)$. Then there is a point
$xi in (a,b)$ with
$ f'(xi) = (f(b) - f(a)) / (b - a). $
By Rolle's theorem
$ integral_a^b sum_(k=1)^n alpha_k sin(k x) cos(m x) dif x = sum_(k=1)^n alpha_k delta_(k m) pi, wide
  lim_(n -> oo) product_(i=1)^n (1 + x_i / n) = exp(x) $
$ mat(a_11, a_12; a_21, a_22) vec(x_1, x_2) = 0, quad det A != 0 $
"""


def test_a_page_of_mathematics_read_right_agrees(tmp_path):
    path = tmp_path / "theorem.pdf"
    path.write_bytes(pdfs.typeset(TYPESET_MATHEMATICS))
    assert agreement(MATHEMATICS, text_layer(str(path), 1)) == 1.0


@pytest.mark.parametrize(
    ("text", "layer"),
    [
        ("# The **First** _Chapter_\n\n* [1] begins", "The First Chapter 1 begins"),
        (
            "\\begin{table}\n\\begin{tabular}{l c}\nsilver & \\multicolumn{2}{c}{copper} \\\\ \\hline\n\\end{tabular}\n"
            "\\end{table}\nTable 1: metals",
            "silver copper\nTable 1: metals",
        ),
        (r"Schr\"{o}dinger, Erd\H{o}s and Poincar\'e, \v{C}ech", "Schrödinger, Erdős and Poincaré, Čech"),
        ("efficient flowing", "eﬃcient ﬂowing"),
        ("see [https://example.org/paper](https://example.org/paper)", "see https://example.org/paper"),
        ("the well-known conversation", "THE WELL-\nKNOWN CONVERSA\u00ad\nTION"),
    ],
    ids=["markdown", "table", "accents", "ligatures", "links", "hyphens"],
)
def test_markup_and_typography_do_not_count(text, layer):
    assert agreement(f"{text} {PAGE}", f"{layer} {PAGE}") == 1.0


def test_the_order_of_columns_does_not_count():
    assert agreement(f"{PAGE}\n\n{OTHER}", f"{OTHER}\n{PAGE}") == 1.0


def test_a_text_layer_without_spaces_is_judged_by_its_letters():
    assert agreement(PAGE, "".join(PAGE.split())) > 0.95
    assert agreement(OTHER, "".join(PAGE.split())) < LOW_AGREEMENT_BELOW


def test_letters_that_any_two_pages_share_are_chance():
    assert 0 < CHANCE < 1
    assert agreement(OTHER, PAGE) < 0.2


# No good judge


@pytest.mark.parametrize(
    "layer",
    ["", " \n ", "17", "CHAPTER ONE", "\ue000\ue001\ue002" * 200, "\ufffd" * 300, "x = 1 + y " * 60, "3.14 2.72 " * 60],
    ids=["none", "space", "number", "title", "private", "replaced", "symbols", "digits"],
)
def test_a_text_layer_without_words_says_nothing(layer):
    assert agreement(PAGE, layer) is None
    assert agreement("", layer) is None


def test_a_text_layer_needs_so_many_letters_in_words():
    assert agreement("word", "word " * (MIN_LETTERS // 4)) is not None
    assert agreement("word", "word " * (MIN_LETTERS // 4 - 1)) is None


# For every text


@given(st.text(max_size=300), st.text(max_size=300))
def test_it_is_a_share_or_nothing(text, layer):
    score = agreement(text, f"{PAGE} {layer}")
    assert score is None or 0.0 <= score <= 1.0


@given(st.text(st.characters(categories=["L", "P", "Zs", "Nd"]), max_size=200))
def test_a_text_agrees_wholly_with_itself(text):
    assert agreement(f"{PAGE} {text}", f"{PAGE} {text}") == 1.0


@given(WORDS, WORDS)
def test_two_texts_agree_as_the_same_two_turned_round(some, others):
    assert agreement(" ".join(some), " ".join(others)) == agreement(" ".join(others), " ".join(some))


@given(WORDS, WORDS, st.data())
def test_line_breaks_and_hyphens_do_not_change_it(some, others, data):
    breaks = st.sampled_from([" ", "\n", "\r\n", "  ", "\n\n"])
    hyphens = st.sampled_from(["", "", "-\n", "\u00ad", "- \n", "\u2010\n"])
    broken = "".join(word[:2] + data.draw(hyphens) + word[2:] + data.draw(breaks) for word in some)
    assert agreement(broken, " ".join(others)) == agreement(" ".join(some), " ".join(others))


@settings(max_examples=5)
@given(st.sampled_from([PAGE, "a" * 300, "word ", "](", "\\"]), st.integers(1, 3))
def test_a_page_without_end_is_judged_by_its_beginning(piece, times):
    long = PAGE + piece * 30_000
    assert agreement(long, long * times) in (1.0, None)
