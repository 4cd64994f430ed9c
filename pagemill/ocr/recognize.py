"""The stage that reads pages: every page of every PDF becomes one row of the page ledger."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from pagemill.manifest import Manifest, Outcome
from pagemill.ocr.agreement import LOW_AGREEMENT_BELOW
from pagemill.ocr.assignment import Assignment
from pagemill.ocr.checkpoint import resolve_checkpoint
from pagemill.ocr.engine import check_engine
from pagemill.ocr.feeding import render_workers_for
from pagemill.ocr.launch import worker_count
from pagemill.ocr.ledgers import LedgerWriter
from pagemill.ocr.plan import RECOGNIZE, Plan, check_fallback, language_codes, retry_rounds
from pagemill.ocr.readings import Readings
from pagemill.ocr.worker import read_books
from pagemill.records import BookRecord, PageRecord, PdfRecord, Status
from pagemill.storage import Store


def recognize_pages(
    pdfs: Manifest[PdfRecord],
    store: Store,
    *,
    checkpoint: str = "0.1.0-base",
    engine: str = "nougat",
    fallback: str = "none",
    min_agreement: float = LOW_AGREEMENT_BELOW,
    languages: str = "",
    retry: str = "none",
    dpi: int = 96,
    precision: str = "auto",
    batch_size: int = 0,
    page_time_limit_seconds: float = 60.0,
    render_workers: int = 0,
    device: str = "auto",
    threads: int = 0,
    workers: int = 0,
    instances_per_gpu: int = 1,
    nodes: int = 1,
    rendezvous: str = "",
) -> Manifest[BookRecord]:
    """Read every page of the PDFs and write a ledger a book: `pages/<config key>/<pdf_sha256>.jsonl`.

    Pages of all books go through one queue: rendered and prepared by children ahead of the model, read
    many at a time, cleaned up by another child. What is read is kept range by range, so after a kill at
    most the pages in flight are read again. A page that cannot be rendered or read is a row with its
    reason, and so is a PDF that could not be opened (page 0). The text of a page is what Nougat's
    `model.inference` gives for it alone; a page without ink is not shown to the model. Floating point
    differs a little between devices, precisions and what is read together, so now and then a text does.

    Args:
        pdfs: What `inspect_pdfs` found.
        store: Holds the PDFs and receives the ledgers.
        checkpoint: A local folder, the URI of one, or a release tag; see `resolve_checkpoint`.
        engine: One of `ENGINES`.
        fallback: "text-layer" gives failed and disagreeing pages the text layer of the PDF, recorded as such;
            "ocr" has those without one read by rapidocr.
        min_agreement: Pages whose text agrees less than this with their text layer, 0 to 1, are flagged.
        languages: Codes with commas between them (ISO 639-1 where there is one): a page whose text layer is
            surely in another language is skipped. "" for any.
        retry: Rounds with commas between them, each of "failed", "truncated" or "all" (of these): such pages of
            the reading before are read again, rendered otherwise, and the better text is kept.
        dpi: Of the rendering; Nougat was trained with 96.
        precision: "bf16", "fp32", or "auto" for bf16 on CUDA and fp32 elsewhere.
        batch_size: Pages at a time; 0 for what suits the device.
        page_time_limit_seconds: For rendering and preparing one page, and for cleaning it up.
        render_workers: Children of each worker that render; 0 for what suits the device.
        device: "auto", "cpu", "cuda" or "cuda:<n>".
        threads: CPU threads of each model; 0 for the CPUs that the children leave it.
        workers: Processes with a model each; 0 for one a GPU, times `instances_per_gpu`, or one on the CPU.
        instances_per_gpu: Models on each GPU.
        nodes: Machines that read together; each of them runs this stage with the same arguments on the same store.
        rendezvous: host:port on one of them, where they meet.

    Returns:
        One row a PDF; `items` counts the rows of its ledger.

    Raises:
        UserError: The checkpoint, the engine, the device, or what a parameter asks for is not there.
        EngineLost: The device failed.
        GroupFailed: A worker ended again and again.
        OSError: The store cannot be read or written.
    """
    check_engine(engine)
    check_fallback(fallback)
    workers = worker_count(device, workers, instances_per_gpu)
    plan = Plan(
        checkpoint=resolve_checkpoint(checkpoint, store),
        engine=engine,
        dpi=dpi,
        precision=precision,
        languages=language_codes(languages),
        page_time_limit_seconds=page_time_limit_seconds,
        retry=retry_rounds(retry),
        fallback=fallback,
        min_agreement=min_agreement,
        batch_size=batch_size,
        render_workers=render_workers or render_workers_for(device, workers),
        device=device,
        threads=threads,
        workers=workers,
        instances_per_gpu=instances_per_gpu,
        nodes=nodes,
        rendezvous=rendezvous,
    )
    settings: dict[str, Any] = {"checkpoint": checkpoint, **plan.settings}

    def body() -> Outcome[BookRecord]:
        _keep_tokenizer(plan, store)
        settings["figures"] = [read_books(Assignment(pdfs, store, each), store) for each in plan.rounds]
        return written_ledgers(pdfs, store, plan)

    return RECOGNIZE.once(store, [pdfs], plan.parameters, body, settings)


def _keep_tokenizer(plan: Plan, store: Store) -> None:
    """Keep the checkpoint's tokenizer for those who measure chunks where the checkpoint is out of reach."""
    if not store.exists(plan.tokenizer):
        store.write_bytes(plan.tokenizer, (plan.checkpoint.path / "tokenizer.json").read_bytes())


def written_ledgers(pdfs: Manifest[PdfRecord], store: Store, plan: Plan) -> Outcome[BookRecord]:
    """Make the ledgers that the store lacks of books that were read, and return what the stage does."""
    _write_ledgers(pdfs, store, plan)
    return _outcome(pdfs.rows, store, plan.folder)


def _write_ledgers(pdfs: Manifest[PdfRecord], store: Store, plan: Plan) -> None:
    """Make the ledgers that the store lacks."""
    readings = Readings(store, plan.readings_folder)
    there = set(store.names(plan.folder))
    with LedgerWriter(store, plan) as writer:
        for pdf_sha256 in dict.fromkeys(pdf.pdf_sha256 for pdf in pdfs.rows):
            name = ledger_name(plan.folder, pdf_sha256)
            if name not in there:
                store.write_jsonl(name, (row.to_dict() for row in writer.rows(readings.rows(pdf_sha256))))


def ledger_name(folder: str, pdf_sha256: str) -> str:
    """Return the store name of a book's ledger."""
    return f"{folder}/{pdf_sha256}.jsonl"


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
