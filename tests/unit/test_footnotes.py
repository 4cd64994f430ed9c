"""Footnotes stand behind the paragraphs that they belong to, and sentences go on past them."""

import itertools
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pagemill.text.cleaning import passages
from pagemill.text.cleaning.book import clean
from pagemill.text.cleaning.footnotes import note_labels, note_marks
from pagemill.text.cleaning.joining import book_words, join_pages
from pagemill.text.cleaning.joints import begins_within, ends_sentence, first_kind, goes_on, last_kind
from pagemill.text.mmd.blocks import parse_blocks

TABLE = "\\begin{table}\n\\begin{tabular}{l} a \\\\ b \\end{tabular}\n\\end{table}\nTable 4: Of rain."


def joined(*pages: str) -> list[str]:
    """Return what of the joined text belongs to each page."""
    text, ends, _ = join_pages(pages, book_words(pages))
    return [text[start:end] for start, end in itertools.pairwise((0, *ends))]


# notes that part a sentence ---------------------------------------------------------------------


@pytest.mark.parametrize("note", ["Footnote 3: A note.", "[^3]: A note.", "Footnote *: A note\nof two lines."])
def test_a_note_in_the_midst_of_a_sentence_goes_behind_its_paragraph(note):
    page = f"All beings tend to\n\n{note}\n\nincrease. They do.\n\nAnother paragraph."
    assert joined(page) == [f"All beings tend to increase. They do.\n\n{note}\n\nAnother paragraph."]


def test_a_note_at_a_pages_foot_goes_behind_the_paragraph_that_ends_on_the_next():
    assert joined("All beings tend to\n\nFootnote 1: A note.", "increase. They do.\n\nAnother.") == [
        "All beings tend to ",
        "increase. They do.\n\nFootnote 1: A note.\n\nAnother.",
    ]


def test_notes_keep_their_order_over_several_pages():
    pages = [
        "It begins and\n\nFootnote 1: One.\n\nFootnote 2: Two.",
        "goes on and\n\nFootnote 3: Three.",
        "ends.\n\nNext.",
    ]
    assert joined(*pages) == [
        "It begins and ",
        "goes on and ",
        "ends.\n\nFootnote 1: One.\n\nFootnote 2: Two.\n\nFootnote 3: Three.\n\nNext.",
    ]


def test_a_word_goes_on_past_a_note():
    assert joined("The hypo-\n\nFootnote 1: One.", "thesis holds.")[0] == "The hypo"


def test_a_sentence_goes_on_through_its_equation():
    page = "We find\n\nFootnote 1: One.\n\n\\[x=y\\]\n\nwhere \\(x\\) is rain.\n\nThen snow."
    assert joined(page) == ["We find\n\n\\[x=y\\]\n\nwhere \\(x\\) is rain.\n\nFootnote 1: One.\n\nThen snow."]


@pytest.mark.parametrize(
    "pages",
    [
        ["It rains.\n\nFootnote 1: One.\n\nthen it stops."],
        ["It rains\n\nFootnote 1: One.\n\nThen it stops."],
        ["It rains\n\nFootnote 1: One.\n\n# then"],
        ["# It rains\n\nFootnote 1: One.\n\nthen it stops."],
        ["It rains.\n\nFootnote 1: One.", "then it stops."],
        ["It rains\n\nFootnote 1: One.", "", "then it stops."],
        ["Footnote 1: One.\n\nIt rains."],
        ["\\(x\n\nFootnote 1: One.\n\ny\\) is"],
        ["{ rain\n\nFootnote 1: One.\n\nand } snow"],
        ["```\nrain\n\nFootnote 1: One.\n\nand snow\n```"],
        [f"as in\n\n{TABLE}\n\nand in snow"],
    ],
)
def test_what_parts_no_sentence_stays(pages):
    assert "".join(joined(*pages)) == "\n\n".join(filter(None, pages))


# marks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["\\({}^{1}\\)", "\\(^{1}\\)", "\\(^1\\)", "[^1]", "^1", "^{1}", "\u00b9"])
def test_a_note_goes_behind_the_paragraph_with_its_mark(mark):
    page = f"It rains.{mark} It pours.\n\nIt snows.\n\nIt ends.\n\nFootnote 1: One."
    assert joined(page) == [f"It rains.{mark} It pours.\n\nFootnote 1: One.\n\nIt snows.\n\nIt ends."]


def test_a_note_may_lie_on_the_page_after_its_mark():
    assert joined("It rains.[^1]\n\nIt pours.", "It snows.\n\nFootnote 1: One.") == [
        "It rains.[^1]\n\nFootnote 1: One.\n\nIt pours.\n\n",
        "It snows.",
    ]


