"""Tells which language a page and a book are written in, by their words without the mathematics."""

import re

from pagemill.language import UNDETERMINED, detect_plain, weigh
from pagemill.text.mmd.blocks import Layout
from pagemill.text.mmd.prose import prose

__all__ = ["UNDETERMINED", "detect", "weigh", "words_alone"]

_MARKUP = re.compile(r"\\[A-Za-z]++|[\\#*_{}$&|^]++")


def detect(text: str, layout: Layout | None = None) -> tuple[str, float]:
    """Return the language of a text in Nougat's Markdown and how sure that is.

    Mathematics, tables and code are left out first: what is found does not depend on them, and a page of formulas
    with few words does not pass for English.

    Args:
        text: Nougat's Markdown, or plain text of any length.
        layout: See `pagemill.text.mmd.prose.prose`.

    Returns:
        What `pagemill.language.detect_plain` says of the words alone.
    """
    return detect_plain(words_alone(text, layout))


def words_alone(text: str, layout: Layout | None = None) -> str:
    """Return a text on one line without mathematics, tables, code, markers and LaTeX commands.

    Args:
        text: Nougat's Markdown, or plain text of any length.
        layout: See `pagemill.text.mmd.prose.prose`.
    """
    return " ".join(_MARKUP.sub(" ", prose(text, layout)).split())
