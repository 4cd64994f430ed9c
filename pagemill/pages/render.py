"""Pages as pixels, exactly as stock Nougat sees them; for child processes."""

import dataclasses
import math

import pypdfium2
from PIL import Image

from pagemill.pages.document import PdfFault, open_document

POINTS_PER_INCH = 72
NOUGAT_DPI = 96  # the default of nougat.dataset.rasterize.rasterize_paper
MAX_PIXELS = 2 * (1024**3 // 4 // 3)  # Pillow refuses to open larger images, and so does stock Nougat


class RenderError(RuntimeError):
    """A page that cannot be rendered, and why, in one line."""


@dataclasses.dataclass(frozen=True, slots=True)
class RenderedPage:
    """The pixels of a page: 8-bit RGB, rows from the top, without padding."""

    width: int
    height: int
    rgb: bytes

    def image(self) -> Image.Image:
        """Return the pixels as an image."""
        return Image.frombytes("RGB", (self.width, self.height), self.rgb)


def render_page(path: str, page: int, dpi: int = NOUGAT_DPI) -> RenderedPage:
    """Render one page, pixel for pixel as `rasterize_paper(path, dpi=dpi)` does.

    The document stays open for the pages that follow, so a page costs the same wherever it stands.

    Args:
        path: Local path of the PDF.
        page: Number of the page, from 1.
        dpi: Dots per inch; the PDF's UserUnit is not applied, as in stock Nougat.

    Raises:
        RenderError: When the PDF does not open, has no such page, or the page has too many pixels.
        OSError: When the file itself cannot be read.
    """
    try:
        image = _render(open_document(path), page, dpi / POINTS_PER_INCH)
    except PdfFault as fault:
        raise RenderError(fault.detail) from fault
    except (pypdfium2.PdfiumError, ValueError, OverflowError) as error:
        raise RenderError(f"page {page}: {error}") from error
    return RenderedPage(image.width, image.height, image.tobytes())


def _render(document: pypdfium2.PdfDocument, number: int, scale: float) -> Image.Image:
    if not 1 <= number <= len(document):
        raise ValueError(f"not one of {len(document)} pages")
    page = document[number - 1]
    try:
        width, height = page.get_size()
        if math.ceil(width * scale) * math.ceil(height * scale) > MAX_PIXELS:
            raise ValueError(f"{width:g} x {height:g} points are too many pixels")
        bitmap = page.render(scale=scale)
        try:
            image: Image.Image = bitmap.to_pil()  # a copy: PDFium's BGR becomes Pillow's RGB
            return image
        finally:
            bitmap.close()
    finally:
        page.close()
