"""Counts what went into a dataset and what came out, so that the card accounts for all of it."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pagemill.dataset.lineage import Book, Chain, count_repeats
from pagemill.ledger import LedgerSummary
from pagemill.manifest import Manifest
from pagemill.records import Chunk, Document, Duplicate, MemberRecord, PageRecord, Reason, Status

WITHOUT_TEXT = (Status.EMPTY, Status.SKIPPED, Status.FAILED)


@dataclasses.dataclass(frozen=True, order=True)
class Failure:
    """A member or a PDF that did not come out, for people to look into."""

    archive: str
    member_path: str
    kind: str  # "member" or "PDF"
    reason: str
    detail: str


@dataclasses.dataclass
class Tally:
    """What went in, what came out and why the rest did not; `drops` counts by (kind, reason)."""

    archives: int = 0
    members: int = 0
    members_failed: int = 0
    members_repeated: int = 0
    pdfs: int = 0
    pdfs_failed: int = 0
    pages_missing: int = 0  # pages that should have a ledger row and have none
    pages: LedgerSummary = dataclasses.field(default_factory=LedgerSummary)
    documents: int = 0
    chunks: int = 0
    tokens: int = 0  # of the chunks
    drops: Counter[tuple[str, str]] = dataclasses.field(default_factory=Counter)
    rules: Counter[str] = dataclasses.field(default_factory=Counter)  # pages and documents filtered, by rule
    masked: Counter[str] = dataclasses.field(default_factory=Counter)  # personal data in documents kept, by kind
    failures: list[Failure] = dataclasses.field(default_factory=list)
    languages: Counter[str] = dataclasses.field(default_factory=Counter)  # documents kept, by language
    language_tokens: Counter[str] = dataclasses.field(default_factory=Counter)
    chunk_tokens: Counter[int] = dataclasses.field(default_factory=Counter)  # chunks by token count
    models: set[tuple[str, str, str]] = dataclasses.field(default_factory=set)  # (name, sha256, licence)

    def add_sources(self, chains: Sequence[Chain], members: Sequence[MemberRecord], books: Sequence[Book]) -> None:
        """Count archives, members and PDFs, and note what reads them."""
        self.models = {_model(chain.pages) for chain in chains}
        self.archives = len({(row.name, row.fingerprint) for chain in chains for row in chain.archives.rows})
        self.members = len(members)
        self.members_repeated = count_repeats(members, books)
        for member in members:
            if member.status != Status.OK:
                self._drop("member", member.status, member.reason)
            if member.status == Status.FAILED:
                self.members_failed += 1
                self._fail("member", member.archive, member.member_path, member.reason, member.detail)
        self.pdfs = len(books)
        for pdf in (book.pdf for book in books if book.pdf.status != Status.OK):
            self.pdfs_failed += 1
            self._drop("PDF", pdf.status, pdf.reason)
            self._fail("PDF", pdf.archive, pdf.member_path, pdf.reason, pdf.detail)

    def add_page(self, page: PageRecord) -> None:
        """Count a ledger row; row 0 of a PDF that could not be opened is dropped as that PDF already."""
        self.pages.add(page)
        if page.page and page.status in WITHOUT_TEXT:
            self._drop("page", page.status, page.reason)

    def add_missing_document(self, book: Book) -> None:
        """Count a PDF that could be opened and gave no document."""
        record = book.document
        if record and record.reason is Reason.FILTERED:
            self.rules[record.detail.partition(":")[0]] += 1
        self._drop("document", Status.FAILED, (record and record.reason) or Reason.NO_TEXT)

    def add_document(self, document: Document, duplicate: Duplicate | None = None) -> None:
        """Count a document; a duplicate of another one is dropped as such."""
        self.documents += 1
        for rule in filter(None, document.page_dropped):
            self.rules[rule] += 1
            self._drop("page", Status.SKIPPED, Reason.FILTERED)
        if duplicate:
            self._drop("document", Status.SKIPPED, duplicate.reason)
            return
        self.masked.update(document.masked.to_dict())
        self.languages[document.language] += 1
        self.language_tokens[document.language] += document.token_count

    def add_chunk(self, chunk: Chunk) -> None:
        """Count a chunk."""
        self.chunks += 1
        self.tokens += chunk.token_count
        self.chunk_tokens[chunk.token_count] += 1

    def counts(self) -> dict[str, int]:
        """Return the counts as a manifest keeps them."""
        by_reason: Counter[str] = Counter()
        for (_, reason), number in self.drops.items():
            by_reason[reason] += number
        return {
            "archives": self.archives,
            "members": self.members,
            "members_failed": self.members_failed,
            "members_repeated": self.members_repeated,
            "pdfs": self.pdfs,
            "pdfs_failed": self.pdfs_failed,
            "pages": self.pages.pages,
            **{f"pages_{status}": self.pages.by_status[status] for status in Status},
            "pages_missing": self.pages_missing,
            "documents": self.documents,
            "chunks": self.chunks,
            "tokens": self.tokens,
            **{f"dropped_{reason}": number for reason, number in sorted(by_reason.items())},
        }

    def _drop(self, kind: str, status: Status, reason: Reason | None) -> None:
        self.drops[kind, str(reason or status)] += 1

    def _fail(self, kind: str, archive: str, member_path: str, reason: Reason | None, detail: str) -> None:
        self.failures.append(Failure(archive, member_path, kind, str(reason or ""), detail))


def _model(pages: Manifest[Any]) -> tuple[str, str, str]:
    known = {name: str(value) for name, value in {**pages.settings, **pages.parameters}.items()}
    name = known.get("checkpoint_name") or known.get("engine", "")
    return name, known.get("checkpoint_sha256", ""), known.get("checkpoint_license", "")
