"""Figures of pages and books: each says one thing, and a book's are those of its pages, weighted by characters."""

# ruff: noqa: RUF001  letters of other scripts are meant

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pagemill.records import PageQuality, PageRecord, Quality, Status
from pagemill.text.cleaning.book import Removed, clean
from pagemill.text.cleaning.latex import Repaired
from pagemill.text.judging.quality import REPEATED_PAGE, book_quality, is_missing, latex_errors, page_quality, shares
from pagemill.text.mmd.blocks import BlockKind, parse_blocks

PROSE = (
    "The old captain watched the rain fall on the harbour and thought of the storms that he had seen. In the morning "
    "the mate came aboard and told him what the wind had done to the other ships, of which two had lost their masts."
)
TABLE = (
    "\\begin{table}\n\\begin{tabular}{lr} a & \\(x\\) \\\\ b & \\[y\\] \\end{tabular}\n\\end{table}\nTable 1: Two rows."
)
MARKS = r"\( \) \[ \] \\ \left \right \begin{equation} \end{equation} { } x 1 , . ``` é ² Ⅳ"
MMD = st.lists(
    st.sampled_from([*MARKS.split(), TABLE, " ", "\n", "\n\n", ". ", "# a\n", "\u2003", "\x0b"]), max_size=30
).map("".join)


def read(text: str, status: Status = Status.OK, **values) -> PageRecord:
    return PageRecord("ab", 1, status, None, "nougat", 1, text, 10, 0.1, **values)


def figures(**values) -> PageQuality:
    return PageQuality(**{**page_quality("").to_dict(), **values})


# a page ------------------------------------------------------------------------------------------


def test_the_figures_of_a_page():
    quality = page_quality(
        "Rain: 7 \\(x+y\\) he1lo",
        language="en",
        language_score=0.9,
        tag="body",
        loop_lines=3,
        read=read("{ \\(x", agreement=0.8),
    )
    assert quality.characters == 18
    assert (quality.alphabetic_share, quality.math_share) == (round(8 / 11, 4), round(7 / 18, 4))
    assert quality.garbage_score == round(5 / 11, 4)
    assert (quality.language, quality.language_score, quality.tag) == ("en", 0.9, "body")
    assert (quality.loop_lines, quality.latex_errors, quality.agreement) == (3, 2, 0.8)


def test_the_agreement_of_what_a_fallback_replaced_is_not_that_of_its_text():
    assert page_quality("Rain", read=read("Rain", agreement=0.1)).agreement == 0.1
    assert page_quality("Rain", read=read("Rain", Status.FALLBACK, agreement=0.1)).agreement is None


def test_a_page_without_text():
    assert page_quality("") == PageQuality(0, 0.0, 0.0, 0.0, 0, 0, "und", 0.0, "body", None, 0.0)
    assert page_quality(" \n").characters == 0


def test_a_loop_is_what_compression_leaves_little_of():
    assert page_quality(PROSE).compressed_share > 0.5
    assert page_quality(" ".join(f"{PROSE} {number}" for number in range(20))).compressed_share < 0.1
    assert page_quality("& 0.00 " * 500).compressed_share < 0.1
    assert page_quality("xy").compressed_share == 1.0


@settings(max_examples=300)
@given(MMD | st.text())
@example(f"{TABLE}\n\n\\[x\\]., \u2003then")
@example("\\[x\\] \n.\n")
def test_a_page_has_the_shares_of_its_text(text):
    quality = page_quality(text)
    assert (quality.alphabetic_share, quality.math_share) == shares(text)
    assert quality.characters == len("".join(text.split()))


@settings(max_examples=200)
@given(st.text().filter(lambda text: "\\" not in text))
def test_letters_are_what_unicode_calls_so(text):
    words = "".join(text.split())
    expected = sum(map(str.isalpha, words)) / len(words) if words else 0.0
    assert shares(text) == (round(expected, 4), 0.0)


@settings(max_examples=200)
@given(MMD)
def test_latex_errors_are_those_outside_code(text):
    code_free = "".join(text[b.start : b.end] for b in parse_blocks(text) if b.kind is not BlockKind.CODE)
    assert latex_errors(text) == latex_errors(code_free.replace("```", ""))


