r"""What balances at one glance needs no repair; what does not may need one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill.text.cleaning.balanced import is_balanced, is_balanced_formula
from pagemill.text.cleaning.latex import Repaired, repair_latex


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No formulas, { but a brace",
        r"As \(x_{1}\) and \(\left(\frac{a}{b^{2}}\right)\), \(a \leftarrow b\), \(\{x\}\).",
        r"A command \emph{in prose}, a \\ row, a brace { and a line's end \ ",
        "\\[\\begin{split} a &= \\left\\{b\\right. \\\\[2pt]\n &\\quad {c} \\end{split} \\tag{1.2}\\]",
        r"\[\begin{split} x &= \begin{cases} a_{1}, & b \\ c & d \end{cases} \end{split}\]",
        "\\begin{equation*}\na_{1} = b\n\\end{equation*}",
        "\\begin{table}\n\\begin{tabular}{l r} \\(x_{1}\\) & {b} \\\\ \\hline\n c & d \\end{tabular}\n\\end{table}",
    ],
)
def test_what_nests_is_balanced(text):
    assert is_balanced(text)


@pytest.mark.parametrize(
    "text",
    [
        r"\(x",
        r"x\)",
        r"\(x_{1\)",
        r"\(x}\)",
        r"\(\left( x\)",
        r"\(\left( {x \right)}\)",
        r"\(x \[y\]\)",
        r"\(x\]",
        "\\(x\n\ny\\)",
        "\\[x\n# Heading\\]",
        r"\(\begin{cases} x \end{array}\)",
        r"\[\begin{cases} {x \end{cases}}\]",
        r"\begin{table} x",
        r"\begin{tabular} x \end{table}",
        r"\(x[MISSING_PAGE_POST]\)",
        "```\n\\(x\n```",
        r"\(" + "{" * 9 + "}" * 9 + r"\)",
    ],
)
def test_anything_else_may_be_none(text):
    assert not is_balanced(text)


def test_the_inside_of_a_formula():
    text = r"\(\frac{a}{b}}\)"
    assert is_balanced_formula(text, 2, len(text) - 3)
    assert not is_balanced_formula(text, 2, len(text) - 2)


PIECES = [
    *("\\(", "\\)", "\\[", "\\]", "{", "}", "\\left(", "\\right)", "\\left", "\\leftarrow ", "\\\\", "\\", "&", "x "),
    *("\n", "\n\n", "\n# ", "Table 1: a", "* [1] ", "1. ", "\\tag{1}", "\\{", "\\begin", "*", "[MISSING_PAGE_POST]"),
    *(f"\\{edge}{{{name}}}" for edge in ("begin", "end") for name in ("table", "tabular", "equation", "cases")),
]
AROUND = [
    ("\\(", "\\)"),
    ("\\[", "\\]"),
    ("{", "}"),
    ("\\left(", "\\right)"),
    *((f"\\begin{{{name}}}", f"\\end{{{name}}}") for name in ("table", "tabular", "equation*", "array", "split")),
]
NESTED = st.recursive(
    st.sampled_from(PIECES) | st.sampled_from(["a", " b_{1} ", "\\alpha"]),
    lambda inner: (
        st.builds(lambda around, text: text.join(around), st.sampled_from(AROUND), inner)
        | st.lists(inner, max_size=3).map("".join)
    ),
    max_leaves=12,
)


@settings(max_examples=600, deadline=None)
@given(NESTED)
def test_what_is_balanced_stays_when_it_is_looked_at_closely(text):
    if not is_balanced(text):
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pagemill.text.cleaning.latex.is_balanced", lambda _: False)
        patch.setattr("pagemill.text.cleaning.latex.is_balanced_formula", lambda *_: False)
        assert repair_latex(text) == (text, Repaired())


@pytest.mark.parametrize(
    "bomb", ["\\(", "\\({", "\\[\\left(", "\\begin{table}", "\\[\\begin{a}", "\\(x\\)", "\\", "\n", "\\(\n ", "{}"]
)
def test_what_makes_patterns_go_back_and_forth(bomb):
    assert is_balanced(f"\\ {bomb * 50_000}") is (bomb in ("\\(x\\)", "\\", "\n", "{}"))
