"""Before the model: a page is rendered and prepared in a child, unless it is blank or in another language."""

# ruff: noqa: RUF001  the letters of other scripts are meant

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pagemill.children import in_children
from pagemill.ocr import feeding
from pagemill.ocr.checkpoint import Checkpoint
from pagemill.ocr.engine import PageOrder, Prepared, Rendering, preparer_for
from pagemill.ocr.feeding import GATE_LETTERS, PreparePage, is_in_another_language, render_workers_for, text_layers
from pagemill.pages.render import RenderError, render_page
from pagemill.records import Reason
from tests import pdfs
from tests.conftest import DEMO

ENGLISH = (
    "The boiling point of water depends on the pressure of the air above it, and falls as one climbs a mountain. "
    "A careful observer, who carries a thermometer with him, may tell from it alone how high he stands above the sea, "
    "for at every thousand feet it falls by nearly two degrees."
)
GERMAN = (
    "Der Siedepunkt des Wassers hängt vom Druck der Luft ab und sinkt, wenn man auf einen Berg steigt. Wer ein "
    "Thermometer bei sich trägt und es sorgfältig abliest, kann daraus allein erkennen, wie hoch er über dem Meere "
    "steht, denn auf je dreihundert Meter fällt er um beinahe einen Grad."
)
BOOK = pdfs.book([ENGLISH, GERMAN, "", "#rect(width: 100%, height: 100%, fill: navy)", "= Siedepunkt"])
EN, DE, BLANK, PLATE, HEADING = range(1, 6)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return Checkpoint(DEMO / "checkpoint", "0" * 64, "demo", "Apache-2.0", {})


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("books") / "book.pdf"
    path.write_bytes(BOOK)
    return str(path)


def arrived(prepare: PreparePage) -> PreparePage:
    """Return the object as it arrives in a child."""
    copy: PreparePage = pickle.loads(pickle.dumps(prepare))
    return copy


@pytest.fixture(scope="module")
def prepare(checkpoint: Checkpoint) -> Callable[..., Prepared]:
    def prepared(path: str, page: int, *rendering: Rendering, languages: tuple[str, ...] = ()) -> Prepared:
        return arrived(PreparePage("nougat", checkpoint, languages))(PageOrder("sha", page, path, *rendering))

    return prepared


# Pixels


def test_a_page_comes_out_as_the_engine_wants_it_with_what_is_known_of_it(checkpoint, prepare, book):
    page = prepare(book, EN)

    np.testing.assert_array_equal(page.pixels, preparer_for("nougat", checkpoint)(render_page(book, EN).image()))
    assert page.reason is None
    assert " ".join(page.text_layer.split()) == ENGLISH
    assert 50 < page.expected_tokens < 100
    assert not page.likely_loop


def test_another_rendering_shows_the_model_another_picture(prepare, book):
    renderings = [Rendering(), Rendering(dpi=72), Rendering(dpi=120), Rendering(margin=0.05), Rendering(120, 0.05)]
    pictures = {prepare(book, EN, rendering).pixels.tobytes() for rendering in renderings}
    assert len(pictures) == len(renderings)


def test_a_blank_page_has_no_pixels_and_a_reason(prepare, book):
    assert prepare(book, BLANK) == Prepared(None, Reason.BLANK_PAGE)


def test_a_plate_is_likely_to_loop(prepare, book):
    assert prepare(book, PLATE).likely_loop


def test_children_prepare_what_this_process_does(checkpoint, prepare, book):
    orders = [PageOrder("sha", page, book) for page in (EN, DE, HEADING)]

    answers = list(in_children(PreparePage("nougat", checkpoint), orders, workers=1))

    for order, answer in zip(orders, answers, strict=True):
        expected = prepare(book, order.page)
        np.testing.assert_array_equal(answer.value.pixels, expected.pixels)
        assert answer.value.text_layer == expected.text_layer


def test_the_parent_does_not_load_what_the_child_needs(checkpoint):
    assert PreparePage("nougat", checkpoint).prepare is None
    assert arrived(PreparePage("nougat", checkpoint)).prepare is not None


