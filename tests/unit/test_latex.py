r"""LaTeX that OCR left open is balanced, formula by formula; what balances stays to the byte."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pagemill.records import PageRecord, Status
from pagemill.text.cleaning.book import clean
from pagemill.text.cleaning.latex import Repaired, repair_latex
from pagemill.text.judging.quality import latex_errors, page_quality
from pagemill.text.mmd.blocks import BlockKind, math_spans, parse_blocks
from tests.steps import count_steps

DEMO = Path(__file__).parents[2] / "demo" / "truth.jsonl"


def counts(**kinds):
    return Repaired(**kinds)


# braces -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        (r"\(\frac{1}{2\)", r"\(\frac{1}{2}\)"),
        (r"\[\frac{a}{b \]", r"\[\frac{a}{b} \]"),
        (r"\[\frac{a}{b \tag{2.1}\]", r"\[\frac{a}{b} \tag{2.1}\]"),
        (r"\(a\ {b\ \)", r"\(a\ {b\ }\)"),
        (r"\[\left(\frac{a}{b\right)^{2}\]", r"\[\left(\frac{a}{b}\right)^{2}\]"),
        (r"\begin{align} x_{1 &= 2 \end{align}.", r"\begin{align} x_{1 &= 2} \end{align}."),
        (r"\[\begin{tab\]", r"\[\begin{tab }\]"),
    ],
)
def test_missing_braces_are_added(broken, whole):
    assert repair_latex(broken) == (whole, counts(braces_added=1))


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        (r"\(a}+b\)", r"\(a+b\)"),
        (r"\(\alpha}b\)", r"\(\alpha b\)"),
        (r"\(\lef}t\)", r"\(\lef t\)"),
        (r"\(\begin}{x}\)", r"\(\begin {x}\)"),
        ("\\[a\n}\nb\\]", "\\[a \nb\\]"),
        ("\\[a\n}# b\\]", "\\[a # b\\]"),
        (r"\[{\begin{array}{c} a } b \end{array}}\]", r"\[{\begin{array}{c} a  b \end{array}}\]"),
    ],
)
def test_stray_braces_go_and_nothing_new_comes_of_it(broken, whole):
    assert repair_latex(broken) == (whole, counts(braces_removed=1))


def test_escaped_braces_are_none():
    text = r"\(\{a\) and \(\left\{b\right.\) and \[c\}\\{}\]"
    assert repair_latex(text) == (text, counts())


# environments -----------------------------------------------------------------------------------


def test_an_open_environment_is_closed():
    assert repair_latex(r"\[\begin{pmatrix} 1 & 2 \\ 3 & 4\]") == (
        r"\[\begin{pmatrix} 1 & 2 \\ 3 & 4\end{pmatrix}\]",
        counts(environments_added=1),
    )


def test_what_is_open_is_closed_in_the_right_order():
    assert repair_latex(r"\[{\begin{array}{c}\begin{cases} \frac{a \tag{1}\]") == (
        r"\[{\begin{array}{c}\begin{cases} \frac{a}\end{cases}\end{array}} \tag{1}\]",
        counts(braces_added=2, environments_added=2),
    )
    assert repair_latex(r"\[\begin{array}{c}\begin{cases} a \end{array}\]") == (
        r"\[\begin{array}{c}\begin{cases} a \end{cases}\end{array}\]",
        counts(environments_added=1),
    )


def test_the_stray_end_of_an_environment_goes():
    assert repair_latex(r"\[a \end{array}\]") == (r"\[a \]", counts(environments_removed=1))
    assert repair_latex(r"\[\alpha\end{array}b\]") == (r"\[\alpha b\]", counts(environments_removed=1))


def test_an_environment_may_be_called_like_a_command():
    text = r"\[\left(\end{left} \right)\begin{left} \right)\]"
    assert repair_latex(text) == (
        r"\[\left( \right)\begin{left}\left. \right)\end{left}\]",
        counts(environments_added=1, environments_removed=1, sides_added=1),
    )


def test_a_brace_closes_no_environment_that_ends_later():
    once = r"\[{\begin{array}{c} a } \\ b \end{array}\]"
    assert repair_latex(once) == (
        r"\[{\begin{array}{c} a  \\ b \end{array}}\]",
        counts(braces_added=1, braces_removed=1),
    )
    assert repair_latex(r"\[{\begin{array}{c} a } + b\]") == (
        r"\[{\begin{array}{c} a \end{array}} + b\]",
        counts(environments_added=1),
    )


# \left and \right -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        (r"\[\frac{df}{dx}\right|_{x=0}\]", r"\[\left.\frac{df}{dx}\right|_{x=0}\]"),
        (r"\[\left\{x \tag{1}\]", r"\[\left\{x\right. \tag{1}\]"),
        (r"\[\frac{\left(a}{b}\]", r"\[\frac{\left(a\right.}{b}\]"),
        (r"\[\frac{a\right)}{b}\]", r"\[\frac{\left.a\right)}{b}\]"),
        (r"\[\left(a \\ b\]", r"\[\left(a \right.\\ b\]"),
        (
            r"\[\begin{array}{cc} a & b \right) \\ c\end{array}\]",
            r"\[\begin{array}{cc} a &\left. b \right) \\ c\end{array}\]",
        ),
        (r"\[\begin{array}{cc} b \right)\end{array}\]", r"\[\begin{array}{cc}\left. b \right)\end{array}\]"),
        (r"\[\begin{array}[t]{c} \left(a & b\end{array}\]", r"\[\begin{array}[t]{c} \left(a \right.& b\end{array}\]"),
        (
            r"\[\begin{array}{c} a \\[2pt] \hline b\right)\end{array}\]",
            r"\[\begin{array}{c} a \\[2pt] \hline\left. b\right)\end{array}\]",
        ),
    ],
)
def test_a_missing_partner_becomes_a_point_within_its_group_and_cell(broken, whole):
    assert repair_latex(broken) == (whole, counts(sides_added=1))


@pytest.mark.parametrize("text", [r"\(\leftarrow a \rightarrow\)", r"\[\left(a \\ b\right]\]", r"\(\left<a\right.\)"])
def test_arrows_and_pairs_over_rows_stay(text):
    assert repair_latex(text) == (text, counts())


# formulas that nothing closes -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("We have\n\n\\[x=y^{2}\n\nand so on.", "We have\n\n\\[x=y^{2}\\]\n\nand so on."),
        (r"where \(x^{2}+1.", r"where \(x^{2}+1\)."),
        ("for \\(\\sin x_{max}\n\nNext.", "for \\(\\sin x_{max}\\)\n\nNext."),
        ("* \\(a+b\n* another", "* \\(a+b\\)\n* another"),
        (r"\[x=1 \text{ if it rains} \[y=2\]", r"\[x=1 \text{ if it rains}\] \[y=2\]"),
        ("# On \\(x\n\nText", "# On \\(x\\)\n\nText"),
    ],
)
def test_a_formula_is_closed_at_its_paragraphs_end(broken, whole):
    assert repair_latex(broken) == (whole, counts(formulas_closed=1))


def test_a_formula_that_is_closed_is_balanced_too():
    assert repair_latex(r"\[\left(\frac{a}{b") == (
        r"\[\left(\frac{a}{b}\right.\]",
        counts(braces_added=1, sides_added=1, formulas_closed=1),
    )


@pytest.mark.parametrize(
    "text",
    [
        r"Let \(x be a set.",
        r"Here \(x is one",
        r"the \(n th power and \(m\)",
        r"\( a \] b",
        r"\[",
        r"\( ,",
        r"\(a\\\ ",
        "\\(水面下的數學",
    ],
)
def test_where_prose_or_another_formula_follows_the_opener_is_left_and_counted(text):
    assert repair_latex(text) == (text, counts(openers_left=1))


def test_a_formula_is_never_closed_beyond_its_paragraph():
    text = "Let \\(x be\n\na set\\) and \\(y\n\n```\n\\(z\n```"
    assert repair_latex(text) == (
        "Let \\(x be\n\na set\\) and \\(y\\)\n\n```\n\\(z\n```",
        counts(formulas_closed=1, openers_left=1),
    )


# tables and what is not mathematics -------------------------------------------------------------


def test_a_table_its_cells_and_its_caption_are_repaired_each_for_itself():
    broken = (
        "\\begin{table}\n\\begin{tabular}{l r} A & \\(x_{1\\) \\\\ B & 2} \\\\ \\hline\n\\end{table}\n"
        "Table 4: The } values \\(\\frac{a}{2\\) of \\(b"
    )
    whole = (
        "\\begin{table}\n\\begin{tabular}{l r} A & \\(x_{1}\\) \\\\ B & 2 \\\\ \\hline\\end{tabular}\n\\end{table}\n"
        "Table 4: The } values \\(\\frac{a}{2}\\) of \\(b\\)"
    )
    assert repair_latex(broken) == (
        whole,
        counts(braces_added=2, braces_removed=1, environments_added=1, formulas_closed=1),
    )


def test_a_caption_before_its_table_is_not_part_of_it():
    text = "Table 1: A } brace, \\(x\\}\\)\n\n\\begin{table}\\begin{tabular}{l} a {b \\end{tabular}\\end{table}"
    assert repair_latex(text) == (text.replace("a {b ", "a {b }"), counts(braces_added=1))


@pytest.mark.parametrize(
    "text",
    [
        "plain {text, } with \\right and \\end{array}",
        "```\n\\[\\frac{a\\]\n```",
        "C:\\\\(new {folder",
        "\\begin{table} that never ends {",
        "[MISSING_PAGE_FAIL:1]",
        "",
    ],
)
def test_what_is_not_mathematics_stays(text):
    assert repair_latex(text) == (text, counts())


def test_the_demos_pages_stay():
    for line in DEMO.read_text().splitlines():
        text = json.loads(line)["text"]
        assert repair_latex(text) == (text, counts())


PAGE = r"""## 2 The Model

