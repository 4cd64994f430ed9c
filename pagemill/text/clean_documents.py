"""The stage that makes of each book's page ledger one clean, judged document."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

from pagemill import __version__
from pagemill.documents import document_name, drops_name, read_facts, signature_name, write_document
from pagemill.manifest import Manifest, Outcome, Stage
from pagemill.progress import track
from pagemill.records import (
    BookRecord,
    Document,
    DocumentMetadata,
    MaskCounts,
    PageRecord,
    PdfRecord,
    Reason,
    Status,
)
from pagemill.storage import Store, digest
from pagemill.text.cleaning.book import clean
from pagemill.text.dedup.signing import sign
from pagemill.text.judging.book import Judged, judge
from pagemill.text.judging.profile import DEFAULT_PROFILE, Profile, keep_profile, load_profile
from pagemill.text.judging.quality import is_missing

CLEAN = Stage("clean_documents", 4, BookRecord)

_ID_CHARACTERS = 32


def clean_documents(
    pages: Manifest[BookRecord], store: Store, *, profile: str = DEFAULT_PROFILE
) -> Manifest[BookRecord]:
    """Clean and judge the books of a shard and keep each as a `Document` and as plain `.mmd` in the store.

    A book without text becomes a row with `no_text`, one that breaks a rule of the profile a row with
    `filtered`; neither has a document. What rules left out, pages and books, lies beside the documents
    as `<pdf_sha256>.drops.jsonl`, and what is needed to find duplicates as `<pdf_sha256>.signature.json`.
    The `token_count` of a document is that of its OCR: the sum over its pages' rows, in the tokens of
    the checkpoint; pages that came from the text layer add none.

    Args:
        pages: Manifest of `recognize_pages`; its first parent is that of `inspect_pdfs`.
        store: Where the page ledgers lie, and where `documents/<key>/<pdf_sha256>.json` and `.mmd` go.
        profile: See `pagemill.text.load_profile`.

    Returns:
        Manifest with a row for each book, in order of `pdf_sha256`.

    Raises:
        UserError: There is no such profile, or it is not valid.
        FileNotFoundError: The store lacks a parent manifest or a page ledger that a row names.
    """
    loaded = load_profile(profile)
    parameters = {"pages_config": pages.config_key, "profile_sha256": loaded.digest}

    def body() -> Outcome[BookRecord]:
        pdfs = {pdf.pdf_sha256: pdf for pdf in Manifest.load(store, pages.parents[0], PdfRecord).rows}
        shard = _Shard(store, pages, CLEAN.config_key(parameters), loaded)
        books = sorted(pages.rows, key=lambda book: book.pdf_sha256)
        rows = [shard.clean(book, pdfs[book.pdf_sha256]) for book in track(books, "clean documents")]
        return Outcome(rows, shard.counts)

    settings = {"profile": profile, "profile_name": loaded.name, "profile_kept": keep_profile(loaded, store)}
    return CLEAN.once(store, [pages], parameters, body, settings)


@dataclasses.dataclass
class _Shard:
    """A shard's work: what it needs for every book, and what it has counted so far."""

    store: Store
    pages: Manifest[BookRecord]
    config_key: str
    profile: Profile
    counts: Counter[str] = dataclasses.field(default_factory=lambda: Counter(documents=0, characters=0))

    def clean(self, book: BookRecord, pdf: PdfRecord) -> BookRecord:
        """Make a book's document, unless the store has it, and return its row."""
        name = document_name(self.config_key, book.pdf_sha256)
        found = read_facts(self.store, name) if self.store.exists(name) else self._make(name, book, pdf)
        if isinstance(found, BookRecord):
            return found
        self.counts.update(_counts(found))
        return BookRecord(book.pdf_sha256, name, 1, Status.OK)

    def _make(self, name: str, book: BookRecord, pdf: PdfRecord) -> Document | BookRecord:
        """Write a book's document and what goes with it, and return it, or the row of a book that has none."""
        pages = self._read_pages(book)
        cleaned = clean([page.text for page in pages], **dataclasses.asdict(self.profile.cleaning))
        if not _has_words(cleaned.text):
            return _left_out(book, Reason.NO_TEXT, _why_no_text(book))
        judged = judge(cleaned, self.profile, ledger=pages, pdf_sha256=book.pdf_sha256)
        if judged.drops:
            self.store.write_jsonl(drops_name(name), (drop.to_dict() for drop in judged.drops))
        if judged.dropped_by or not _has_words(judged.text):
            rule, why = judged.drops[-1].rule, judged.drops[-1].why
            self.counts[f"dropped_by_{rule}"] += 1
            return _left_out(book, Reason.FILTERED, f"{rule}: {why}")
        document = self._document(pdf, pages, judged)
        self.store.write_json(signature_name(name), sign(document).to_dict())
        write_document(self.store, name, document)
        return document

    def _read_pages(self, book: BookRecord) -> list[PageRecord]:
        """Return a book's pages in order; a PDF that could not be opened (page 0) has none."""
        rows = map(PageRecord.from_dict, self.store.read_jsonl(book.result)) if book.result else ()
        return sorted((row for row in rows if row.page > 0), key=lambda row: row.page)

    def _document(self, pdf: PdfRecord, pages: Sequence[PageRecord], judged: Judged) -> Document:
        return Document(
            id=digest({"pdf_sha256": pdf.pdf_sha256, "config": self.config_key})[:_ID_CHARACTERS],
            text=judged.text,
            source=f"{pdf.archive}/{pdf.member_path}",
            added=pdf.added,
            created=pdf.created,
            metadata=self._metadata(pdf),
            language=judged.language,
            language_score=judged.language_score,
            token_count=sum(page.tokens for page in pages),
            extractor=self._extractor(pages),
            page_ends=judged.page_ends,
            page_numbers=tuple(page.page for page in pages),
            page_labels=judged.page_labels,
            page_status=tuple(str(page.status) for page in pages),
            page_dropped=judged.page_dropped,
            page_quality=judged.page_quality,
            fallback_pages=tuple(page.page for page in pages if page.status is Status.FALLBACK),
            missing_pages=tuple(page.page for page in pages if is_missing(page)),
            quality=judged.quality,
            masked=MaskCounts(**judged.masked),
            duplicate_cluster="",
        )

    def _metadata(self, pdf: PdfRecord) -> DocumentMetadata:
        recognized = self.pages.parameters
        return DocumentMetadata(
            archive=pdf.archive,
            archive_sha256=pdf.archive_sha256,
            member_path=pdf.member_path,
            pdf_sha256=pdf.pdf_sha256,
            title=pdf.title,
            author=pdf.author,
            num_pages=pdf.num_pages,
            model=str(recognized.get("checkpoint_name") or recognized.get("engine", "")),
            model_sha256=str(recognized.get("checkpoint_sha256", "")),
            pipeline_version=__version__,
            config_digest=self.config_key,
        )

    def _extractor(self, pages: Sequence[PageRecord]) -> str:
        """Return the engine that was asked for; without its name, the one that read most pages."""
        named = self.pages.parameters.get("engine")
        return str(named or Counter(page.engine for page in pages).most_common(1)[0][0])


