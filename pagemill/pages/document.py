"""What PDFium says of a PDF: facts, page sizes, text layers; these functions are for child processes."""

import contextlib
import ctypes
import dataclasses
import math
import re
import unicodedata
from datetime import datetime
from typing import Any

import pypdfium2
from pypdfium2 import raw as pdfium

from pagemill.records import PageInspection, Reason, Row

MAX_METADATA_CHARACTERS = 1_000
GOOD_PRINTABLE_SHARE = 0.9  # a text layer below it, of a font that names no letters, says nothing of the page
# Pages of some books come in turn where many are read at once. A book that is opened anew for its next page costs that
# page 5 ms more at 1,000 pages and up to 60 ms at 10,000; one that stays open costs its file handle and its fonts.
OPEN_DOCUMENTS = 4
_LINE_END_HYPHEN = "\x02"  # PDFium's mark for a hyphen and the line break after it
_UNPRINTABLE = {"Cc", "Cn", "Co", "Cs"}  # control, unassigned, private use, surrogate
_NOT_ENCRYPTED = -1
_DATE = re.compile(
    r"(?:D:)?(?P<year>\d{4})(?P<month>\d\d)?(?P<day>\d\d)?(?P<hour>\d\d)?(?P<minute>\d\d)?(?P<second>\d\d)?"
    r"(?:(?P<utc>Z)|(?P<offset_hour>[+-]\d\d)'?(?P<offset_minute>\d\d)?)?"
)


