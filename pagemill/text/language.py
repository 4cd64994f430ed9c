"""Tells which language a page and a book are written in, by their words without the mathematics."""

import re

from pagemill.language import UNDETERMINED, detect_plain, weigh
from pagemill.text.blocks import BlockKind, parse_layout

__all__ = ["UNDETERMINED", "detect", "weigh", "words_alone"]

_WORDLESS = frozenset({BlockKind.DISPLAY_MATH, BlockKind.TABLE, BlockKind.CODE, BlockKind.MISSING_PAGE})
_MARKUP = re.compile(r"\\[A-Za-z]++|[\\#*_{}$&|^]++")


def detect(text: str) -> tuple[str, float]:
    """Return the language of a text in Nougat's Markdown and how sure that is.

    Mathematics, tables and code are left out first: LaTeX passes for English or for nothing known.

    Args:
        text: Nougat's Markdown, or plain text of any length.

    Returns:
        What `pagemill.language.detect_plain` says of the words alone.
    """
    return detect_plain(words_alone(text))


def words_alone(text: str) -> str:
    """Return a text on one line without mathematics, tables, code, markers and LaTeX commands."""
    layout = parse_layout(text)
    wordless = [(block.start, block.end) for block in layout.blocks if block.kind in _WORDLESS]
    kept, position = [], 0
    for start, end in sorted(wordless + [tuple(span) for span in layout.inline_math]):
        kept.append(text[position:start])
        position = max(position, end)
    kept.append(text[position:])
    return " ".join(_MARKUP.sub(" ", " ".join(kept)).split())
