"""The road from archives to chunks as the stages leave it in a store: small, and with every kind of fault.

Two shards. Shard 0: one archive with two books and a damaged member. Shard 1: one archive with a
third book, a PDF that cannot be opened, a text that shard 0 has already, a file that is no PDF and
the first book once more.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pagemill.dataset import build_dataset
from pagemill.documents import write_document
from pagemill.manifest import Manifest, Outcome, Stage
from pagemill.records import (
    Archive,
    BookRecord,
    Chunk,
    DatasetFile,
    Document,
    DocumentMetadata,
    Duplicate,
    FetchedArchive,
    MaskCounts,
    MemberRecord,
    PageQuality,
    PageRecord,
    PdfRecord,
    Quality,
    Reason,
    Row,
    Status,
    Volume,
)
from pagemill.storage import Store

CHECKPOINT = {"checkpoint_name": "demo-tiny", "checkpoint_sha256": "c" * 64, "fallback": "text-layer"}
CHECKPOINT_SETTINGS = {"checkpoint": "/models/demo", "checkpoint_license": "CC-BY-NC-4.0"}
CHUNKING = {"tokenizer": "words", "target_tokens": 512, "max_tokens": 1024}


@dataclass(frozen=True)
class Page:
    """A page as the ledger tells it."""

    text: str
    status: Status = Status.OK
    reason: Reason | None = None


@dataclass(frozen=True)
class SamplePdf:
    """A member of an archive that is a PDF; without pages it cannot be opened."""

    path: str
    pages: tuple[Page, ...]
    language: str = "en"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(repr(self.pages or self.path).encode()).hexdigest()


ALICE = SamplePdf(
    "books/alice.pdf",
    (
        Page("# Down the Rabbit-Hole\n\nAlice was beginning to get very tired."),
        Page("", Status.EMPTY, Reason.BLANK_PAGE),
        Page("Either the well was very deep, or she fell", Status.TRUNCATED, Reason.REPETITION),
    ),
)
EUCLID = SamplePdf(
    "books/euclid.pdf",
    (
        Page("# Book I\n\nA point is that which has no part."),
        Page("", Status.FAILED, Reason.REPETITION_FROM_START),
        Page("A line is breadthless length.", Status.FALLBACK, Reason.LENGTH_LIMIT),
        Page("The ends of a line are points."),
    ),
)
FAUST = SamplePdf("faust.pdf", (Page("# Nacht\n\nHabe nun, ach! Philosophie"), Page("Juristerei und Medizin")), "de")
FAUST_AGAIN = SamplePdf(
    "copy of faust.pdf", (Page("# NACHT\n\nHabe  nun, ach! Philosophie\n"), Page("Juristerei und Medizin")), "de"
)
BROKEN = SamplePdf("broken.pdf", ())
SHARDS = ((ALICE, EUCLID, FAUST), (FAUST_AGAIN, BROKEN, ALICE))


def member(
    archive: str, path: str, sha256: str, status: Status, reason: Reason | None, detail: str = ""
) -> MemberRecord:
    return MemberRecord(archive, fingerprint(archive), path, 1000, sha256, status, reason, detail)


def fingerprint(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


# What the archives hold beside PDFs.
OTHER_MEMBERS = {
    0: [member("a.rar", "books/torn.pdf", "", Status.FAILED, Reason.CHECKSUM_MISMATCH, "crc32 0 | not <1>")],
    1: [member("b.rar", "notes.txt", "f" * 64, Status.SKIPPED, Reason.NOT_A_PDF)],
}


def discover(store: Store, archives: Sequence[Archive], **parameters: Any) -> Manifest[Archive]:
    return _stage(store, "discover_archives", Archive, (), archives, parameters)


def sample_archives(shards: int = 2) -> list[Archive]:
    names = ("a.rar", "b.rar")[:shards]
    return [Archive(name, (Volume(f"/in/{name}", 5000, "1"),), (), fingerprint(name)) for name in names]


def sample_chains(store: Store) -> list[Manifest[BookRecord]]:
    """Write the whole road and return the chunk manifests, one a shard."""
    discover(store, sample_archives(), source="/in", pattern="*.rar", source_fingerprint="1")
    return [chain(store, number, pdfs) for number, pdfs in enumerate(SHARDS)]


def chain(store: Store, number: int, pdfs: Sequence[SamplePdf]) -> Manifest[BookRecord]:
    """Write one shard's manifests and results and return its chunk manifest."""
    archive = sample_archives()[number]
    name, sha256 = archive.name, archive.fingerprint
    shard = _stage(store, "plan_shards", Archive, (), [archive], {"archives": [sha256]})
    volumes = (f"raw/{sha256}.rar",)
    fetched_rows = [FetchedArchive(name, sha256, volumes, (), 5000)]
    fetched = _stage(store, "fetch_archives", FetchedArchive, (shard,), fetched_rows, {})
    sound = [member(name, pdf.path, pdf.sha256, Status.OK, None) for pdf in pdfs]
    member_rows = sound + OTHER_MEMBERS[number]
    members = _stage(store, "extract_pdfs", MemberRecord, (fetched,), member_rows, {"max_members": 100})
    pdf_rows = [_pdf_record(name, sha256, pdf) for pdf in pdfs]
    inspected = _stage(store, "inspect_pdfs", PdfRecord, (members,), pdf_rows, {})
    page_rows = [_recognize(store, pdf) for pdf in pdfs]
    pages = _stage(store, "recognize_pages", BookRecord, (inspected,), page_rows, CHECKPOINT, CHECKPOINT_SETTINGS, 4.0)
    document_rows = [_clean(store, name, sha256, pdf) for pdf in pdfs]
    documents = _stage(store, "clean_documents", BookRecord, (pages,), document_rows, {})
    chunk_rows = [_chunk(store, pdf) for pdf in pdfs]
    return _stage(store, "chunk_documents", BookRecord, (documents,), chunk_rows, CHUNKING)


