"""What one round has to read of the books, and the whole book made of what was there and what was read."""

import dataclasses
from collections.abc import Mapping, Sequence

from pagemill.manifest import Manifest
from pagemill.ocr.engine import PageText, failed
from pagemill.ocr.line import Reading
from pagemill.ocr.plan import Plan
from pagemill.ocr.readings import ALONE, TOGETHER, Readings
from pagemill.pages.inspect import read_inspections
from pagemill.records import PageRecord, PdfRecord, Reason, Status
from pagemill.storage import Store

TRIES_TOGETHER = 2  # a range that so many processes crashed on is read page by page
TRIES_ALONE = 3  # a page that so many processes crashed on alone is not read any more

_WORTH = {Status.FAILED: 0, Status.EMPTY: 1, Status.TRUNCATED: 2, Status.OK: 3}


@dataclasses.dataclass(frozen=True, slots=True)
class Missing:
    """The pages of a book that are still to be read."""

    pdf_sha256: str
    pages: tuple[int, ...]
    suspects: tuple[int, ...] = ()  # to be read one by one with nothing beside them: processes crashed on them


class Assignment:
    """The books of a manifest as one round of a plan sees them."""

    def __init__(self, pdfs: Manifest[PdfRecord], store: Store, plan: Plan) -> None:
        self.pdfs, self.store, self.plan = pdfs, store, plan
        self.books = {pdf.pdf_sha256: pdf for pdf in pdfs.rows}
        self.readings = Readings(store, plan.readings_folder)
        self.earlier = Readings(store, plan.rounds[-2].readings_folder) if plan.retry else None

    def unfinished(self) -> list[PdfRecord]:
        """Return the books that are not there whole."""
        whole = self.readings.whole()
        return [pdf for sha256, pdf in self.books.items() if sha256 not in whole]

    def missing(self) -> list[Missing]:
        """Join the books that lack nothing, and return what the others lack."""
        begun = self.readings.begun()
        found = []
        for pdf in self.unfinished():
            missing = self._missing(pdf, pdf.pdf_sha256 in begun)
            if missing.pages or missing.suspects:
                found.append(missing)
            else:
                self.join(pdf.pdf_sha256)
        return found

    def tidy(self) -> None:
        """Remove the ranges of books that are there whole: a kill came between the two."""
        for pdf_sha256 in self.readings.begun() & self.books.keys() & self.readings.whole():
            self.readings.tidy(pdf_sha256)

    def join(self, pdf_sha256: str) -> None:
        """Write the whole book."""
        rows = self._given(self.books[pdf_sha256]) | self._crashed(pdf_sha256) | self._read(pdf_sha256)
        pages = _pages(self.books[pdf_sha256])
        assert sorted(rows) == list(pages), f"{self.readings.name(pdf_sha256)} would lack pages"
        self.readings.join(pdf_sha256, (rows[page] for page in pages))

    def _missing(self, pdf: PdfRecord, begun: bool) -> Missing:
        there = set(self._given(pdf))
        if not begun:
            return Missing(pdf.pdf_sha256, tuple(page for page in _pages(pdf) if page not in there))
        tries = self.readings.tries(pdf.pdf_sha256)
        there |= self.readings.kept(pdf.pdf_sha256).keys() | _given_up(tries[ALONE])
        suspects = {page for page, times in tries[TOGETHER].items() if times >= TRIES_TOGETHER} | tries[ALONE].keys()
        lacking = [page for page in _pages(pdf) if page not in there]
        return Missing(
            pdf.pdf_sha256,
            tuple(page for page in lacking if page not in suspects),
            tuple(page for page in lacking if page in suspects),
        )

    def _given(self, pdf: PdfRecord) -> dict[int, PageRecord]:
        """Return the rows of the pages that this round does not read."""
        if self.earlier is not None:
            return {row.page: row for row in self.earlier.rows(pdf.pdf_sha256) if not self.plan.reads_again(row)}
        if pdf.status is not Status.OK:
            return {0: page_row(pdf.pdf_sha256, 0, self.plan.engine, Reading(PageText("", 0, pdf.status, pdf.reason)))}
        inspections = read_inspections(self.pdfs, pdf.pdf_sha256, self.store)
        faults = ((inspection.page, inspection.reason) for inspection in inspections if inspection.reason)
        return {page: self._failed(pdf.pdf_sha256, page, reason) for page, reason in faults}

    def _crashed(self, pdf_sha256: str) -> dict[int, PageRecord]:
        """Return the rows of the pages that end every process that reads them."""
        pages = _given_up(self.readings.tries(pdf_sha256)[ALONE])
        return {page: self._failed(pdf_sha256, page, Reason.CRASHED, TRIES_TOGETHER + TRIES_ALONE) for page in pages}

    def _read(self, pdf_sha256: str) -> dict[int, PageRecord]:
        rows = self.readings.kept(pdf_sha256)
        if self.earlier is None:
            return rows
        earlier = {row.page: row for row in self.earlier.rows(pdf_sha256)}
        return {page: better(earlier[page], row) for page, row in rows.items()}

    def _failed(self, pdf_sha256: str, page: int, reason: Reason, attempts: int = 1) -> PageRecord:
        return page_row(pdf_sha256, page, self.plan.engine, Reading(failed(reason), attempts))


def better(earlier: PageRecord, later: PageRecord) -> PageRecord:
    """Return the better of two readings of a page, with the attempts and the seconds of both."""
    worth = [(_WORTH.get(row.status, 0), len(row.text)) for row in (earlier, later)]
    best = later if worth[1] > worth[0] else earlier
    seconds = round(earlier.seconds + later.seconds, 3)
    return dataclasses.replace(best, attempts=earlier.attempts + later.attempts, seconds=seconds)


def page_row(pdf_sha256: str, page: int, engine: str, reading: Reading) -> PageRecord:
    """Return the ledger's row of a page."""
    return PageRecord(
        pdf_sha256=pdf_sha256,
        page=page,
        status=reading.page.status,
        reason=reading.page.reason,
        engine=engine,
        attempts=reading.attempts,
        text=reading.page.text,
        tokens=reading.page.tokens,
        seconds=reading.seconds,
        agreement=reading.agreement,
        rendering=reading.rendering,
    )


def _given_up(tries_alone: Mapping[int, int]) -> set[int]:
    """Return the pages that nobody tries any more."""
    return {page for page, times in tries_alone.items() if times >= TRIES_ALONE}


def _pages(pdf: PdfRecord) -> Sequence[int]:
    """Return the pages that the ledger of a PDF has: page 0 stands for one that could not be opened."""
    return range(1, pdf.num_pages + 1) if pdf.status is Status.OK else (0,)
