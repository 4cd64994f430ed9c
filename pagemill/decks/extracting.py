"""What the model extracted, held against the deck: each quote is looked up, amounts and dates are read by code."""

from decimal import Decimal

from pagemill.decks.amounts import CURRENCIES, Money, amounts_in
from pagemill.decks.answers import (
    Area,
    BundledExtractions,
    Found,
    FoundAmount,
    FoundHealthcare,
)
from pagemill.decks.dates import dates_in, parse_date
from pagemill.decks.grounding import DeckWords, Flag, Support, contains
from pagemill.decks.records import Record, TextSource

NOTHING = {"", "-", "n/a", "na", "none", "null", "not given", "not mentioned", "not said", "not stated", "unknown"}


class Extraction(Record):
    """A fact with the words that support it; without a value, the deck does not say it."""

    value: str | None = None
    slide: int | None = None  # where the quote stands; where the model said, if it stands nowhere
    quote: str | None = None
    source: TextSource = TextSource.NONE  # of the quote
    flags: tuple[Flag, ...] = ()


class HealthcareExtraction(Extraction):
    """Whether the company works in healthcare: "yes" or "no"."""

    area: Area | None = None


class AmountExtraction(Extraction):
    """An amount of money as a plain number."""

    currency: str | None = None  # ISO 4217
    as_read: tuple[str, ...] = ()  # what code reads in the quote


class DateExtraction(Extraction):
    """A date as YYYY, YYYY-MM or YYYY-MM-DD."""

    as_read: tuple[str, ...] = ()


class Extractions(Record):
    """All that is extracted from a deck."""

    startup_name: Extraction
    company_offering: Extraction
    healthcare: HealthcareExtraction
    funding_amount: AmountExtraction
    deck_date: DateExtraction


def check_extractions(found: BundledExtractions, words: DeckWords) -> Extractions:
    """Hold every extraction against the deck; what is wrong with one is flagged, and its value kept."""
    return Extractions(
        startup_name=_name(found.startup_name, words),
        company_offering=_text(found.company_offering, words),
        healthcare=_healthcare(found.healthcare, words),
        funding_amount=_amount(found.funding_amount, words),
        deck_date=_date(found.deck_date, words),
    )


def _text(found: Found, words: DeckWords) -> Extraction:
    if _said(found.value) is None:
        return Extraction()
    support = words.support(found.quote, found.slide)
    return Extraction(
        value=_said(found.value), slide=_place(support, found.slide), quote=found.quote, source=support.source,
        flags=support.flags,
    )  # fmt: skip


def _name(found: Found, words: DeckWords) -> Extraction:
    extraction = _text(found, words)
    if extraction.value is None or contains(found.quote or "", extraction.value):
        return extraction
    return extraction.model_copy(update={"flags": (*extraction.flags, Flag.MISMATCH)})


def _healthcare(found: FoundHealthcare, words: DeckWords) -> HealthcareExtraction:
    if found.value is None:
        return HealthcareExtraction()
    support = words.support(found.quote, found.slide)
    disagrees = found.area is not None and (found.area == "not healthcare") == found.value
    return HealthcareExtraction(
        value="yes" if found.value else "no",
        area=found.area,
        slide=_place(support, found.slide),
        quote=found.quote,
        source=support.source,
        flags=support.flags + (Flag.MISMATCH,) * disagrees,
    )


def _amount(found: FoundAmount, words: DeckWords) -> AmountExtraction:
    if found.value is None:
        return AmountExtraction()
    support = words.support(found.quote, found.slide)
    written = (_said(found.currency) or "").upper()
    said = Money(Decimal(str(found.value)), CURRENCIES.get(written, written))
    read = amounts_in(found.quote or "")
    return AmountExtraction(
        value=f"{said.amount:f}".removesuffix(".0"),
        currency=said.currency or None,
        slide=_place(support, found.slide),
        quote=found.quote,
        source=support.source,
        flags=support.flags + _disagreement(any(_same_money(said, money) for money in read), bool(read)),
        as_read=tuple(f"{money.currency} {money.amount.normalize():f}".strip() for money in read),
    )


def _date(found: Found, words: DeckWords) -> DateExtraction:
    value = _said(found.value)
    if value is None:
        return DateExtraction()
    support = words.support(found.quote, found.slide)
    said = parse_date(value)
    read = dates_in(found.quote or "")
    agrees = said is not None and any(said.agrees_with(date) for date in read)
    return DateExtraction(
        value=value,
        slide=_place(support, found.slide),
        quote=found.quote,
        source=support.source,
        flags=support.flags + _disagreement(agrees, said is not None and bool(read)),
        as_read=tuple(str(date) for date in read),
    )


def _said(value: str | None) -> str | None:
    """Return what was said; None for the words with which models say nothing."""
    text = (value or "").strip()
    return None if text.casefold().rstrip(".") in NOTHING else text


def _place(support: Support, said: int | None) -> int | None:
    if support.slide is not None:
        return support.slide
    return None if Flag.NO_SUCH_SLIDE in support.flags else said


def _disagreement(agrees: bool, is_readable: bool) -> tuple[Flag, ...]:
    if agrees:
        return ()
    return (Flag.MISMATCH,) if is_readable else (Flag.UNREADABLE,)


def _same_money(said: Money, read: Money) -> bool:
    return said.amount == read.amount and (not read.currency or said.currency == read.currency)
