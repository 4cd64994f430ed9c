"""The block model covers any text without a gap and knows what Nougat writes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill.text.mmd.blocks import Block, BlockKind, heading_title, math_spans, parse_blocks
from pagemill.text.mmd.sections import sections
from pagemill.text.mmd.sentences import sentence_starts

TABLE = r"""\begin{table}
\begin{tabular}{l c} a & \(b\) \\ \begin{tabular}{c} q \end{tabular} & d \\ \end{tabular}
\end{table}
"""


def shown(text: str) -> list[tuple[str, str]]:
    """The kind and the words of each block."""
    return [(str(block.kind), text[block.start : block.end].strip()) for block in parse_blocks(text)]


def kinds(text: str) -> list[str]:
    return [kind for kind, _ in shown(text)]


def sentences(text: str) -> list[str]:
    starts = list(sentence_starts(text, 0, len(text), math_spans(text)))
    return [text[start:end].strip() for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


# -- what holds for any text --------------------------------------------------------------------------------

FRAGMENTS = st.sampled_from(
    [
        "\n", "\n\n", " ", "\t", "word", "# Title\n", "\n####### seven\n", "* item\n", "1. item\n", "* [12] Knuth\n",
        "\\(", "\\)", "\\[", "\\]", "\\\\", "\\\\[", "\\begin{align*}", "\\end{align*}", "\\begin{table}",
        "\\end{table}", "\\begin{tabular}{ll}", "\\end{tabular}", "Table 1: caption", "Figure IV. plate", "```",
        "\n```\n", "    ```python\n", "Footnote 3: note", "[MISSING_PAGE_EMPTY:3]", "[MISSING_PAGE_POST]", "\x00",
        "\ud800", "\u2028", "\x1c", "\u05e9\u05dc\u05d5\u05dd", "{", "}", "$$",
    ]
)  # fmt: skip
TEXTS = st.one_of(st.lists(FRAGMENTS, max_size=60).map("".join), st.text())


@settings(max_examples=400, deadline=None)
@given(TEXTS)
def test_blocks_cover_any_text_without_a_gap(text: str) -> None:
    blocks = parse_blocks(text)
    assert "".join(text[block.start : block.end] for block in blocks) == text
    assert all(block.start < block.end for block in blocks)


@settings(max_examples=400, deadline=None)
@given(TEXTS)
def test_no_formula_reaches_over_the_edge_of_a_block(text: str) -> None:
    edges = {block.start for block in parse_blocks(text)}
    formulas = math_spans(text)
    assert formulas == sorted(formulas)
    for start, end in formulas:
        assert not edges & set(range(start + 1, end))


@settings(max_examples=400, deadline=None)
@given(TEXTS)
def test_only_tables_and_code_go_on_after_an_empty_line(text: str) -> None:
    whole = (BlockKind.TABLE, BlockKind.CODE)
    assert not [
        words for kind, words in shown(text) if kind not in whole and "\n\n" in words and "\\begin" not in words
    ]


HUGE = {
    "formulas on one line": r"word \(x\) ",
    "display formulas on one line": r"so \[x = 1\], ",
    "opened displays": r"\[",
    "opened formulas, items": "\\(\n- ",
    "opened tables": r"\begin{table}",
    "closed tables": r"\end{table}",
    "opened code": "```a\n",
    "blank lines": "\n \n",
    "spaces": " ",
    "captions": "Table 1: a\n\n",
    "hash signs": "# ",
    "list items": "* a\n",
    "full stops": "a. ",
    "escapes": "\\",
    "mismatched environments": r"\begin{table}\end{tabular}",
}


@pytest.mark.parametrize("fragment", HUGE.values(), ids=HUGE)
def test_work_grows_with_the_text_and_not_faster(fragment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    works = [work_of_parsing(fragment * times, monkeypatch) for times in (300, 3000)]
    assert works[1] <= 10.5 * works[0] + 2000


def work_of_parsing(text: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The number of characters that all searches go through, however they end."""
    from pagemill.text.mmd import blocks, fences

    work = 0

    class Counted:
        def __init__(self, pattern):
            self.pattern = pattern

        def finditer(self, text, start=0, end=None):
            nonlocal work
            work += (len(text) if end is None else end) - start
            return self.pattern.finditer(text, start, len(text) if end is None else end)

        def search(self, text, start, end):
            nonlocal work
            match = self.pattern.search(text, start, end)
            work += (match.end() if match else end) - start
            return match

        def match(self, text, start, end=None):
            nonlocal work
            match = self.pattern.match(text, start, len(text) if end is None else end)
            work += (match.end() if match else start + 1) - start
            return match

    with monkeypatch.context() as patched:
        patched.setattr(fences, "_FENCE", Counted(fences._FENCE))
        for name in ("_TOKEN", "_SPACE", "_PUNCTUATION", "_LINE_START"):
            patched.setattr(blocks, name, Counted(getattr(blocks, name)))
        for name in ("_LINE_END", "_LIST_END", "_TEXT_END"):
            patched.setattr(blocks, name, Counted(getattr(blocks, name)))
        blocks_found = parse_blocks(text)
    assert blocks_found[-1].end == len(text)
    return work


