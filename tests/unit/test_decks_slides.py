"""Decks become slides: a picture and a text each, also where a page has no text or cannot be rendered."""

import os
import runpy
from pathlib import Path

import pikepdf
import pytest

from pagemill.children import Answer
from pagemill.decks.records import Reason, TextSource
from pagemill.decks.slide_reading import ReadSlide, SlideOrder, fitting_dpi
from pagemill.decks.slides import KEEPER, SlideParameters, add_deck, keep_slide, read_slides, slides_key
from pagemill.errors import UserError
from pagemill.pages.document import text_layer
from pagemill.records import Reason as ChildReason
from pagemill.storage import Store
from tests import pdfs
from tests.decks import FOLDER, HEALTH, NO_OCR, PARCELS, prepared, sample, truth_of, written


def test_a_slide_without_text_is_read_by_ocr_and_the_others_keep_their_own_text(store: Store, tmp_path: Path) -> None:
    health = truth_of(HEALTH)
    with pikepdf.open(sample_path(store)) as pdf:
        for number in range(len(pdf.pages), 0, -1):
            if number not in (1, health["picture_slide"]):
                del pdf.pages[number - 1]
        pdf.save(tmp_path / "two.pdf")

    cover, team = read_slides(add_deck(tmp_path / "two.pdf", store), store, SlideParameters(dpi=96)).slides

    assert (cover.source, cover.text.splitlines()[0]) == (TextSource.LAYER, "Orrivane Health")
    assert team.source is TextSource.OCR
    assert [line for line in team.text.split("\n\n") if line != "Team"] == health["picture_text"]


def sample_path(store: Store) -> str:
    return store.path(sample(HEALTH, store).pdf)


def test_a_sample_deck_has_a_picture_of_every_slide(store: Store) -> None:
    slides = read_slides(prepared(HEALTH, store), store, NO_OCR).slides
    assert [slide.number for slide in slides] == list(range(1, 11))
    assert {slide.reason for slide in slides} == {None}
    assert all(store.read_bytes(slide.picture).startswith(b"\xff\xd8") for slide in slides)


def test_slides_are_read_once_and_again_when_a_picture_is_lost(store: Store, tmp_path: Path) -> None:
    deck = written(["One slide of words that all can read"], tmp_path, store)
    first = read_slides(deck, store, NO_OCR)
    (slide,) = first.slides
    assert read_slides(deck, store, NO_OCR) == first  # with its seconds: nothing was done

    store.delete(slide.picture)
    assert read_slides(deck, store, NO_OCR).slides == first.slides
    assert store.exists(slide.picture)


def test_a_slide_that_cannot_be_rendered_is_a_row_with_its_reason(store: Store, tmp_path: Path) -> None:
    (tmp_path / "odd.pdf").write_bytes(pdfs.saved(pdfs.blank([(320, 180), (1e9, 1e9), (320, 180)])))
    slides = read_slides(add_deck(tmp_path / "odd.pdf", store), store, NO_OCR).slides
    assert [slide.reason for slide in slides] == [None, Reason.RENDER_FAILED, None]
    assert [bool(slide.picture_sha256) for slide in slides] == [True, False, True]
    assert "too many pixels" in slides[1].detail


@pytest.mark.parametrize(
    ("ended", "reason"),
    [(ChildReason.TIME_LIMIT, Reason.TIME_LIMIT), (ChildReason.CRASHED, Reason.CRASHED), (None, Reason.RENDER_FAILED)],
)
def test_a_slide_that_its_reader_did_not_survive_is_a_row(ended: ChildReason, reason: Reason, store: Store) -> None:
    order = SlideOrder("", 4, dpi=96, max_pixels=1, with_ocr=False)
    error = None if ended else MemoryError()
    slide = keep_slide(Answer(order, 1.0, error=error, reason=ended, detail="killed"), store)
    assert (slide.number, slide.reason, slide.detail) == (4, reason, "killed")


def test_the_page_that_does_not_exist_has_no_picture_and_a_detail(tmp_path: Path) -> None:
    path = tmp_path / "one.pdf"
    path.write_bytes(pdfs.saved(pdfs.blank()))
    read = ReadSlide()(SlideOrder(str(path), 7, dpi=96, max_pixels=100_000, with_ocr=False))
    assert (read.jpeg, bool(read.detail)) == (b"", True)


@pytest.mark.parametrize("name", [HEALTH, PARCELS])
def test_the_shipped_decks_say_what_their_sources_say(name: str, tmp_path: Path) -> None:
    made = tmp_path / "made.pdf"
    made.write_bytes(runpy.run_path(str(FOLDER / "make_decks.py"))["make_deck"](name))
    for number in range(1, len(truth_of(name)["slides"]) + 1):
        assert text_layer(str(made), number) == text_layer(str(FOLDER / f"{name}.pdf"), number)


@pytest.mark.parametrize(
    ("width_points", "height_points", "dpi"),
    [(960, 540, 150), (720, 405, 150), (1920, 1080, 77), (14_400, 14_400, 7), (1, 1, 150)],
)
def test_large_sheets_are_rendered_at_fewer_dots_per_inch(width_points: int, height_points: int, dpi: int) -> None:
    order = SlideOrder("", 1, dpi=150, max_pixels=2_400_000, with_ocr=False)
    assert fitting_dpi(width_points, height_points, order) == dpi
    assert (width_points * dpi / 72) * (height_points * dpi / 72) <= order.max_pixels


def test_what_decides_slides_is_in_their_key(store: Store) -> None:
    deck = sample(HEALTH, store)
    keys = {
        slides_key(deck, SlideParameters(**changed))
        for changed in ({}, {"dpi": 96}, {"max_pixels": 1_000_000}, {"ocr": False}, {"slide_limit_seconds": 9.0})
    }
    assert len(keys) == 4  # a time limit decides nothing
    assert KEEPER.name(min(keys)).startswith("decks/slides/")


def test_what_is_no_deck_is_refused_with_its_mend(store: Store, tmp_path: Path) -> None:
    (tmp_path / "notes.pdf").write_bytes(b"not set in type")
    with pytest.raises(UserError, match=r"notes\.pdf: is not a PDF; export the deck as PDF"):
        add_deck(tmp_path / "notes.pdf", store)
    with pytest.raises(UserError, match=r"missing\.pdf: No such file"):
        add_deck(tmp_path / "missing.pdf", store)


def test_a_file_whose_name_is_no_text_gets_one(store: Store, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.pdf")
    path.write_bytes(b"%PDF-1.7")
    assert add_deck(path, store).name == "caf\ufffd.pdf"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"%PDF-1.7\n" + b"torn" * 50, "not readable as a PDF"),
        (pdfs.saved(pdfs.blank(), pikepdf.Encryption(owner="o", user="u")), "wants a password"),
    ],
)
def test_a_deck_that_does_not_open_is_a_user_error(content: bytes, says: str, store: Store, tmp_path: Path) -> None:
    (tmp_path / "deck.pdf").write_bytes(content)
    with pytest.raises(UserError, match=says):
        read_slides(add_deck(tmp_path / "deck.pdf", store), store, NO_OCR)


def test_too_many_slides_are_refused(store: Store, tmp_path: Path) -> None:
    deck = written(["a", "b", "c"], tmp_path, store)
    with pytest.raises(UserError, match="3 slides, more than 2"):
        read_slides(deck, store, SlideParameters(ocr=False, max_slides=2))
