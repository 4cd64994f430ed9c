"""Code reads amounts and dates as decks write them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagemill.decks.amounts import CURRENCIES, amounts_in, numbers_in
from pagemill.decks.dates import PartialDate, dates_in, parse_date


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("Seed round of EUR 4.2 million, priced", ["EUR 4200000"]),
        ("4,2 Mio. EUR", ["EUR 4200000"]),
        ("We are raising $1.5M", ["USD 1500000"]),
        ("US$ 3.5m", ["USD 3500000"]),
        ("€4.200.000", ["EUR 4200000"]),
        ("4 200 000 €", ["EUR 4200000"]),
        ("£750k", ["GBP 750000"]),
        ("CHF 2'500'000", ["CHF 2500000"]),
        ("$1,500,000.00", ["USD 1500000"]),
        ("€ 3\u20135 million", ["EUR 3000000", "EUR 5000000"]),
        ("raising 2.5 million", [" 2500000"]),
        ("EUR 0.5 bn", ["EUR 500000000"]),
        ("EUR 1.250", ["EUR 1250"]),
        ("212 patients in 2026", []),
        ("3 hospitals", []),
        ("", []),
    ],
)
def test_amounts_are_read(text: str, amounts: list[str]) -> None:
    assert [f"{money.currency} {money.amount.normalize():f}" for money in amounts_in(text)] == amounts


@given(st.integers(1, 10**9), st.sampled_from(["EUR", "USD", "CHF"]), st.sampled_from([",", ".", " ", "'", "\u00a0"]))
def test_grouped_thousands_are_read_whatever_groups_them(amount: int, currency: str, mark: str) -> None:
    written = f"{amount:,}".replace(",", mark)
    assert amounts_in(f"{currency} {written}") == [(Decimal(amount), currency)]


@given(st.text(max_size=60))
def test_any_text_has_amounts_and_dates_or_none(text: str) -> None:
    assert all(money.currency in {"", *CURRENCIES.values()} for money in amounts_in(text))
    assert all(parse_date(str(date)) == date for date in dates_in(text))


def test_numbers_are_read_whatever_they_count() -> None:
    assert numbers_in("7.8\n2029, 1,240 lockers, 95 % CI") == {Decimal(n) for n in ("7.8", "2029", "1240", "95")}


@pytest.mark.parametrize(
    ("text", "dates"),
    [
        ("Seed deck, March 2026", ["2026-03"]),
        ("12 March 2026", ["2026-03-12"]),
        ("March 12th, 2026", ["2026-03-12"]),
        ("2026-03-12", ["2026-03-12"]),
        ("03/2026", ["2026-03"]),
        ("12.03.2026", ["2026-03-12", "2026-12-03"]),  # day first or month first: both are kept
        ("25/12/2025", ["2025-12-25"]),
        ("Q1 2026", ["2026"]),
        ("Sept. 2025", ["2025-09"]),
        ("12. Mai 2026", ["2026-05-12"]),
        ("May 2025 and 2024", ["2025-05", "2024"]),
        ("31 February 2026", []),
        ("390 million people", []),
    ],
)
def test_dates_are_read(text: str, dates: list[str]) -> None:
    assert [str(date) for date in dates_in(text)] == dates


@pytest.mark.parametrize(
    ("said", "written", "agrees"),
    [
        ("2026-03", "2026-03", True),
        ("2026", "2026-03", True),  # less exact than the deck is still right
        ("2026-03-15", "2026-03", False),  # more exact is made up
        ("2025", "2026-03", False),
    ],
)
def test_a_date_agrees_with_what_was_written_or_is_a_part_of_it(said: str, written: str, agrees: bool) -> None:
    first, second = parse_date(said), parse_date(written)
    assert first is not None
    assert second is not None
    assert first.agrees_with(second) is agrees


@pytest.mark.parametrize("text", ["2026-13", "March 2026", "", "2026-3"])
def test_what_is_no_iso_date_is_none(text: str) -> None:
    assert parse_date(text) is None


def test_a_date_is_as_exact_as_it_was_written() -> None:
    assert [str(PartialDate(2026)), str(PartialDate(2026, 3)), str(PartialDate(2026, 3, 1))] == [
        "2026", "2026-03", "2026-03-01",
    ]  # fmt: skip
