"""Decks as text that survives every orchestrator: digest and name, in signs that need no escaping."""

from urllib.parse import quote, unquote

from pagemill.decks.records import Deck


def item_of(deck: Deck) -> str:
    """Return a deck as text."""
    return f"{deck.pdf_sha256}/{quote(deck.name, safe='')}"


def deck_of(item: str) -> Deck:
    """Return the deck that `item_of` wrote down."""
    pdf_sha256, _, name = item.partition("/")
    return Deck(pdf_sha256=pdf_sha256, name=unquote(name))
