"""Builds the dataset's files out of the chunks of all shards: Parquet, JSONL and the card."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

from pagemill.dataset.card import CardFacts, render_card
from pagemill.dataset.lineage import Book, gather_books, gather_members, trace
from pagemill.dataset.shards import ShardWriter, WrittenConfig
from pagemill.dataset.tally import Tally
from pagemill.documents import read_document, read_facts
from pagemill.errors import UserError
from pagemill.manifest import Manifest, Outcome, Stage
from pagemill.progress import track
from pagemill.records import (
    BookRecord,
    Chunk,
    DatasetFile,
    Document,
    Duplicate,
    PageRecord,
    PdfRecord,
    Status,
)
from pagemill.storage import Store

BUILD = Stage("build_dataset", 2, DatasetFile)
MIN_SHARD_BYTES = 1 << 10


def build_dataset(
    chunks: Sequence[Manifest[BookRecord]],
    duplicates: Manifest[Duplicate],
    store: Store,
    *,
    name: str = "books",
    max_shard_bytes: int = 512 << 20,
    contact: str = "",
) -> Manifest[DatasetFile]:
    """Write chunks, documents and pages of all shards as Parquet and JSONL, with a dataset card.

    A PDF that lies in several shards comes once. A duplicate has no chunks in the data; its document
    names the one that is kept as its `duplicate_cluster`. Rows are ordered by document id, by PDF
    digest and page. The order of `chunks` changes nothing, and equal rows give equal bytes.
    The files lie in the store below `content_folder`.

    Args:
        chunks: The manifest of chunk_documents of every shard.
        duplicates: The manifest of find_duplicates over the documents of all shards.
        store: Where their results lie and the files are kept.
        name: The dataset's name on its card.
        max_shard_bytes: Size that one Parquet file may reach.
        contact: Whom to ask for a takedown; "" sends people to the dataset's discussions.

    Returns:
        One row for every file. Counts: archives, members, members_failed, members_repeated, pdfs,
        pdfs_failed, pages, pages_<status>, pages_missing, documents, chunks, tokens (of the chunks),
        dropped_<reason> (members, PDFs, pages and documents that are not in the data), bytes.

    Raises:
        UserError: `name` is empty or `max_shard_bytes` is too small.
        ValueError: A manifest does not lead back to archives.
    """
    if not name.strip():
        raise UserError("the dataset's name", "is empty", "give a name for the card")
    if max_shard_bytes < MIN_SHARD_BYTES:
        raise UserError(f"max_shard_bytes {max_shard_bytes}", "is too small", f"give at least {MIN_SHARD_BYTES}")
    shards = sorted({manifest.name: manifest for manifest in chunks}.values(), key=lambda manifest: manifest.name)
    parents: list[Manifest[Any]] = [*shards, duplicates]
    parameters = {"name": name, "max_shard_bytes": max_shard_bytes, "contact": contact}

    def body() -> Outcome[DatasetFile]:
        names = tuple(parent.name for parent in parents)
        draft = Manifest[DatasetFile](BUILD.name, BUILD.version, names, parameters, (), {})
        return _Builder(store, content_folder(draft), shards, duplicates, max_shard_bytes).build(name, contact)

    return BUILD.once(store, parents, parameters, body)


def content_folder(dataset: Manifest[DatasetFile]) -> str:
    """Return the store folder below which each file of a dataset lies under its path."""
    return dataset.name.replace("manifests/build_dataset/", "datasets/").removesuffix(".json")


class _Builder:
    """One build: what it reads, and the counts it gathers on the way."""

    def __init__(
        self,
        store: Store,
        folder: str,
        chunks: Sequence[Manifest[BookRecord]],
        duplicates: Manifest[Duplicate],
        max_shard_bytes: int,
    ) -> None:
        self.store, self.folder, self.max_shard_bytes = store, folder, max_shard_bytes
        self.duplicates = duplicates
        self.duplicate_of = {row.id: row for row in duplicates.rows}
        self.chains = trace(store, chunks)
        self.books = gather_books(self.chains)
        self.tally = Tally()

    def build(self, name: str, contact: str) -> Outcome[DatasetFile]:
        """Write all files and return their rows and the counts."""
        self.tally.add_sources(self.chains, gather_members(self.chains), self.books)
        books_by_id = self._books_by_document()
        configs = [
            self._write_chunks(books_by_id),
            self._write_documents(books_by_id),
            self._write_pages(),
        ]
        files = [file for config in configs for file in config.files]
        files.append(self._write_card(name, contact, configs))
        return Outcome(files, self.tally.counts() | {"bytes": sum(file.size_bytes for file in files)})

    def _books_by_document(self) -> dict[str, Book]:
        """Return the books that have a document, in order of its id; count the others."""
        books: dict[str, Book] = {}
        for book in track(self.books, "read documents"):
            if book.document and book.document.result:
                books[read_facts(self.store, book.document.result).id] = book
            elif book.pdf.status == Status.OK:
                self.tally.add_missing_document(book)
        return dict(sorted(books.items()))

    def _write_chunks(self, books: dict[str, Book]) -> WrittenConfig:
        with ShardWriter(self.store, self.folder, "chunks", Chunk, self.max_shard_bytes) as writer:
            for document_id, book in track(books.items(), "write chunks", len(books)):
                if document_id in self.duplicate_of or not (book.chunks and book.chunks.result):
                    continue
                for values in self.store.read_jsonl(book.chunks.result):
                    chunk = Chunk.from_dict(values)
                    writer.add(chunk)
                    self.tally.add_chunk(chunk)
            return writer.finish()

    def _write_documents(self, books: dict[str, Book]) -> WrittenConfig:
        with ShardWriter(self.store, self.folder, "documents", Document, self.max_shard_bytes) as writer:
            for book in track(books.values(), "write documents"):
                document = self._document(book)
                writer.add(document)
                self.tally.add_document(document, self.duplicate_of.get(document.id))
            return writer.finish()

    def _document(self, book: Book) -> Document:
        assert book.document is not None
        document = _from_source(read_document(self.store, book.document.result), book.pdf)
        duplicate = self.duplicate_of.get(document.id)
        return dataclasses.replace(document, duplicate_cluster=duplicate.kept) if duplicate else document

    def _write_pages(self) -> WrittenConfig:
        with ShardWriter(self.store, self.folder, "pages", PageRecord, self.max_shard_bytes) as writer:
            for book in track(self.books, "write pages"):
                pages = self._pages(book)
                self.tally.pages_missing += (book.pdf.num_pages if book.pdf.status == Status.OK else 1) - len(pages)
                for page in pages:
                    writer.add(page)
                    self.tally.add_page(page)
            return writer.finish()

    def _pages(self, book: Book) -> list[PageRecord]:
        """Return a PDF's ledger rows in the order of its pages, each page once."""
        if not (book.pages and book.pages.result):
            return []
        rows = map(PageRecord.from_dict, self.store.read_jsonl(book.pages.result))
        by_page = {row.page: row for row in rows}
        return [by_page[page] for page in sorted(by_page)]

    def _write_card(self, name: str, contact: str, configs: Sequence[WrittenConfig]) -> DatasetFile:
        stages = {stage.config_key: stage for chain in self.chains for stage in chain.stages()}
        facts = CardFacts(name, contact, tuple(configs), (*stages.values(), self.duplicates), self.tally)
        content = render_card(facts).encode()
        stored = f"{self.folder}/README.md"
        self.store.write_bytes(stored, content)
        return DatasetFile("README.md", stored, hashlib.sha256(content).hexdigest(), len(content), rows=0, config="")


def _from_source(document: Document, pdf: PdfRecord) -> Document:
    """Say of a document that it came from this PDF: of equal PDFs in several shards any may have been cleaned first."""
    metadata = dataclasses.replace(
        document.metadata, archive=pdf.archive, archive_sha256=pdf.archive_sha256, member_path=pdf.member_path
    )
    return dataclasses.replace(document, source=f"{pdf.archive}/{pdf.member_path}", added=pdf.added, metadata=metadata)