def test_ten_megabytes_on_one_line_are_one_paragraph() -> None:
    text = (r"where \(x\) is the length" + " of a line" * 20 + ", ") * 44_000
    assert parse_blocks(text) == [Block(BlockKind.PARAGRAPH, 0, len(text))]


def test_environments_nested_a_thousand_deep_are_one_table() -> None:
    text = r"\begin{tabular}{l}" * 1000 + "x" + r"\end{tabular}" * 1000
    assert parse_blocks(text) == [Block(BlockKind.TABLE, 0, len(text))]


# -- the empty and the blank --------------------------------------------------------------------------------


def test_an_empty_text_has_no_blocks() -> None:
    assert parse_blocks("") == []


def test_white_space_alone_is_a_paragraph() -> None:
    assert parse_blocks(" \n\n\t") == [Block(BlockKind.PARAGRAPH, 0, 4)]


def test_a_block_includes_the_space_after_it_and_the_first_one_also_the_space_before() -> None:
    text = "\n\n# One\n\n\nTwo \n"
    assert [text[block.start : block.end] for block in parse_blocks(text)] == ["\n\n# One\n\n\n", "Two \n"]


# -- headings, texts, lists ---------------------------------------------------------------------------------


def test_headings_know_their_level_and_title() -> None:
    text = "# Elements of Geometry\n###### Abstract\nWords.\n## 2.1 Lines\n"
    headings = [block for block in parse_blocks(text) if block.kind is BlockKind.HEADING]
    assert [block.level for block in headings] == [1, 6, 2]
    assert [heading_title(text, block) for block in headings] == ["Elements of Geometry", "Abstract", "2.1 Lines"]


@pytest.mark.parametrize("line", ["#hashtag", "####### seven", "a # b", "\\# escaped"])
def test_other_hash_signs_make_no_heading(line: str) -> None:
    assert kinds(line) == ["paragraph"]


def test_paragraphs_end_at_an_empty_line_and_before_what_is_something_else() -> None:
    text = "One\nstill one.\n\nTwo.\n* item\n* item\n\nThree.\n# Title\nFour.\nFootnote 3: note.\nFigure 5: A plate."
    expected = "paragraph paragraph list paragraph heading paragraph footnote figure_caption"
    assert kinds(text) == expected.split()


def test_lines_may_end_as_on_windows() -> None:
    assert kinds("# Title\r\n\r\nOne.\r\n\r\nTwo.\r\n") == ["heading", "paragraph", "paragraph"]


