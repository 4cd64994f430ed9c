"""Says whether what a page's end, a footnote or a table parts is one sentence, and of which kind its ends are."""

import re

from pagemill.text.mmd.blocks import BlockKind, parse_blocks

PARAGRAPH_BREAK = "\n\n"

_CLOSERS = "\"'\u201d\u2019\u00bb)]*_"
_OPENERS = "\"'\u201c\u2018\u00ab([*_"
_SENTENCE_ENDS = tuple(".!?:\u2026\u3002\uff01\uff1f\uff1a")
_WITHIN_SENTENCE = (",", ";", "\u2013", "\u2014")
# Words that end no sentence, in the languages that books come in most.
_LEADING_LIST = (
    "a an the of and or nor but to in into on upon by with from for at as than that which who whose if when where while"
    " is are was were be has have had his her its their our your my this these those such between through"
    " der die das den dem des ein eine einen einem einer eines und oder aber von vom mit zu zum zur im am auf für als"
    " dass daß ist sind war waren sein seine ihr ihre nach bei durch über unter zwischen wie"
    " le la les un une du de et ou à au aux dans par pour que qui est sur avec sans ses leur leurs"
    " el los las una del y o en por para con su sus il lo gli di della dei e per che nel nella os do da dos das com"
    " het een van en te met voor op dat"
)
# Abbreviations that more must follow, and those that end a sentence only sometimes.
_LEADING_ABBREVIATION_LIST = (
    "mr. mrs. ms. dr. prof. st. messrs. hon. rev. capt. col. gen. fig. figs. eq. eqs. sec. chap. vol. vols. cf. viz."
    " e.g. i.e. pp. z.b. d.h. vgl. mme. mlle."
)
_OTHER_ABBREVIATION_LIST = "etc. ed. eds. bzw. usw. nr. bd. al. ibid."
_LEADING_WORDS = frozenset(_LEADING_LIST.split())
_LEADING_ABBREVIATIONS = frozenset(_LEADING_ABBREVIATION_LIST.split())
_ABBREVIATIONS = _LEADING_ABBREVIATIONS.union(_OTHER_ABBREVIATION_LIST.split())
_MAX_LAST_WORD_CHARACTERS = 12
_MIN_PROSE_LINE_CHARACTERS = 60
_MAX_PROSE_CHARACTERS = 1000  # before a page's end that are looked at
_PROSE = re.compile(r"[^\W\d_]{2}[.!?][\"'\u201d\u2019)]?+ .{80}", re.DOTALL)  # a sentence that ends, and more
_CUT_WORD = re.compile(r"[^\W\d_][-\u2010]\Z")
_LETTER = re.compile(r"[^\W\d_]")
_TABLE_CAPTION = ("Tab", "TAB")
_LABEL_INITIALS = "FPST"  # of figures, footnotes, plates, schemes and tables
_BLOCK_MARKS = (r"\[", r"\begin{", r"\end{", "```", "[MISSING_PAGE_")


def ends_sentence(text: str) -> bool:
    """Say whether a text ends as a sentence does, quotes and brackets apart."""
    return (
        text[-_MAX_LAST_WORD_CHARACTERS:].rstrip(_CLOSERS).endswith(_SENTENCE_ENDS)
        and _last_word(text).lower() not in _ABBREVIATIONS
    )


def begins_within(text: str) -> bool:
    """Say whether a text begins as a sentence goes on: with a small letter, or one without case, or a formula."""
    first = text[:_MAX_LAST_WORD_CHARACTERS].lstrip(_OPENERS)[:1]
    return (first.isalpha() and not first.isupper()) or text.startswith(r"\(")


def _last_word(text: str) -> str:
    words = text[-_MAX_LAST_WORD_CHARACTERS:].split()
    is_whole = len(words) > 1 or len(text) < _MAX_LAST_WORD_CHARACTERS
    return words[-1].lstrip(_OPENERS) if words and is_whole else ""


def cuts_word(before: str, after: str) -> bool:
    """Say whether a hyphen at the end of one text may part a word that goes on in another."""
    return bool(_CUT_WORD.search(before, max(0, len(before) - 2)) and _LETTER.match(after))


def goes_on(before: str, after: str) -> bool:
    """Say whether a sentence, or a word, that begins in one text goes on in another."""
    if cuts_word(before, after):
        return True
    if ends_sentence(before):
        return False
    last_word = _last_word(before)
    leads_on = last_word in _LEADING_WORDS or last_word.lower() in _LEADING_ABBREVIATIONS
    if leads_on or before.endswith(_WITHIN_SENTENCE) or begins_within(after):
        return True
    # a line of prose ends with its sentence, if it is whole, and what begins like a title is no rest of it
    first_line = after[: after.find("\n")] if "\n" in after else after
    is_title = len(first_line) < _MIN_PROSE_LINE_CHARACTERS and not ends_sentence(first_line)
    return not is_title and bool(
        _PROSE.search(before, max(before.rfind("\n") + 1, len(before) - _MAX_PROSE_CHARACTERS))
    )


def last_kind(text: str) -> BlockKind:
    """Return the kind of a text's last block; only what can matter to it is parsed."""
    tail = text[text.rfind(PARAGRAPH_BREAK) + 1 :].lstrip()
    if _is_plain(tail) and "\n" not in tail and not any(mark in tail for mark in _BLOCK_MARKS):
        return BlockKind.PARAGRAPH
    is_closed_by_tail = "\\end{" in tail or "```" in tail or tail.startswith(_TABLE_CAPTION)
    return parse_blocks(text if is_closed_by_tail else tail)[-1].kind


def first_kind(text: str) -> BlockKind:
    """Return the kind of a text's first block; only what can matter to it is parsed."""
    if _is_plain(text):
        return BlockKind.PARAGRAPH
    end = text.find(PARAGRAPH_BREAK)
    head = text if end < 0 else text[:end]
    goes_further = "\\begin{" in head or "```" in head or head.startswith(_TABLE_CAPTION)
    return parse_blocks(text if goes_further else head)[0].kind


def _is_plain(text: str) -> bool:
    """Say whether a text begins with a letter with which nothing but a paragraph can begin."""
    return text[:1].isalpha() and text[0] not in _LABEL_INITIALS
