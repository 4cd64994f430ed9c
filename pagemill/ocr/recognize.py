"""The stage that reads pages: every page of every PDF becomes one row of the page ledger."""

from collections import Counter
from collections.abc import Iterable

from pagemill.manifest import Manifest, Outcome
from pagemill.ocr.book import ledger_name, parts_by_book
from pagemill.ocr.checkpoint import resolve_checkpoint
from pagemill.ocr.engine import PageText, check_engine
from pagemill.ocr.feeding import render_workers_for
from pagemill.ocr.plan import RECOGNIZE, Plan, check_fallback
from pagemill.ocr.reading import Reading
from pagemill.ocr.recognition import Recognition, page_row
from pagemill.progress import progress
from pagemill.records import BookRecord, PageRecord, PdfRecord, Status
from pagemill.storage import Store


def recognize_pages(
    pdfs: Manifest[PdfRecord],
    store: Store,
    *,
    checkpoint: str = "0.1.0-base",
    engine: str = "nougat",
    fallback: str = "none",
    dpi: int = 96,
    batch_size: int = 0,
    page_time_limit_seconds: float = 60.0,
    render_workers: int = 0,
    device: str = "auto",
    threads: int = 0,
) -> Manifest[BookRecord]:
    """Read every page of the PDFs and write a ledger a book: `pages/<config key>/<pdf_sha256>.jsonl`.

    Pages are rendered and prepared by children ahead of the model, and batched across books. Rows
    are kept as they come: after a kill at most the pages in flight are read again. A page that cannot
    be rendered or read is a row with its reason, and so is a PDF that could not be opened (page 0).
    The text of a page is what Nougat's `model.inference` gives for its batch; a page without ink is
    not shown to the model. Floating point differs a little between devices, precisions (bfloat16 on
    CUDA) and batch sizes, so now and then a text does too.

    Args:
        pdfs: What `inspect_pdfs` found.
        store: Holds the PDFs and receives the ledgers.
        checkpoint: A local folder, the URI of one, or a release tag; see `resolve_checkpoint`.
        engine: One of `ENGINES`.
        fallback: "text-layer" gives failed pages the text layer of the PDF, recorded as such.
        dpi: Of the rendering; Nougat was trained with 96.
        batch_size: Pages at a time; 0 for what suits the device.
        page_time_limit_seconds: For rendering and preparing one page.
        render_workers: Children that render; 0 for what suits the device.
        device: "auto", "cpu", "cuda" or "cuda:<n>".
        threads: CPU threads of the model; 0 leaves the choice to torch.

    Returns:
        One row a PDF; `items` counts the rows of its ledger.

    Raises:
        UserError: The checkpoint, the engine, the device or the fallback is not there.
        EngineLost: The device failed.
        OSError: The store cannot be read or written.
    """
    check_engine(engine)
    check_fallback(fallback)
    plan = Plan(
        checkpoint=resolve_checkpoint(checkpoint, store),
        engine=engine,
        fallback=fallback,
        dpi=dpi,
        batch_size=batch_size,
        page_time_limit_seconds=page_time_limit_seconds,
        render_workers=render_workers or render_workers_for(device),
        device=device,
        threads=threads,
    )

    def body() -> Outcome[BookRecord]:
        _keep_tokenizer(plan, store)
        _read_missing(pdfs, store, plan)
        return _outcome(pdfs.rows, store, plan.folder)

    return RECOGNIZE.once(store, [pdfs], plan.parameters, body, {"checkpoint": checkpoint, **plan.settings})


def _keep_tokenizer(plan: Plan, store: Store) -> None:
    """Keep the checkpoint's tokenizer for those who measure chunks where the checkpoint is out of reach."""
    if not store.exists(plan.tokenizer):
        store.write_bytes(plan.tokenizer, (plan.checkpoint.path / "tokenizer.json").read_bytes())


def _read_missing(pdfs: Manifest[PdfRecord], store: Store, plan: Plan) -> None:
    """Write the ledgers that the store lacks."""
    names = set(store.names(plan.folder))
    distinct = {ledger_name(plan.folder, pdf.pdf_sha256): pdf for pdf in pdfs.rows}
    missing = {name: pdf for name, pdf in distinct.items() if name not in names}
    for name, pdf in missing.items():
        if pdf.status is not Status.OK:
            unopened = Reading(PageText("", 0, pdf.status, pdf.reason))
            store.write_jsonl(name, [page_row(pdf.pdf_sha256, 0, plan.engine, unopened).to_dict()])
    readable = [pdf for pdf in missing.values() if pdf.status is Status.OK]
    if readable:
        with progress("recognize", sum(pdf.num_pages for pdf in readable)) as advance:
            Recognition(pdfs, store, plan, advance).run(readable)
    _delete_leftovers(store, plan.folder)


def _delete_leftovers(store: Store, folder: str) -> None:
    """Remove parts whose ledger is whole: a kill came between the two, or two workers read one book."""
    for whole, parts in parts_by_book(store, folder).items():
        if store.exists(whole):
            for part in parts:
                store.delete(part)


def _outcome(pdfs: Iterable[PdfRecord], store: Store, folder: str) -> Outcome[BookRecord]:
    statuses: Counter[Status] = Counter()
    tokens = 0
    books = []
    for pdf in pdfs:
        name = ledger_name(folder, pdf.pdf_sha256)
        rows = [PageRecord.from_dict(values) for values in store.read_jsonl(name)]
        statuses.update(row.status for row in rows)
        tokens += sum(row.tokens for row in rows)
        books.append(_book_record(pdf, name, rows))
    by_status = {f"pages_{status}": statuses[status] for status in Status}
    return Outcome(books, {"pages": statuses.total(), **by_status, "tokens": tokens})


def _book_record(pdf: PdfRecord, name: str, rows: list[PageRecord]) -> BookRecord:
    """Sum a book up: it failed when no page of it came out otherwise, for the reason of most of them."""
    if any(row.status not in (Status.FAILED, Status.SKIPPED) for row in rows):
        return BookRecord(pdf.pdf_sha256, name, len(rows), Status.OK)
    ((reason, _),) = Counter(row.reason for row in rows).most_common(1)
    return BookRecord(pdf.pdf_sha256, name, len(rows), rows[0].status, reason, pdf.detail)