def test_a_page_that_cannot_be_rendered_is_an_error(prepare, book):
    with pytest.raises(RenderError, match="page 9: not one of 5 pages"):
        prepare(book, 9)


def test_a_missing_file_is_an_error(prepare, tmp_path):
    with pytest.raises(FileNotFoundError):
        prepare(str(tmp_path / "none.pdf"), 1)


# Languages


def test_a_page_in_another_language_is_not_rendered(prepare, book, monkeypatch):
    monkeypatch.setattr(feeding, "render_page", None)
    page = prepare(book, DE, languages=("en", "fr"))
    assert (page.pixels, page.reason) == (None, Reason.OTHER_LANGUAGE)
    assert " ".join(page.text_layer.split()) == GERMAN


@pytest.mark.parametrize(
    ("page", "languages"),
    [(EN, ("en",)), (EN, ()), (DE, ()), (DE, ("en", "de")), (HEADING, ("en",)), (PLATE, ("en",))],
)
def test_a_page_that_may_be_in_the_language_is_prepared(prepare, book, page, languages):
    assert prepare(book, page, languages=languages).reason is not Reason.OTHER_LANGUAGE


@pytest.mark.parametrize(
    ("text", "other"),
    [
        (GERMAN, True),
        (ENGLISH, False),
        ("", False),
        (GERMAN[:GATE_LETTERS], False),
        (f"{ENGLISH} {GERMAN}", False),
        ("x = 3 y + 4 z, f(x) = sin x cos y, " * 20, False),
        ("".join(chr(ord(c) + 1) if c.isascii() and c.isalpha() else c for c in ENGLISH), False),
        (GERMAN.replace("e", "\ue000"), False),
        ("水的沸点取决于空气的压力，随着海拔的升高而降低。" * 10, True),
        ("Точка кипения воды зависит от давления воздуха над нею и падает, когда мы поднимаемся в гору. " * 3, True),
    ],
    ids=[
        "german",
        "english",
        "no text",
        "too short",
        "half and half",
        "formulas",
        "letters shifted by a bad font",
        "letters without a name",
        "chinese",
        "russian",
    ],
)
def test_only_a_page_surely_in_another_language_is_kept_back(text, other):
    assert is_in_another_language(text, ("en",)) is other


# Text layers


def test_text_layers_come_in_order_and_are_empty_where_there_is_none(book, tmp_path):
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"no PDF")
    orders = [PageOrder("sha", *place) for place in [(HEADING, book), (BLANK, book), (1, str(broken)), (9, book)]]

    assert list(text_layers(orders, time_limit_seconds=60.0)) == ["Siedepunkt", "", "", ""]


def test_a_page_whose_text_layer_cannot_be_had_has_none(prepare, book, monkeypatch):
    monkeypatch.setattr(feeding, "text_layer", _no_text_layer)
    page = prepare(book, EN)
    assert page.pixels is not None
    assert page.text_layer == ""
    assert page.expected_tokens > 0


def _no_text_layer(path: str, page: int) -> str:
    from pagemill.pages.document import PdfFault

    raise PdfFault(Reason.BROKEN_PDF, f"{Path(path).name}, page {page}")


# Children


@pytest.mark.parametrize(
    ("device", "workers", "gpu", "cpus", "children"),
    [
        ("cpu", 1, True, 64, 1),
        ("auto", 1, False, 64, 1),
        ("cuda", 1, True, 12, 6),
        ("cuda:1", 2, True, 12, 3),
        ("auto", 8, True, 12, 1),
        ("auto", 1, True, 1, 1),
        ("auto", 1, True, 96, 8),
    ],
)
def test_a_gpu_gets_a_share_of_half_the_cpus(monkeypatch, tmp_path, device, workers, gpu, cpus, children):
    monkeypatch.setattr(feeding, "NVIDIA_DRIVER", tmp_path if gpu else tmp_path / "none")
    monkeypatch.setattr(feeding, "cpu_count", lambda: cpus)
    assert render_workers_for(device, workers) == children
