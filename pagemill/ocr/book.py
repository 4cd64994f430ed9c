"""The ledger of one book while it is read: rows are kept as they come, in parts, and joined at the end."""

from collections.abc import Iterable

from pagemill.records import PageRecord
from pagemill.storage import Store


class BookLedger:
    """The page rows of one PDF, on their way to `<folder>/<pdf_sha256>.jsonl`.

    Parts are immutable files beside it, `<pdf_sha256>.jsonl.<first page>-<last page>`: what they hold
    survives a kill. They are removed when the whole ledger is there, be it by another worker that has
    read the same book; so a part is only ever a copy of rows that are held here.
    """

    def __init__(self, store: Store, folder: str, pdf_sha256: str, num_pages: int, parts: Iterable[str] = ()) -> None:
        self.store = store
        self.name = ledger_name(folder, pdf_sha256)
        self.num_pages = num_pages
        self.parts = list(parts)
        self.pages = {row.page: row for part in self.parts for row in self._read_part(part)}
        self.unsaved: list[PageRecord] = []

    @property
    def complete(self) -> bool:
        """Say whether every page has its row."""
        return len(self.pages) == self.num_pages

    def add(self, row: PageRecord) -> None:
        """Take the row of a page; `save` makes it durable."""
        assert row.page not in self.pages, f"page {row.page} of {row.pdf_sha256} came out twice"
        self.pages[row.page] = row
        self.unsaved.append(row)

    def save(self) -> None:
        """Write the rows that came since the last time as one more part."""
        if not self.unsaved:
            return
        pages = [row.page for row in self.unsaved]
        part = f"{self.name}.{min(pages):06d}-{max(pages):06d}"
        self.store.write_jsonl(part, (row.to_dict() for row in self.unsaved))
        self.parts.append(part)
        self.unsaved.clear()

    def rows(self) -> list[PageRecord]:
        """Return the rows that there are, in page order."""
        return [self.pages[page] for page in sorted(self.pages)]

    def close(self, rows: Iterable[PageRecord]) -> None:
        """Write the whole ledger, one row for every page, and remove the parts."""
        rows = list(rows)
        assert [row.page for row in rows] == list(range(1, self.num_pages + 1)), f"{self.name} lacks pages"
        self.store.write_jsonl(self.name, (row.to_dict() for row in rows))
        self.delete_parts()

    def delete_parts(self) -> None:
        """Remove the parts."""
        for part in self.parts:
            self.store.delete(part)
        self.parts.clear()

    def _read_part(self, part: str) -> list[PageRecord]:
        """Return the rows of a part; none when another worker has joined and removed it by now."""
        try:
            return [PageRecord.from_dict(values) for values in self.store.read_jsonl(part)]
        except FileNotFoundError:
            return []


def ledger_name(folder: str, pdf_sha256: str) -> str:
    """Return the store name of a book's whole ledger."""
    return f"{folder}/{pdf_sha256}.jsonl"


def parts_by_book(store: Store, folder: str) -> dict[str, list[str]]:
    """Return the parts in a folder by the store name of the ledger that they belong to."""
    parts: dict[str, list[str]] = {}
    for name in store.names(folder):
        whole, mark, pages = name.rpartition(".jsonl.")
        if mark and pages:
            parts.setdefault(f"{whole}.jsonl", []).append(name)
    return parts
