"""What is prose in a text: its words, without what a reader would not read aloud."""

from hypothesis import given
from hypothesis import strategies as st

from pagemill.text.mmd.blocks import parse_layout
from pagemill.text.mmd.prose import layout_beside_prose, prose

TABLE = "\\begin{tabular}{l} a \\\\ b \\end{tabular}"


def test_mathematics_tables_code_and_markers_are_left_out() -> None:
    text = f"Let \\(n\\) be.\n\n\\[x=y\\]\n\n{TABLE}\n\n```\ncode\n```\n\n[MISSING_PAGE_EMPTY:3]\n\nIt \\emph{{holds}}."
    assert prose(text).split() == ["Let", "be.", "It", r"\emph{holds}."]


@given(st.text(st.sampled_from("ab \n.-$"), max_size=60))
def test_a_text_of_nothing_else_is_prose_and_is_not_parsed(text: str) -> None:
    assert layout_beside_prose(text).blocks == []
    assert prose(text) == text


@given(st.text(max_size=80))
def test_it_makes_no_difference_who_parsed_the_text(text: str) -> None:
    assert prose(text, parse_layout(text)).split() == prose(text).split()
