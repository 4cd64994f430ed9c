"""Hostile PDFs in one run: each costs what is bad in it, and every other page is read."""

from pathlib import Path

import pytest

from pagemill.records import PageRecord, Reason, Status
from pagemill.storage import Store
from tests import hostile_pdfs, light_engine, pdfs
from tests.light_books import LEAFLET, read, rows_of

OK = (Status.OK, None)
HANGS = (Status.FAILED, Reason.TIME_LIMIT)
CRASHES = (Status.FAILED, Reason.CRASHED)

# what writes the PDF: what its pages are to become, but for the agreement with their text layers
BOOKS = {
    hostile_pdfs.write_endless_picture: [OK, HANGS, OK],
    hostile_pdfs.write_crashing: [OK, CRASHES, OK],
    hostile_pdfs.write_broken_content: [OK, OK, OK],
    hostile_pdfs.write_huge_page: [OK, (Status.FAILED, Reason.RENDER_FAILED), OK],
    hostile_pdfs.write_locked: [(Status.FAILED, Reason.PASSWORD_PROTECTED)],
    hostile_pdfs.write_encrypted_for_all: [OK, OK, OK],
    hostile_pdfs.write_without_pages: [(Status.FAILED, Reason.NO_PAGES)],
    hostile_pdfs.write_truncated: [(Status.FAILED, Reason.BROKEN_PDF)],
}


@pytest.fixture(scope="module")
def ledgers(tmp_path_factory) -> dict[str, list[PageRecord]]:
    folder = tmp_path_factory.mktemp("hostile")
    for write in BOOKS:
        write(folder / write.__name__)
    contents = {write.__name__: (folder / write.__name__).read_bytes() for write in BOOKS} | {"leaflet": LEAFLET}
    store = Store(str(folder / "store"))
    checkpoint = light_engine.write_checkpoint(folder / "light")

    pages = read(store, checkpoint, *contents.values(), page_time_limit_seconds=3.0, min_agreement=0.0)

    return {name: rows_of(store, pages, content) for name, content in contents.items()}


@pytest.mark.parametrize("write", BOOKS)
def test_each_costs_what_is_bad_in_it(ledgers, write):
    assert [(row.status, row.reason) for row in ledgers[write.__name__]] == BOOKS[write]


def test_the_book_beside_them_is_read(ledgers: dict[str, list[PageRecord]]):
    assert [row.status for row in ledgers["leaflet"]] == [Status.OK, Status.OK]


def test_many_empty_pages_have_a_row_each_and_trouble_no_model(tmp_path: Path):
    empty = pdfs.saved(pdfs.blank([pdfs.A5_POINTS] * 200))
    store = Store(str(tmp_path / "store"))
    folder = light_engine.write_checkpoint(tmp_path / "light")

    pages = read(store, folder, empty)

    rows = rows_of(store, pages, empty)
    assert [row.page for row in rows] == list(range(1, 201))
    assert {(row.status, row.reason) for row in rows} == {(Status.EMPTY, Reason.BLANK_PAGE)}
    assert light_engine.read_log(folder) == []
