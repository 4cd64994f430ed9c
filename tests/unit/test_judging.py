"""Judging gives each page and the book its figures, and leaves out and masks what the profile says."""

import dataclasses
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill.records import Drop, PageRecord, Status
from pagemill.text.cleaning.book import clean
from pagemill.text.judging.book import Judged, _moved, judge
from pagemill.text.judging.masking import MaskedSpan
from pagemill.text.judging.profile import Likeness, Profile, load_profile
from pagemill.text.judging.rules import Condition, Rule
from pagemill.text.mmd import prose
from pagemill.text.mmd.blocks import parse_layout

STORY = [
    "# Rain\n\nThe old captain watched the rain fall on the harbour and thought of the storms that he had seen.",
    "Das Wasser im Hafen stieg die ganze Nacht, und niemand im Dorf konnte schlafen, bis der Morgen kam.",
    "In the morning the mate came aboard and told the captain what the storm had done to the other ships.",
]
GARBAGE = (
    "Ïðèâåò ìèð, ñåãîäíÿ ïðåêðàñíàÿ ïîãîäà, è êàïèòàí ñìîòðèò íà ãàâàíü èç îêíà ñâîåãî äîìà. "
    "Êîðàáëè ñòîÿò ó ïðè÷àëà, ìàòðîñû ïîþò ïåñíè, à âåòåð ãîíèò îáëàêà íàä ìîðåì."
)
NOTHING = Profile()
BOOKS = load_profile("books")


def only(rule: Rule) -> Profile:
    return Profile(pages=(rule,))


def row(page: int, text: str, status: Status = Status.OK, **values) -> PageRecord:
    return PageRecord("ab", page, status, None, "nougat", 1, text, 10, 0.1, **values)


GERMAN = Rule("german", "language", "The collection is English.", any_of=("de",))


def pages_of(judged: Judged) -> list[str]:
    return list(judged.pages())


# a normal book loses nothing ---------------------------------------------------------------------


def test_a_profile_without_rules_changes_nothing():
    cleaned = clean(STORY)
    judged = judge(cleaned, NOTHING)
    assert (judged.text, judged.page_ends) == (cleaned.text, cleaned.page_ends)
    assert (judged.page_tags, judged.page_labels) == (cleaned.page_tags, cleaned.page_labels)
    assert judged.page_dropped == ("", "", "")
    assert (judged.masked, judged.drops, judged.dropped_by) == ({}, (), "")


def test_a_normal_book_loses_nothing_by_the_shipped_profile():
    cleaned = clean([*STORY, "", "\\[x=y\\]", "Plate IV", "MDCCCXCVII", "12"])
    judged = judge(cleaned, BOOKS)
    assert (judged.text, judged.drops, judged.dropped_by) == (cleaned.text, (), "")


def test_languages_and_figures_of_pages_and_book():
    judged = judge(clean(STORY), NOTHING)
    assert judged.page_languages == ("en", "de", "en")
    assert judged.language == "en"
    assert 0.5 < judged.language_score < 0.8  # a third of the book speaks another language
    assert [page.language for page in judged.page_quality] == ["en", "de", "en"]
    assert judged.quality.characters == sum(page.characters for page in judged.page_quality)
    assert judged.quality.garbage_score == 0.0


def test_a_book_without_pages_and_one_without_text():
    assert judge(clean([]), BOOKS).dropped_by == "no_text"
    nothing = judge(clean(["", " "]), BOOKS)
    assert (nothing.text, nothing.page_ends, nothing.page_dropped) == ("", (0, 0), ("", ""))
    assert (nothing.language, nothing.language_score) == ("und", 0.0)
    assert nothing.dropped_by == "no_text"
    assert nothing.drops == (Drop("", 0, "no_text", "characters 0 is below 20", ""),)


# pages -------------------------------------------------------------------------------------------


def test_a_page_that_breaks_a_rule_leaves_the_text():
    judged = judge(clean([STORY[0], GARBAGE, STORY[2]]), BOOKS, pdf_sha256="ab")
    assert judged.text == f"{STORY[0]}\n\n{STORY[2]}"
    assert judged.page_dropped == ("", "garbage_page", "")
    assert pages_of(judged) == [f"{STORY[0]}\n\n", "", STORY[2]]
    (drop,) = judged.drops
    assert (drop.pdf_sha256, drop.page, drop.rule) == ("ab", 2, "garbage_page")
    assert drop.why == f"garbage_score {judged.page_quality[1].garbage_score} is above 0.4"
    assert drop.excerpt == GARBAGE[:200]
    assert judged.quality.dropped_share == round(1 / 3, 4)
    assert judged.quality.garbage_score == 0.0  # of what stays


