"""Rendering: the very pixels of stock Nougat, and errors for what has no pixels."""

import importlib.util
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pikepdf import Array
from PIL import Image, ImageChops
from pypdfium2 import raw as pdfium

from pagemill.children import in_children
from pagemill.pages.document import OPEN_DOCUMENTS, open_document
from pagemill.pages.render import MAX_PIXELS, RenderedPage, RenderError, render_page
from pagemill.records import Reason
from tests import pdfs

BOOK = pdfs.book(["= One\nWords and $ integral x^2 dif x $.", "#rect(fill: gradient.linear(red, blue))", "Three"])

PDFS: dict[str, Callable[[], bytes]] = {
    "book": lambda: BOOK,
    "rotated": lambda: pdfs.with_page(BOOK, Rotate=90),
    "upside down": lambda: pdfs.with_page(BOOK, Rotate=180),
    "rotated back": lambda: pdfs.with_page(BOOK, Rotate=-90),
    "cropped": lambda: pdfs.with_page(BOOK, CropBox=Array([31.5, 100.2, 300.7, 500])),
    "cropped beyond the page": lambda: pdfs.with_page(BOOK, CropBox=Array([-50, -50, 9000, 9000])),
    "shifted origin": lambda: pdfs.with_page(BOOK, MediaBox=Array([-100, -50, 320, 545])),
    "cropped and rotated": lambda: pdfs.with_page(BOOK, CropBox=Array([30, 100, 300, 500]), Rotate=270),
    "larger user unit": lambda: pdfs.with_page(BOOK, UserUnit=2),
    "form and annotation": pdfs.with_form_and_annotation,
    "scan": pdfs.scanned,
    "unreadable text": pdfs.with_unreadable_text,
    "encrypted": lambda: pdfs.encrypted(BOOK, user_password=""),
    "pages of many sizes": lambda: pdfs.saved(pdfs.blank([(100, 200), (3, 3), (1000.4, 20.01)])),
}


