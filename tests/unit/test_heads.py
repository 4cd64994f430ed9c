"""Running heads and page numbers leave the pages; headings, refrains and other counters stay."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill.text.cleaning.heads import remove_running_lines
from pagemill.text.cleaning.page_numbers import Numeral, lone_numeral, numerals_beside_words

WORDS = ["rain", "snow", "hail", "fog", "dew", "frost", "wind", "cloud", "storm", "sleet"]


def body(page: int) -> str:
    """Text that no two pages begin or end with alike."""
    word = WORDS[page % len(WORDS)]
    volume = "upon " * (page // len(WORDS))
    return f"Of {word} {volume}it is told here at length.\n\nMore about {word * (page + 1)} follows."


def book(pages: int, head=lambda page: "", foot=lambda page: "", filler: int = 0) -> list[str]:
    """Pages with heads and feet, and as many again as `filler` says without."""
    made = ["\n\n".join(filter(None, (head(page), body(page), foot(page)))) for page in range(pages)]
    return made + [body(pages + page) for page in range(filler)]


def bodies(pages: int) -> list[str]:
    return [body(page) for page in range(pages)]


# recurrence -------------------------------------------------------------------------------------


def test_a_chapters_heads_go_however_long_the_book():
    pages = book(12, lambda page: "STRUGGLE FOR EXISTENCE" if page % 2 else "THE ORIGIN", filler=200)
    assert remove_running_lines(pages).texts == [pages[0], pages[1], *bodies(212)[2:]]


def test_a_number_that_counts_on_makes_a_head_of_one_page():
    heads = ["ABBEY 11", "12 ACORN", "ADDER 13", "14 AFTER", "AGATE15", "16AGENT"]
    cleaned = remove_running_lines(book(6, heads.__getitem__, filler=60))
    assert cleaned.texts == bodies(66)
    assert cleaned.labels[:7] == ["11", "12", "13", "14", "15", "16", ""]


def test_misread_heads_go_with_those_nearby():
    misread = {
        5: "STRUGGLEFOR EXISTENCE 15",
        6: "STRUGCLE FOR EXISTENCE I6",
        7: "STRUGGLE F0R EXISTENCE",
        8: "struggle for Existence l8",
    }
    cleaned = remove_running_lines(book(12, lambda page: misread.get(page, f"STRUGGLE FOR EXISTENCE {10 + page}")))
    assert cleaned.texts == bodies(12)
    assert cleaned.labels == ["10", "11", "12", "13", "14", "15", "16", "", "18", "19", "20", "21"]


def test_heads_of_which_each_is_misread_somewhere_are_one_head():
    head = "DOWNLOADED FROM THE LIBRARY OF RAIN"
    pages = book(20, lambda page: head[:page] + "x" + head[page + 1 :])
    assert remove_running_lines(pages).texts == bodies(20)


def test_the_title_of_a_chapter_stays_where_its_heads_bear_numbers():
    pages = book(8, lambda page: f"RAIN AND SNOW {page}" if page else "RAIN AND SNOW", filler=40)
    assert remove_running_lines(pages).texts == [pages[0], *bodies(48)[1:]]


def test_a_title_that_differs_from_its_heads_by_capitals_stays():
    pages = book(8, lambda page: "THE VOYAGE" if page else "The Voyage")
    assert remove_running_lines(pages).texts == [pages[0], *bodies(8)[1:]]


def test_the_first_head_goes_too_if_a_heading_has_said_the_same():
    pages = book(6, lambda page: "RAIN AND SNOW" if page else "# Chapter 3. Rain and Snow", filler=40)
    assert remove_running_lines(pages).texts == [pages[0], *bodies(46)[1:]]


@pytest.mark.parametrize(
    "head",
    [
        lambda page: f"Letter {1 + page // 2}" if page % 2 else "",  # counts, but not the pages
        lambda page: f"Chapter {page // 5}" if page % 5 == 0 else "",
        lambda page: "and all the while it rained and rained." if page % 4 == 0 else "",  # on a fifth of the pages
        lambda page: f"# {page}",
        lambda page: f"## Exercises {page}",
        lambda page: f"Table {page}: Of rain \\(x\\)",
        lambda page: "A line that is much too long to be a running head or foot of any book at all" * 2,
        lambda page: ["HAMLET.", "OPHELIA."][page % 2] + "\n\nTo be.\n\nHAMLET.\n\nOr not.\n\nOPHELIA.\n\nMy lord?",
    ],
)
def test_what_is_no_running_head_stays(head):
    pages = book(20, head, filler=4)
    assert remove_running_lines(pages)[:2] == (pages, 0)


def test_a_poem_a_page_keeps_its_number():
    pages = book(12, lambda page: ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"][page])
    numbered = [f"{page}\n\n{31 + number}" for number, page in enumerate(pages)]
    cleaned = remove_running_lines(numbered)
    assert cleaned.texts == pages
    assert cleaned.labels == [str(31 + number) for number in range(12)]


def test_no_number_but_that_of_the_page_goes():
    pages = book(10, foot=lambda page: str(page + 50) if page != 4 else "(7)")
    cleaned = remove_running_lines(pages)
    assert cleaned.texts[4] == pages[4]
    assert cleaned.labels[3:6] == ["53", "", "55"]


def test_numbers_beside_words_of_an_index_are_no_page_numbers_where_they_happen_to_count_on():
    entries = {3: "Hardy, 62, 63", 6: "Pocket, Herbert, 66", 9: "Plummer, 8, 69"}
    pages = book(20, lambda page: entries.get(page, f"Harleigh, {(page * 37) % 83}"))
    assert remove_running_lines(pages)[:2] == (pages, 0)


def test_min_pages_says_how_many_pages_make_a_running_head():
    pages = book(10, lambda page: f"THE VOYAGE {page}")
    assert remove_running_lines(pages, min_pages=11)[:2] == (pages, 0)


# page numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "numeral"),
    [
        ("12", Numeral("", 12, "12")),
        ("\u2014 12 \u2014", Numeral("", 12, "12")),
        ("[xiv]", Numeral("i", 14, "xiv")),
        ("XIV", Numeral("I", 14, "XIV")),
        ("A-3", Numeral("A-", 3, "A-3")),
        ("Page 3 of 300", Numeral("", 3, "3")),
        ("S. 7", Numeral("", 7, "7")),
        ("\u0661\u0662", Numeral("", 12, "\u0661\u0662")),
        ("iiii", None),
        ("vim", None),
        ("12345", None),
        ("3.4", None),
        ("", None),
    ],
)
def test_a_number_alone_on_a_line(line, numeral):
    assert lone_numeral(line) == numeral


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        ("62 STRUGGLE FOR EXISTENCE", ["62"]),
        ("STRUGGLE FOR EXISTENCE 62", ["62"]),
        ("STRUGGLE FOR EXISTENCE62", ["62"]),
        ("62STRUGGLE", ["62"]),
        ("62 | 3.2 Natural Selection", ["62"]),
        ("CHAP. III. STRUGGLE xiv", ["xiv"]),
        ("3. Show that", []),
        ("Equation 3.4", []),
        ("Struggle", []),
    ],
)
def test_a_number_beside_words(line, printed):
    assert [numeral.printed for numeral in numerals_beside_words(line)] == printed


def test_pages_are_labelled_as_they_are_numbered():
    front = ["", "", "iii", "iv", "v", "vi"]
    numbers = [*front, *map(str, range(1, 8)), "", "9", "A-1", "A-2", "A-3"]
    cleaned = remove_running_lines(book(len(numbers), foot=numbers.__getitem__))
    assert cleaned.texts == bodies(len(numbers))
    assert cleaned.labels == numbers


def test_a_number_at_the_foot_of_one_page_and_the_head_of_others_counts_on():
    pages = book(9, lambda page: "" if page == 4 else f"THE VOYAGE {page + 9}", lambda page: "13" if page == 4 else "")
    cleaned = remove_running_lines(pages)
    assert cleaned.texts == bodies(9)
    assert cleaned.labels == [str(page + 9) for page in range(9)]


def test_words_above_a_number_are_a_head_but_not_a_heading():
    pages = book(6, lambda page: f"{['# Rain', 'On Dew', 'On Fog', 'On Ice', 'On Hail', 'On Mud'][page]}\n{page + 3}")
    cleaned = remove_running_lines(pages)
    assert cleaned.texts == [f"# Rain\n\n{body(0)}", *bodies(6)[1:]]
    assert cleaned.labels == ["3", "4", "5", "6", "7", "8"]


def test_pages_that_show_two_pages_of_a_book_count_by_two():
    cleaned = remove_running_lines(book(8, lambda page: str(20 + 2 * page)))
    assert cleaned.texts == bodies(8)
    assert cleaned.labels == [str(20 + 2 * page) for page in range(8)]


def test_a_misread_number_is_the_one_that_the_pages_around_let_expect():
    numbers = ["98", "99", "1OO", "101", "l02", "108", "104", "rain", "106"]
    cleaned = remove_running_lines(book(9, foot=numbers.__getitem__))
    assert cleaned.labels == ["98", "99", "100", "101", "102", "103", "104", "", "106"]
    assert cleaned.texts == [*bodies(7), f"{body(7)}\n\nrain", body(8)]


def test_a_page_number_is_known_where_the_text_around_it_cannot_go():
    pages = [f"# Part {page}\n\nThis is page {page}." for page in range(5)]
    cleaned = remove_running_lines(pages)
    assert (cleaned.texts, cleaned.removed) == (pages, 0)


# any input --------------------------------------------------------------------------------------

LINES = st.sampled_from(
    ["1", "2", "3", "ii", "iii", "HEAD 1", "HEAD 2", "HEAD", "HEAO 3", "# HEAD", "a b", "\\(x\\)", "", "\x00", "\ud800"]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(LINES | st.text(max_size=9), max_size=5).map("\n".join).map(str.strip), max_size=12))
def test_lines_only_ever_go_whole(pages):
    texts, removed, labels = remove_running_lines(pages)
    assert len(texts) == len(labels) == len(pages)
    gone = 0
    for before, after in zip(pages, texts, strict=True):
        left = [line.strip() for line in after.split("\n") if line.strip()]
        lines = iter(line.strip() for line in before.split("\n") if line.strip())
        assert all(line in lines for line in left)  # in order
        gone += sum(1 for line in before.split("\n") if line.strip()) - len(left)
    assert gone == removed


@pytest.mark.parametrize("page", ["x" * 1_000_000, "7\n" * 200_000, "\n" * 9 + "a", "((((" * 100_000, "مرحبا 12"])
def test_hostile_pages(page):
    pages = [page.strip()] * 6
    assert len(remove_running_lines(pages).texts) == 6