class PdfFault(RuntimeError):
    """A PDF that cannot be read, and why."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


@dataclasses.dataclass(frozen=True, slots=True)
class Examination:
    """One PDF to examine, and how."""

    path: str
    max_pages: int
    max_page_points: float
    with_text: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class PdfFacts(Row):
    """What the content of a PDF tells, wherever the PDF came from."""

    num_pages: int = 0
    reason: Reason | None = None  # why it cannot be read
    detail: str = ""
    title: str = ""
    author: str = ""
    encrypted: bool = False
    created: str = ""  # ISO 8601
    pages_too_large: int = 0
    pages_with_text: int = 0


def examine(examination: Examination) -> tuple[PdfFacts, tuple[PageInspection, ...]]:
    """Return the facts of a PDF and one inspection a page; a PDF that cannot be read has a reason and no page.

    Raises:
        OSError: When the file itself cannot be read.
    """
    try:
        with contextlib.closing(load_document(examination.path)) as document:
            num_pages = len(document)
            if num_pages > examination.max_pages:
                return PdfFacts(num_pages, Reason.TOO_MANY_PAGES, f"{num_pages} pages"), ()
            pages = tuple(_inspect_page(document, index, examination) for index in range(num_pages))
            return _facts(document, pages), pages
    except PdfFault as fault:
        return PdfFacts(reason=fault.reason, detail=fault.detail), ()


class OpenDocuments:
    """PDFs that stay open for their next pages: the latest few; the others are closed.

    PDFium's document is closed here and not left to Python, which would keep it until it looks for cycles.
    """

    def __init__(self, limit: int = OPEN_DOCUMENTS) -> None:
        self.limit = limit
        self.documents: dict[str, pypdfium2.PdfDocument] = {}  # the latest last

    def __call__(self, path: str) -> pypdfium2.PdfDocument:
        """Return the document of a path; raises what `load_document` raises."""
        document = self.documents.pop(path, None) or load_document(path)
        self.documents[path] = document
        if len(self.documents) > self.limit:
            self.documents.pop(next(iter(self.documents))).close()
        return document

    def close(self) -> None:
        """Close all of them."""
        while self.documents:
            self.documents.popitem()[1].close()


open_document = OpenDocuments()


def load_document(path: str) -> pypdfium2.PdfDocument:
    """Open a PDF, an encrypted one with the empty password.

    Raises:
        PdfFault: BROKEN_PDF, PASSWORD_PROTECTED or NO_PAGES.
        OSError: When the file itself cannot be read.
    """
    with open(path, "rb"):  # noqa: PTH123  # PDFium does not tell a missing file from a broken one
        handle = pdfium.FPDF_LoadDocument(path.encode() + b"\0", None)
    if not handle:
        raise _open_fault(pdfium.FPDF_GetLastError())
    document = pypdfium2.PdfDocument(handle)
    if len(document) < 1:
        document.close()
        raise PdfFault(Reason.NO_PAGES, "the PDF has no page")
    return document


def text_layer(path: str, page: int) -> str:
    """Return the text layer of a page (from 1), "" when it has none.

    Lines end with a newline; a word that is broken over two lines keeps its hyphen before the newline.

    Raises:
        PdfFault: When the PDF cannot be read or has no such page.
    """
    document = open_document(path)
    if not 1 <= page <= len(document):
        raise PdfFault(Reason.BROKEN_PDF, f"page {page} is not one of {len(document)}")
    try:
        return _page_text(document, page - 1)
    except pypdfium2.PdfiumError as error:
        raise PdfFault(Reason.BROKEN_PDF, f"page {page}: {error}") from error


def printable_share(text: str) -> float:
    """Return the share of the non-space characters that a reader could see; 0.0 when there are none."""
    visible = [character for character in text if not character.isspace()]
    printable = sum(c != "\N{REPLACEMENT CHARACTER}" and unicodedata.category(c) not in _UNPRINTABLE for c in visible)
    return printable / len(visible) if visible else 0.0


def iso_date(text: str) -> str:
    """Return a PDF date (`D:YYYYMMDDHHmmSSOHH'mm`, ISO 32000-1, 7.9.4) as ISO 8601, "" when it is none."""
    match = _DATE.match(text.strip())
    if not match:
        return ""
    part = {name: value for name, value in match.groupdict().items() if value}
    day = f"{part['year']}-{part.get('month', '01')}-{part.get('day', '01')}"
    time = f"{part.get('hour', '00')}:{part.get('minute', '00')}:{part.get('second', '00')}"
    zone = "+00:00" if "utc" in part else ""
    if "offset_hour" in part:
        zone = f"{part['offset_hour']}:{part.get('offset_minute', '00')}"
    try:
        return datetime.fromisoformat(f"{day}T{time}{zone}").isoformat()
    except ValueError:
        return ""


def _open_fault(code: int) -> PdfFault:
    if code == pdfium.FPDF_ERR_PASSWORD:
        return PdfFault(Reason.PASSWORD_PROTECTED, "the PDF wants a password")
    if code == pdfium.FPDF_ERR_SECURITY:
        return PdfFault(Reason.PASSWORD_PROTECTED, "the PDF is encrypted in an unknown way")
    return PdfFault(Reason.BROKEN_PDF, "not readable as a PDF")


def _facts(document: pypdfium2.PdfDocument, pages: tuple[PageInspection, ...]) -> PdfFacts:
    return PdfFacts(
        num_pages=len(pages),
        title=_metadata(document, b"Title"),
        author=_metadata(document, b"Author"),
        encrypted=pdfium.FPDF_GetSecurityHandlerRevision(document) != _NOT_ENCRYPTED,
        created=iso_date(_metadata(document, b"CreationDate")),
        pages_too_large=sum(page.reason is Reason.PAGE_TOO_LARGE for page in pages),
        pages_with_text=sum(page.text_characters > 0 for page in pages),
    )


def _metadata(document: pypdfium2.PdfDocument, key: bytes) -> str:
    """Return an entry of the document information as one clean line; broken UTF-16 loses its bad units."""
    size = pdfium.FPDF_GetMetaText(document, key, None, 0)
    buffer = ctypes.create_string_buffer(size)
    pdfium.FPDF_GetMetaText(document, key, buffer, size)
    text = buffer.raw.decode("utf-16-le", errors="ignore")
    clean = "".join(c if unicodedata.category(c) not in _UNPRINTABLE else " " for c in text)
    return " ".join(clean.split())[:MAX_METADATA_CHARACTERS]


def _inspect_page(document: pypdfium2.PdfDocument, index: int, examination: Examination) -> PageInspection:
    """Inspect one page; its content is parsed for the text layer alone, the size is read without."""
    try:
        width, height = (side if math.isfinite(side) else 0.0 for side in document.get_page_size(index))
        text = _page_text(document, index) if examination.with_text else ""
    except pypdfium2.PdfiumError:
        return PageInspection(index + 1, 0.0, 0.0, 0, 0.0, Reason.RENDER_FAILED)
    fits = all(0 < side <= examination.max_page_points for side in (width, height))
    return PageInspection(
        page=index + 1,
        width_points=width,
        height_points=height,
        text_characters=sum(not character.isspace() for character in text),
        printable_share=printable_share(text),
        reason=None if fits else Reason.PAGE_TOO_LARGE,
    )


def _page_text(document: pypdfium2.PdfDocument, index: int) -> str:
    """Return the text layer of a page; raises PdfiumError when the page does not load."""
    page = document[index]
    try:
        return _text_of(page)
    finally:
        page.close()


def _text_of(page: Any) -> str:
    try:
        layer = page.get_textpage()
    except pypdfium2.PdfiumError:
        return ""
    try:
        text: str = layer.get_text_bounded()
    finally:
        layer.close()
    return text.replace("\r\n", "\n").replace(_LINE_END_HYPHEN, "-\n").replace("\0", "")