def test_an_empty_line_stands_where_a_page_was_though_a_sentence_went_over_it():
    pages = [
        "The captain thought of the",
        "alten Stürme, die er gesehen hatte, und von denen er",
        "spoke to the mate of.",
    ]
    judged = judge(clean(pages), only(GERMAN))
    assert judged.text == "The captain thought of the\n\nspoke to the mate of."
    assert judged.page_ends == (28, 28, len(judged.text))


@pytest.mark.parametrize("dropped", list(itertools.product([False, True], repeat=4)))
def test_pages_have_an_end_each_whatever_is_left_out(dropped):
    pages = [f"{STORY[1 if out else 0]} Nr. {number}" for number, out in enumerate(dropped)]
    judged = judge(clean(pages), only(GERMAN))
    assert [bool(rule) for rule in judged.page_dropped] == list(dropped)
    assert [bool(text) for text in judged.pages()] == [not out for out in dropped]
    assert judged.text == judged.text.strip()
    assert "\n\n\n" not in judged.text
    assert judged.page_ends[-1] == len(judged.text)


def test_a_page_that_repeats_another_leaves_the_text():
    long = [" ".join(f"{text} {number}" for number in range(5)) for text in STORY]
    judged = judge(clean([*long, long[1]]), Profile(repeated_pages=Likeness(0.9)))
    assert judged.page_dropped == ("", "", "", "repeated_page")
    assert judged.drops[0].why == "says what page 2 says"
    assert (judged.quality.repeated_share, judged.quality.dropped_share) == (0.25, 0.0)


def test_a_page_left_out_by_a_rule_is_not_the_one_that_another_repeats():
    page = " ".join([GARBAGE, "Êîðàáëè ñòîÿò", *STORY])
    judged = judge(clean([page, page]), Profile(repeated_pages=Likeness(0.9), pages=(GERMAN, *BOOKS.pages)))
    assert judged.page_dropped in [("", "repeated_page"), ("garbage_page", "garbage_page")]


def test_pages_are_numbered_as_the_ledger_has_them():
    pages = [STORY[0], STORY[1]]
    judged = judge(clean(pages), only(GERMAN), ledger=[row(7, pages[0]), row(8, pages[1])])
    assert [drop.page for drop in judged.drops] == [8]


def test_an_exception_keeps_a_page():
    exception = Condition("characters", below=1000)
    judged = judge(clean(STORY), only(dataclasses.replace(GERMAN, unless=(exception,))))
    assert judged.page_dropped == ("", "", "")


def test_a_language_that_is_not_known_breaks_no_rule():
    english_only = Rule("foreign", "language", "English is wanted.", none_of=("en",))
    judged = judge(clean([STORY[0], STORY[1], "\\[x=y\\]", "1234"]), only(english_only))
    assert judged.page_languages[2:] == ("und", "und")
    assert judged.page_dropped == ("", "foreign", "", "")


# the ledger --------------------------------------------------------------------------------------


def test_with_the_ledger_missing_pages_and_agreement_are_known():
    texts = [STORY[0], "", "", STORY[2]]
    ledger = [
        row(1, texts[0], agreement=0.9),
        row(2, "", Status.FAILED),
        row(3, "", Status.EMPTY),
        row(4, texts[3] + " \\(x", Status.TRUNCATED, agreement=0.5),
    ]
    quality = judge(clean(texts), NOTHING, ledger=ledger).quality
    assert (quality.missing_share, quality.truncated_share) == (round(1 / 3, 4), 0.25)
    assert (quality.agreement, quality.latex_errors) == (0.7, 1)


def test_without_the_ledger_they_break_no_rule():
    disagreeing = Rule("other_text", "agreement", "It was misread.", below=1.0)
    judged = judge(clean(STORY), Profile(pages=(disagreeing,), documents=(disagreeing,)))
    assert (judged.page_dropped, judged.dropped_by) == (("", "", ""), "")
    assert judged.quality.agreement is None


def test_a_ledger_of_another_book_is_an_error():
    with pytest.raises(ValueError, match="ledger of 1 rows for 3 pages"):
        judge(clean(STORY), NOTHING, ledger=[row(1, STORY[0])])


# the book ----------------------------------------------------------------------------------------