@pytest.mark.parametrize("marker", ["*", "-", "+", "\u2022", "1.", "12)", "(iv)", "(a)"])
def test_items_make_a_list(marker: str) -> None:
    text = f"{marker} first\nand more\n{marker} second\n\nText."
    assert kinds(text) == ["list", "paragraph"]


def test_items_that_begin_with_a_number_in_brackets_are_references() -> None:
    assert shown("* [12] Knuth.\n* [13] Hoare.\n\n* plain\n") == [
        ("references", "* [12] Knuth.\n* [13] Hoare."),
        ("list", "* plain"),
    ]


def test_missing_pages_stand_alone_even_within_a_line() -> None:
    assert kinds("Text [MISSING_PAGE_EMPTY:3] more\n\n[MISSING_PAGE_POST]\n") == [
        "paragraph",
        "missing_page",
        "paragraph",
        "missing_page",
    ]


# -- mathematics --------------------------------------------------------------------------------------------


def test_displays_may_follow_one_another_on_a_line_with_text_around() -> None:
    text = r"We have \[x = 1 \tag{2.3}\] \[y \\[2pt] = 2\], where \(z\) is small."
    assert shown(text) == [
        ("paragraph", "We have"),
        ("display_math", r"\[x = 1 \tag{2.3}\]"),
        ("display_math", r"\[y \\[2pt] = 2\],"),
        ("paragraph", r"where \(z\) is small."),
    ]


def test_bare_equation_environments_are_displays() -> None:
    assert kinds("\\begin{align*}\na &= b\\\\\nc &= d\n\\end{align*}\n\nText") == ["display_math", "paragraph"]


def test_a_formula_may_hold_what_looks_like_an_item_or_a_heading() -> None:
    assert kinds("Let \\(a\n- b\\) be small.") == ["paragraph"]


@pytest.mark.parametrize("stray", [r"\[", r"\]", r"\(", r"\)", r"\begin{align}", r"\end{align}", r"\\[2pt]"])
def test_what_is_not_closed_in_its_paragraph_is_text(stray: str) -> None:
    text = f"One {stray} two.\n\nThree \\(x\\) four."
    assert kinds(text) == ["paragraph", "paragraph"]
    assert [text[start:end] for start, end in math_spans(text)] == [r"\(x\)"]


def test_formulas_survive_an_opened_display_before_them() -> None:
    text = r"One \[ two \(x\) three"
    assert [text[start:end] for start, end in math_spans(text)] == [r"\(x\)"]


def test_a_formula_within_a_display_is_part_of_it() -> None:
    text = r"\[x \text{ where \(y\) holds}\]"
    assert [text[start:end] for start, end in math_spans(text)] == [text]


# -- tables and code ----------------------------------------------------------------------------------------


def test_a_table_has_its_caption_after_or_before_it() -> None:
    after = f"{TABLE}Table 4: After,\nin two lines."
    before = f"Table 5: Before.\n\n{TABLE}"
    assert shown(f"{after}\n\nText.\n\n{before}") == [
        ("table", after),
        ("paragraph", "Text."),
        ("table", before.strip()),
    ]


def test_each_of_several_tables_keeps_its_own_caption() -> None:
    captions_after = f"{TABLE}Table 1: One.\n\n{TABLE}Table 2: Two.\n\n"
    captions_before = f"Table 3: Three.\n\n{TABLE}\nTable 4: Four.\n\n{TABLE}"
    assert kinds(captions_after) == ["table", "table"]
    assert kinds(captions_before) == ["table", "table"]


def test_a_bare_tabular_is_a_table() -> None:
    assert kinds(r"Text \begin{tabular}{l} a \\ \end{tabular} more") == ["paragraph", "table", "paragraph"]


def test_a_table_without_an_end_is_text() -> None:
    assert kinds("\\begin{table} one & two\n\n# Title\n\nthree \\end{table}") == ["paragraph", "heading", "paragraph"]