def find_duplicates(store: Store, shards: Sequence[Manifest[BookRecord]]) -> Manifest[Duplicate]:
    """Write the manifest that finds one of the two Fausts to be a duplicate, where both are there."""
    documents = [Manifest.load(store, name, BookRecord) for shard in shards for name in shard.parents]
    present = {row.pdf_sha256 for manifest in documents for row in manifest.rows if row.result}
    again = Duplicate(document_id(FAUST_AGAIN), FAUST_AGAIN.sha256, document_id(FAUST), Reason.DUPLICATE_TEXT, 1.0)
    rows = [again] if {FAUST.sha256, FAUST_AGAIN.sha256} <= present else []
    parents = sorted({manifest.name: manifest for manifest in documents}.values(), key=lambda manifest: manifest.name)
    return _stage(store, "find_duplicates", Duplicate, parents, rows, {"min_similarity": 0.8})


def build(store: Store, shards: Sequence[Manifest[BookRecord]], **options: Any) -> Manifest[DatasetFile]:
    """Build the dataset of some shards, duplicates found before."""
    return build_dataset(shards, find_duplicates(store, shards), store, **options)


def document_id(pdf: SamplePdf) -> str:
    return pdf.sha256[:32]


def document_of(pdf: SamplePdf, archive: str, archive_sha256: str) -> Document:
    texts = [page.text for page in pdf.pages]
    text = "\n\n".join(texts)
    numbers = range(1, len(texts) + 1)
    metadata = DocumentMetadata(
        archive, archive_sha256, pdf.path, pdf.sha256, "", "", len(texts), "demo-tiny", "c" * 64, "0.1.0", "d" * 32
    )
    return Document(
        id=document_id(pdf),
        text=text,
        source=f"{archive}/{pdf.path}",
        added="",
        created="",
        metadata=metadata,
        language=pdf.language,
        language_score=0.9,
        token_count=len(text.split()),
        extractor="nougat",
        page_ends=tuple(sum(map(len, texts[:number])) + 2 * (number - 1) for number in numbers),
        page_numbers=tuple(numbers),
        page_labels=("",) * len(texts),
        page_status=tuple(str(page.status) for page in pdf.pages),
        page_dropped=("",) * len(texts),
        page_quality=tuple(
            PageQuality(len(text), 0.9, 0.0, 0.0, 0, 0, pdf.language, 0.9, "body", 0.8) for text in texts
        ),
        fallback_pages=tuple(n for n in numbers if pdf.pages[n - 1].status == Status.FALLBACK),
        missing_pages=tuple(n for n in numbers if pdf.pages[n - 1].status == Status.FAILED),
        quality=Quality(0.9, 0.0, 0.0, 0.0, 0, 0, 0),
        masked=MaskCounts(email=2),
        duplicate_cluster="",
    )


