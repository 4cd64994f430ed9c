"""Books for the light engine, in a store as the stages before leave them, and what was made of them."""

import hashlib

from pikepdf import Array

from pagemill.manifest import Manifest
from pagemill.ocr import recognize_pages
from pagemill.pages.inspect import inspect_pdfs
from pagemill.records import BookRecord, MemberRecord, PageRecord, PdfRecord, Status
from pagemill.storage import Store
from tests import pdfs
from tests.light_engine import ENGINE, numbered

BLANK = "#rect(stroke: none)"
BOOK = pdfs.book([numbered(page, f"#lorem({12 * page})") if page != 3 else BLANK for page in range(1, 11)])
LEAFLET = pdfs.book([numbered(1, "First side"), numbered(2, "Second side")])
BROKEN = pdfs.truncated(pdfs.book(["Half a book"]))
SEALED = pdfs.encrypted(pdfs.book(["Secret"]), "unknown")
FOLDED = pdfs.with_page(pdfs.book(["A map", numbered(2, "Its legend")]), MediaBox=Array([0, 0, 20_000, 20_000]))


def long_book(pages: int, title: str = "") -> bytes:
    """Return a book of numbered pages of different lengths."""
    return pdfs.book([numbered(page, f"#lorem({5 + page % 7})") for page in range(1, pages + 1)], title)


def digest(content: bytes) -> str:
    """Return the name of a PDF in the store."""
    return hashlib.sha256(content).hexdigest()


def inspected(store: Store, *contents: bytes) -> Manifest[PdfRecord]:
    """Put PDFs into the store and inspect them."""
    for content in contents:
        store.write_bytes(f"pdf/{digest(content)}.pdf", content)
    members = tuple(
        MemberRecord("a.rar", "0" * 64, f"{number}.pdf", len(content), digest(content), Status.OK)
        for number, content in enumerate(contents)
    )
    given = Manifest("extract_pdfs", 1, (), {"contents": [digest(content) for content in contents]}, members, {})
    return inspect_pdfs(given, store)


def read(store: Store, checkpoint, *contents: bytes, **options) -> Manifest[BookRecord]:
    """Read PDFs with the light engine."""
    pdf_manifest = inspected(store, *contents)
    return recognize_pages(pdf_manifest, store, checkpoint=str(checkpoint), engine=ENGINE, **options)


def rows_of(store: Store, manifest: Manifest[BookRecord], content: bytes) -> list[PageRecord]:
    """Return the ledger of one PDF."""
    (book,) = (row for row in manifest.rows if row.pdf_sha256 == digest(content))
    return [PageRecord.from_dict(values) for values in store.read_jsonl(book.result)]


def files_in(store: Store, folder: str) -> list[str]:
    """Return the names of all files in the folders below one, two levels deep."""
    names = []
    for key in store.folders(folder):
        names += store.names(key)
        names += [name for book in store.folders(key) for name in store.names(book)]
    return sorted(names)
