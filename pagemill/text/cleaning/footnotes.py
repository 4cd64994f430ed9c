"""Finds footnotes and their marks in the texts of pages, and notes and floats that part a sentence."""

import re
from collections.abc import Sequence

from pagemill.text.cleaning.joints import ends_sentence

_MOVABLE = r"[ \t]*+(?:Fig|FIG|Plate|Scheme|Tab|TAB|\\begin\{(?:table|tabular|longtable)|Footnote|\[\^)"
_MOVABLE_START = re.compile(_MOVABLE)
_MOVABLE_LINE = re.compile(rf"\n{_MOVABLE}")
_NOTE = re.compile(r"(?:Footnote[ \t]+([\w*]{1,4})|\[\^(\w{1,8})\])[ \t]?:")
_RAISED = re.compile(r"[\u00b9\u00b2\u00b3\u2070\u2074-\u2079]")
_MARK = re.compile(
    r"\\\( ?(?:\{ ?\} ?)?\^ ?\{? ?(?P<formula>\w{1,4}|\*{1,3}) ?\}? ?\\\)"  # a formula that is but an exponent
    r"|\[\^(?P<bracket>\w{1,8})\](?!:)"
    r"|\^\{?(?P<plain>\d{1,3})\}?"
    r"|(?P<raised>[\u00b9\u00b2\u00b3\u2070\u2074-\u2079]{1,3})"
)
_BEFORE_MARK = re.compile(r"[^\W\d_]{3}\Z|[.,;:!?\"\u201d\u2019)]\Z")  # "years^3", "years.^3", but not "x^3" or "m^3"
_RAISED_DIGITS = str.maketrans("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079", "0123456789")
_MAX_INDENT_CHARACTERS = 20
_END_CHARACTERS = 40  # in which the end of a sentence shows


def note_labels(text: str) -> list[str]:
    """Return the labels of the notes on a page: "3" for `Footnote 3: ...` and for `[^3]: ...`."""
    if "Footnote" not in text and "[^" not in text:
        return []
    return [note[1] or note[2] for note in _NOTE.finditer(text) if _begins_line(text, note.start())]


def _begins_line(text: str, position: int) -> bool:
    before = text[max(0, position - _MAX_INDENT_CHARACTERS) : position].rstrip(" \t")
    return before.endswith("\n") or (not before and position < _MAX_INDENT_CHARACTERS)


def note_marks(text: str) -> set[str]:
    r"""Return the labels of the notes whose marks are in a text: "3" for `\({}^{3}\)`, `[^3]`, and "word^3"."""
    labels: set[str] = set()
    if "^" not in text and (text.isascii() or not _RAISED.search(text)):
        return labels
    for mark in _MARK.finditer(text):
        kind = mark.lastgroup or ""
        if kind in ("formula", "bracket") or _BEFORE_MARK.search(text, max(0, mark.start() - 3), mark.start()):
            labels.add(mark[kind].translate(_RAISED_DIGITS))
    return labels


def pages_with_marks(pages: Sequence[str]) -> set[int]:
    """Return the pages that have notes whose marks are there or on the page before, and those with these marks."""
    found: set[int] = set()
    for page, text in enumerate(pages):
        labels = set(note_labels(text))
        for origin in (page, page - 1) if labels else ():
            marked = labels & note_marks(pages[origin]) if origin >= 0 else set()
            found |= {page, origin} if marked else set()
            labels -= marked
    return found


def starts_movable(text: str) -> bool:
    """Say whether a page may begin with a note, a figure's caption or a table."""
    return bool(_MOVABLE_START.match(text))


def is_parted(text: str) -> bool:
    """Say whether a note or a float on a page comes behind what ends no sentence, or ends the page without its own."""
    line = None
    for line in _MOVABLE_LINE.finditer(text):
        if not ends_sentence(text[max(0, line.start() - _END_CHARACTERS) : line.start()].rstrip()):
            return True
    return line is not None and not ends_sentence(text[-_END_CHARACTERS:])