def page_rows(pdf: SamplePdf) -> list[PageRecord]:
    """Return the ledger of a PDF."""
    if not pdf.pages:
        return [PageRecord(pdf.sha256, 0, Status.FAILED, Reason.BROKEN_PDF, "nougat", 0, "", 0, 0.0)]
    return [
        PageRecord(pdf.sha256, number, each.status, each.reason, "nougat", 1, each.text, len(each.text.split()), 0.5)
        for number, each in enumerate(pdf.pages, start=1)
    ]


def _stage(
    store: Store,
    name: str,
    row: type[Row],
    parents: Sequence[Manifest[Any]],
    rows: Sequence[Row],
    parameters: dict[str, Any],
    settings: dict[str, Any] | None = None,
    seconds: float = 0.25,
) -> Manifest[Any]:
    names = tuple(parent.name for parent in parents)
    return Stage(name, 1, row).record(store, names, parameters, Outcome(rows), settings or {}, seconds)


def _pdf_record(archive: str, archive_sha256: str, pdf: SamplePdf) -> PdfRecord:
    status, reason = (Status.OK, None) if pdf.pages else (Status.FAILED, Reason.BROKEN_PDF)
    return PdfRecord(pdf.sha256, archive, archive_sha256, pdf.path, 1000, len(pdf.pages), status, reason)


def _recognize(store: Store, pdf: SamplePdf) -> BookRecord:
    result = f"pages/ocr/{pdf.sha256}.jsonl"
    rows = page_rows(pdf)
    store.write_jsonl(result, (row.to_dict() for row in rows))
    store.write_jsonl(result.replace("pages/", "readings/", 1), (row.to_dict() for row in rows))
    status, reason = (Status.OK, None) if pdf.pages else (Status.FAILED, Reason.BROKEN_PDF)
    return BookRecord(pdf.sha256, result, len(rows), status, reason)


def _without_text(pdf: SamplePdf) -> BookRecord | None:
    if any(page.text for page in pdf.pages):
        return None
    reason = Reason.NO_TEXT if pdf.pages else Reason.BROKEN_PDF
    return BookRecord(pdf.sha256, "", 0, Status.FAILED, reason)


def _clean(store: Store, archive: str, archive_sha256: str, pdf: SamplePdf) -> BookRecord:
    if fault := _without_text(pdf):
        return fault
    result = f"documents/clean/{pdf.sha256}.json"
    if not store.exists(result):
        write_document(store, result, document_of(pdf, archive, archive_sha256))
    return BookRecord(pdf.sha256, result, 1, Status.OK)


def _chunk(store: Store, pdf: SamplePdf) -> BookRecord:
    if fault := _without_text(pdf):
        return fault
    result = f"chunks/cut/{pdf.sha256}.jsonl"
    chunks = [_chunk_of(pdf, number) for number, page in enumerate(pdf.pages) if page.text]
    store.write_jsonl(result, (chunk.to_dict() for chunk in chunks))
    return BookRecord(pdf.sha256, result, len(chunks), Status.OK)


def _chunk_of(pdf: SamplePdf, index: int) -> Chunk:
    text = pdf.pages[index].text
    start = sum(len(page.text) + 2 for page in pdf.pages[:index])
    owner = document_id(pdf)
    return Chunk(
        id=f"{owner}-{index:05d}",
        doc_id=owner,
        chunk_index=index,
        text=text,
        token_count=len(text.split()),
        tokenizer="words",
        heading_path=("Book I",),
        page_start=index + 1,
        page_end=index + 1,
        char_start=start,
        char_end=start + len(text),
        has_math=False,
        has_table=False,
        language=pdf.language,
    )
