"""The stage that makes of each book's page ledger one clean, judged document."""

import dataclasses
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pagemill import __version__
from pagemill.manifest import Manifest, Outcome, Stage
from pagemill.progress import track
from pagemill.records import (
    BookRecord,
    Document,
    DocumentMetadata,
    PageRecord,
    PdfRecord,
    Reason,
    Status,
)
from pagemill.storage import Store, digest, text_digest
from pagemill.text.cleaning import clean
from pagemill.text.heads import RUNNING_MIN_PAGES, RUNNING_SHARE
from pagemill.text.language import detect, weigh
from pagemill.text.loops import LOOP_REPEATS
from pagemill.text.quality import is_missing, measure

CLEAN = Stage("clean_documents", 2, BookRecord)
MIN_TEXT_CHARACTERS = 20

_ID_CHARACTERS = 32
log = logging.getLogger("pagemill")


def clean_documents(
    pages: Manifest[BookRecord],
    store: Store,
    *,
    min_text_characters: int = MIN_TEXT_CHARACTERS,
    running_share: float = RUNNING_SHARE,
    running_min_pages: int = RUNNING_MIN_PAGES,
    loop_repeats: int = LOOP_REPEATS,
) -> Manifest[BookRecord]:
    """Clean the books of a shard and keep each as a `Document` and as plain `.mmd` in the store.

    A book without text becomes a row with `no_text` and has no document.
    Of books with the same text, letter by letter, the first by `pdf_sha256` is kept; the others'
    documents name it as their `duplicate_cluster`, and their rows say `duplicate_text`.
    The `token_count` of a document is that of its OCR: the sum over its pages' rows, in the tokens of
    the checkpoint; pages that came from the text layer add none.

    Args:
        pages: Manifest of `recognize_pages`; its first parent is that of `inspect_pdfs`.
        store: Where the page ledgers lie, and where `documents/<key>/<pdf_sha256>.json` and `.mmd` go.
        min_text_characters: A book with fewer letters and digits than this has no text.
        running_share: See `pagemill.text.clean`.
        running_min_pages: See `pagemill.text.clean`.
        loop_repeats: See `pagemill.text.clean`.

    Returns:
        Manifest with a row for each book, in order of `pdf_sha256`.

    Raises:
        FileNotFoundError: The store lacks a parent manifest or a page ledger that a row names.
    """
    thresholds = {
        "running_share": running_share,
        "running_min_pages": running_min_pages,
        "loop_repeats": loop_repeats,
    }
    parameters = {"pages_config": pages.config_key, "min_text_characters": min_text_characters, **thresholds}

    def body() -> Outcome[BookRecord]:
        pdfs = {pdf.pdf_sha256: pdf for pdf in Manifest.load(store, pages.parents[0], PdfRecord).rows}
        shard = _Shard(store, pages, CLEAN.config_key(parameters), min_text_characters, thresholds)
        books = sorted(pages.rows, key=lambda book: book.pdf_sha256)
        rows = [shard.clean(book, pdfs[book.pdf_sha256]) for book in track(books, "clean documents")]
        return Outcome(rows, shard.counts)

    return CLEAN.once(store, [pages], parameters, body)