Let \(\mathbf{x}_{i}\in\mathbb{R}^{d\) be the state of agent \(i\), and let \(f_{\theta}(x\)

\[\mathcal{L}(\theta)=\sum_{i=1}^{N}\left[\log p_{\theta}(y_{i}|\mathbf{x}_{i})+\lambda\|\theta\|_{2}^{2} \tag{2.3}\]

where \(\lambda>0\). The optimum satisfies

\[\left.\begin{array}{ll}\frac{\partial L}{\partial\theta}}&=0\\ \theta&\geq 0 \end{array}\right\}\] \[v\right)\]

\begin{table}
\begin{tabular}{l c c} \hline \hline Model & \(R^{2}\) & RMSE \\ \hline Ours & \(\mathbf{0.91\) & 1.2 \\ \hline \hline
\end{table}
Table 2: Results of \(K=5\) folds.

* \(\eta=0.1\) is the rate
* [3] A. Author, _On_ \(L^{2}\) _spaces_.

As before \[\int_{0}^{1}f(t)\,dt=\frac{1}{2"""
REPAIRED_PAGE = (
    PAGE.replace(r"^{d\)", r"^{d}\)")
    .replace(r"_{2}^{2} \tag", r"_{2}^{2}\right. \tag")
    .replace(r"\partial\theta}}&", r"\partial\theta}&")
    .replace(r"\[v", r"\[\left.v")
    .replace(r"0.91\)", r"0.91}\)")
    .replace("\\hline\n\\end{table}", "\\hline\\end{tabular}\n\\end{table}")
) + r"}\]"


def test_a_page_of_nougats_is_repaired():
    assert repair_latex(PAGE) == (
        REPAIRED_PAGE,
        counts(braces_added=3, braces_removed=1, environments_added=1, sides_added=2, formulas_closed=1),
    )


# cleaning ---------------------------------------------------------------------------------------


def test_cleaning_repairs_each_page_and_keeps_their_ends():
    pages = [PAGE, "So that \\(\\frac{1}{2\\) holds,", "and \\(y holds too."]
    cleaned = clean(pages)
    first, second, third = cleaned.pages()
    assert first == REPAIRED_PAGE + "\n\n"
    assert (second, third) == ("So that \\(\\frac{1}{2}\\) holds, ", "and \\(y holds too.")
    assert cleaned.repaired == dataclasses.replace(repair_latex(PAGE)[1], braces_added=4, openers_left=1)
    assert clean(first).text == REPAIRED_PAGE


def test_errors_are_counted_as_they_were_read():
    read = PageRecord("", 1, Status.OK, None, "nougat", 1, PAGE, 10, 0.1)
    assert page_quality(clean(PAGE).text, read=read).latex_errors == 8


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_errors_end_with_their_paragraph_whatever_ends_its_lines(line_end):
    assert latex_errors(f"{{ one{line_end}{line_end}}} two") == 2


# any text ---------------------------------------------------------------------------------------

TOKENS = re.compile(
    r"\\begin\{([A-Za-z]{1,40}\*?)\}|\\end\{([A-Za-z]{1,40}\*?)\}|\\(left|right)(?![A-Za-z])|\\[A-Za-z]+|\\.|([{}])",
    re.DOTALL,
)


def nests(body):
    """Say whether everything opened is closed in the opposite order: one stack, written apart from the library."""
    stack = []
    for begin, end, side, brace in TOKENS.findall(body):
        if begin or side == "left" or brace == "{":
            stack.append(begin or side or brace)
        elif end or side or brace:
            opener = end or {"right": "left", "}": "{"}[side or brace]
            if not stack or stack.pop() != opener:
                return False
    return not stack


def formulas(text):
    return [text[start:end] for start, end in math_spans(text)]


SIGNS = ["{", "}", "{", "}", "\\{", "\\}", "\\left(", "\\right)", "\\left", "\\right|", "&", "\\\\", "\\\\[2pt]", "\\ "]
EDGES = [
    "\\begin{array}{l}",
    "\\end{array}",
    "\\begin{cases}",
    "\\end{cases}",
    "\\begin",
    "\\end",
    "\\tag{1}",
    "\\hline",
]
SPLIT = ["\\lef", "t", "\\be", "gin", "array", "[t]", "*", "x", "1", " ", "\n", "be a set", "\\text{if", "\\alpha", "."]
DELIMITERS = [
    "\\(",
    "\\)",
    "\\[",
    "\\]",
    "\n\n",
    "# ",
    "* ",
    "Table 1: ",
    "```",
    "\n```\n",
    "\\",
    "[MISSING_PAGE_POST]",
]
TABLES = [f"\\{edge}{{{name}}}" for edge in ("begin", "end") for name in ("table", "tabular", "align")]
INNER = st.lists(st.sampled_from([*SIGNS, *EDGES, *SPLIT]), max_size=30).map("".join)
DIALECT = st.lists(st.sampled_from([*SIGNS, *EDGES, *SPLIT, *DELIMITERS, *TABLES]), max_size=40).map("".join)
FORMULA = st.builds("\\[{}\\]".format, INNER) | st.builds("\\begin{{align}}{}\\end{{align}}".format, INNER)
TABLE = st.builds(
    "\\begin{{table}}\\begin{{tabular}}{{l}}{} & \\({}\\) {}\\end{{tabular}}\\end{{table}}".format, INNER, INNER, INNER
)
TEXT = DIALECT | FORMULA | TABLE | st.builds("a \\({}\\) b".format, INNER) | st.text(max_size=60)


@settings(max_examples=400, deadline=None)
@given(TEXT)
@example("\\[\\begin{ta\\end{x}b}\\]")
@example("\\begin{table} x{ \\[\\begin{table}\\] \\end{table}")
def test_repair_leaves_nothing_to_repair(text):
    repaired, kinds = repair_latex(text)
    assert repair_latex(repaired) == (repaired, counts(openers_left=kinds.openers_left))
    assert all(map(nests, formulas(repaired)))


@settings(max_examples=200, deadline=None)
@given(TABLE)
def test_tables_balance(text):
    repaired, _ = repair_latex(text)
    tables = [block for block in parse_blocks(repaired) if block.kind is BlockKind.TABLE]
    assert all(nests(repaired[table.start : table.end]) for table in tables)


@settings(max_examples=300, deadline=None)
@given(TEXT)
def test_what_balances_stays(text):
    repaired, kinds = repair_latex(text)
    if all(map(nests, [*formulas(text), text])) and not kinds.formulas_closed:
        assert repaired == text
    if kinds == counts(openers_left=kinds.openers_left):
        assert repaired == text


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["It rains {here ", "} and \\right) ", "\\end{array} so "]), INNER), max_size=6)
)
def test_text_around_formulas_stays(parts):
    text = "".join(f"{prose}\\({inner}\\), " for prose, inner in parts)
    repaired, kinds = repair_latex(text)
    assert not kinds.formulas_closed
    assert [between(repaired), len(math_spans(repaired))] == [between(text), len(math_spans(text))]


@settings(max_examples=150, deadline=None)
@given(TEXT)
def test_cleaning_what_was_repaired_changes_nothing(text):
    once = clean(text).text
    again = clean(once)
    assert again.text == once
    assert again.repaired == counts(openers_left=again.repaired.openers_left)


def between(text):
    position, kept = 0, []
    for start, end in math_spans(text):
        kept.append(text[position:start])
        position = end
    return [*kept, text[position:]]


# size -------------------------------------------------------------------------------------------

GROWING = {
    "stray braces": lambda n: "\\[" + "}" * n + "\\]",
    "open braces": lambda n: "\\(" + "{" * n + "\\)",
    "stray rights": lambda n: "\\(" + "\\right)" * n + "\\)",
    "open lefts before cells": lambda n: "\\(" + "\\left(" * n + "&" * n + "\\)",
    "braces in open environments": lambda n: "\\[{" + "\\begin{array}\\left(" * n + "}" * n + "\\]",
    "braces in environments": lambda n: "\\[{" + "\\begin{array}\\left(" * n + "}" * n + "\\end{array}" * n + "\\]",
    "braces on lines": lambda n: "\\[" + "\n }" * n + "\\]",
    "openers": lambda n: "\\( x \\[ y " * n,
    "tables": lambda n: "\\begin{table}\\begin{tabular}{l}\\(x{\\) & }\\end{table}\nTable 1: \\(x\n\n" * n,
}


@pytest.mark.parametrize("grow", GROWING.values(), ids=GROWING)
def test_twice_the_text_takes_twice_the_steps(grow):
    assert count_steps(repair_latex, grow(400)) <= 2.1 * count_steps(repair_latex, grow(200))


def test_environments_a_thousand_deep():
    opening, closing = "\\begin{array}{c}" * 1000, "\\end{array}" * 1000
    assert repair_latex(f"\\[{opening}{closing}\\]") == (f"\\[{opening}{closing}\\]", counts())
    assert repair_latex(f"\\[{opening}\\]") == (f"\\[{opening}{closing}\\]", counts(environments_added=1000))
    assert repair_latex(f"\\[{closing}\\]") == ("\\[\\]", counts(environments_removed=1000))


def test_a_formula_of_a_megabyte():
    formula = "\\[" + "\\frac{a}{b}+" * 90_000 + "c\\]"
    assert repair_latex(formula) == (formula, counts())
    assert repair_latex(formula.replace("c\\]", "{c\\]")) == (
        formula.replace("c\\]", "{c}\\]"),
        counts(braces_added=1),
    )


def test_a_hundred_thousand_stray_braces():
    assert repair_latex("\\[" + "}" * 100_000 + "\\]") == ("\\[\\]", counts(braces_removed=100_000))
    assert repair_latex("\\[" + "{" * 100_000 + "\\]")[0] == "\\[" + "{" * 100_000 + "}" * 100_000 + "\\]"


@pytest.mark.parametrize(
    "bomb", ["\\text{", "\\\\ \n", "\\left", " ", "_{", "\\tag{", "\\hline ", "[", "\\begin{", "\\"]
)
def test_what_makes_patterns_go_back_and_forth(bomb):
    for text in (bomb * 50_000, f"\\( {bomb * 50_000}", f"\\[{bomb * 50_000} \\]"):
        assert len(repair_latex(text)[0]) >= len(text)
