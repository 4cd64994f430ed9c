"""Amounts of money as decks write them, read by code: to hold a model's number against the words it quotes."""

import re
from decimal import Decimal
from typing import NamedTuple


class Money(NamedTuple):
    """An amount in a currency; "" where the text names none."""

    amount: Decimal
    currency: str  # ISO 4217


CURRENCIES = {
    "US$": "USD", "A$": "AUD", "C$": "CAD", "CA$": "CAD", "AU$": "AUD", "S$": "SGD", "NZ$": "NZD", "HK$": "HKD",
    "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "₪": "ILS", "₩": "KRW", "$": "USD",
    "EURO": "EUR", "EUROS": "EUR", "DOLLAR": "USD", "DOLLARS": "USD", "POUNDS": "GBP", "FRANCS": "CHF", "FR.": "CHF",
    **{code: code for code in (
        "EUR", "USD", "GBP", "CHF", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF", "RON", "ILS", "INR", "JPY", "CNY", "KRW",
        "SGD", "HKD", "AUD", "NZD", "CAD", "BRL", "ZAR", "AED", "TRY",
    )},
}  # fmt: skip
MULTIPLIERS = {
    "k": 10**3, "tsd": 10**3, "thousand": 10**3,
    "m": 10**6, "mm": 10**6, "mn": 10**6, "mln": 10**6, "mio": 10**6, "million": 10**6, "millions": 10**6,
    "b": 10**9, "bn": 10**9, "mrd": 10**9, "billion": 10**9, "billions": 10**9,
}  # fmt: skip
_SPACE = "[ \u00a0\u2009\u202f]"
_CURRENCY = "|".join(sorted(map(re.escape, CURRENCIES), key=len, reverse=True))
_MULTIPLIER = "|".join(sorted(MULTIPLIERS, key=len, reverse=True))
_NUMBER = rf"\d{{1,3}}(?:(?:{_SPACE}|['\u2019])\d{{3}})+(?:[.,]\d+)?|\d+(?:[.,]\d+)*"
_AMOUNT = re.compile(
    rf"(?<![\w.,])(?P<before>{_CURRENCY})?{_SPACE}*"
    rf"(?P<number>{_NUMBER})"
    rf"(?:{_SPACE}*[-\u2013\u2014]{_SPACE}*(?P<upper>{_NUMBER}))?"
    rf"(?:{_SPACE}*(?P<multiplier>{_MULTIPLIER})\b\.?)?"
    rf"(?:{_SPACE}*(?P<after>{_CURRENCY})(?!\w))?",
    re.IGNORECASE,
)


def amounts_in(text: str) -> list[Money]:
    """Return the amounts that a text names, in order; of a range such as "EUR 3-5m" both ends.

    A number counts as an amount when it has a currency or a multiplier.
    """
    found: list[Money] = []
    for match in _AMOUNT.finditer(" ".join(text.split())):
        written = match["before"] or match["after"] or ""
        if not written and not match["multiplier"]:
            continue
        multiplier = MULTIPLIERS[match["multiplier"].lower()] if match["multiplier"] else 1
        numbers = [number for number in (match["number"], match["upper"]) if number]
        currency = CURRENCIES[written.upper()] if written else ""
        found.extend(Money(_value(number, multiplier > 1) * multiplier, currency) for number in numbers)
    return found


def numbers_in(text: str) -> set[Decimal]:
    """Return every number that a text has, whatever it counts."""
    return {_value(match[0], False) for match in re.finditer(_NUMBER, text)}


def _value(text: str, has_multiplier: bool) -> Decimal:
    """Read a number written in any of the usual ways; "4.200" is 4200, but 4.2 before "million"."""
    text = re.sub(rf"{_SPACE}|['\u2019]", "", text)
    marks = [character for character in text if character in ".,"]
    if len(set(marks)) == 2:
        decimal = marks[-1]
        return Decimal(text.replace("," if decimal == "." else ".", "").replace(decimal, "."))
    if not marks:
        return Decimal(text)
    groups = re.split("[.,]", text)
    is_grouped = len(groups[-1]) == 3 and len(groups[0]) <= 3 and groups[0] != "0"
    if len(marks) > 1 or (is_grouped and not (has_multiplier and marks == ["."])):
        return Decimal("".join(groups))
    return Decimal(".".join(groups))