@dataclasses.dataclass
class _Shard:
    """A shard's work: what it needs for every book, and what it has seen and counted so far."""

    store: Store
    pages: Manifest[BookRecord]
    config_key: str
    min_text_characters: int
    thresholds: Mapping[str, Any]
    counts: Counter[str] = dataclasses.field(default_factory=lambda: Counter(documents=0, characters=0))
    first_with_text: dict[str, str] = dataclasses.field(default_factory=dict)  # text digest -> document id

    def clean(self, book: BookRecord, pdf: PdfRecord) -> BookRecord:
        """Make a book's document, unless the store has it, and return its row."""
        name = f"documents/{self.config_key}/{book.pdf_sha256}"
        stored = self._stored(f"{name}.json")
        document = stored or self._make(book, pdf)
        if document is None:
            return self._without_text(book)
        kept = self.first_with_text.setdefault(text_digest(document.text), document.id)
        document = dataclasses.replace(document, duplicate_cluster="" if kept == document.id else kept)
        if document != stored:
            self.store.write_bytes(f"{name}.mmd", document.text.encode())
            self.store.write_json(f"{name}.json", document.to_dict())
        self.counts.update(_counts(document))
        return _row(document, f"{name}.json")

    def _stored(self, name: str) -> Document | None:
        """Return a document of an earlier run; it is written after its .mmd, so both are there."""
        return Document.from_dict(self.store.read_json(name)) if self.store.exists(name) else None

    def _make(self, book: BookRecord, pdf: PdfRecord) -> Document | None:
        pages = self._read_pages(book)
        cleaned = clean([page.text for page in pages], **self.thresholds)
        if cleaned.removed.lost_spaces:
            log.info("%s: %d lost spaces put back", pdf.member_path, cleaned.removed.lost_spaces)
        if sum(map(str.isalnum, cleaned.text)) < max(1, self.min_text_characters):
            return None
        languages = [detect(text) for text in cleaned.pages()]
        language, score = weigh((*judged, len(text)) for judged, text in zip(languages, cleaned.pages(), strict=True))
        return Document(
            id=digest({"pdf_sha256": pdf.pdf_sha256, "config": self.config_key})[:_ID_CHARACTERS],
            text=cleaned.text,
            source=f"{pdf.archive}/{pdf.member_path}",
            added=pdf.added,
            created=pdf.created,
            metadata=self._metadata(pdf),
            language=language,
            language_score=score,
            token_count=sum(page.tokens for page in pages),
            extractor=self._extractor(pages),
            page_ends=cleaned.page_ends,
            page_numbers=tuple(page.page for page in pages),
            page_status=tuple(str(page.status) for page in pages),
            page_languages=tuple(each for each, _ in languages),
            page_tags=cleaned.page_tags,
            fallback_pages=tuple(page.page for page in pages if page.status is Status.FALLBACK),
            missing_pages=tuple(page.page for page in pages if is_missing(page)),
            quality=measure(cleaned.text, pages, cleaned.removed.loop_lines, cleaned.removed.running_lines),
            duplicate_cluster="",
        )

    def _read_pages(self, book: BookRecord) -> list[PageRecord]:
        """Return a book's pages in order; a PDF that could not be opened (page 0) has none."""
        rows = map(PageRecord.from_dict, self.store.read_jsonl(book.result)) if book.result else ()
        return sorted((row for row in rows if row.page > 0), key=lambda row: row.page)

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

    def _without_text(self, book: BookRecord) -> BookRecord:
        detail = ": ".join(filter(None, (book.reason, book.detail))) or f"{book.items} pages without text"
        return BookRecord(book.pdf_sha256, "", 0, Status.SKIPPED, Reason.NO_TEXT, detail)


def _row(document: Document, name: str) -> BookRecord:
    pdf_sha256 = document.metadata.pdf_sha256
    if not document.duplicate_cluster:
        return BookRecord(pdf_sha256, name, 1, Status.OK)
    detail = f"same text as document {document.duplicate_cluster}"
    return BookRecord(pdf_sha256, name, 1, Status.SKIPPED, Reason.DUPLICATE_TEXT, detail)


def _counts(document: Document) -> dict[str, int]:
    """Return what a document adds to the manifest's counts: from the document alone, resumed or not."""
    quality = document.quality
    return {
        "documents": 1,
        f"documents_{document.language}": 1,
        "duplicate_documents": int(bool(document.duplicate_cluster)),
        "characters": len(document.text),
        "tokens": document.token_count,
        "pages": len(document.page_numbers),
        "pages_fallback": len(document.fallback_pages),
        "pages_missing": len(document.missing_pages),
        "loop_lines_removed": quality.loop_lines_removed,
        "running_lines_removed": quality.running_lines_removed,
        "latex_errors": quality.latex_errors,
    }
