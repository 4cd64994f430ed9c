"""A book's pages become one clean text; mathematics, tables and code stay as they are."""

# ruff: noqa: RUF001  quotation marks and letters that look alike are meant

import itertools
import re
import tracemalloc
from collections import UserList

import ftfy
import pytest
from ftfy.badness import is_bad
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pagemill.text.cleaning.book import clean
from pagemill.text.cleaning.heads import remove_running_lines
from pagemill.text.cleaning.loops import remove_loop_at_end, remove_repeated_lines
from pagemill.text.cleaning.scrubbing import collapse_gaps, remove_markers, repair
from pagemill.text.cleaning.tagging import tag_pages
from pagemill.text.judging.quality import latex_errors, shares

TABLE = (
    "\\begin{table}\n\\begin{tabular}{l r} \\hline a-b & 1 \\\\ c  d & 2 \\\\ \\hline\\end{tabular}\n\\end{table}\n"
    "Table 4: Two rows."
)
EQUATION = "\\[\\left\\{x-\\frac{1}{2}\\right\\}  =  y \\tag{2.3}\\]"
CODE = "```\nfor x in y:\n    print(x)\n\n\n\n    print(x)\n    print(x)\n    print(x)\n    print(x)\n    print(x)\n```"


KEEPING = ftfy.TextFixerConfig(
    uncurl_quotes=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    normalization=None,
    unescape_html=False,
    explain=False,
)
LETTERS = "abcdefghijklmnop"

# Unicode ----------------------------------------------------------------------------------------


def test_mojibake_is_repaired():
    assert repair("dâ€™aprÃ¨s le thÃ©orÃ¨me") == ("d’après le théorème", 0)


def test_what_is_the_books_own_stays():
    text = "“curled” ‘quotes’, ﬁne ﬂow, ｗｉｄｅ, e\u0301, &amp; and a & b, \u200fעברית"
    assert repair(text) == (text, 0)


def test_control_characters_are_dropped():
    assert repair("a\x00b\x07c\x1b[d\x7f\ufeff\ufffe\x81e") == ("abc[de", 7)


def test_tabs_and_line_ends_stay_in_one_form():
    assert repair("a\tb\r\nc\rd\x0ce\u2028f") == ("a\tb\nc\nd\ne\nf", 0)


def test_lone_surrogates_are_dropped_and_pairs_are_joined():
    assert repair("a\ud800b\udc00\ud83d\ude00c") == ("ab😀c", 2)


SIGNS = [chr(code) for code in (*range(0xA0, 0xD800), *range(0xE000, 0x10000), 0x1F600)]


def test_one_sign_among_plain_letters_is_no_mojibake_but_for_four():
    around = ("a {} b", "a{}b", "A{}.", "1{}1", "{} ", ".{} ", "{}\u00b0"[:2])
    assert [sign for sign in SIGNS if any(is_bad(each.format(sign)) for each in around)] == ["\xc2", "\xc3", "Œ", "œ"]


MOJIBAKE = st.text(
    st.sampled_from("".join(SIGNS[:320]) + "ΑΒΓГўВЂВРС×²³€‚Ä√≈†“”‘’„–—…•™®© abcXYZ.,\n" * 3), max_size=14
)


@settings(max_examples=500, deadline=None)
@given(MOJIBAKE | st.builds("{}â€™{}".format, MOJIBAKE, MOJIBAKE))
def test_what_does_not_go_through_ftfy_would_not_change_there(text):
    for page in (text, "\n".join(["plain " * 200, text, "plain " * 200])):
        lines = (ftfy.fix_text(line, KEEPING) for line in page.split("\n"))
        assert repair(page)[0] == re.sub("[\x80-\x9f]", "", "\n".join(lines))


def test_the_hyphen_mark_of_pdf_text_layers_joins_words():
    assert clean("hypo\x02\r\nthesis and syn\ufffe\r\nthesis").text == "hypothesis and synthesis"


# markers and loops ------------------------------------------------------------------------------


def test_markers_leave_a_gap():
    text = "before\n\n[MISSING_PAGE_FAIL:12]\n\nafter [MISSING_PAGE_POST] end [MISSING_PAGE_EMPTY:3]"
    cleaned = clean(text)
    assert cleaned.text == "before\n\nafter\n\nend"
    assert cleaned.removed.page_markers == 3


