r"""Formulas, tables and code by chance, as Nougat writes them."""

import random
import re

_LETTERS = "abcdefghijklmnpqrstuvwxyzABCEFGHKLMNPQRSTUVXYZ"
_NAMES = "alpha beta gamma delta epsilon theta lambda mu nu pi rho sigma tau phi psi omega Gamma Delta Omega"
_GREEK = tuple(rf"\{name}" for name in _NAMES.split())
_RELATIONS = ("=", "=", "=", r"\leq", r"\geq", r"\approx", r"\sim", r"\in", r"\subset", r"\to", "<", r"\equiv")
_OPERATORS = ("+", "-", "+", "-", r"\cdot", r"\times", r"\otimes", r"\cup")
_BIG = (r"\sum_{i=1}^{n}", r"\int_{0}^{\infty}", r"\prod_{k=0}^{m}", r"\max_{x\in X}", r"\lim_{n\to\infty}")
_FUNCTIONS = (r"\sin", r"\cos", r"\log", r"\exp", r"\mathrm{Var}", r"\mathbb{E}", r"\operatorname{tr}", "f", "g")
_ACCENTS = (r"\hat", r"\bar", r"\tilde", r"\mathbf", r"\mathcal", r"\mathrm")
_NEXT_ROW = r" \\ "
_COMMAND_END = re.compile(r"\\[A-Za-z]+\Z")
_UNITS = ("", "", "", r"\%", r" \(\pm\) 0.2")


def expression(chance: random.Random, terms: int, depth: int = 2) -> str:
    """Return a sum of so many terms; each may hold fractions, roots and brackets, at most `depth` deep."""
    text = _term(chance, depth)
    for _ in range(terms - 1):
        text = _beside(text, chance.choice(_OPERATORS), _term(chance, depth))
    return text


def _beside(*parts: str) -> str:
    """Join parts of a formula, with a space before a command, and after one where a letter follows."""
    text = parts[0]
    for part in parts[1:]:
        after_command = _COMMAND_END.search(text[-12:]) and part[0].isalpha()
        text += f" {part}" if after_command or part[0] == "\\" else part
    return text


def symbol(chance: random.Random) -> str:
    """Return a letter, Latin or Greek, often with an index or an accent."""
    letter = chance.choice(_LETTERS) if chance.random() < 0.7 else chance.choice(_GREEK)
    form = chance.random()
    if form < 0.35:
        return f"{letter}_{{{chance.choice('ijkn012')}}}"
    if form < 0.45:
        return f"{letter}^{{{chance.choice(['2', 'n', '-1', 'T', 'k+1'])}}}"
    if form < 0.55:
        return f"{chance.choice(_ACCENTS)}{{{letter}}}"
    return letter


def _term(chance: random.Random, depth: int) -> str:
    form = chance.random()
    if depth == 0 or form < 0.5:
        return symbol(chance)
    if form < 0.65:
        return rf"\frac{{{expression(chance, chance.randint(1, 2), depth - 1)}}}{{{symbol(chance)}}}"
    if form < 0.75:
        return f"{chance.choice(_FUNCTIONS)}({expression(chance, 1, depth - 1)})"
    if form < 0.85:
        return rf"\left({expression(chance, 2, depth - 1)}\right)^{{{chance.randint(2, 9)}}}"
    if form < 0.92:
        return rf"\sqrt{{{expression(chance, 2, depth - 1)}}}"
    return f"{chance.choice(_BIG)}{{{symbol(chance)}}}"


def inline(chance: random.Random) -> str:
    r"""Return an inline formula: mostly a symbol, at times a relation."""
    if chance.random() < 0.6:
        return rf"\({symbol(chance)}\)"
    right = expression(chance, chance.randint(1, 2), depth=1)
    return rf"\({_beside(symbol(chance), chance.choice(_RELATIONS), right)}\)"


def display(chance: random.Random, tag: str = "") -> str:
    r"""Return a display on one line, of 10 to some 300 tokens; one in seven is aligned over several rows."""
    terms = min(16, max(1, round(chance.lognormvariate(1.1, 0.7))))
    if chance.random() < 0.15:
        rows = [f"{symbol(chance)}&={expression(chance, max(1, terms // 2))}" for _ in range(chance.randint(2, 4))]
        body = rf"\begin{{split}} {_NEXT_ROW.join(rows)}\end{{split}}"
    else:
        left, relation = expression(chance, chance.randint(1, 2)), chance.choice(_RELATIONS)
        body = _beside(left, relation, expression(chance, terms))
    numbered = rf"\tag{{{tag}}}" if tag else ""
    return rf"\[{body}{numbered}\]"


def tabular(chance: random.Random, words: list[str], rows: int, columns: int) -> str:
    r"""Return a tabular on one line, with a head row; the first column holds words, the others mostly figures.

    Args:
        chance: Where the figures come from.
        words: For the head and the first column, at least `columns + rows`.
        rows: Without the head.
        columns: At least two.
    """
    rule = chance.choice(["", r" \hline", r" \hline \hline"])
    lines = [" & ".join(word.capitalize() for word in words[:columns])]
    for row in range(rows):
        cells = [words[columns + row]] + [_cell(chance) for _ in range(columns - 1)]
        lines.append(" & ".join(cells))
    spec = "|".join(["l"] + ["c"] * (columns - 1)) if rule else "l" + " r" * (columns - 1)
    first_rule = r" \hline" if rule else ""
    body = rf"{lines[0]} \\{rule} " + _NEXT_ROW.join(lines[1:]) + r" \\" + first_rule
    return rf"\begin{{tabular}}{{{spec}}}{first_rule} {body} \end{{tabular}}"


def _cell(chance: random.Random) -> str:
    form = chance.random()
    if form < 0.5:
        return f"{chance.uniform(0, 100):.{chance.randint(1, 3)}f}{chance.choice(_UNITS)}"
    if form < 0.85:
        return str(chance.randint(0, 5000))
    return inline(chance) if form < 0.93 else "-"


def program(chance: random.Random, words: list[str], lines: int) -> str:
    """Return so many lines of a program.

    Args:
        chance: What decides on its form.
        words: Names, lower case.
        lines: Its length.
    """
    found, depth = [f"def {words[0]}({words[1]}, {words[2]}):"], 1
    while len(found) < lines:
        left, right, other = (words[chance.randrange(len(words))] for _ in range(3))
        form = chance.random()
        if form < 0.2 and depth < 4:
            line = chance.choice([f"if {left} > {right}:", f"for {left} in {right}:", f"while not {left}:"])
        else:
            line = chance.choice([f"{left} = {right}[{other}]", f"{left} += {right} * 2", f"{left}({right}, {other})"])
        found.append("    " * depth + line)
        depth = depth + 1 if line.endswith(":") else max(1, depth - (chance.random() < 0.3))
    return "\n".join(found)
