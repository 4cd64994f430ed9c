"""What was read of the books: immutable files a range of pages, joined into one a book."""

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence

from pagemill.ledger import pdf_of
from pagemill.records import PageRecord
from pagemill.storage import Store

PART = ".jsonl"
TOGETHER, ALONE = ".reading", ".alone"  # marks of ranges that are being read: beside others, or a page by itself


class Readings:
    """The page rows of books under one configuration.

    `<folder>/<pdf_sha256>.jsonl` holds a book and is there whole or not at all. Until then the ranges of
    its pages that were read are files of their own, `<folder>/<pdf_sha256>/<first>-<last>-<token>.jsonl`,
    and a range that somebody is reading has a mark beside them, which outlives only those who crash.
    No two processes write the same file, so nothing is ever overwritten.
    """

    def __init__(self, store: Store, folder: str) -> None:
        self.store, self.folder = store, folder
        self.token = uuid.uuid4().hex[:12]  # of this process

    def name(self, pdf_sha256: str) -> str:
        """Return the store name of a whole book."""
        return f"{self.folder}/{pdf_sha256}{PART}"

    def whole(self) -> set[str]:
        """Return which books are there whole."""
        return {pdf_of(name) for name in self.store.names(self.folder) if name.endswith(PART)}

    def rows(self, pdf_sha256: str) -> list[PageRecord]:
        """Return the rows of a whole book, in page order; raises FileNotFoundError."""
        return [PageRecord.from_dict(values) for values in self.store.read_jsonl(self.name(pdf_sha256))]

    def begun(self) -> set[str]:
        """Return which books have files of ranges."""
        return {pdf_of(name) for name in self.store.folders(self.folder)}

    def kept(self, pdf_sha256: str) -> dict[int, PageRecord]:
        """Return the rows in the ranges of a book, by page; a page that was read twice counts once."""
        rows: dict[int, PageRecord] = {}
        for name in self._files(pdf_sha256, PART):
            try:
                read = [PageRecord.from_dict(values) for values in self.store.read_jsonl(name)]
            except FileNotFoundError:  # another process has joined the book by now
                continue
            rows = {row.page: row for row in read} | rows
        return rows

    def tries(self, pdf_sha256: str) -> dict[str, Counter[int]]:
        """Return, by mark, how many processes began to read a page and did not live to say what became of it."""
        tries: dict[str, Counter[int]] = {TOGETHER: Counter(), ALONE: Counter()}
        for name in self._files(pdf_sha256, tuple(tries)):
            stem, _, suffix = name.rsplit("/", 1)[-1].partition(".")
            first, last, _ = stem.split("-")
            tries[f".{suffix}"].update(range(int(first), int(last) + 1))
        return tries

    def mark(self, pdf_sha256: str, pages: Sequence[int], mark: str) -> None:
        """Say that this process begins to read a range."""
        self.store.write_bytes(self._range(pdf_sha256, pages, mark), b"")

    def unmark(self, pdf_sha256: str, pages: Sequence[int], mark: str) -> None:
        """Say that this process no longer reads a range."""
        self.store.delete(self._range(pdf_sha256, pages, mark))

    def save(self, pdf_sha256: str, pages: Sequence[int], rows: Iterable[PageRecord]) -> None:
        """Keep the rows of a range."""
        self.store.write_jsonl(self._range(pdf_sha256, pages, PART), (row.to_dict() for row in rows))

    def discard(self, pdf_sha256: str, pages: Sequence[int]) -> None:
        """Remove the rows of a range that this process kept."""
        self.store.delete(self._range(pdf_sha256, pages, PART))

    def join(self, pdf_sha256: str, rows: Iterable[PageRecord]) -> None:
        """Write a whole book, unless another process was faster, and remove its ranges."""
        if not self.store.exists(self.name(pdf_sha256)):
            self.store.write_jsonl(self.name(pdf_sha256), (row.to_dict() for row in rows))
        self.tidy(pdf_sha256)

    def tidy(self, pdf_sha256: str) -> None:
        """Remove the ranges of a book that is there whole."""
        for name in self._files(pdf_sha256, ""):
            self.store.delete(name)
        self.store.delete_folder(f"{self.folder}/{pdf_sha256}")

    def _range(self, pdf_sha256: str, pages: Sequence[int], suffix: str) -> str:
        return f"{self.folder}/{pdf_sha256}/{pages[0]:06d}-{pages[-1]:06d}-{self.token}{suffix}"

    def _files(self, pdf_sha256: str, suffix: str | tuple[str, ...]) -> list[str]:
        return [name for name in self.store.names(f"{self.folder}/{pdf_sha256}") if name.endswith(suffix)]
