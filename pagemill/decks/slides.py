"""Turns a deck into slides: a picture and the text of each page, read once and kept in the store."""

import dataclasses
import os
import threading
import weakref
from pathlib import Path

from pydantic import Field

from pagemill.children import Answer, Crew
from pagemill.decks.keeping import Keeper, ResultLost, load
from pagemill.decks.records import Deck, Reason, Record, Result, Slide, TextSource
from pagemill.decks.slide_reading import ReadSlide, SlideOrder, SlidePixels
from pagemill.errors import UserError
from pagemill.records import Reason as ChildReason
from pagemill.storage import Store, file_sha256

MEMORY_LIMIT_BYTES = 6 << 30  # address space of the child that opens the PDF
SlideAnswer = Answer[SlideOrder, SlidePixels]


class Slides(Result):
    """The slides of a deck, one a page."""

    slides: tuple[Slide, ...]


class SlideParameters(Record):
    """How slides are made."""

    dpi: int = Field(default=150, ge=96, le=150)
    max_pixels: int = Field(default=2_400_000, ge=10_000)  # of a picture; a larger sheet is rendered at fewer dpi
    max_slides: int = Field(default=100, ge=1)
    ocr: bool = True  # read the pictures of slides that have no text layer
    slide_limit_seconds: float = Field(default=60.0, gt=0)


KEEPER = Keeper("slides", 1, Slides)
_reading: "weakref.WeakValueDictionary[str, _Turn]" = weakref.WeakValueDictionary()
_reading_guard = threading.Lock()


class _Turn:
    """Lets one thread at a time read a deck: the others find it read."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


def add_deck(path: Path, store: Store) -> Deck:
    """Put a PDF into the store, if it is not there yet.

    Raises:
        UserError: There is no such file, or it is no PDF.
    """
    try:
        with path.open("rb") as stream:
            begins = stream.read(1024)
    except OSError as error:
        raise UserError(str(path), error.strerror or "cannot be read", "give the path of a PDF") from error
    if b"%PDF-" not in begins:
        raise UserError(str(path), "is not a PDF", "export the deck as PDF")
    deck = Deck(pdf_sha256=file_sha256(path), name=os.fsencode(path.name).decode(errors="replace"))
    if not store.exists(deck.pdf):
        store.write_bytes(deck.pdf, path.read_bytes())
    return deck


def slides_key(deck: Deck, parameters: SlideParameters) -> str:
    """Return the key of a deck's slides; the time limit is no part of it."""
    return KEEPER.key(deck, parameters.model_dump(exclude={"slide_limit_seconds"}))


def read_slides(deck: Deck, store: Store, parameters: SlideParameters | None = None) -> Slides:
    """Return the slides of a deck, reading the PDF only when the store does not have them.

    Args:
        deck: Its PDF is in the store.
        store: Receives the pictures and the list of slides.
        parameters: Resolution, limits, and whether to use OCR.

    Raises:
        UserError: The PDF cannot be opened, has no page or too many, or OCR is wanted and not installed.
    """
    parameters = parameters or SlideParameters()
    key = slides_key(deck, parameters)
    with _reading_guard:
        turn = _reading.setdefault(f"{store.uri} {key}", _Turn())
    with turn.lock:
        if not _is_whole(store, key):
            store.delete(KEEPER.name(key))
        return KEEPER.once(store, key, lambda: Slides(key=key, deck=deck, slides=_read(deck, store, parameters)))


def _is_whole(store: Store, key: str) -> bool:
    """Say whether the store has the slides of a key with all of their pictures."""
    try:
        slides = load(store, KEEPER.name(key), Slides).slides
    except ResultLost:
        return False
    return all(store.exists(slide.picture) for slide in slides if slide.picture_sha256)


def _read(deck: Deck, store: Store, parameters: SlideParameters) -> tuple[Slide, ...]:
    if parameters.ocr:
        from pagemill.ocr.rapid import check_installed

        check_installed()
    if not store.exists(deck.pdf):
        raise UserError(deck.name, f"{deck.pdf} is not in the store", "add the deck again")
    with (
        store.local(deck.pdf) as path,
        Crew(
            ReadSlide(),
            workers=1,
            time_limit_seconds=parameters.slide_limit_seconds,
            memory_limit_bytes=MEMORY_LIMIT_BYTES,
        ) as crew,
    ):
        order = SlideOrder(str(path), 0, parameters.dpi, parameters.max_pixels, with_ocr=parameters.ocr)
        count = _checked_count(deck, crew.submit(order).result(), parameters.max_slides)
        orders = [dataclasses.replace(order, page=number) for number in range(1, count + 1)]
        answers = [crew.submit(each) for each in orders]
        return tuple(keep_slide(answer.result(), store) for answer in answers)


def _checked_count(deck: Deck, answer: SlideAnswer, max_slides: int) -> int:
    """Return the number of slides; raises UserError when the deck cannot be reviewed."""
    if not answer.ok or not answer.value.count:
        detail = answer.value.detail if answer.ok else answer.detail
        raise UserError(deck.name, f"cannot be opened: {detail}", "export the deck as PDF again, without a password")
    if (count := answer.value.count) > max_slides:
        raise UserError(deck.name, f"{count} slides, more than {max_slides}", "split the deck or raise max_slides")
    return count


def keep_slide(answer: SlideAnswer, store: Store) -> Slide:
    """Return the row of a slide, its picture written to the store."""
    number = answer.item.page
    if not answer.ok:
        reasons = {ChildReason.TIME_LIMIT: Reason.TIME_LIMIT, ChildReason.CRASHED: Reason.CRASHED}
        reason = reasons.get(answer.reason, Reason.RENDER_FAILED) if answer.reason else Reason.RENDER_FAILED
        return Slide(number=number, reason=reason, detail=answer.detail)
    read = answer.value
    text = {"text": read.text, "source": read.source if read.text else TextSource.NONE}
    if not read.jpeg:
        return Slide(number=number, reason=Reason.RENDER_FAILED, detail=read.detail, **text)
    slide = Slide(number=number, picture_sha256=read.sha256, width=read.width, height=read.height, **text)
    if not store.exists(slide.picture):
        store.write_bytes(slide.picture, read.jpeg)
    return slide
