"""What a server is asked for: a few pages of one PDF, which it fetches itself or is sent."""

import base64
import contextlib
import dataclasses
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pypdfium2

from pagemill.children import Answer, Crew
from pagemill.ocr.assignment import Missing
from pagemill.ocr.engine import Rendering
from pagemill.pages.document import PdfFault, load_document
from pagemill.records import Reason
from pagemill.storage import Store

FETCHED_SCHEMES = ("gs://",)  # of stores whose PDFs a server fetches itself
ENVELOPE_BYTES = 1_000  # of a request beside the PDF in it
CUT_LIMIT_SECONDS = 60.0
CUT_MEMORY_BYTES = 4 << 30  # address space of the child that cuts PDFs


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """Pages of a PDF, one after another, that are read by one request."""

    pdf_sha256: str
    pages: tuple[int, ...]

    @property
    def span(self) -> str:
        """The pages as a request names them."""
        return f"{self.pages[0]}-{self.pages[-1]}"

    def halves(self) -> "tuple[Piece, Piece]":
        """Return the piece in two, to find out which page of it makes trouble."""
        middle = len(self.pages) // 2
        return Piece(self.pdf_sha256, self.pages[:middle]), Piece(self.pdf_sha256, self.pages[middle:])


class TooLargeToSend(ValueError):
    """A piece that does not fit into a request."""


class NotCut(RuntimeError):
    """Pages that cannot be taken out of their PDF, and why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def cut(missing: Iterable[Missing], max_pages: int) -> list[Piece]:
    """Return the missing pages in pieces of at most so many; a page that processes crashed on is one by itself."""
    pieces = []
    for book in missing:
        for run in _runs(book.pages):
            starts = range(0, len(run), max_pages)
            pieces += [Piece(book.pdf_sha256, tuple(run[start : start + max_pages])) for start in starts]
        pieces += [Piece(book.pdf_sha256, (page,)) for page in book.suspects]
    return pieces


def _runs(pages: Sequence[int]) -> Iterator[list[int]]:
    """Yield pages that follow one another."""
    run: list[int] = []
    for page in pages:
        if run and page != run[-1] + 1:
            yield run
            run = []
        run.append(page)
    if run:
        yield run


def instance_by_uri(store: Store, piece: Piece, rendering: Rendering) -> dict[str, Any]:
    """Return the instance for which a server fetches the PDF itself."""
    uri = store.uri_of(f"pdf/{piece.pdf_sha256}.pdf")
    return {"gcs_uri": uri, "pages": piece.span, **rendering_field(rendering)}


def inline_instance(content: bytes, **fields: Any) -> dict[str, Any]:
    """Return the instance that brings its PDF along."""
    return {"b64": base64.b64encode(content).decode(), **fields}


def rendering_field(rendering: Rendering) -> dict[str, Any]:
    """Return what an instance says of the rendering; nothing of the usual one."""
    return {} if rendering == Rendering() else {"rendering": dataclasses.asdict(rendering)}


@dataclasses.dataclass(frozen=True, slots=True)
class Cut:
    """Pages to take out of a PDF."""

    path: str
    pages: tuple[int, ...]


class Sender:
    """Makes the instances of pieces, of PDFs in a store.

    A PDF that is too large for a request is cut: the request then holds a PDF of the piece's pages
    alone. That is done in a child, for a PDF may be anything.

    Args:
        store: Holds the PDFs. The server fetches those of a bucket itself.
        max_request_bytes: That a request may have.
    """

    def __init__(self, store: Store, max_request_bytes: int) -> None:
        self.store, self.max_request_bytes = store, max_request_bytes
        self.by_uri = store.uri.startswith(FETCHED_SCHEMES)
        self.cutters = Crew(
            cut_pdf, workers=1, time_limit_seconds=CUT_LIMIT_SECONDS, memory_limit_bytes=CUT_MEMORY_BYTES
        )

    def instance(self, piece: Piece, rendering: Rendering) -> dict[str, Any]:
        """Return the instance of a piece.

        Raises:
            TooLargeToSend: It does not fit into a request.
            NotCut: The PDF is too large for one, and its pages cannot be taken out of it.
            FileNotFoundError: The store has lost the PDF.
        """
        if self.by_uri:
            return instance_by_uri(self.store, piece, rendering)
        name = f"pdf/{piece.pdf_sha256}.pdf"
        if self._fits(self.store.size_bytes(name)):
            return inline_instance(self.store.read_bytes(name), pages=piece.span, **rendering_field(rendering))
        with self.store.local(name) as path:
            content = _content(self.cutters.submit(Cut(str(path), piece.pages)).result())
        if not self._fits(len(content)):
            raise TooLargeToSend(f"{len(content):,} bytes of PDF do not fit into {self.max_request_bytes:,}")
        return inline_instance(content, **rendering_field(rendering))

    def close(self) -> None:
        """End the child."""
        self.cutters.close()

    def _fits(self, size_bytes: int) -> bool:
        return 4 * (size_bytes + 2) // 3 + ENVELOPE_BYTES <= self.max_request_bytes


def _content(answer: Answer[Cut, bytes]) -> bytes:
    if answer.ok:
        return answer.value
    reason = answer.error.reason if isinstance(answer.error, PdfFault) else answer.reason
    raise NotCut(reason or Reason.RENDER_FAILED) from answer.error


def cut_pdf(cut: Cut) -> bytes:
    """Return a PDF of these pages alone; for child processes.

    Raises:
        PdfFault: The PDF cannot be read.
        OSError: The file cannot be read.
    """
    target = pypdfium2.PdfDocument.new()
    with contextlib.closing(load_document(cut.path)) as source, contextlib.closing(target):
        target.import_pages(source, [page - 1 for page in cut.pages])
        stream = io.BytesIO()
        target.save(stream)
    return stream.getvalue()
