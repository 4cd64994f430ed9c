"""The page ledger: read from a store, a dataset, a folder of texts or a file, and counted."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pagemill.dataset import publish_dataset
from pagemill.errors import UserError
from pagemill.ledger import ledger_frame, read_ledger, summarize, summary_table
from pagemill.records import PageRecord, Reason, Status
from pagemill.storage import Store
from tests import chain

PDFS = {pdf.sha256: pdf for shard in chain.SHARDS for pdf in shard}
LEDGER = sorted((row for pdf in PDFS.values() for row in chain.page_rows(pdf)), key=lambda r: (r.pdf_sha256, r.page))


def write_lines(path: Path, rows: list[PageRecord], end: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row.to_dict()) + "\n" for row in rows) + end)
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_a_notebook_gets_the_ledger_as_a_data_frame(store: Store) -> None:
    chain.sample_chains(store)
    frame = ledger_frame(store.uri)
    assert len(frame) == len(LEDGER)
    assert frame.groupby("status", observed=True).size().to_dict() == summarize(LEDGER).by_status
    assert frame["tokens"].sum() == sum(row.tokens for row in LEDGER)


def test_a_store_gives_the_pages_of_all_its_books(store: Store) -> None:
    chain.sample_chains(store)
    assert list(read_ledger(store.uri)) == LEDGER


def test_a_store_in_memory_is_read_alike() -> None:
    store = Store("memory://ledger-of-a-store")
    chain.sample_chains(store)
    assert list(read_ledger("memory://ledger-of-a-store")) == LEDGER


def test_a_dataset_gives_the_same_pages(store: Store, tmp_path: Path) -> None:
    publish_dataset(chain.build(store, chain.sample_chains(store)), store, publish=str(tmp_path / "published"))
    assert list(read_ledger(str(tmp_path / "published"))) == LEDGER


def test_a_file_and_the_folder_with_it_give_its_pages(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "texts/ledger.jsonl", LEDGER)
    assert list(read_ledger(str(file))) == LEDGER
    assert list(read_ledger(str(file.parent))) == LEDGER


def test_a_book_that_is_being_read_gives_the_pages_it_has(store: Store) -> None:
    rows = chain.page_rows(chain.EUCLID)
    half_a_line = json.dumps(rows[2].to_dict())[:40]
    write_lines(Path(store.path("readings/ocr/euclid/000001-000002-a.jsonl")), rows[:2], end=half_a_line)
    write_lines(Path(store.path("readings/ocr/euclid/000002-000002-b.jsonl")), rows[1:2])
    assert list(read_ledger(store.uri)) == rows[:2]


def test_a_book_that_has_its_ledger_is_not_counted_twice(store: Store) -> None:
    rows = chain.page_rows(chain.EUCLID)
    write_lines(Path(store.path("pages/ocr/euclid.jsonl")), rows)
    write_lines(Path(store.path("readings/ocr/euclid.jsonl")), rows)
    assert list(read_ledger(store.uri)) == rows


def test_an_unfinished_part_beside_the_whole_is_left_out(store: Store) -> None:
    rows = chain.page_rows(chain.EUCLID)
    write_lines(Path(store.path("readings/ocr/euclid.jsonl")), rows)
    write_lines(Path(store.path("readings/ocr/euclid/000001-000002-a.jsonl")), rows[:2])
    assert list(read_ledger(store.uri)) == rows


def test_other_files_beside_the_pages_are_not_read(store: Store) -> None:
    rows = chain.page_rows(chain.EUCLID)
    write_lines(Path(store.path("pages/ocr/euclid.jsonl")), rows)
    store.write_bytes("readings/ocr/euclid/000003-000004-a.reading", b"")
    assert list(read_ledger(store.uri)) == rows


@pytest.mark.parametrize("place", ["nowhere", "empty", "nosuchscheme://bucket/store"])
def test_a_place_without_a_ledger_is_the_users_mistake(tmp_path: Path, monkeypatch, place: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    with pytest.raises(UserError, match=r"no page ledger.*; give a store"):
        read_ledger(place)


@pytest.mark.parametrize("line", ["no json", "{}", "[1]", '{"page": 1}', "3"])
def test_a_line_that_is_no_page_is_named(tmp_path: Path, line: str) -> None:
    file = write_lines(tmp_path / "ledger.jsonl", LEDGER[:2], end=line + "\n")
    with pytest.raises(UserError, match=r"ledger\.jsonl: line 3 is no page record"):
        list(read_ledger(str(file)))


def test_a_status_that_does_not_exist_is_no_page(tmp_path: Path) -> None:
    row = LEDGER[0].to_dict() | {"status": "splendid"}
    (tmp_path / "ledger.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match="splendid"):
        list(read_ledger(str(tmp_path)))


@pytest.mark.parametrize("is_parquet", [True, False])
def test_a_parquet_file_of_something_else_is_refused(tmp_path: Path, is_parquet: bool) -> None:
    file = tmp_path / "data/pages/train-00000-of-00001.parquet"
    file.parent.mkdir(parents=True)
    if is_parquet:
        pq.write_table(pa.table({"x": [1]}), file)
    else:
        file.write_bytes(b"not parquet at all")
    with pytest.raises(UserError, match="holds no page records"):
        list(read_ledger(str(tmp_path)))


def test_the_summary_counts_by_status_and_reason() -> None:
    summary = summarize(LEDGER)
    assert summary.pages == len(LEDGER) == 12
    assert summary.by_status == {
        Status.OK: 7,
        Status.EMPTY: 1,
        Status.TRUNCATED: 1,
        Status.FALLBACK: 1,
        Status.FAILED: 2,
    }
    assert summary.by_reason[Status.FAILED, Reason.BROKEN_PDF] == 1
    assert summary.tokens == sum(len(page.text.split()) for pdf in PDFS.values() for page in pdf.pages)
    assert summary.seconds == pytest.approx(0.5 * 11)


@given(st.lists(st.tuples(st.sampled_from(Status), st.sampled_from([None, *Reason])), max_size=60))
def test_no_page_is_lost_in_the_summary(kinds: list[tuple[Status, Reason | None]]) -> None:
    rows = [
        PageRecord("0" * 64, n, status, reason, "nougat", 1, "", 1, 0.0) for n, (status, reason) in enumerate(kinds)
    ]
    summary = summarize(rows)
    assert summary.by_status.total() == summary.by_reason.total() == summary.pages == summary.tokens == len(kinds)
    assert sum(pages for _, _, pages in summary.rows()) == len(kinds)


def rendered(summary_of: list[PageRecord]) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(summary_table(summarize(summary_of)))
    return console.file.getvalue()


def test_the_table_shows_good_pages_first_and_the_sum_last() -> None:
    text = rendered(LEDGER)
    lines = [line for line in text.splitlines() if "%" in line]
    assert lines[0].split() == ["│", "ok", "│", "│", "7", "│", "58.3", "%", "│"]
    assert "broken_pdf" in text
    assert [word for word in lines[-1].split() if word not in "│┃"] == ["all", "12", "100.0", "%"]
    assert "5.5 seconds" in text


def test_the_table_of_an_empty_ledger_has_no_shares() -> None:
    assert "%" not in rendered([])
