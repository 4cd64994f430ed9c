"""Quotes are looked up in the deck, however they are spaced and hyphenated, and what is not there is flagged."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagemill.decks.answers import BundledExtractions, Chart, ChartPoint, SlideDescription
from pagemill.decks.extracting import check_extractions
from pagemill.decks.grounding import DeckWords, Flag, contains
from pagemill.decks.records import Slide, Status, TextSource
from pagemill.decks.visual import SlideAnalysis
from tests.decks import HEALTH, truth_of

COVER = "Orrivane Health\nSeed deck, March 2026"
OFFERING = "Orrivane sells hospitals a chest patch that predicts ex-\nacerbations \ufb01ve days\u00a0ahead."
ASK = "\u2022 Seed round of EUR 4.2 million\n\u2022 18 months"
SEEN = SlideDescription(
    title="Use of funds",
    kind="ask",
    text="45 percent for the trial",
    charts=(Chart(title="Shares", kind="pie", unit="percent", points=(ChartPoint(label="Trial", value=45),)),),
    images=("A happy nurse",),
    layout="A pie.",
)


def row(number: int, text: str, source: TextSource = TextSource.LAYER, seen: SlideDescription | None = None):
    slide = Slide(number=number, text=text, source=source)
    return SlideAnalysis(slide=slide, status=Status.OK if seen else Status.FAILED, description=seen)


WORDS = DeckWords([row(1, COVER), row(2, OFFERING, TextSource.OCR), row(3, ASK), row(4, "", TextSource.NONE, SEEN)])


@pytest.mark.parametrize(
    ("quote", "slide", "found", "source", "flags"),
    [
        ("Seed deck, March 2026", 1, 1, TextSource.LAYER, []),
        ("seed DECK,  march 2026.", 1, 1, TextSource.LAYER, []),
        ("predicts exacerbations five days ahead", 2, 2, TextSource.OCR, []),
        ("chest patch that predicts ex\u2010acerbations", 2, 2, TextSource.OCR, []),
        ("\u201cSeed round of EUR 4.2 million\u201d", 3, 3, TextSource.LAYER, []),
        ("4.2 million 18 months", 3, 3, TextSource.LAYER, []),  # over two points of a list
        ("Seed round of EUR 4.2 million", 1, 3, TextSource.LAYER, [Flag.OTHER_SLIDE]),
        ("Seed round of EUR 4.2 million", None, 3, TextSource.LAYER, [Flag.OTHER_SLIDE]),
        ("Seed round of EUR 4.2 million", 9, 3, TextSource.LAYER, [Flag.NO_SUCH_SLIDE, Flag.OTHER_SLIDE]),
        ("45 percent for the trial", 4, 4, TextSource.DESCRIPTION, [Flag.ONLY_DESCRIBED]),
        ("Seed round of EUR 900 million", 3, None, TextSource.NONE, [Flag.UNSUPPORTED]),
        ("A happy nurse", 4, None, TextSource.NONE, [Flag.UNSUPPORTED]),  # a picture is no quotation
        ("round", 3, 3, TextSource.LAYER, []),
        ("tals a", 2, None, TextSource.NONE, [Flag.UNSUPPORTED]),  # in the middle of a word
        ("", 1, None, TextSource.NONE, [Flag.NO_QUOTE]),
        (None, 1, None, TextSource.NONE, [Flag.NO_QUOTE]),
        ("2", 1, None, TextSource.NONE, [Flag.NO_QUOTE]),
    ],
)
def test_a_quote_is_found_where_it_stands(
    quote: str | None, slide: int | None, found: int | None, source: TextSource, flags: list[Flag]
) -> None:
    support = WORDS.support(quote, slide)
    assert (support.slide, support.source, list(support.flags)) == (found, source, flags)


def test_the_slide_that_was_named_is_preferred_and_its_own_words_to_a_description() -> None:
    words = DeckWords(
        [row(1, "Orrivane Health"), row(2, "Orrivane Health"), row(3, "", seen=SEEN), row(4, "Use of funds")]
    )
    assert (words.support("Orrivane Health", 2).slide, words.support("Use of funds", 3).slide) == (2, 4)


text_of_words = st.lists(st.text("abcdefgh", min_size=1, max_size=8), min_size=4, max_size=20).map(" ".join)


@given(text_of_words, st.data())
def test_whatever_stands_in_a_deck_is_found_whatever_a_line_break_did_to_it(text: str, data: st.DataObject) -> None:
    words = text.split()
    begin = data.draw(st.integers(0, len(words) - 1))
    quote = " ".join(words[begin : data.draw(st.integers(begin + 1, len(words)))])
    broken = re.sub(r"(\w\w)(\w\w)", "\\1-\n\\2", text).replace(" ", "  \n")
    supported = DeckWords([row(1, broken)]).support(quote.upper(), 1)
    assert supported.flags == ((Flag.NO_QUOTE,) if len(quote.replace(" ", "")) < 3 else ())


@given(st.text(max_size=80), st.text(max_size=20))
def test_any_words_can_be_looked_up(text: str, quote: str) -> None:
    support = DeckWords([row(1, text)]).support(quote, 1)
    assert (support.slide is None) == bool({Flag.UNSUPPORTED, Flag.NO_QUOTE} & set(support.flags))


def test_a_text_contains_words_of_its_own() -> None:
    assert contains("We are Orri-\nvane Health.", "Orrivane Health")
    assert not contains("A chest patch", "est")
    assert not contains("A chest patch", "")


def checked(**changed: dict[str, object]):
    """Return the sample deck's extractions as checked against four of its lines, some fields changed."""
    health = truth_of(HEALTH)["extractions"]
    health["company_offering"]["quote"] = "Orrivane sells hospitals a chest patch"
    health["healthcare"]["quote"] = "hospitals a chest patch"
    health["funding_amount"]["quote"] = "Seed round of EUR 4.2 million"
    for name, values in changed.items():
        health[name] = health[name] | values
    return check_extractions(BundledExtractions.model_validate(health), WORDS)