@pytest.mark.parametrize("text", [PROSE, "", "[x] (y) <z>", "a\n\nb"])
def test_text_without_latex_has_no_errors(text):
    assert latex_errors(text) == 0


@pytest.mark.parametrize(
    "text",
    [
        "\x00\ud800" * 1000,
        "\\begin{equation}" * 2000,
        "{" * 100_000,
        "\\[" + "x" * 1_000_000 + "\\]",
        "\\begin{tabular}{l}" + "a & b \\\\ " * 10_000 + "\\end{tabular}",
        "x" * 1_000_000,
        "\u202eשלום" * 1000,
    ],
)
def test_hostile_pages_have_figures(text):
    quality = page_quality(text, read=read(text))
    for share in (quality.alphabetic_share, quality.math_share, quality.garbage_score, quality.compressed_share):
        assert 0.0 <= share <= 1.0


# a book ------------------------------------------------------------------------------------------


def test_shares_of_a_book_are_weighted_by_characters():
    pages = [
        figures(characters=900, alphabetic_share=1.0, math_share=0.0, garbage_score=0.0),
        figures(characters=200, alphabetic_share=0.5, math_share=0.5, garbage_score=1.0),
        figures(),
    ]
    quality = book_quality(pages)
    assert quality.characters == 1100
    assert quality.alphabetic_share == 0.95  # 900 and 50 of the 1,000 characters outside mathematics
    assert quality.math_share == round(100 / 1100, 4)
    assert quality.garbage_score == 0.1


@settings(max_examples=50)
@given(st.lists(st.sampled_from([PROSE, "\\(x\\) yields 12", "\\[x=y\\]", ""]), max_size=5))
def test_a_books_shares_are_those_of_its_whole_text(texts):
    quality = book_quality([page_quality(text) for text in texts])
    assert (quality.alphabetic_share, quality.math_share) == pytest.approx(shares("\n\n".join(texts)), abs=2e-4)


def test_pages_left_out_have_no_say_in_the_text_and_are_counted():
    pages = [figures(characters=100, garbage_score=score) for score in (0.0, 0.8, 0.0, 0.1)] + [figures()]
    quality = book_quality(pages, dropped=["", "garbage_page", REPEATED_PAGE, "", ""])
    assert (quality.characters, quality.garbage_score) == (200, 0.05)
    assert (quality.dropped_share, quality.repeated_share) == (0.25, 0.25)  # of the pages with text


def test_what_only_the_ledger_tells():
    ledger = [read("text"), read("", Status.EMPTY), read(" ", Status.FAILED), read("text", Status.TRUNCATED)]
    quality = book_quality([figures()] * 4, ledger=ledger)
    assert (quality.missing_share, quality.truncated_share) == (round(1 / 3, 4), 0.25)
    assert [is_missing(page) for page in ledger] == [False, False, True, False]
    without = book_quality([figures()] * 4)
    assert (without.missing_share, without.truncated_share, without.agreement) == (0.0, 0.0, None)


def test_agreement_is_the_mean_of_the_pages_that_have_one():
    pages = [figures(agreement=0.5), figures(), figures(agreement=0.8)]
    assert book_quality(pages).agreement == 0.65


def test_what_cleaning_did_is_counted():
    removed = Removed(loop_lines=3, running_lines=4, lost_spaces=5, footnotes_moved=6)
    repaired = Repaired(braces_added=1, formulas_closed=2, openers_left=7)
    pages = [figures(characters=9, loop_lines=3, latex_errors=2), figures(characters=9, latex_errors=1), figures()]
    quality = book_quality(pages, removed=removed, repaired=repaired)
    assert (quality.loop_lines_removed, quality.running_lines_removed) == (3, 4)
    assert (quality.lost_spaces, quality.footnotes_moved) == (5, 6)
    assert (quality.latex_repairs, quality.latex_errors) == (3, 3)
    assert quality.looped_share == 0.5


def test_a_book_without_pages():
    assert book_quality([]) == Quality(0.0, 0.0, 0.0, 0.0, 0, 0, 0)


def test_a_real_page_keeps_its_figures_after_cleaning():
    page = f"# Rain\n\n{PROSE}\n\n\\[E=mc^2 \\tag{{1}}\\]"
    assert page_quality(clean(page).text) == page_quality(page)