def test_a_note_whose_paragraph_goes_on_waits_for_its_end():
    pages = ["It rains.[^1]\n\nIt pours[^2] and\n\nFootnote 1: One.\n\nFootnote 2: Two.", "snows.\n\nIt ends."]
    assert joined(*pages) == [
        "It rains.[^1]\n\nFootnote 1: One.\n\nIt pours[^2] and ",
        "snows.\n\nFootnote 2: Two.\n\nIt ends.",
    ]


@pytest.mark.parametrize(
    "pages",
    [
        ["It rains.[^1]\n\nIt pours.[^1]\n\nIt snows.\n\nFootnote 1: One."],  # two paragraphs with the mark
        ["It rains.[^1]\n\nIt pours.\n\nFootnote 1: One.\n\nFootnote 1: Again one."],  # two notes
        ["It rains.[^1]\n\nFootnote 1: One.", "It pours.\n\nFootnote 1: Another one."],  # the mark of another note
        ["It rains.[^1]\n\nIt pours.", "It hails.", "It snows.\n\nFootnote 1: One."],  # too far
        ["It rains.[^1]\n\nIt pours.", "", "It snows.\n\nFootnote 1: One."],
        ["# It rains[^1]\n\nIt pours.\n\nFootnote 1: One."],
        ["\\(x^1\\) and m\u00b9 rain.\n\nIt pours.\n\nFootnote 1: One."],
        ["Footnote 1: One.\n\nIt rains.[^1]"],
    ],
)
def test_a_note_without_a_mark_of_its_own_stays(pages):
    assert "".join(joined(*pages)) == "\n\n".join(filter(None, pages))


def test_labels_and_marks_of_notes():
    text = "Footnote 12: a\n  Footnote *: b\n\n[^3]: c Footnote 4: d\nFootnote: e"
    assert note_labels(text) == ["12", "*", "3"]
    assert note_marks("a\\({}^{*}\\) bcd^{2} e^3 f[^4] [^5]: ghi\u00b2\u00b3. \\(x^{6}\\)") == {"*", "2", "4", "23"}


# notes that run over a page ---------------------------------------------------------------------


def test_the_rest_of_a_note_goes_to_the_note():
    pages = [
        "It rains.\n\nFootnote 1: A note that runs over",
        "It pours.\n\nthe end of its page.\n\nFootnote 2: Two.",
    ]
    assert joined(*pages) == [
        "It rains.\n\nFootnote 1: A note that runs over ",
        "the end of its page.\n\nIt pours.\n\nFootnote 2: Two.",
    ]


@pytest.mark.parametrize(
    ("note", "after"),
    [
        ("Footnote 1: A note.", "It pours.\n\nthe end"),
        ("Footnote 1: A note", "the end"),
        ("Footnote 1: A note", "It pours\n\nthe end"),
        ("Footnote 1: A note", "It pours.\n\nThe end"),
        ("Footnote 1: A note", "\\[x\\]\n\nwhere it ends"),
    ],
)
def test_what_may_be_no_rest_of_a_note_stays(note, after):
    assert "".join(joined(f"It rains.\n\n{note}", after)) == f"It rains.\n\n{note}\n\n{after}"


# figures and tables at pages' ends --------------------------------------------------------------


@pytest.mark.parametrize("float_", [TABLE, "Figure 3: Of rain.", f"{TABLE}\n\nFigure 3: Of rain."])
def test_a_float_at_a_pages_end_goes_behind_the_paragraph_that_it_parts(float_):
    whole = f"It rains and snows.\n\n{float_}\n\nIt ends."
    assert "".join(joined(f"It rains and\n\n{float_}", "snows.\n\nIt ends.")) == whole
    assert "".join(joined("It rains and", f"{float_}\n\nsnows.\n\nIt ends.")) == whole
    assert "".join(joined("It rains and", float_, "snows.\n\nIt ends.")) == whole


def test_a_table_without_a_caption_stands_where_it_stands():
    table = TABLE.partition("\nTable")[0]
    assert joined(f"It rains and\n\n{table}", "snows.") == [f"It rains and\n\n{table}\n\n", "snows."]


# where a sentence goes on -----------------------------------------------------------------------

PROSE = "It rained. And when they saw how much it had rained on that day of all days, they went up to old"


@pytest.mark.parametrize(
    ("before", "after", "goes"),
    [
        ("the voyage of the", "Beagle ended.", True),
        ("he called on Mr.", "Darwin.", True),
        ("as is seen in", "1859, when it rained.", True),
        ("rain, snow \u2014", "Hail.", True),
        ("it rains", '"and pours," he said.', True),
        ("it rains", "(and pours)", True),
        ("rain, snow, etc.", "and so on.", True),
        ("rain, snow, etc.", "And so on.", False),
        (PROSE, "Noah, who was not at all at a loss to know what had to be done.", True),
        (PROSE, "Noah knew.", True),
        (PROSE, "THE ARK", False),
        ("Rain", "Snow", False),
        ("Rain:", "snow", False),
        ("inter-", "national", True),
    ],
)  # fmt: skip
def test_where_a_sentence_goes_on(before, after, goes):
    assert goes_on(before, after) is goes