def test_a_book_that_breaks_a_rule_is_named_and_keeps_its_text():
    german = dataclasses.replace(GERMAN, name="german_book", any_of=("en",))
    judged = judge(clean(STORY), Profile(documents=(german,)), pdf_sha256="ab")
    assert judged.dropped_by == "german_book"
    assert judged.text == clean(STORY).text
    (drop,) = judged.drops
    assert (drop.page, drop.rule, drop.why) == (0, "german_book", "language en is one of en")
    assert drop.excerpt.startswith("# Rain The old captain")


def test_a_book_of_garbage_is_left_out():
    judged = judge(clean([GARBAGE, GARBAGE + " Êîíåö.", STORY[0]]), dataclasses.replace(BOOKS, repeated_pages=None))
    assert judged.dropped_by == "dropped_pages"
    assert [drop.page for drop in judged.drops] == [1, 2, 0]


# masking -----------------------------------------------------------------------------------------


def test_what_the_profile_names_is_masked_and_page_ends_follow():
    pages = ["Write to ann.lee@example.edu or bob@example.edu.", "Then wait at 8.8.8.8 for the answer of 192.0.2.1."]
    judged = judge(clean(pages), Profile(mask=("email",)))
    first, second = pages_of(judged)
    assert "@" not in judged.text
    assert first.startswith("Write to ")
    assert second == pages[1]
    assert judged.masked == {"email": 2}


def test_excerpts_are_masked_too():
    rule = Rule("short", "characters", "Too short.", below=1000)
    judged = judge(clean(["Write to ann.lee@example.edu."]), Profile(mask=("email", "phone"), pages=(rule,)))
    assert judged.text == ""
    assert "ann" not in judged.drops[0].excerpt
    assert judged.masked == {"email": 0, "phone": 0}


def test_ends_of_pages_move_with_what_stands_before_them():
    spans = [MaskedSpan(2, 6, "email", "X"), MaskedSpan(8, 9, "email", "YYY"), MaskedSpan(12, 16, "email", "Z")]
    #      0123456789...: ab....gh.jkl....q
    assert _moved([0, 2, 6, 8, 9, 12, 16, 17], spans) == (0, 2, 3, 5, 8, 11, 12, 13)
    assert _moved([4, 5, 14, 17], spans) == (3, 3, 12, 13)  # an end within a span goes to the span's end


@settings(max_examples=100)
@given(st.data())
def test_moved_ends_are_those_of_the_replaced_text(data):
    cuts = sorted(data.draw(st.sets(st.integers(0, 40), max_size=8)))
    pairs = list(zip(cuts[::2], cuts[1::2], strict=False))
    spans = [MaskedSpan(start, end, "email", data.draw(st.text("xy", max_size=5))) for start, end in pairs]
    ends = sorted(data.draw(st.lists(st.integers(0, 40), max_size=6)))

    def length_before(position: int) -> int:
        around = next((span for span in spans if span.start < position < span.end), None)
        position = around.end if around else position
        return position + sum(len(s.replacement) - s.end + s.start for s in spans if s.end <= position)

    assert list(_moved(ends, spans)) == [length_before(end) for end in ends]


def test_a_page_is_parsed_once_for_its_figures_and_its_language(monkeypatch):
    parsed = []

    def counted(text):
        parsed.append(text)
        return parse_layout(text)

    monkeypatch.setattr(prose, "parse_layout", counted)
    cleaned = clean([*STORY, "Let \\(x\\) be the height of the water.", "As \\[y=x\\] holds, it rises."])
    judge(cleaned, NOTHING)
    assert parsed == list(cleaned.pages())[3:]  # the others have nothing that would have to be parsed


# again -------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=300) | st.sampled_from([*STORY, GARBAGE, "Tel. +1 212 555 0143, ann@example.edu \\(x\\)"]))
def test_judging_a_single_page_again_changes_nothing(text):
    once = judge(clean(text), BOOKS)
    again = judge(dataclasses.replace(clean(text), text=once.text, page_ends=once.page_ends), BOOKS)
    assert (again.text, again.page_ends) == (once.text, once.page_ends)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=80) | st.sampled_from([*STORY, GARBAGE]), max_size=6))
def test_any_pages_are_judged(pages):
    cleaned = clean(pages)
    judged = judge(cleaned, BOOKS)
    assert len(judged.page_ends) == len(judged.page_quality) == len(judged.page_dropped) == len(pages)
    assert list(judged.page_ends) == sorted(judged.page_ends)
    assert "".join(judged.pages()) == judged.text
    assert len(judged.drops) == sum(map(bool, [*judged.page_dropped, judged.dropped_by]))
