"""RapidOCR as an engine: real pages are read offline, in reading order, in paragraphs."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pagemill.errors import UserError
from pagemill.ocr import rapid
from pagemill.ocr.agreement import agreement
from pagemill.ocr.checkpoint import Checkpoint
from pagemill.ocr.engine import Engine, PageInput, finisher_for, load_engine, preparer_for
from pagemill.ocr.rapid import Line, text_of
from pagemill.pages.document import text_layer
from pagemill.pages.render import render_page
from pagemill.records import Reason, Status
from tests import pdfs

NONE = Checkpoint(Path("/nowhere"), "", "", "", {})  # RapidOCR needs no checkpoint

STORY = "The mill stood where the river bent, and nobody could say how long its wheel had turned in the dark water."
COLUMNS = f"""
#set page(width: 595pt, height: 420pt)
#align(center, text(size: 18pt)[The proceedings of a learned society])
#v(1em)
#columns(2)[
{STORY} {STORY}
#colbreak()
When the autumn rain came down from the hills, the keeper opened every gate and listened to the timbers. {STORY}
]
"""


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_engine("rapidocr", NONE, "cpu", threads=1)


def read(engine: Engine, path: Path, page: int = 1, dpi: int = 96):
    pixels = preparer_for("rapidocr", NONE)(render_page(str(path), page, dpi).image())
    engine.admit([PageInput(page, pixels)])
    (draft,) = engine.step()
    assert draft.key == page
    return finisher_for("rapidocr", NONE)(draft)


def test_pages_of_a_book_agree_with_their_text_layer(engine, demo_pdf):
    for page in (1, 2, 3):
        found = read(engine, demo_pdf, page)
        assert found.status is Status.OK
        assert found.tokens == sum(not character.isspace() for character in found.text)
        score = agreement(found.text, text_layer(str(demo_pdf), page))
        assert score is None or score >= 0.98


@pytest.fixture
def columns(tmp_path):
    path = tmp_path / "columns.pdf"
    path.write_bytes(pdfs.typeset(COLUMNS))
    return path


def test_columns_are_read_one_after_the_other(engine, columns):
    text = read(engine, columns, dpi=144).text
    head, *body = text.split("\n\n")
    assert head == "The proceedings of a learned society"
    assert " ".join(body).index("in the dark water.") < " ".join(body).index("When the autumn rain")
    assert agreement(text, text_layer(str(columns), 1)) >= 0.95


def test_paragraphs_and_broken_words(engine, tmp_path):
    path = tmp_path / "paragraphs.pdf"
    path.write_bytes(
        pdfs.book([f"#set text(hyphenate: true)\n#set par(justify: true)\n{STORY} {STORY}\n\n{STORY} {STORY}"])
    )
    paragraphs = read(engine, path, dpi=144).text.split("\n\n")
    assert len(paragraphs) == 2
    assert [agreement(paragraph, f"{STORY} {STORY}") >= 0.95 for paragraph in paragraphs] == [True, True]
    assert "- " not in "".join(paragraphs)


def test_a_page_without_ink_is_not_for_the_engine():
    prepare = preparer_for("rapidocr", NONE)
    assert prepare(Image.new("RGB", (400, 600), "white")) is None
    assert prepare(Image.new("L", (400, 600), 17)) is None


def test_a_page_of_ink_without_text_is_empty(engine):
    drawing = Image.new("RGB", (400, 600), "white")
    drawing.paste((0, 0, 0), (100, 200, 300, 400))
    engine.admit([PageInput("drawing", preparer_for("rapidocr", NONE)(drawing))])
    (draft,) = engine.step()
    assert (draft.text, draft.tokens, draft.status, draft.reason) == ("", 0, Status.EMPTY, Reason.NO_TEXT)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK"])
def test_images_of_every_mode_become_colours_of_eight_bits(mode):
    page = Image.new("L", (300, 200), 255)
    page.paste(0, (50, 50, 90, 60))
    pixels = preparer_for("rapidocr", NONE)(page.convert("RGB").convert(mode))
    assert (pixels.dtype, pixels.shape) == (np.uint8, (200, 300, 3))
    assert pixels[55, 60].max() < 60
    assert pixels[150, 150].min() == 255


def test_a_margin_is_white_and_a_poster_is_made_smaller():
    page = Image.new("RGB", (300, 200), "white")
    page.paste((0, 0, 0), (0, 0, 300, 20))
    assert preparer_for("rapidocr", NONE)(page, 0.1).shape == (240, 340, 3)
    assert preparer_for("rapidocr", NONE)(page.resize((9000, 6000))).shape == (1333, 2000, 3)


def test_an_image_without_pixels_is_refused():
    with pytest.raises(ValueError, match="without pixels"):
        preparer_for("rapidocr", NONE)(Image.new("RGB", (0, 5)))


def test_pages_are_read_one_a_step_and_can_be_dropped(engine, demo_pdf):
    pixels = preparer_for("rapidocr", NONE)(render_page(str(demo_pdf), 1).image())
    engine.admit([PageInput(key, pixels) for key in "abc"])
    assert [draft.key for draft in engine.step()] == ["a"]
    engine.drop()
    assert engine.step() == []
    assert (engine.name, engine.default_batch_size) == ("rapidocr", 1)


def test_what_goes_to_children_can_be_pickled():
    for each in (preparer_for("rapidocr", NONE), finisher_for("rapidocr", NONE)):
        assert type(pickle.loads(pickle.dumps(each))) is type(each)


def test_without_the_package_the_user_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(UserError, match=r"rapidocr is not installed; pip install 'pagemill\[rapidocr\]'"):
        load_engine("rapidocr", NONE)


OFFLINE = """
import json, socket, sys
def refuse(*arguments, **settings):
    raise AssertionError("the network was asked")
