r"""The corpus of the text benchmark: as large as asked, as Nougat writes, and its truth is true."""

import itertools
import random
import re
from collections import Counter

import pytest

from benchmarks.text.corpus import Document, Kind, book, book_pages, documents
from benchmarks.text.formulas import display, inline, tabular

PAGES = 60


@pytest.fixture(scope="module")
def corpus() -> list[Document]:
    return list(documents(seed=1, pages=PAGES))


def texts(document: Document, kind: Kind) -> list[str]:
    return [document.text[mark.start : mark.end] for mark in document.marks(kind)]


def test_a_seed_gives_the_same_documents_and_another_gives_others(corpus):
    assert list(documents(seed=1, pages=PAGES)) == corpus
    assert [document.text for document in documents(seed=2, pages=PAGES)] != [d.text for d in corpus]


@pytest.mark.parametrize("pages", [1, 7, PAGES])
def test_it_has_as_many_pages_as_it_should(pages: int):
    assert sum(len(document.pages) for document in documents(seed=3, pages=pages)) == pages
    assert len(book(seed=3, pages=pages).pages) == pages


def test_the_truth_covers_everything_but_white_space_and_nothing_twice(corpus):
    for document in corpus:
        position = 0
        for mark in document.truth:
            if mark.kind is Kind.INLINE:
                continue
            assert document.text[position : mark.start].strip() == ""
            assert document.text[mark.start : mark.end] == document.text[mark.start : mark.end].strip() != ""
            assert mark.start >= position
            position = mark.end
        assert document.text[position:].strip() == ""


def test_inline_formulas_lie_within_what_may_hold_them(corpus):
    for document in corpus:
        outer = document.truth[0]
        for mark in document.truth:
            if mark.kind is not Kind.INLINE:
                outer = mark
                continue
            assert outer.start <= mark.start < mark.end <= outer.end
            assert re.fullmatch(r"\\\([^\n]+?\\\)", document.text[mark.start : mark.end])


def test_every_opening_of_an_inline_formula_is_known(corpus):
    for document in corpus:
        found = [match.start() for match in re.finditer(r"(?<!\\)\\\(", document.text)]
        assert found == [mark.start for mark in document.marks(Kind.INLINE)]


def test_each_kind_looks_as_nougat_writes_it(corpus):
    forms = {
        Kind.HEADING: r"#{1,6} [^\n]+",
        Kind.DISPLAY: r"\\\[[^\n]+\\\]",
        Kind.TABLE: r"\\begin\{table\}\n\\begin\{tabular\}[^\n]+\\end\{tabular\}\n\\end\{table\}",
        Kind.TABLE_CAPTION: r"Table \d+: [^\n]+",
        Kind.FIGURE_CAPTION: r"Figure \d+: [^\n]+",
        Kind.FOOTNOTE: r"Footnote \d+: [^\n]+",
        Kind.CODE: r"```\n(.|\n)+\n```",
        Kind.REFERENCES: r"(\* \[\d+\] [^\n]+\n?)+",
        Kind.LIST: r"((\*|\d+\.) [^\n]+\n?)+",
        Kind.PARAGRAPH: r"[^\n#`|]+",
    }
    for kind, form in forms.items():
        found = [text for document in corpus for text in texts(document, kind)]
        assert found, kind
        assert [text for text in found if not re.fullmatch(form, text)] == []


def test_a_caption_follows_its_table_on_the_next_line(corpus):
    for document in corpus:
        ends = {mark.end for mark in document.marks(Kind.TABLE)}
        assert all(mark.start - 1 in ends for mark in document.marks(Kind.TABLE_CAPTION))


def test_braces_balance(corpus):
    for document in corpus:
        for mark in document.marks(Kind.DISPLAY, Kind.INLINE, Kind.TABLE):
            written = document.text[mark.start : mark.end].replace(r"\{", "").replace(r"\}", "")
            assert written.count("{") == written.count("}")
            assert written.count(r"\left(") == written.count(r"\right)")


def test_a_command_is_never_glued_to_a_letter():
    source = random.Random(1)
    known = re.compile(r"\\(?!begin|end|tag|mathrm|mathbf|mathcal|mathbb|operatorname)[a-zA-Z]+")
    commands = Counter(
        name
        for _ in range(400)
        for name in known.findall(inline(source) + display(source) + tabular(source, ["word"] * 9, 3, 4))
    )
    assert len(commands) < 60  # a glued one, such as "\timesx", is seldom seen twice
    assert all(count > 3 for count in commands.values())


def test_levels_of_headings_are_unreliable(corpus):
    headings = [(doc.text[mark.start : mark.end], mark.level) for doc in corpus for mark in doc.marks(Kind.HEADING)]
    printed = Counter(len(text.split(" ")[0]) - level for text, level in headings)
    assert len(printed) > 1
    assert all(1 <= level <= 4 for _, level in headings)


def test_pages_hold_the_text_and_end_where_they_say(corpus):
    for document in corpus:
        ends = [*document.page_starts[1:], len(document.text)]
        for page, start, end in zip(document.pages, document.page_starts, ends, strict=True):
            assert page == document.text[start:end].strip() != ""


def test_no_page_ends_with_a_heading_or_within_a_formula(corpus):
    for document in corpus:
        for start in document.page_starts[1:]:
            before = [mark for mark in document.truth if mark.start < start]
            assert before[-1].kind is not Kind.HEADING
            within = [mark.kind for mark in document.truth if mark.start < start < mark.end]
            assert within in ([], [Kind.PARAGRAPH])


def test_sizes_are_those_of_books(corpus):
    rows = [text.count(r"\\") for document in corpus for text in texts(document, Kind.TABLE)]
    assert min(rows) >= 3
    assert max(rows) > 40
    sentences = [text.count(". ") + 1 for document in corpus for text in texts(document, Kind.PARAGRAPH)]
    assert 2 < sum(sentences) / len(sentences) < 8


def test_a_book_comes_page_by_page():
    pages = list(book_pages(seed=4, pages=230))
    assert len(pages) == 230
    assert list(itertools.islice(book_pages(seed=4, pages=10_000), 3)) == pages[:3]
