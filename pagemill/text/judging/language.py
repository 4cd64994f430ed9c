"""Tells which language a page and a book are written in, by their words without the mathematics."""

import re

from pagemill.language import UNDETERMINED, detect_plain, weigh
from pagemill.text.mmd.blocks import BlockKind, Layout, parse_layout

__all__ = ["UNDETERMINED", "detect", "weigh", "words_alone"]

_WORDLESS = frozenset({BlockKind.DISPLAY_MATH, BlockKind.TABLE, BlockKind.CODE, BlockKind.MISSING_PAGE})
_MARKUP = re.compile(r"\\[A-Za-z]++|[\\#*_{}$&|^]++")


_MARKS = ("\\", "```", "[MISSING_PAGE_")  # without any of these, a text has no block that is not made of words


def detect(text: str, layout: Layout | None = None) -> tuple[str, float]:
    """Return the language of a text in Nougat's Markdown and how sure that is.

    Mathematics, tables and code are left out first: what is found does not depend on them, and a page of formulas
    with few words does not pass for English.

    Args:
        text: Nougat's Markdown, or plain text of any length.
        layout: Of this text, where it has been parsed already.

    Returns:
        What `pagemill.language.detect_plain` says of the words alone.
    """
    return detect_plain(words_alone(text, layout))


def words_alone(text: str, layout: Layout | None = None) -> str:
    """Return a text on one line without mathematics, tables, code, markers and LaTeX commands.

    Args:
        text: Nougat's Markdown, or plain text of any length.
        layout: Of this text, where it has been parsed already.
    """
    if layout is not None or any(mark in text for mark in _MARKS):
        text = _without_blocks(text, layout or parse_layout(text))
    return " ".join(_MARKUP.sub(" ", text).split())


def _without_blocks(text: str, layout: Layout) -> str:
    wordless = [(block.start, block.end) for block in layout.blocks if block.kind in _WORDLESS]
    kept, position = [], 0
    for start, end in sorted(wordless + [tuple(span) for span in layout.inline_math]):
        kept.append(text[position:start])
        position = max(position, end)
    return " ".join([*kept, text[position:]])