socket.socket.connect = socket.getaddrinfo = refuse
import pagemill.ocr.rapid as rapid
light = [name for name in ("cv2", "onnxruntime", "rapidocr", "torch") if name in sys.modules]
engine = rapid.load(None, threads=1)
from PIL import Image, ImageDraw
from pagemill.ocr.engine import PageInput
page = Image.new("RGB", (400, 100), "white")
ImageDraw.Draw(page).text((20, 30), "Hello mill", fill="black", font_size=32)
engine.admit([PageInput(0, rapid.preparer(None)(page))])
print(json.dumps([light, engine.step()[0].text]))
"""


def test_it_reads_without_a_network_and_loads_nothing_before_it_must():
    done = subprocess.run([sys.executable, "-c", OFFLINE], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], "Hello mill"]
    assert done.stderr == ""


def row(top: float, *pieces: tuple[float, float, str]) -> list[Line]:
    return [Line(left, top, right, top + 10, text) for left, right, text in pieces]


def test_what_stands_beside_one_another_is_one_line():
    assert text_of(row(0, (300, 310, "7")) + row(2, (0, 200, "Running head"))) == "Running head 7"


def test_a_list_of_contents_is_read_across():
    lines = [piece for n in range(5) for piece in row(12 * n, (0, 100, f"Chapter {n}"), (300, 310, f"{n}0"))]
    assert text_of(lines) == " ".join(f"Chapter {n} {n}0" for n in range(5))


def test_columns_below_a_wide_title():
    body = [piece for n in range(4) for piece in row(40 + 12 * n, (0, 100, f"left {n}"), (130, 230, f"right {n}"))]
    paragraphs = text_of(row(0, (20, 210, "Title")) + body).split("\n\n")
    assert paragraphs == ["Title", "left 0 left 1 left 2 left 3", "right 0 right 1 right 2 right 3"]


@pytest.mark.parametrize(
    ("first", "second", "joined"),
    [
        ("a conversa-", "tion", "a conversation"),
        ("the Anglo-", "Saxons", "the Anglo- Saxons"),
        ("pages 3-", "4", "pages 3- 4"),
        ("he said -", "nothing", "he said - nothing"),
        ("-", "x", "- x"),
    ],
)
def test_only_a_broken_word_loses_its_hyphen(first, second, joined):
    assert text_of(row(0, (0, 100, first)) + row(12, (0, 100, second))) == joined


def test_no_lines_no_text():
    assert text_of([]) == ""


positions = st.floats(0, 2000, allow_nan=False)
boxes = st.builds(
    lambda left, top, width, height: (left, top, left + width, top + height),
    positions,
    positions,
    st.floats(0, 500),
    st.floats(0, 60),
)


@settings(max_examples=100)
@given(st.lists(boxes, max_size=40))
def test_every_piece_is_read_once_wherever_it_stands(places):
    lines = [Line(*place, text=f"w{number}") for number, place in enumerate(places)]
    assert sorted(text_of(lines).split()) == sorted(line.text for line in lines)


def test_a_page_full_of_pieces_is_no_burden():
    lines = [piece for n in range(1000) for piece in row(25 * n, (0, 10, f"{n}"))]
    assert text_of(lines).split("\n\n") == [f"{n}" for n in range(1000)]


def test_its_limits_are_those_of_the_package():
    import rapidocr

    limit = rapidocr.main.ParseParams.load(rapidocr.main.DEFAULT_CFG_PATH).Global.max_side_len
    assert limit == rapid.MAX_SIDE_PIXELS
