"""Reads one slide: its picture, and its text from the text layer or by OCR; for child processes."""

import dataclasses
import hashlib
import io
import math
from pathlib import Path
from typing import Any

import pypdfium2

from pagemill.decks.records import TextSource
from pagemill.pages.document import PdfFault, open_document, printable_share, text_layer
from pagemill.pages.render import POINTS_PER_INCH, RenderedPage, RenderError, render_page

JPEG_QUALITY = 90
MIN_TEXT_CHARACTERS = 20  # less than that is a page number or a logo, and the slide may be a picture
MIN_PRINTABLE_SHARE = 0.9
MAX_TEXT_CHARACTERS = 20_000  # of a slide; no reader of a deck sees more


@dataclasses.dataclass(frozen=True, slots=True)
class SlideOrder:
    """A slide that is to be read, and how."""

    path: str
    page: int  # from 1; 0 only opens the deck
    dpi: int
    max_pixels: int
    with_ocr: bool


@dataclasses.dataclass(frozen=True, slots=True)
class SlidePixels:
    """What was read of a slide; without a picture there is a `detail`."""

    count: int = 0  # of the deck's slides; 0 when it does not open
    jpeg: bytes = b""
    sha256: str = ""
    width: int = 0
    height: int = 0
    text: str = ""
    source: TextSource = TextSource.NONE
    detail: str = ""


def fitting_dpi(width_points: float, height_points: float, order: SlideOrder) -> int:
    """Return the resolution that is wanted, or the highest below it at which a page stays within `max_pixels`.

    Decks are drawn on sheets of any size, so a large sheet is no reason not to render it.
    """
    area = max(width_points * height_points, 1.0) / POINTS_PER_INCH**2
    return max(1, min(order.dpi, math.floor(math.sqrt(order.max_pixels / area))))


class ReadSlide:
    """Reads slides; loads the OCR engine when a slide first needs it."""

    def __init__(self) -> None:
        self._ocr: Any = None

    def __call__(self, order: SlideOrder) -> SlidePixels:
        """Read one slide; what cannot be rendered comes back without a picture."""
        try:
            count = len(open_document(order.path))
        except PdfFault as fault:
            return SlidePixels(detail=fault.detail)
        return self._slide(order, count) if order.page else SlidePixels(count)

    def _slide(self, order: SlideOrder, count: int) -> SlidePixels:
        text = self._layer(order)
        try:
            width, height = open_document(order.path).get_page_size(order.page - 1)
            rendered = render_page(order.path, order.page, fitting_dpi(width, height, order))
        except (RenderError, PdfFault, pypdfium2.PdfiumError, ValueError) as error:
            return SlidePixels(count, text=text, source=TextSource.LAYER, detail=" ".join(str(error).split()))
        source = TextSource.LAYER
        if order.with_ocr and _says_little(text):
            seen = self._seen(rendered)
            if len(seen) > len(text):
                text, source = seen, TextSource.OCR
        jpeg = _jpeg(rendered)
        sha256 = hashlib.sha256(jpeg).hexdigest()
        return SlidePixels(count, jpeg, sha256, rendered.width, rendered.height, text, source)

    def _layer(self, order: SlideOrder) -> str:
        try:
            return text_layer(order.path, order.page).strip()[:MAX_TEXT_CHARACTERS]
        except PdfFault:
            return ""

    def _seen(self, rendered: RenderedPage) -> str:
        """Return what RapidOCR reads, one line a line of the slide."""
        from pagemill.ocr.checkpoint import Checkpoint
        from pagemill.ocr.engine import PageInput
        from pagemill.ocr.rapid import load, preparer

        none = Checkpoint(Path(), "", "", "", {})  # RapidOCR brings its own
        pixels = preparer(none)(rendered.image())
        if pixels is None:
            return ""
        self._ocr = self._ocr or load(none)
        self._ocr.admit([PageInput(0, pixels)])
        text: str = self._ocr.step()[0].text
        return text


def _says_little(text: str) -> bool:
    visible = sum(not character.isspace() for character in text)
    return visible < MIN_TEXT_CHARACTERS or printable_share(text) < MIN_PRINTABLE_SHARE


def _jpeg(rendered: RenderedPage) -> bytes:
    stream = io.BytesIO()
    rendered.image().save(stream, "JPEG", quality=JPEG_QUALITY, subsampling=0)  # text keeps its coloured edges
    return stream.getvalue()
