"""A folder of PDFs becomes a folder of texts, as the stock command has them, and every page is accounted for."""

import json
from collections import Counter
from pathlib import Path

import pytest

from pagemill.errors import UserError
from pagemill.ocr import read_pdfs
from pagemill.ocr.folder import joined
from pagemill.records import PageRecord, Reason, Status
from tests import light_engine
from tests.light_books import BOOK, LEAFLET, SEALED, digest
from tests.light_engine import ENGINE, read_log


@pytest.fixture
def folder(tmp_path) -> Path:
    return light_engine.write_checkpoint(tmp_path / "light")


def read(given, out, folder, **options) -> list[PageRecord]:
    return read_pdfs(given, out, checkpoint=str(folder), engine=ENGINE, **options)


def page_row(page: int, text: str, status: Status = Status.OK, reason: Reason | None = None) -> PageRecord:
    return PageRecord("a" * 64, page, status, reason, "nougat", 1, text, 1, 0.1)


def test_pages_are_joined_as_the_stock_command_joins_them():
    rows = [
        page_row(1, "\n\n# Title\n\nThe first page ends with a word "),
        page_row(2, "and goes on.\n\n"),
        page_row(3, "", Status.EMPTY, Reason.BLANK_PAGE),
        page_row(4, "So far", Status.TRUNCATED, Reason.REPETITION),
        page_row(5, "", Status.FAILED, Reason.REPETITION_FROM_START),
        page_row(6, "", Status.FAILED, Reason.RENDER_FAILED),
        page_row(7, "From the text layer", Status.FALLBACK, Reason.CRASHED),
        page_row(8, "The end.\n\n"),
    ]

    assert joined(rows) == (
        "# Title\n\nThe first page ends with a word and goes on.\n\n[MISSING_PAGE_EMPTY:3]\n\n"
        "So far\n\n[MISSING_PAGE_FAIL:4]\n\n[MISSING_PAGE_EMPTY:5]\n\n[MISSING_PAGE_FAIL:6]\n\n"
        "From the text layer\n\nThe end."
    )


@pytest.fixture
def shelf(tmp_path):
    """A folder of PDFs, two of them of one name."""
    folder = tmp_path / "shelf"
    for name, content in {
        "book.pdf": BOOK,
        "other/book.pdf": LEAFLET,
        "copy.pdf": LEAFLET,
        "sealed.pdf": SEALED,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_folder_of_texts_has_one_for_every_pdf_that_opens(folder, shelf, tmp_path):
    out = tmp_path / "out"

    given = [shelf / name for name in ("book.pdf", "other/book.pdf", "copy.pdf", "sealed.pdf")]
    rows = read(given, out, folder)

    texts = {path.name: path.read_text(encoding="utf-8") for path in out.glob("*.mmd")}
    assert texts.keys() == {"book.mmd", f"book-{digest(LEAFLET)[:8]}.mmd", "copy.mmd"}
    assert texts["copy.mmd"] == texts[f"book-{digest(LEAFLET)[:8]}.mmd"]
    assert texts["copy.mmd"].startswith("Page 1 has ")
    assert "[MISSING_PAGE_EMPTY:3]" in texts["book.mmd"]
    ledger = [PageRecord.from_dict(json.loads(line)) for line in (out / "ledger.jsonl").read_text().splitlines()]
    assert ledger == rows
    assert Counter(row.pdf_sha256 for row in rows) == {digest(BOOK): 10, digest(LEAFLET): 2, digest(SEALED): 1}
    assert list(dict.fromkeys(row.pdf_sha256 for row in rows)) == [digest(BOOK), digest(LEAFLET), digest(SEALED)]
    assert rows[-1].reason == Reason.PASSWORD_PROTECTED


def test_a_second_run_into_the_folder_reads_nothing_and_changes_nothing(folder, shelf, tmp_path):
    out = tmp_path / "out"
    given = [shelf / "book.pdf", shelf / "copy.pdf"]
    first = read(given, out, folder)
    before = {path: path.read_bytes() for path in out.iterdir() if path.is_file()}

    log = read_log(folder)
    assert read(given, out, folder) == first

    assert read_log(folder) == log
    assert {path: path.read_bytes() for path in out.iterdir() if path.is_file()} == before


def test_a_later_run_keeps_the_texts_and_rows_of_other_books(folder, shelf, tmp_path):
    out = tmp_path / "out"
    read([shelf / "book.pdf"], out, folder)
    first = (out / "book.mmd").read_text()
    read([shelf / "other" / "book.pdf"], out, folder)

    assert (out / "book.mmd").read_text() == first
    assert (out / f"book-{digest(LEAFLET)[:8]}.mmd").is_file()
    ledger = [json.loads(line)["pdf_sha256"] for line in (out / "ledger.jsonl").read_text().splitlines()]
    assert Counter(ledger) == {digest(BOOK): 10, digest(LEAFLET): 2}


def test_a_text_that_somebody_else_wrote_is_not_overwritten(folder, shelf, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "BOOK.mmd").write_text("mine")

    read([shelf / "book.pdf"], out, folder)

    assert (out / "BOOK.mmd").read_text() == "mine"
    assert (out / f"book-{digest(BOOK)[:8]}.mmd").is_file()


def test_a_pdf_that_is_not_there_is_named_before_any_is_read(folder, shelf, tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.pdf: there is no such file"):
        read([shelf / "book.pdf", shelf / "nowhere.pdf"], tmp_path / "out", folder)
    assert not (tmp_path / "out").exists()


def test_a_round_of_retries_goes_on_from_those_of_earlier_calls(folder, shelf, tmp_path):
    out, given = tmp_path / "out", [shelf / "copy.pdf"]
    light_engine.write_checkpoint(folder, bad=[1, 2])
    attempts = [
        [row.attempts for row in read(given, out, folder, retry=retry)] for retry in ("none", "failed", "failed")
    ]
    light_engine.write_checkpoint(folder)
    attempts.append([row.attempts for row in read(given, out, folder, retry="failed")])
    log = read_log(folder)
    rows = read(given, out, folder)

    assert attempts == [[2, 2], [4, 4], [6, 6], [7, 7]]
    assert [row.status for row in rows] == [Status.OK, Status.OK]  # what a retry gave is not forgotten
    assert read_log(folder) == log


def test_without_resume_everything_is_read_anew_under_the_same_names(folder, shelf, tmp_path):
    out, given = tmp_path / "out", [shelf / "book.pdf"]
    first = read(given, out, folder)
    log = read_log(folder)

    again = read(given, out, folder, resume=False)

    assert [row.text for row in again] == [row.text for row in first]
    assert len(read_log(folder)) > len(log)
    assert [path.name for path in out.glob("*.mmd")] == ["book.mmd"]