@pytest.mark.parametrize(
    "text", ["It rains.", 'He said "it rains."', "Does it?)", "It rains\u2026", "\u4e0b\u96e8\u3002"]
)
def test_a_sentence_ends(text):
    assert ends_sentence(text)
    assert not ends_sentence(text.rstrip('.?)\u2026"\u3002'))


@pytest.mark.parametrize("text", ["rain", "\u201crain", "_rain_", "\u6c34", "\\(x\\)"])
def test_a_text_begins_within_a_sentence(text):
    assert begins_within(text)
    assert not begins_within(text.replace("rain", "Rain").replace("\u6c34", "1").replace("\\(x\\)", "\\[x\\]"))


# any input --------------------------------------------------------------------------------------

MARKUP = [
    "\\(",
    "\\)",
    "\\[",
    "\\]",
    "```",
    "# ",
    "* ",
    "{",
    "}",
    "\\begin{table}",
    "\\end{table}\n",
    "-\n",
    "ab-",
    "\n",
]
NOTES = ["\\({}^{1}\\)", "[^2]", "[^2]: ", "\n\nFootnote 1: ", "\n\nFootnote 1: a b.\n\n", "\n\nFootnote 2: b\n\n"]
FLOATS = ["Figure 1: ", "\n\nFigure 2: a.\n\n", "Table 1: ", TABLE]
TEXTS = ["\n\n", "\n\n", "\n\n", "and", "the rain", "A", "b", " ", ". ", ": ", "\u6c34", "\\(x\\) ", "12"]
PAGE = st.lists(st.sampled_from(MARKUP + NOTES + FLOATS + TEXTS * 2), max_size=14).map("".join).map(str.strip)


def letters(text: str) -> Counter:
    return Counter(character for character in text if not character.isspace() and character != "-")


@settings(max_examples=300, deadline=None)
@given(st.lists(PAGE, max_size=4))
def test_nothing_is_lost_or_doubled_and_pages_stay_in_order(pages):
    text, ends, _ = join_pages(pages, book_words(pages))
    assert letters(text) == letters("".join(pages))
    assert len(ends) == len(pages)
    assert list(ends) == sorted(ends)
    assert (ends[-1] if ends else 0) == len(text)


@settings(max_examples=300, deadline=None)
@given(PAGE)
@example("a\n\nFootnote 1: n.\n\nb\n\nc")
@example("a\n\nFootnote 1: n.\n\nb\n\nFootnote 1: n.\n\nc")
def test_joining_and_cleaning_again_change_nothing(page):
    once = join_pages([page], {})[0]
    assert join_pages([once], {})[0] == once
    cleaned = clean(page).text
    assert clean(cleaned).text == cleaned


@settings(max_examples=300, deadline=None)
@given(PAGE.filter(bool))
def test_the_kinds_of_a_texts_ends_are_those_of_its_blocks(page):
    blocks = parse_blocks(page)
    assert (first_kind(page), last_kind(page)) == (blocks[0].kind, blocks[-1].kind)


def test_the_work_grows_as_the_text_does(monkeypatch):
    read = 0

    def counting(text):
        nonlocal read
        read += len(text)
        return parse_blocks(text)

    monkeypatch.setattr(passages, "parse_blocks", counting)
    works = []
    for size in (100, 1000):
        read = 0
        page = "It rains and\n\n" + "\n\n".join(f"Footnote {number}: n{number}.\n\nsnows and" for number in range(size))
        join_pages([page, *["goes on and\n\nFootnote 1: One."] * size], {})
        works.append(read / size)
    assert works[1] < 1.5 * works[0]


@pytest.mark.parametrize(
    "page",
    [
        "x" * 1_000_000,
        "[^1]: " * 100_000,
        "Footnote 1: a\n\n" * 20_000 + "b",
        "\n\\begin{table}" * 30_000,
        "^1" * 300_000,
    ],
)
def test_hostile_pages(page):
    assert letters("".join(joined(page.strip(), "and so on", page.strip()))) == letters(page + "and so on" + page)


# how many moved ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pages", "moved"),
    [
        (["All tend to\n\nFootnote 3: A note.\n\nincrease. They do."], 1),
        (["It begins and\n\nFootnote 1: One.\n\nFootnote 2: Two.", "goes on.\n\nNext."], 2),
        (["It rains.\n\nFootnote 1: One.\n\nFootnote 2: Two.", "Then it stops."], 0),
        (["Footnote 1: One.\n\nIt rains."], 0),
        (["It rains."], 0),
    ],
)
def test_only_notes_that_stand_elsewhere_than_they_did_are_counted(pages, moved):
    assert join_pages(pages, {}).footnotes_moved == moved