def test_a_marker_within_code_is_code():
    text = "```\nprint('[MISSING_PAGE_POST]')\n```"
    assert remove_markers(text) == (text, 0)


def test_a_line_that_loops_is_kept_once():
    line = "The same line over again."
    text = "\n".join(["Before."] + [line] * 7 + ["After."])
    assert remove_repeated_lines(text) == (f"Before.\n{line}\nAfter.", 6)


def test_a_paragraph_that_loops_is_kept_once():
    text = "\n\n".join(["Before."] + ["A paragraph, again and again."] * 5)
    assert remove_repeated_lines(text) == ("Before.\n\nA paragraph, again and again.", 4)


@pytest.mark.parametrize("text", ["A refrain of a song.\n" * 4, "yes\n" * 9, "-----------\n" * 9, CODE])
def test_a_few_repeats_short_lines_and_code_are_no_loop(text):
    assert remove_repeated_lines(text) == (text, 0)


def test_rows_of_an_equation_are_no_loop():
    text = "\\[\\begin{array}{cc}\n" + "0 & 0 & 0 & 0 \\\\\n" * 8 + "\\end{array}\\]"
    assert remove_repeated_lines(text) == (text, 0)


def test_a_passage_that_loops_to_the_end_is_kept_once():
    passage = "and so the series converges, "
    assert remove_loop_at_end("We see that " + passage * 9 + "and so the ser") == ("We see that " + passage.strip(), 9)


def test_a_loop_longer_than_the_window_is_found_whole():
    assert clean("Start. " + "over again " * 5000).text == "Start. over again"


def test_a_loop_is_not_cut_within_a_formula():
    formula = "\\(a + b + c + d\\)"
    text = "As \\(z + b + c + d\\) " + f"and {formula} " * 12
    assert remove_loop_at_end(text)[0] == f"As \\(z + b + c + d\\) and {formula}"


@pytest.mark.parametrize(
    "text", ["Contents " + "." * 300, "a b c " * 4, "word " * 4 + "end of a quite ordinary sentence. " + "x" * 80, ""]
)
def test_what_does_not_loop_stays(text):
    assert remove_loop_at_end(text) == (text.rstrip(), 0)


# running heads ----------------------------------------------------------------------------------


def book(head="The Voyage", foot="{}", pages=8):
    return [
        f"{head.format(n)}\n\nPage {'abcdefgh'[n % 8]} of the story.\n\n{foot.format(n)}" for n in range(1, pages + 1)
    ]


def test_running_heads_and_page_numbers_go():
    pages, count, _ = remove_running_lines(book())
    assert pages == [f"Page {'abcdefgh'[n % 8]} of the story." for n in range(1, 9)]
    assert count == 16


@pytest.mark.parametrize(("head", "foot"), [("{} The Voyage", "— {} —"), ("THE VOYAGE  {}", "Page {}")])
def test_numbers_in_a_running_head_may_differ(head, foot):
    pages, *_ = remove_running_lines(book(head, foot))
    assert all(page.startswith("Page ") and page.endswith("story.") for page in pages)


def test_roman_page_numbers_go():
    pages, count, _ = remove_running_lines([f"{number}\nText {number}." for number in ("i", "ii", "iii", "iv")])
    assert pages == ["Text i.", "Text ii.", "Text iii.", "Text iv."]
    assert count == 4


def test_left_and_right_pages_have_heads_of_their_own():
    pages = [f"{'The Voyage' if n % 2 else 'A. Author'}\n\nText {'abcdef'[n]}." for n in range(6)]
    assert remove_running_lines(pages)[0] == [f"Text {letter}." for letter in "abcdef"]


def test_a_head_and_a_number_on_lines_of_their_own_both_go():
    pages = [f"The Voyage\n{n}\n\nText {'abcd'[n]}." for n in range(4)]
    assert remove_running_lines(pages)[0] == ["Text a.", "Text b.", "Text c.", "Text d."]


