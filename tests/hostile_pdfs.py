"""Writes real PDFs that are hard on whoever opens them: that hang, crash, starve or mislead a renderer."""

import io
import zlib
from collections.abc import Callable
from pathlib import Path

import pikepdf
from pikepdf import Array, Dictionary, Name, Page, Pdf, Stream

from tests import pdfs

SOUND_PAGES = ("The first page is sound.", "The second page bears the trouble.", "The third page is sound.")
HOSTILE_PAGE = 2  # of three, where it is a page that is hostile and not the file

SHADINGS = 100_000  # each takes PDFium some milliseconds a page
NESTED_FUNCTIONS = 60_000  # PDFium's stack of 8 MB ends between 20,000 and 30,000
RECTANGLES = 10_000_000  # 3.6 GB as PDFium's objects
IMAGE_DOTS = 60_000  # a side


# A page that hangs, crashes or starves what renders it


def write_endless_forms(path: Path) -> None:
    """A page of forms within forms, a trillion in all: neither text nor picture ends, at 0.7 GB a second."""

    def nest(pdf: Pdf, page: Page) -> None:
        form = _form(pdf, b"0 0 1 1 re f")
        for _ in range(11):
            form = _form(pdf, b"/Inner Do " * 10, Inner=form)
        page.Resources.XObject = Dictionary(Outer=form)
        page.contents_add(Stream(pdf, b"/Outer Do"))

    _write_book(path, nest)


def write_endless_picture(path: Path) -> None:
    """A page of a hundred thousand shadings that cover it: its text is had at once, its picture never."""

    def shade(pdf: Pdf, page: Page) -> None:
        black_to_white = Dictionary(FunctionType=2, Domain=Array([0, 1]), N=1)
        page.Resources.Shading = Dictionary(Shade=_shading(pdf.make_indirect(black_to_white)))
        page.contents_add(Stream(pdf, b"/Shade sh " * SHADINGS))

    _write_book(path, shade)


def write_slow_image(path: Path) -> None:
    """A page with an image of 60,000 x 60,000 dots in half a megabyte: its picture takes many seconds."""

    def paste(pdf: Pdf, page: Page) -> None:
        image = _deflated(pdf, bytes(IMAGE_DOTS // 8 * 1_000), IMAGE_DOTS // 1_000)
        image.update(
            Dictionary(
                Type=Name.XObject,
                Subtype=Name.Image,
                Width=IMAGE_DOTS,
                Height=IMAGE_DOTS,
                ColorSpace=Name.DeviceGray,
                BitsPerComponent=1,
            )
        )
        page.Resources.XObject = Dictionary(Image=pdf.make_indirect(image))
        page.contents_add(Stream(pdf, b"420 0 0 595 0 0 cm /Image Do"))

    _write_book(path, paste)


def write_starving(path: Path) -> None:
    """A page of ten million rectangles in a quarter of a megabyte: it wants 3.6 GB, and crashes where it may not."""

    def draw(pdf: Pdf, page: Page) -> None:
        page.contents_add(_deflated(pdf, b"0 0 9 9 re f\n" * 100_000, RECTANGLES // 100_000))

    _write_book(path, draw)


def write_crashing(path: Path) -> None:
    """A page shaded by a function of a function, sixty thousand deep: PDFium's stack overflows (SIGSEGV)."""

    def nest(pdf: Pdf, page: Page) -> None:
        function = pdf.make_indirect(Dictionary(FunctionType=2, Domain=Array([0, 1]), N=1))
        for _ in range(NESTED_FUNCTIONS):
            stitched = Dictionary(FunctionType=3, Domain=Array([0, 1]), Functions=Array([function]))
            stitched.update(Dictionary(Bounds=Array(), Encode=Array([0, 1])))
            function = pdf.make_indirect(stitched)
        page.Resources.Shading = Dictionary(Shade=_shading(function))
        page.contents_add(Stream(pdf, b"/Shade sh"))

    _write_book(path, nest)


# A page that shows less than it should


def write_broken_content(path: Path) -> None:
    """A page whose content breaks off in its middle and goes on as noise: it is drawn in part, without complaint."""

    def breaks_off(pdf: Pdf, page: Page) -> None:
        packed = zlib.compress(b"0.2 g 20 20 380 550 re f\n" + b"".join(b"%d 0 m 9 9 l S\n" % x for x in range(9_999)))
        page.Contents = _stream(pdf, packed[: len(packed) // 2] + bytes(range(256)))

    _write_book(path, breaks_off)


def write_huge_page(path: Path) -> None:
    """A page of 200 inches square, the largest that Acrobat makes: too many pixels for a picture at 96 dpi."""

    def unfold(pdf: Pdf, page: Page) -> None:
        page.MediaBox = Array([0, 0, 14_400, 14_400])

    _write_book(path, unfold)


# A file


def write_locked(path: Path) -> None:
    """A PDF that opens only with a password that nobody knows."""
    path.write_bytes(pdfs.encrypted(pdfs.book(SOUND_PAGES), user_password="unknown"))


def write_encrypted_for_all(path: Path) -> None:
    """An encrypted PDF with an empty user password: everybody can read it."""
    path.write_bytes(pdfs.encrypted(pdfs.book(SOUND_PAGES), user_password=""))


def write_without_pages(path: Path) -> None:
    """A sound PDF that has no page."""
    path.write_bytes(pdfs.without_pages())


def write_truncated(path: Path) -> None:
    """The first half of a PDF, as a broken download leaves it."""
    path.write_bytes(pdfs.truncated(pdfs.book(SOUND_PAGES)))


def write_3000_empty_pages(path: Path) -> None:
    """A PDF of 3,000 pages without anything on them."""
    path.write_bytes(pdfs.saved(pdfs.blank([pdfs.A5_POINTS] * 3_000)))


def _write_book(path: Path, make_hostile: Callable[[Pdf, Page], None]) -> None:
    """Write a book of three pages, the second made hostile."""
    with pikepdf.open(io.BytesIO(pdfs.book(SOUND_PAGES))) as pdf:
        page = pdf.pages[HOSTILE_PAGE - 1]
        make_hostile(pdf, page)
        path.write_bytes(pdfs.saved(pdf))


def _form(pdf: Pdf, content: bytes, **resources: object) -> Stream:
    form = Stream(pdf, content)
    form.update(Dictionary(Type=Name.XObject, Subtype=Name.Form, BBox=Array([0, 0, 100, 100])))
    form.Resources = Dictionary(XObject=Dictionary(**resources))
    return pdf.make_indirect(form)


def _shading(function: object) -> Dictionary:
    """Return a shading in gray over the whole page."""
    return Dictionary(
        ShadingType=2, ColorSpace=Name.DeviceGray, Coords=Array([0, 0, *pdfs.A5_POINTS]), Function=function
    )


def _deflated(pdf: Pdf, piece: bytes, times: int) -> Stream:
    """Return a stream of a piece many times over, compressed without ever being whole in memory."""
    packer = zlib.compressobj(9)
    return _stream(pdf, b"".join([*(packer.compress(piece) for _ in range(times)), packer.flush()]))


def _stream(pdf: Pdf, packed: bytes) -> Stream:
    """Return a stream of bytes that are said to be compressed."""
    stream = Stream(pdf, b"")
    stream.write(packed, filter=Name.FlateDecode)
    return pdf.make_indirect(stream)