@pytest.fixture(scope="module")
def stock() -> ModuleType:
    """The module of stock Nougat that rasterises, alone: its package imports torch."""
    package = importlib.util.find_spec("nougat")
    assert package is not None
    assert package.submodule_search_locations is not None
    file = Path(package.submodule_search_locations[0], "dataset", "rasterize.py")
    spec = importlib.util.spec_from_file_location("stock_rasterize", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(folder: Path, content: bytes) -> str:
    path = folder / "book.pdf"
    path.write_bytes(content)
    return str(path)


def render_job(job: tuple[str, int]) -> RenderedPage:
    return render_page(*job)


@pytest.mark.parametrize("dpi", [96, 72, 150])
@pytest.mark.parametrize("kind", PDFS)
def test_pixels_equal_those_of_stock_nougat(tmp_path: Path, stock: ModuleType, kind: str, dpi: int) -> None:
    path = write(tmp_path, PDFS[kind]())

    expected = [Image.open(page).convert("RGB") for page in stock.rasterize_paper(Path(path), dpi=dpi, return_pil=True)]

    assert expected
    for number, image in enumerate(expected, start=1):
        rendered = render_page(path, number, dpi).image()
        assert rendered.mode == "RGB"
        assert rendered.size == image.size
        assert ImageChops.difference(rendered, image).getbbox() is None


def test_a_page_is_not_blank_and_its_size_follows_the_resolution(tmp_path: Path) -> None:
    page = render_page(write(tmp_path, BOOK), 1, 144)

    assert (page.width, page.height, len(page.rgb)) == (840, 1190, 840 * 1190 * 3)
    assert page.image().convert("L").getextrema() == (0, 255)


def test_pages_in_any_order_and_through_children_are_the_same(tmp_path: Path) -> None:
    path = write(tmp_path, BOOK)
    jobs = [(path, number) for number in (3, 1, 2, 1)]

    expected = [render_page(*job) for job in jobs]

    assert [answer.value for answer in in_children(render_job, jobs, workers=2)] == expected


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often PDFium opens and closes a document, beginning with none open."""
    open_document.close()
    counted: Counter[str] = Counter()

    def count(name: str) -> None:
        function = getattr(pdfium, name)

        def counting(*arguments: Any) -> Any:
            counted[name] += 1
            return function(*arguments)

        monkeypatch.setattr(pdfium, name, counting)

    count("FPDF_LoadDocument")
    count("FPDF_CloseDocument")
    return counted


def copies(folder: Path, count: int) -> list[str]:
    paths = [folder / f"{number}.pdf" for number in range(count)]
    for path in paths:
        path.write_bytes(BOOK)
    return [str(path) for path in paths]


def test_documents_stay_open_for_the_next_pages_of_a_few_books(tmp_path: Path, calls: Counter[str]) -> None:
    paths = copies(tmp_path, OPEN_DOCUMENTS)

    for page in (1, 2, 3):
        for path in paths:
            render_page(path, page)

    assert calls == {"FPDF_LoadDocument": OPEN_DOCUMENTS}


def test_a_document_is_closed_when_others_took_its_place(tmp_path: Path, calls: Counter[str]) -> None:
    first, *others = copies(tmp_path, OPEN_DOCUMENTS + 2)

    render_page(first, 1)
    for path in others:
        render_page(first, 2)  # used again and again, so it is never the one that gives way
        render_page(path, 1)

    assert calls == {"FPDF_LoadDocument": OPEN_DOCUMENTS + 2, "FPDF_CloseDocument": 2}
    render_page(first, 3)
    assert calls["FPDF_LoadDocument"] == OPEN_DOCUMENTS + 2


def test_a_document_that_is_of_no_use_is_closed(tmp_path: Path, calls: Counter[str]) -> None:
    path = write(tmp_path, pdfs.without_pages())

    for _ in range(2):
        with pytest.raises(RenderError, match="the PDF has no page"):
            render_page(path, 1)

    assert calls == {"FPDF_LoadDocument": 2, "FPDF_CloseDocument": 2}


@pytest.mark.parametrize("page", [0, -1, 4])
def test_a_page_that_the_book_has_not_is_an_error(tmp_path: Path, page: int) -> None:
    with pytest.raises(RenderError, match=f"page {page}: not one of 3 pages"):
        render_page(write(tmp_path, BOOK), page)


def test_a_page_that_is_promised_and_missing_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, pdfs.with_missing_page())

    with pytest.raises(RenderError, match="page 2: Failed to load page"):
        render_page(path, 2)
    assert render_page(path, 1).width == 400


def test_a_page_that_never_ends_costs_itself_alone(tmp_path: Path) -> None:
    path = write(tmp_path, pdfs.with_endless_page(BOOK))

    endless, next_page = in_children(render_job, [(path, 1), (path, 2)], workers=1, time_limit_seconds=3.0)

    assert endless.reason == Reason.TIME_LIMIT
    assert next_page.value.image().getextrema() != ((255, 255),) * 3


def test_a_page_of_ten_thousand_inches_is_an_error_and_takes_no_memory(tmp_path: Path) -> None:
    content = pdfs.saved(pdfs.blank([(720_000, 720_000)]))

    with pytest.raises(RenderError, match="720000 x 720000 points are too many pixels"):
        render_page(write(tmp_path, content), 1)


def test_the_largest_image_is_the_largest_that_stock_nougat_can_open() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None
    assert MAX_PIXELS == 2 * Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"%PDF-1.7 and nothing more", "not readable as a PDF"),
        (pdfs.truncated(BOOK), "not readable as a PDF"),
        (pdfs.encrypted(BOOK, user_password="secret"), "the PDF wants a password"),
        (pdfs.without_pages(), "the PDF has no page"),
    ],
)
def test_a_pdf_that_does_not_open_is_an_error_with_the_reason(tmp_path: Path, content: bytes, detail: str) -> None:
    with pytest.raises(RenderError, match=detail):
        render_page(write(tmp_path, content), 1)


def test_a_missing_file_is_no_fault_of_the_pdf(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        render_page(str(tmp_path / "none.pdf"), 1)


def test_an_error_crosses_from_the_child_with_its_text(tmp_path: Path) -> None:
    answers: list[Any] = list(in_children(render_job, [(write(tmp_path, BOOK), 9)], workers=1))

    assert isinstance(answers[0].error, RenderError)
    assert answers[0].detail == "RenderError: page 9: not one of 3 pages"