@pytest.mark.parametrize(
    ("changed", "field", "flags"),
    [
        ({"funding_amount": {"slide": 3}}, "funding_amount", []),
        ({"funding_amount": {"slide": 3, "currency": "\u20ac"}}, "funding_amount", []),
        ({"funding_amount": {"slide": 3, "value": 4.2}}, "funding_amount", ["mismatch"]),
        ({"funding_amount": {"slide": 3, "currency": "USD"}}, "funding_amount", ["mismatch"]),
        ({"funding_amount": {"slide": 3, "quote": "Seed round of"}}, "funding_amount", ["unreadable"]),
        (
            {"funding_amount": {"slide": 3, "value": 9e8, "quote": "raises EUR 900 million"}},
            "funding_amount",
            ["unsupported"],
        ),
        ({"deck_date": {"value": "2026-03-15"}}, "deck_date", ["mismatch"]),
        ({"deck_date": {"value": "2026"}}, "deck_date", []),
        ({"deck_date": {"value": "March 2026"}}, "deck_date", ["unreadable"]),
        ({"startup_name": {"value": "Other Ltd"}}, "startup_name", ["mismatch"]),
        ({"healthcare": {"slide": 2, "area": "not healthcare"}}, "healthcare", ["mismatch"]),
        ({"company_offering": {"slide": 2, "quote": None}}, "company_offering", ["no_quote"]),
    ],
)
def test_what_is_wrong_with_an_extraction_is_flagged_and_its_value_kept(
    changed: dict[str, dict[str, object]], field: str, flags: list[str]
) -> None:
    extraction = getattr(checked(**changed), field)
    assert extraction.value is not None
    assert list(extraction.flags) == flags


def test_amounts_are_plain_numbers_and_what_code_reads_stands_beside_them() -> None:
    amount = checked(funding_amount={"slide": 3}).funding_amount
    assert (amount.value, amount.currency, amount.as_read, amount.slide) == ("4200000", "EUR", ("EUR 4200000",), 3)


@pytest.mark.parametrize("nothing", [None, "", "N/A", "not stated", "null", "Unknown."])
def test_what_the_deck_does_not_say_is_null_whatever_else_the_model_wrote(nothing: str | None) -> None:
    date = checked(deck_date={"value": nothing, "slide": 99, "quote": "some words"}).deck_date
    assert (date.value, date.slide, date.quote, date.flags) == (None, None, None, ())
