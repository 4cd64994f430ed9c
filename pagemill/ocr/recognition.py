"""One run over books that have no ledger yet: pages in, rows out, in bounded memory."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from pagemill.manifest import Manifest
from pagemill.ocr.book import BookLedger, ledger_name, parts_by_book
from pagemill.ocr.engine import Engine, PageText, failed, load_engine
from pagemill.ocr.feeding import PageOrder, PreparedPage, PreparePage, prepared_pages, text_layers
from pagemill.ocr.plan import TEXT_LAYER, Plan
from pagemill.ocr.reading import Reader, Reading
from pagemill.pages.inspect import read_inspections
from pagemill.progress import Advance
from pagemill.records import PageRecord, PdfRecord, Reason, Status
from pagemill.storage import Store

BLANK = PageText("", 0, Status.EMPTY, Reason.BLANK_PAGE)
ROWS_A_PART = 64  # rows that needed no model are saved at the latest when so many have come


@dataclasses.dataclass(frozen=True, slots=True)
class _OpenBook:
    """A book with pages on their way."""

    ledger: BookLedger
    path: str  # of the PDF, local
    lease: contextlib.ExitStack  # keeps the local copy


class Recognition:
    """The books of one manifest, read as a plan says."""

    def __init__(self, pdfs: Manifest[PdfRecord], store: Store, plan: Plan, advance: Advance) -> None:
        self.pdfs, self.store, self.plan, self.advance = pdfs, store, plan, advance
        self.parts = parts_by_book(store, plan.folder)
        self.books: dict[str, _OpenBook] = {}
        self.batch: list[PreparedPage] = []
        self.loader = ThreadPoolExecutor(1, "load-engine")
        self.engine: Future[Engine] | None = None
        self.reader: Reader | None = None

    def run(self, readable: Sequence[PdfRecord]) -> None:
        """Write the ledgers of these PDFs.

        Raises:
            UserError: The engine cannot be loaded.
            EngineLost: The engine's device failed.
            OSError: The store cannot be read or written.
        """
        plan = self.plan
        pages = prepared_pages(
            self._orders(readable),
            PreparePage(plan.engine, plan.checkpoint, plan.dpi),
            workers=plan.render_workers,
            batch_size=plan.batch_size,
            time_limit_seconds=plan.page_time_limit_seconds,
        )
        with self.loader, contextlib.ExitStack() as leases, contextlib.closing(pages):
            leases.callback(self._close_leases)
            for page in pages:
                self._take(page)
            self._read_batch()
        assert not self.books, "books were left unfinished"

    def _orders(self, readable: Sequence[PdfRecord]) -> Iterator[PageOrder]:
        """Open book after book and yield the pages that have to be read; runs as the children have room."""
        for pdf in readable:
            book = self._open(pdf)
            faults = self._faults(pdf)
            there = frozenset(book.ledger.pages)
            self.advance(len(there))
            for page in range(1, pdf.num_pages + 1):
                if page in there:
                    continue
                if page in faults:
                    self._settle(pdf.pdf_sha256, page, Reading(failed(faults[page])))
                    continue
                self.engine = self.engine or self._load_engine()
                yield PageOrder(pdf.pdf_sha256, page, book.path)
            if len(there) == pdf.num_pages:
                self._finish(pdf.pdf_sha256)

    def _open(self, pdf: PdfRecord) -> _OpenBook:
        name = f"pdf/{pdf.pdf_sha256}.pdf"
        if not self.store.exists(name):
            raise FileNotFoundError(self.store.uri_of(name))
        lease = contextlib.ExitStack()
        path = lease.enter_context(self.store.local(name))
        parts = self.parts.get(ledger_name(self.plan.folder, pdf.pdf_sha256), [])
        ledger = BookLedger(self.store, self.plan.folder, pdf.pdf_sha256, pdf.num_pages, parts)
        book = self.books[pdf.pdf_sha256] = _OpenBook(ledger, str(path), lease)
        return book

    def _faults(self, pdf: PdfRecord) -> dict[int, Reason]:
        """Return the pages that cannot be rendered, as the inspection found."""
        inspections = read_inspections(self.pdfs, pdf.pdf_sha256, self.store)
        return {inspection.page: inspection.reason for inspection in inspections if inspection.reason}

    def _load_engine(self) -> Future[Engine]:
        """Start to load the model while the first pages are prepared."""
        plan = self.plan
        return self.loader.submit(load_engine, plan.engine, plan.checkpoint, plan.device, plan.threads)

    def _take(self, page: PreparedPage) -> None:
        """Put a page into the batch, or settle it where there is nothing to read."""
        order = page.item
        if not page.ok:
            self._settle(order.pdf_sha256, order.page, Reading(failed(page.reason or Reason.RENDER_FAILED)))
        elif page.value is None:
            self._settle(order.pdf_sha256, order.page, Reading(BLANK))
        else:
            self.batch.append(page)
            self.reader = self.reader or self._new_reader()
            if len(self.batch) >= self.reader.batch_size:
                self._read_batch()

    def _new_reader(self) -> Reader:
        assert self.engine is not None, "an engine is loaded before the first page is ordered"
        return Reader(self.engine.result(), self.plan.batch_size)

    def _read_batch(self) -> None:
        """Show the batch to the model and save every row that there is by then."""
        if self.batch:
            assert self.reader is not None, "a batch begins with a reader"
            readings = self.reader.read([page.value for page in self.batch if page.value is not None])
            orders = [page.item for page in self.batch]
            self.batch = []
            for order, reading in zip(orders, readings, strict=True):
                self._settle(order.pdf_sha256, order.page, reading)
        for book in self.books.values():
            book.ledger.save()

    def _settle(self, pdf_sha256: str, page: int, reading: Reading) -> None:
        """Give a page its row, and finish its book when it was the last."""
        ledger = self.books[pdf_sha256].ledger
        ledger.add(page_row(pdf_sha256, page, self.plan.engine, reading))
        self.advance()
        if ledger.complete:
            self._finish(pdf_sha256)
        elif len(ledger.unsaved) >= ROWS_A_PART:
            ledger.save()

    def _finish(self, pdf_sha256: str) -> None:
        """Write the whole ledger of a book, unless another worker was faster, and let go of its PDF."""
        book = self.books.pop(pdf_sha256)
        with book.lease:
            if self.store.exists(book.ledger.name):
                book.ledger.delete_parts()
                return
            rows = book.ledger.rows()
            book.ledger.close(self._with_fallback(rows, book.path) if self.plan.fallback == TEXT_LAYER else rows)

    def _with_fallback(self, rows: list[PageRecord], path: str) -> list[PageRecord]:
        """Give failed pages the text layer, where there is one; `reason` goes on telling why they failed."""
        orders = [PageOrder(row.pdf_sha256, row.page, path) for row in rows if row.status is Status.FAILED]
        layers = dict(zip(orders, text_layers(orders, self.plan.page_time_limit_seconds), strict=True))
        texts = {order.page: text for order, text in layers.items() if text}
        return [_from_text_layer(row, texts[row.page]) if row.page in texts else row for row in rows]

    def _close_leases(self) -> None:
        for book in self.books.values():
            book.lease.close()


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
    )


def _from_text_layer(row: PageRecord, text: str) -> PageRecord:
    return dataclasses.replace(row, status=Status.FALLBACK, engine=TEXT_LAYER, text=text, tokens=0)