def test_chapter_titles_stay():
    pages = [f"# Chapter {n}\n\nText {n}." for n in range(8)]
    assert remove_running_lines(pages)[:2] == (pages, 0)


def test_a_title_that_recurs_as_a_running_head_stays_once():
    pages = [f"# The Voyage\n\nText {n}." for n in range(5)]
    assert remove_running_lines(pages)[0] == [pages[0], "Text 1.", "Text 2.", "Text 3.", "Text 4."]


def test_no_page_loses_its_only_words():
    pages = [f"# Part {n}\n\nThis is page {n}." for n in range(5)]
    assert remove_running_lines(pages)[:2] == (pages, 0)
    assert remove_running_lines(["12", "13", "14"]) == (["", "", ""], 3, ["12", "13", "14"])


def test_two_pages_are_too_few_for_a_running_head():
    pages = ["Same line\n\none", "Same line\n\ntwo"]
    assert remove_running_lines(pages)[:2] == (pages, 0)


def test_a_line_on_few_of_many_pages_is_no_running_head():
    pages = ["Exercises\n\nSolve this."] * 4 + [f"{letter} begins.\n\nIt goes on in {letter}." for letter in LETTERS]
    assert remove_running_lines(pages)[:2] == (pages, 0)


def test_ends_of_tables_code_and_equations_are_no_running_foot():
    for end in (EQUATION, "\\end{align}", "```"):
        pages = [f"Text {'abcdef'[n]}.\n\n{end}" for n in range(6)]
        assert remove_running_lines(pages)[:2] == (pages, 0)


# the whole --------------------------------------------------------------------------------------


def test_a_book_is_cleaned():
    pages = [
        "The Voyage 1\n\n# Chapter 1\n\nThe hypo-\nthesis of rain is well-\nknown. It is a hypothesis, and well-known,",
        "The Voyage 2\n\nto inter-",
        "The Voyage 3\n\nnational science.\n\n\n\nIt rains.\n\n[MISSING_PAGE_POST]",
    ]
    cleaned = clean(pages)
    assert cleaned.text == (
        "# Chapter 1\n\nThe hypothesis of rain is well-known. It is a hypothesis, and well-known, "
        "to international science.\n\nIt rains."
    )
    assert list(cleaned.pages())[1] == "to inter"
    assert (cleaned.removed.running_lines, cleaned.removed.line_end_hyphens, cleaned.removed.page_markers) == (3, 2, 1)


def test_tables_equations_and_code_stay_byte_for_byte():
    page = f"It follows that\n\n{EQUATION} {EQUATION}\n\nas in\n\n{TABLE}\n\nand in\n\n{CODE}\n\nand \\(a-\nb\\)."
    assert clean([page, page.replace("It", "Then it")]).text.startswith(page)
    for piece in (EQUATION, TABLE, CODE):
        assert clean(piece).text == piece


def test_gaps_between_blocks_are_one_empty_line():
    assert collapse_gaps("\n\n# A\n \n\t\n\ntext\nline\n\n\n") == "# A\n\ntext\nline"


def test_every_page_says_its_number_and_what_a_loop_left():
    line = "The same line over again."
    pages = [f"{n}\n\nPage {'abcdefgh'[n % 8]} of the story." for n in range(7, 13)]
    pages[2] = "\n".join([pages[2], "And so", *[line] * 7, "it ends."])
    pages[4] += " over again and" * 20
    cleaned = clean(pages)
    assert cleaned.page_labels == ("7", "8", "9", "10", "11", "12")
    assert cleaned.page_loop_lines == (0, 0, 6, 0, 19, 0)
    assert cleaned.removed.loop_lines == 25


def test_pages_may_come_in_any_sequence():
    pages = ["It rains, it", "pours.", "", "It snows."]
    assert clean(tuple(pages)) == clean(UserList(pages)) == clean(pages)


def test_cleaning_takes_a_small_multiple_of_the_texts_memory():
    pages = [f"The Voyage\n\n{n} " + f"words of page {n} and \\(x_{{{n}}}\\), " * 60 for n in range(100)]
    tracemalloc.start()
    try:
        clean(pages)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * sum(map(len, pages))


