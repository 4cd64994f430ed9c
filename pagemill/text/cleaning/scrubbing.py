"""Scrubs a page: mojibake, line ends, characters that no text may hold, page markers, empty lines."""

import re

import ftfy
from ftfy.badness import is_bad

from pagemill.text.cleaning.joining import SOFT_HYPHEN
from pagemill.text.mmd.blocks import BlockKind, parse_blocks

# Quotes, ligatures and character widths are the book's own. HTML is not expected where LaTeX aligns
# with ampersands, and unescaping nested entities takes ftfy quadratic time.
_FTFY = ftfy.TextFixerConfig(
    uncurl_quotes=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    normalization=None,
    unescape_html=False,
    explain=False,
)
_LINE_ENDS = re.compile(r"\r\n?|[\v\f\u2028\u2029]")
_PDF_HYPHENS = re.compile("[\x02\ufffe](?=[ \t]*+\n)")  # how PDF readers mark a hyphen at a line's end
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc\ufdd0-\ufdef\ufffe\uffff]")
_C1_CONTROLS = re.compile("[\x80-\x9f]")
_SURROGATES = re.compile("[\ud800-\udfff]")

# Two characters beyond ASCII side by side, or one of four after which ASCII will do: no other text looks
# bad to ftfy, and what looks bad ends two characters beyond those at the latest.
_LONE_SIGNS = "\u00c2\u00c3\u0152\u0153"
_BEYOND_ASCII = re.compile(f"[^\x00-\x7f]{{2,}}+|[{_LONE_SIGNS}]")
_CONTEXT_CHARACTERS = 2
_MAX_BYTES_A_CHARACTER = 1.08  # as UTF-8; where more is beyond ASCII, taking that out saves nothing
_SIDE_BY_SIDE = re.compile("[^\x00-\x7f][^\x00-\x7f]")
_UNWANTED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u206a-\u206f\ufeff\ufff9-\ufffc\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff"
    f"{_LONE_SIGNS}]"
)

# White space with two line ends that is more than one empty line.
_GAP = re.compile(r"\n(?:\n(?:\s|(?<=[^\S\n]\n\n))|[^\S\n]++\n)")


def repair(text: str) -> tuple[str, int]:
    r"""Repair mojibake and line ends, and drop what no text may hold.

    That is NUL and the other control characters except ``\t`` and ``\n``, lone surrogates and
    noncharacters. Only lines that look like mojibake go through ftfy.

    Returns:
        The text and how many characters were dropped.
    """
    if not _UNWANTED.search(text) and not _has_side_by_side(text):
        return text, 0
    text = _LINE_ENDS.sub("\n", text)
    text = _PDF_HYPHENS.sub(SOFT_HYPHEN, text)
    text, surrogates = _drop_surrogates(text)
    text, controls = _CONTROLS.subn("", text)
    if _may_hold_mojibake(text):
        text = "\n".join(map(_without_mojibake, text.split("\n")))
    text, c1_controls = _C1_CONTROLS.subn("", text)
    return text, surrogates + controls + c1_controls


def remove_markers(text: str) -> tuple[str, int]:
    """Put a paragraph's break in the place of Nougat's `[MISSING_PAGE_...]`; the ledger has the fact.

    Returns:
        The text and how many markers were removed.
    """
    if "[MISSING_PAGE_" not in text:
        return text, 0
    blocks = parse_blocks(text)
    kept = ("\n\n" if block.kind is BlockKind.MISSING_PAGE else text[block.start : block.end] for block in blocks)
    return "".join(kept), sum(block.kind is BlockKind.MISSING_PAGE for block in blocks)


def collapse_gaps(text: str) -> str:
    """Leave at most one empty line between blocks and none around the text."""
    if not _GAP.search(text):
        return text.strip()
    pieces = []
    for block in parse_blocks(text):
        body = text[block.start : block.end]
        kept = body.rstrip()
        gap = body[len(kept) :]
        pieces += [kept, "\n\n" if gap.count("\n") > 1 else gap]
    return "".join(pieces).strip()


def _drop_surrogates(text: str) -> tuple[str, int]:
    """Join surrogate pairs to the characters they stand for and drop lone ones."""
    found = len(_SURROGATES.findall(text))
    if not found:
        return text, 0
    paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    # a pair shortens the text by one and a lone one by one: 2 * shortening = 2 * pairs + 2 * lone
    return paired, 2 * (len(text) - len(paired)) - found


def _has_side_by_side(text: str) -> bool:
    """Say whether two characters beyond ASCII stand side by side; as two question marks they are found fastest."""
    return b"??" in text.encode("ascii", "replace") and bool(_SIDE_BY_SIDE.search(text))


def _without_mojibake(line: str) -> str:
    is_sound = line.isascii() or not _may_hold_mojibake(line) or not is_bad(line)
    return line if is_sound else ftfy.fix_text(line, _FTFY)


def _may_hold_mojibake(text: str) -> bool:
    """Say whether to ask ftfy if a text, or a line of it, looks bad, which is slow, for something in it does or may."""
    if len(text.encode()) > _MAX_BYTES_A_CHARACTER * len(text) or _C1_CONTROLS.search(text):
        return True
    found = [match.span() for match in _BEYOND_ASCII.finditer(text)]
    around = [text[max(0, start - _CONTEXT_CHARACTERS) : end + _CONTEXT_CHARACTERS] for start, end in found]
    lone = "\n".join(part for part, (start, end) in zip(around, found, strict=True) if end - start == 1)
    return any(map(is_bad, lone.split("\n"))) or is_bad("\n".join(around))
