"""Before a page is read: how long its text will be, roughly, and whether the model is likely to loop on it."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from pagemill.ocr.foresight import PRINT_INK_SHARE, expected_tokens, ink_share, is_good_text, likely_loop
from tests.conftest import DEMO

PROSE = (
    "Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do:\n"
    "once or twice she had peeped into the book her sister was reading, but it had no pictures or conversations\n"
    "in it, and what is the use of a book, thought Alice, without pictures or conversations? So she was\n"
    "considering in her own mind, as well as she could, for the hot day made her feel very sleepy and stupid,\n"
    "whether the pleasure of making a daisy-chain would be worth the trouble of getting up and picking the daisies."
)
A5_SQUARE_INCHES = 48.0
PRINT_INK = 0.03


def page(*boxes: tuple[int, int, int, int], ground: int = 255, ink: int = 0) -> Image.Image:
    """Return a page of 100 by 100 pixels with filled rectangles."""
    image = Image.new("L", (100, 100), ground)
    for box in boxes:
        ImageDraw.Draw(image).rectangle(box, fill=ink)
    return image


# Ink


@pytest.mark.parametrize(
    ("image", "share"),
    [
        (page((0, 0, 9, 9)), 0.01),
        (page((0, 0, 99, 9), (0, 50, 99, 59)), 0.2),
        (page((0, 0, 9, 9), ground=0, ink=255), 0.01),
        (page((0, 0, 9, 9), ground=180, ink=60), 0.01),
        (page((0, 0, 9, 9)).convert("RGB"), 0.01),
        (page(), 0.0),
        (page(ground=0), 0.0),
    ],
    ids=["print", "bars", "light on dark", "faded", "colour", "empty", "black"],
)
def test_ink_is_what_stands_out_from_the_ground(image, share):
    assert ink_share(image) == pytest.approx(share)


@given(st.integers(1, 40), st.integers(1, 40), st.randoms())
def test_ink_is_a_share_of_at_most_a_half(width, height, random):
    assert 0 <= ink_share(Image.frombytes("L", (width, height), random.randbytes(width * height))) <= 0.5


# Length


def test_a_text_layer_tells_how_long_the_text_is_whatever_the_ink():
    lengths = {expected_tokens(PROSE, ink, A5_SQUARE_INCHES) for ink in (0.0, PRINT_INK, 0.5)}
    assert lengths == {round(len(PROSE) / 3.5)}


def test_a_page_twice_as_long_takes_twice_as_many_tokens():
    assert expected_tokens(PROSE * 2, 0, 0) == pytest.approx(2 * expected_tokens(PROSE, 0, 0), abs=1)


def test_a_scan_is_judged_by_its_ink_and_size():
    a5, a4 = (expected_tokens("", PRINT_INK, square_inches) for square_inches in (48.0, 96.0))
    assert a5 == round(PRINT_INK * 48 * 500 / 3.5)
    assert a4 == pytest.approx(2 * a5, abs=1)


def test_the_ink_of_a_page_of_prose_tells_about_as_much_as_its_text_layer():
    """Page 3 of the sample book `origin`: 491 characters of text, 3.8 % ink on 4.33 by 6.5 inches."""
    by_ink = expected_tokens("", 0.038, 4.33 * 6.5)
    by_text = expected_tokens("x" * 491, 0, 0)
    assert 0.7 < by_ink / by_text < 1.4


def test_a_picture_does_not_pass_for_a_page_that_is_black_with_print():
    picture = expected_tokens("", 0.45, A5_SQUARE_INCHES)
    assert picture == expected_tokens("", PRINT_INK_SHARE, A5_SQUARE_INCHES)


@pytest.mark.parametrize("text", ["", "7", "Scanned by M. 12", "\ue000\ue001" * 200, "\ufffd" * 300])
def test_a_text_layer_that_says_nothing_is_passed_over_for_the_ink(text):
    assert not is_good_text(text)
    assert expected_tokens(text, PRINT_INK, A5_SQUARE_INCHES) == expected_tokens("", PRINT_INK, A5_SQUARE_INCHES)


def test_dot_leaders_are_not_counted_dot_by_dot():
    lines = [f"Chapter {number} {{leader}} {number * 7}" for number in range(1, 20)]
    short, long = ("\n".join(lines).format(leader="." * dots) for dots in (8, 80))
    assert expected_tokens(long, 0, 0) == expected_tokens(short, 0, 0)


@given(st.text(max_size=200), st.floats(0, 0.5), st.floats(0, 1e4))
def test_a_length_is_foretold_for_any_page(text, ink, square_inches):
    assert expected_tokens(text, ink, square_inches) >= 0
    assert likely_loop(text, ink) in (True, False)


# Loops

CONTENTS = {
    "dots": "Contents\nStruggle for Existence ........ 3\nNatural Selection ............ 5",
    "spaced dots": "Contents\nStruggle for Existence . . . . . . 3\nNatural Selection . . . . . . . . 5",
    "ellipses": "Contents\nStruggle for Existence …… 3\nNatural Selection ……… 5",
    "middle dots": "Inhalt\nDer Kampf ······ 3\nDie Auslese ········ 5",
    "rules": "Name ____________\nDate ____________",
    "page numbers": "List of Plates\nI. The White Rabbit\n4\nII. The descendants 7\nIII. The flame of a candle 9",
    "index": "\n".join(f"{word}, {number}, {number + 9}" for number, word in enumerate(PROSE.split()[:40], start=3)),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_a_list_of_contents_is_likely_to_loop(kind):
    assert likely_loop(CONTENTS[kind], PRINT_INK)


@pytest.mark.parametrize("text", ["", "ALICE\nLewis Carroll", "3"])
def test_a_cover_is_likely_to_loop(text):
    assert likely_loop(text, ink=0.3)


def test_a_table_of_the_same_is_likely_to_loop():
    assert likely_loop("\n".join(itertools.repeat("0 0 1 0 0 1 0.5 0 0", 12)), PRINT_INK)


@pytest.mark.parametrize(
    ("text", "ink"),
    [
        (PROSE, PRINT_INK),
        (PROSE, 0.3),
        ("", PRINT_INK),
        ("", 0.0),
        ("ALICE\nLewis Carroll", PRINT_INK),
        (f"NATURAL SELECTION 5\n{PROSE}", PRINT_INK),
        ("He paused... and said: wait.... then went.", PRINT_INK),
        ("On the Origin of Species\n1859", PRINT_INK),
        (PROSE + "\n" + "\n".join(f"x = {n}" for n in range(3)), PRINT_INK),
    ],
    ids=[
        "prose",
        "prose around a picture",
        "scan",
        "empty",
        "title page",
        "running head",
        "ellipses",
        "a year",
        "prose and a few numbers",
    ],
)
def test_other_pages_are_not(text, ink):
    assert not likely_loop(text, ink)


def test_of_the_pages_of_the_sample_books_the_lists_are():
    pages = [json.loads(line) for line in (DEMO / "truth.jsonl").read_text().splitlines()]
    likely = [page["text"].split("\n")[2] for page in pages if likely_loop(page["text"], PRINT_INK)]
    assert likely == ["## Contents", "## Contents", "## Contents", "## List of Plates"]