@pytest.mark.parametrize("pages", [[], "", [""], ["", " \n "], "\x00"])
def test_nothing_gives_nothing(pages):
    assert clean(pages).text == ""


MARKUP = [
    "\\(",
    "\\)",
    "\\[",
    "\\]",
    "```",
    "# ",
    "* ",
    "1. ",
    "* [1] ",
    "\\begin{table}",
    "\\end{table}",
    "-\n",
    "\n\n",
]
LABELS = ["Figure 1: ", "Table 1: ", "Footnote 1: ", "[MISSING_PAGE_", "POST]", "a line that repeats\n", "12", "ab "]
DIALECT = st.lists(st.sampled_from([*MARKUP, *LABELS, "â€™", *"abAÂÃµ水- \n\r\x00\x85\xa0\u00ad\ud800"]), max_size=40)
TEXT = DIALECT.map("".join) | st.text(max_size=80)


@settings(max_examples=300, deadline=None)
@given(TEXT | st.builds(lambda before, passage, repeats: before + passage * repeats, TEXT, TEXT, st.integers(1, 9)))
@example("a line that repeats\n" * 6 + "a-\nb-\nc")
def test_cleaning_again_changes_nothing(text):
    once = clean(text).text
    assert clean(once).text == once


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXT, max_size=8))
def test_pages_cover_the_text_in_order(pages):
    cleaned = clean(pages)
    assert len(cleaned.page_ends) == len(cleaned.page_tags) == len(pages)
    assert all(start <= end for start, end in itertools.pairwise((0, *cleaned.page_ends)))
    assert "".join(cleaned.pages()) == cleaned.text
    cleaned.text.encode()  # raises for a lone surrogate


def test_ten_million_characters_on_one_line():
    text = "rain falls (a-b) \\( {x " * 430_000
    assert clean(text).text == clean(text[:23] * 100).text


# figures and tags -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("plain {text} \\(x\\) \\[\\left(\\frac{1}{2}\\right)\\\\[2pt] y\\]", 0),
        ("\\(\\frac{1}{2\\)", 1),
        ("a } b", 1),
        ("\\[x", 1),
        ("x\\)", 1),
        ("\\[\\left( x\\]", 1),
        ("\\begin{tabular}{l} a\n\nb \\end{tabular}", 0),
        ("\\begin{table}\\begin{tabular}{l} a \\end{table}", 1),
        ("\\{ set \\}", 0),
        ("{ one\n\n} two", 2),
        ("```\n}}}}\n```", 0),
        ("{" * 5000, 5000),
        ("", 0),
    ],
)
def test_latex_that_does_not_balance_is_counted(text, errors):
    assert latex_errors(text) == errors


def test_letters_are_counted_outside_mathematics():
    assert shares("ab1! \\(xyz\\)") == (0.5, round(7 / 11, 4))
    assert shares("") == (0.0, 0.0)
    assert shares("\\(x\\)") == (0.0, 1.0)


def test_pages_are_tagged_by_what_they_are():
    pages = [
        "The Voyage\n\nA. Author",
        "Copyright © 1900 A. Author. All rights reserved.\n\nISBN 0-000-00000-0",
        "## Contents\n\n1. Rain ........ 1\n\n2. Snow ........ 5",
        "3. Hail ....... 9\n4. Fog ........ 12\n5. Dew . . . . . . 15",
        "# 1 Rain\n\nIt rains. Index and references are words here, copyright too.",
        "It rains on.",
        "",
        "## References\n\n* [1] A. Author, Rain.",
        "* [2] A. Author, Snow.\n* [3] B. Author, Hail.",
        "## Index\n\nrain, 1, 3-5\nsnow, 5",
        "thunder, 7\nwater, boiling point of, 8, 9-10\nwind, 3",
    ]
    assert tag_pages(pages) == (
        "front_matter", "copyright", "contents", "contents", "body", "body", "body",
        "references", "references", "index", "index",
    )  # fmt: skip


def test_a_preface_makes_what_lies_before_it_front_matter():
    assert tag_pages(["A Title", "# Preface\n\nWhy.", "# 1\n\nText", "More."]) == (
        "front_matter", "front_matter", "body", "body",
    )  # fmt: skip