def _has_words(text: str) -> bool:
    return any(map(str.isalnum, text))


def _left_out(book: BookRecord, reason: Reason, detail: str) -> BookRecord:
    return BookRecord(book.pdf_sha256, "", 0, Status.SKIPPED, reason, detail)


def _why_no_text(book: BookRecord) -> str:
    return ": ".join(filter(None, (book.reason, book.detail))) or f"{book.items} pages without text"


def _counts(document: Document) -> dict[str, int]:
    """Return what a document adds to the manifest's counts: from the document alone, resumed or not."""
    quality = document.quality
    counts = {
        "documents": 1,
        f"documents_{document.language}": 1,
        "characters": document.page_ends[-1],
        "tokens": document.token_count,
        "pages": len(document.page_numbers),
        "pages_fallback": len(document.fallback_pages),
        "pages_missing": len(document.missing_pages),
        "pages_dropped": sum(map(bool, document.page_dropped)),
        "loop_lines_removed": quality.loop_lines_removed,
        "running_lines_removed": quality.running_lines_removed,
        "latex_errors": quality.latex_errors,
    }
    masked = {f"masked_{kind}": number for kind, number in document.masked.to_dict().items()}
    rules = Counter(f"dropped_by_{rule}" for rule in document.page_dropped if rule)
    return counts | masked | rules
