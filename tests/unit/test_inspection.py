"""The page about a text shows all of it, block by block, and says why each chunk ends where it ends."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from lxml import html

from pagemill.errors import UserError
from pagemill.text import inspection
from pagemill.text.chunking.chunker import chunk
from pagemill.text.cleaning.book import clean
from pagemill.text.inspection import inspect_file, inspection_page, visible
from pagemill.text.mmd.blocks import parse_blocks
from tests.unit.test_chunking import COUNTER, TEXTS, sentence

ROOT = Path(__file__).parents[2]
TABLE_HEAD = "\\begin{table}\n\\begin{tabular}{l l} Planet & Period \\\\ "
TABLE_END = "\\end{tabular}\n\\end{table}\nTable 1: Periods.\n"
SENTENCES = " ".join(sentence(word, 12) for word in ("it", "of", "to", "in", "be", "by"))


def inspect(text: str, target: int = 40, maximum: int = 60, overlap: int = 0) -> html.HtmlElement:
    lengths = {"target_tokens": target, "max_tokens": maximum, "overlap_tokens": overlap}
    return html.fromstring(inspection_page(text, COUNTER, name="book.mmd", **lengths))


def texts(part: html.HtmlElement) -> list[str]:
    return [element.text or "" for element in part.xpath(".//div[@class='text']")]


def kinds(page: html.HtmlElement) -> list[str]:
    return [element.text for element in page.xpath("//div[@class='label']/b")]


def cuts(page: html.HtmlElement) -> list[str]:
    return [element.text_content() for element in page.xpath("//div[@class='cut']")]


def table(page: html.HtmlElement, name: str) -> list[list[str]]:
    rows = page.xpath(f"//table[@id='{name}']/tbody/tr")
    return [[cell.text_content().strip() for cell in row.xpath("td")] for row in rows]


def tile(page: html.HtmlElement, what: str) -> str:
    (element,) = page.xpath(f"//div[@class='tile'][text()='{what}']")
    return str(element.findtext("b"))


# -- what holds for any text --------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_every_character_appears_once_and_in_order(text: str) -> None:
    page = inspect(text, 10, 15, 3)
    assert "".join(texts(page)) == visible(text)


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_every_block_and_every_chunk_is_there(text: str) -> None:
    page = inspect(text, 10, 15)
    passages = list(chunk(text, COUNTER, target_tokens=10, max_tokens=15))
    chunks = page.xpath("//section[@class='chunk']")
    assert ["".join(texts(each)) for each in chunks] == [
        visible(text[passage.start : passage.end]) for passage in passages
    ]
    assert len(cuts(page)) == len(passages)
    begun = [
        label for label in page.xpath("//div[@class='label']") if "goes on from before" not in label.text_content()
    ]
    assert [label.findtext("b") for label in begun] == [block.kind.replace("_", " ") for block in parse_blocks(text)]


# -- why chunks end ------------------------------------------------------------------------------------------


def test_sections_without_a_heading_in_common_share_no_chunk() -> None:
    page = inspect(f"# One\n\n{sentence('it', 20)}\n\n# Two\n\n{sentence('of', 20)}")
    assert cuts(page)[0].startswith("Cut between sections. No heading holds for both this section and the next one")
    assert cuts(page)[1] == "Cut at the end of the text. There is nothing left."
    assert [each.text for each in page.xpath("//section/h3/span")] == ["One", "Two"]


def test_a_chunk_that_is_full_enough_ends_with_its_section() -> None:
    first = f"# One\n\n{sentence('it', 20)}\n\n## Two\n\n{sentence('of', 20)}\n\n"
    page = inspect(f"{first}## Three\n\n{sentence('of', 20)}", target=60, maximum=60)
    tokens = COUNTER.count([first])[0]
    assert cuts(page)[0] == (
        f"Cut between sections. A chunk of {tokens} tokens, for a target of 60, ends where a section ends rather than "
        "within the next one."
    )


def test_a_block_that_would_exceed_the_maximum_waits_for_the_next_chunk() -> None:
    first, second = sentence("it", 35), sentence("of", 45)
    more, together = COUNTER.count([second, f"{first}\n\n{second}"])
    assert cuts(inspect(f"{first}\n\n{second}"))[0] == (
        f"Cut between blocks. With what comes next (paragraph, {more} tokens) the chunk would have {together} "
        "tokens, more than the maximum of 60."
    )


def test_what_a_chunk_would_have_is_counted_as_a_whole() -> None:
    text = "1 of the! " * 40
    page = inspect(text, 40, 40)
    first, *_ = texts(page)
    more, together = COUNTER.count(["1 of the! ", f"{first}1 of the! "])
    assert cuts(page)[0].endswith(
        f"With what comes next (part of paragraph, {more} tokens) the chunk would have {together} tokens, "
        "more than the maximum of 40."
    )


def test_a_block_that_would_lead_away_from_the_target_waits_for_the_next_chunk() -> None:
    first, second = sentence("it", 35), sentence("of", 20)
    tokens, more, together = COUNTER.count([f"{first}\n\n", second, f"{first}\n\n{second}"])
    assert cuts(inspect(f"{first}\n\n{second}", maximum=100))[0] == (
        f"Cut between blocks. With what comes next (paragraph, {more} tokens) the chunk would have {together} "
        f"tokens; {tokens} are nearer to the target of 40."
    )


@pytest.mark.parametrize(
    ("text", "kind", "place"),
    [
        (SENTENCES, "paragraph", "between sentences of a paragraph"),
        (sentence("it", 200), "paragraph", "between words of a paragraph"),
        ("x" * 500, "paragraph", "between characters of a paragraph"),
        (TABLE_HEAD + "Venus and Mars & 0.615 years \\\\ " * 20 + TABLE_END, "table", "between rows of a table"),
        ("```\n" + "for each of them: go\n" * 40 + "```\n", "code", "between lines of code"),
        ("* one of them and of all\n" * 40, "list", "between items"),
        ("".join(f"* [{n}] Knuth, The Art.\n" for n in range(40)), "references", "between references"),
    ],
    ids=["sentences", "words", "characters", "rows", "lines", "items", "references"],
)  # fmt: skip
def test_a_block_too_long_is_named_with_where_it_is_cut(text: str, kind: str, place: str) -> None:
    page = inspect(text)
    tokens = COUNTER.count([text])[0]
    expected = f"What belongs together here ({kind}, {tokens:,} tokens) is longer than the maximum of 60."
    assert cuts(page)[0].startswith(f"Cut {place}")
    assert expected in cuts(page)[0]
    assert set(kinds(page)) == {kind}
    labels = [label.text_content() for label in page.xpath("//div[@class='label']")]
    assert labels[0].endswith("goes on in the next")
    assert labels[-1].endswith("goes on from before")


def test_a_table_that_goes_on_shows_which_head_is_repeated() -> None:
    page = inspect(TABLE_HEAD + "Venus & 0.615 \\\\ " * 40 + TABLE_END)
    repeated = [element.text for element in page.xpath("//span[@class='repeated']")]
    assert repeated
    assert all("Planet & Period" in each for each in repeated)


def test_overlap_is_shown_beside_the_text_not_in_it() -> None:
    page = inspect(SENTENCES, 25, 60, 20)
    assert all(each.text in SENTENCES for each in page.xpath("//span[@class='repeated']"))
    assert page.xpath("count(//span[@class='repeated'])") == len(cuts(page)) - 1
    assert "".join(texts(page)) == SENTENCES


def test_a_formula_longer_than_the_maximum_is_marked() -> None:
    page = inspect("\\[" + "x + " * 200 + "x\\]")
    assert page.xpath("string(//p[@class='over'])").startswith("Longer than the maximum")


@settings(max_examples=50, deadline=None)
@given(TEXTS)
def test_cuts_are_counted_by_where_they_are(text: str) -> None:
    page = inspect(text, 10, 15)
    assert sum(int(number) for _, number, _ in table(page, "cuts")) == len(cuts(page))
    for place, _, chunks in table(page, "cuts"):
        for number in chunks.removesuffix(", …").split(", "):
            assert cuts(page)[int(number) - 1].startswith(f"Cut {place}.")


def test_the_documentation_says_what_happens_to_its_page() -> None:
    rows = map(json.loads, (ROOT / "demo/truth.jsonl").read_text(encoding="utf-8").splitlines())
    pages = [row["text"] for row in rows if row["book"] == "origin"]
    book = clean(pages)
    tokenizer = ROOT / "demo/checkpoint/tokenizer.json"
    passages = list(chunk(book.text, tokenizer, target_tokens=64, max_tokens=80))
    (second_half,) = (passage.content for passage in passages if passage.repeated_head)
    page = html.fromstring(inspection_page(book.text, tokenizer, target_tokens=64, max_tokens=80))
    (cut,) = (text for text in cuts(page) if "rows of a table" in text)

    documentation = (ROOT / "docs/text.md").read_text(encoding="utf-8")
    examples = [part.strip() for part in documentation.split("```")[1::2]]
    shown = [text.strip() for text in (pages[5], list(book.pages())[5], second_half)]
    assert [example for example in examples if example in shown] == shown
    assert cut in " ".join(documentation.replace("\n  >", " ").split())


# -- figures ------------------------------------------------------------------------------------------------


def test_what_can_be_said_of_a_text_alone() -> None:
    english = "This is a sentence in plain English words, as books have them. " * 3
    page = inspect(f"# Title\n\n{english}\n\n\\[ a = b \\]\n\nAn open \\( here.\n\n[MISSING_PAGE_FAIL:2]\n")
    assert tile(page, "language") == "en"
    assert tile(page, "taken as one page") == "body"
    assert tile(page, "LaTeX errors") == "1"
    assert tile(page, "chunks") == str(len(cuts(page)))
    assert [row[:2] for row in table(page, "kinds")] == [
        ["heading", "1"], ["paragraph", "2"], ["display math", "1"], ["missing page", "1"],
    ]  # fmt: skip
    mended = page.xpath("string(//p[@id='mended'])")
    assert mended.startswith("Cleaning it by itself counts: 1 page markers")


def test_the_empty_text_has_a_page() -> None:
    page = inspect("")
    assert "there is nothing to cut" in page.text_content()
    assert tile(page, "chunks") == "0"


# -- hostile and large texts ---------------------------------------------------------------------------------


def test_hostile_text_is_shown_not_run() -> None:
    hostile = '</div><script>alert(1)</script><img src=x onerror="alert(2)">&amp;&#60;b&#62; {{ 7 * 7 }}'
    text = f"# {hostile}\n\n{hostile}\n\n"
    source = inspection_page(text, COUNTER, name=f"{hostile}.mmd", target_tokens=500)
    page = html.fromstring(source)
    assert not page.xpath("//script | //img | //div//b[not(parent::div)]")
    assert "".join(texts(page)) == text
    assert page.xpath("string(//h1)") == f"{hostile}.mmd"
    assert "default-src 'none'" in source


def test_a_page_needs_nothing_else() -> None:
    page = inspect("Some text.")
    assert not page.xpath("//@src | //link | //script")
    assert all(link.startswith("#") for link in page.xpath("//@href"))


def test_controls_can_be_seen_and_turn_nothing_around() -> None:
    assert visible("a\x00b\r\n\tc\x7f\x85\u202ed\ud800\u00e9") == "a\u2400b\u240d\n\tc\u2421\ufffd\ufffdd\ufffd\u00e9"


def test_of_a_long_text_the_beginning_is_shown_and_all_of_it_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "SHOWN_CHARACTERS", 2000)
    text = "".join(f"{sentence('it', 30)}\n\n" for _ in range(60))
    page = inspect(text)
    shown = "".join(texts(page))
    assert text.startswith(shown)
    assert 2000 <= len(shown) < 2200
    note = page.xpath("string(//p[@id='unshown'])")
    assert f"its first {len(shown):,} of {len(text):,} characters, and {len(cuts(page))} of 60 chunks" in note
    assert tile(page, "chunks") == "60"
    assert table(page, "kinds") == [["paragraph", "60", f"{len(text):,}"]]


def test_of_many_pieces_the_first_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "SHOWN_PIECES", 7)
    text = "a\n\n" * 20
    page = inspect(text, 100, 100)
    assert "".join(texts(page)) == "a\n\n" * 7
    assert cuts(page) == [], "the chunk ends later"
    assert page.xpath("//p[@id='unshown']")


def test_of_an_endless_block_both_ends_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "PIECE_CHARACTERS", 100)
    text = "\\[" + "x + " * 200 + "x\\]"
    page = inspect(text)
    assert texts(page) == [text[:50], text[-50:]]
    assert page.xpath("string(//div[@class='left-out'])") == f"{len(text) - 100} characters left out"
    assert not page.xpath("//p[@id='unshown']")


# -- files --------------------------------------------------------------------------------------------------


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.mmd"
    path.write_bytes("# Über\r\n\r\nA sentence.".encode())
    return path


def test_the_page_lies_beside_the_text(book: Path) -> None:
    page = inspect_file(book, COUNTER)
    assert page == book.with_name("book.mmd.html")
    assert "".join(texts(html.fromstring(page.read_text(encoding="utf-8")))) == "# Über␍\n␍\nA sentence."


def test_the_page_lies_where_it_is_wanted_and_is_always_the_same(book: Path, tmp_path: Path) -> None:
    first, second = (inspect_file(book, COUNTER, out=tmp_path / name / "page.html") for name in ("a/b", "c"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"path": "nowhere.mmd"}, r"nowhere\.mmd: cannot be read"),
        ({"path": "latin.mmd"}, r"latin\.mmd: is no UTF-8 text"),
        ({"out": "book.mmd"}, "cannot be the page's place"),
        ({"out": "."}, "cannot be the page's place"),
        ({"tokenizer": "nowhere.json"}, "holds no tokenizer"),
        ({"target_tokens": 0}, "target_tokens"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(book: Path, change: dict[str, Any], complaint: str) -> None:
    book.with_name("latin.mmd").write_bytes("Über".encode("latin-1"))
    before = {path: path.read_bytes() for path in book.parent.iterdir()}
    arguments: dict[str, Any] = {"path": book, "tokenizer": COUNTER, **change}
    for name in {"path", "out"} & set(change):
        arguments[name] = book.parent / change[name]
    with pytest.raises(UserError, match=complaint):
        inspect_file(**arguments)
    assert {path: path.read_bytes() for path in book.parent.iterdir()} == before
