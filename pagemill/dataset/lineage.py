"""Walks back from the chunks of every shard to the archives they came from, and gathers the books."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pagemill.manifest import Manifest
from pagemill.records import (
    Archive,
    BookRecord,
    FetchedArchive,
    MemberRecord,
    PdfRecord,
    Row,
    Status,
)
from pagemill.storage import Store


@dataclasses.dataclass(frozen=True)
class Chain:
    """One shard's manifests, from its archives to its chunks."""

    archives: Manifest[Archive]
    fetched: Manifest[FetchedArchive]
    members: Manifest[MemberRecord]
    pdfs: Manifest[PdfRecord]
    pages: Manifest[BookRecord]
    documents: Manifest[BookRecord]
    chunks: Manifest[BookRecord]

    def stages(self) -> tuple[Manifest[Any], ...]:
        """Return the manifests of the stages that worked on the archives, in order."""
        return (self.fetched, self.members, self.pdfs, self.pages, self.documents, self.chunks)


# Which field of a chain a stage fills, and with what rows.
STAGES: dict[str, tuple[str, type[Row]]] = {
    "discover_archives": ("archives", Archive),
    "plan_shards": ("archives", Archive),
    "fetch_archives": ("fetched", FetchedArchive),
    "extract_pdfs": ("members", MemberRecord),
    "inspect_pdfs": ("pdfs", PdfRecord),
    "recognize_pages": ("pages", BookRecord),
    "clean_documents": ("documents", BookRecord),
    "chunk_documents": ("chunks", BookRecord),
}


@dataclasses.dataclass(frozen=True)
class Book:
    """A distinct PDF and what each stage made of it; None where a stage has no row of it."""

    pdf: PdfRecord
    pages: BookRecord | None
    document: BookRecord | None
    chunks: BookRecord | None

    def completeness(self) -> tuple[bool, ...]:
        """Return what there is of the book, the most telling first: greater is more complete."""
        results = (bool(record and record.result) for record in (self.chunks, self.document, self.pages))
        return (*results, self.pdf.status == Status.OK)


def trace(store: Store, chunks: Iterable[Manifest[BookRecord]]) -> list[Chain]:
    """Return the chain behind each chunk manifest, each once, ordered by name.

    Raises:
        FileNotFoundError: The store lacks a manifest that another one was made from.
        ValueError: A manifest was not made by the whole chain of stages.
    """
    distinct = {manifest.name: manifest for manifest in chunks}
    return [_trace_one(store, distinct[name]) for name in sorted(distinct)]


def _trace_one(store: Store, chunks: Manifest[BookRecord]) -> Chain:
    found: dict[str, Manifest[Any]] = {"chunks": chunks}
    waiting = list(chunks.parents)
    while waiting:
        name = waiting.pop()
        field, row = _stage_of(name)
        if field not in found:
            found[field] = Manifest.load(store, name, row)
            waiting.extend(found[field].parents)
    if lacking := [field.name for field in dataclasses.fields(Chain) if field.name not in found]:
        raise ValueError(f"{store.uri_of(chunks.name)} was made without {', '.join(lacking)}")
    return Chain(**found)


def _stage_of(manifest_name: str) -> tuple[str, type[Row]]:
    stage = manifest_name.split("/")[1]
    if stage not in STAGES:
        raise ValueError(f"{manifest_name} is no manifest of the road from archives to chunks")
    return STAGES[stage]


def gather_members(chains: Iterable[Chain]) -> list[MemberRecord]:
    """Return the members of all archives, ordered by archive and path."""
    members = {row for chain in chains for row in chain.members.rows}
    return sorted(members, key=lambda row: (row.archive, row.archive_sha256, row.member_path, row.sha256, row.status))


def gather_books(chains: Iterable[Chain]) -> list[Book]:
    """Return every distinct PDF once, ordered by digest, from the shard that made the most of it."""
    kept: dict[str, Book] = {}
    for book in sorted(_books(chains), key=lambda book: (book.pdf.archive, book.pdf.member_path)):
        known = kept.get(book.pdf.pdf_sha256)
        if known is None or book.completeness() > known.completeness():
            kept[book.pdf.pdf_sha256] = book
    return [kept[sha256] for sha256 in sorted(kept)]


def _books(chains: Iterable[Chain]) -> Iterator[Book]:
    for chain in chains:
        pages, documents, chunks = map(_by_pdf, (chain.pages.rows, chain.documents.rows, chain.chunks.rows))
        for pdf in chain.pdfs.rows:
            sha256 = pdf.pdf_sha256
            yield Book(pdf, pages.get(sha256), documents.get(sha256), chunks.get(sha256))


def _by_pdf(rows: Iterable[BookRecord]) -> dict[str, BookRecord]:
    return {row.pdf_sha256: row for row in rows}


def count_repeats(members: Sequence[MemberRecord], books: Iterable[Book]) -> int:
    """Return how many members hold a PDF that another member holds too."""
    copies = Counter(member.sha256 for member in members if member.status == Status.OK)
    return sum(max(copies[book.pdf.pdf_sha256] - 1, 0) for book in books)
