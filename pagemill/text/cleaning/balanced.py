r"""Says at one glance, and at the speed of one regular expression, that the LaTeX of a text needs no repair."""

import functools
import re

from pagemill.text.mmd.blocks import MATH_ENVIRONMENTS, TABLE_ENVIRONMENTS

_MAX_DEPTH = 3  # of braces and of \left and \right, each within the other; deeper ones are looked at closely
_TABLE_DEPTH = 2

_OUTER = "|".join(sorted({re.escape(name.removesuffix("*")) for name in TABLE_ENVIRONMENTS | MATH_ENVIRONMENTS}))
_PLAIN = r"[^\\{}\n]++"
_LINE_END = r"\n(?![ \t\r]*+\n|\#)"  # no empty line and no heading, which end every formula
_COMMAND = r"\\(?!(?:left|right)(?![A-Za-z])|(?:begin|end)\{|[()\[\]\n])."
_PROSE = rf"[^\\]++|\\(?!(?:begin|end)\{{(?:{_OUTER})\b|[()\[\]\n]).|\\(?=\n|\Z)"


def is_balanced(text: str) -> bool:
    r"""Say whether a text's formulas and tables certainly balance, and none of them stands open.

    False says nothing: there may be code, a stray ``\)``, or more depth than one expression can follow.
    No part of a text is read twice, so the time is linear.
    """
    if "\\" not in text:
        return True
    return "```" not in text and "[MISSING_PAGE_" not in text and bool(_balanced_text().fullmatch(text))


def is_balanced_formula(text: str, start: int, end: int) -> bool:
    """Say whether the inside of a formula certainly balances; False says nothing."""
    return bool(_balanced_formula().fullmatch(text, start, end))


@functools.cache
def _balanced_formula() -> re.Pattern[str]:
    return re.compile(_repeated(_nested(_MAX_DEPTH)))


@functools.cache
def _balanced_text() -> re.Pattern[str]:
    """Compile the expression, at first need: that takes some hundredths of a second."""
    formula, cell = _nested(_MAX_DEPTH), _nested(_TABLE_DEPTH)
    inner = _environment("inner", rf"(?!(?:{_OUTER})\b)[A-Za-z]{{1,20}}", formula)
    middle = _environment("middle", rf"(?!(?:{_OUTER})\b)[A-Za-z]{{1,20}}", f"{formula}|{inner}")
    inline = rf"\\\({_repeated(formula)}\\\)"
    display = rf"\\\[{_repeated(formula, middle)}\\\]"
    cells = rf"{cell}|\\\({_repeated(cell)}\\\)"
    tabular = _environment("tabular", _OUTER, cells)
    table = _environment("table", _OUTER, f"{cells}|{tabular}")
    return re.compile(_repeated(_PROSE, inline, display, table))


def _nested(depth: int) -> str:
    """Return the alternatives of what balances, down to a depth."""
    flat = rf"{_PLAIN}|{_LINE_END}|{_COMMAND}"
    if depth == 0:
        return flat
    inside = _repeated(_nested(depth - 1))
    return rf"{flat}|\{{{inside}\}}|\\left(?![A-Za-z]){inside}\\right(?![A-Za-z])"


def _environment(group: str, name: str, content: str) -> str:
    return rf"\\begin\{{(?P<{group}>(?:{name})\*?)\}}{_repeated(content)}\\end\{{(?P={group})\}}"


def _repeated(*alternatives: str) -> str:
    return f"(?:{'|'.join(alternatives)})*+"