def test_a_caption_without_a_table_is_text() -> None:
    assert kinds("Table 4: The plate is lost.\n\nText.") == ["paragraph", "paragraph"]


def test_formulas_in_tables_are_known() -> None:
    assert [TABLE[start:end] for start, end in math_spans(TABLE)] == [r"\(b\)"]


def test_code_hides_what_is_in_it() -> None:
    text = "Text\n```python\n# no heading\n\n\\[ no formula \\]\n```\nText"
    assert kinds(text) == ["paragraph", "code", "paragraph"]
    assert math_spans(text) == []


def test_code_without_an_end_is_text() -> None:
    assert kinds("```\nfirst\n\n# Title\n") == ["paragraph", "heading"]


# -- sentences ----------------------------------------------------------------------------------------------


def test_sentences_end_at_full_stops_that_end_sentences() -> None:
    text = r"See Fig. 3 by J. Smith et al. (1999), i.e. the best. He said no. Is 3.14 it? \(a. B\) came! “Yes.” So… on."
    assert sentences(text) == [
        "See Fig. 3 by J. Smith et al. (1999), i.e. the best.",
        "He said no.",
        "Is 3.14 it?",
        r"\(a. B\) came!",
        "“Yes.”",
        "So… on.",
    ]


def test_sentences_of_other_scripts() -> None:
    assert sentences("\u4e2d\u6587\u3002\u597d\u7684\u3002") == ["\u4e2d\u6587\u3002", "\u597d\u7684\u3002"]
    assert len(sentences("\u0623\u064a\u0646\u061f \u0647\u0646\u0627. \u0646\u0639\u0645.")) == 3
    assert len(sentences("\u092f\u0939\u0964 \u0935\u0939\u0964")) == 2


# -- headings above -----------------------------------------------------------------------------------------


def paths(*headings: str) -> list[tuple[str, ...]]:
    """The path under each heading, when each has a line of text."""
    text = "\n".join(f"{heading}\nText." for heading in headings)
    return [section.path for section in sections(text, parse_blocks(text))]


def test_levels_make_a_path_and_gaps_between_them_mean_nothing() -> None:
    assert paths("# A", "###### Abstract", "### B", "### C", "# D") == [
        ("A",),
        ("A", "Abstract"),
        ("A", "B"),
        ("A", "C"),
        ("D",),
    ]


def test_section_numbers_go_before_levels() -> None:
    assert paths("# T", "## 1 One", "## 1.1 Sub", "# 1.2 Sub", "#### 2 Two", "## 2.1.4 Deep", "## Notes") == [
        ("T",),
        ("T", "1 One"),
        ("T", "1 One", "1.1 Sub"),
        ("T", "1 One", "1.2 Sub"),
        ("T", "2 Two"),
        ("T", "2 Two", "2.1.4 Deep"),
        ("T", "Notes"),
    ]


def test_numbered_steps_within_a_numbered_section_are_not_sections() -> None:
    assert paths("## 3 Methods", "#### 1. Cut", "#### 2. Glue", "## 4 Results") == [
        ("3 Methods",),
        ("3 Methods", "1. Cut"),
        ("3 Methods", "2. Glue"),
        ("4 Results",),
    ]


def test_text_before_the_first_heading_has_no_path() -> None:
    text = "Preface.\n\n# A\n\n## B\n\nText."
    assert [section.path for section in sections(text, parse_blocks(text))] == [(), ("A", "B")]


def test_a_heading_of_endless_length_is_shortened_in_the_path() -> None:
    ((title,),) = paths("# " + "word " * 10_000)
    assert len(title) <= 200


@pytest.mark.parametrize(("item", "kind"), [("[EMAIL] writes", "list"), ("[12] Knuth", "references")])
def test_a_mask_in_an_item_is_no_label_of_a_reference(item, kind):
    assert [block.kind for block in parse_blocks(f"* {item}\n* {item}\n")] == [kind]
