"""Thin pictures: scaled in strips they are, to the bit, what Pillow makes of them in one piece."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pagemill.children import in_children
from pagemill.ocr.nougat import thin
from pagemill.ocr.nougat.preparing import PagePreparer
from pagemill.ocr.nougat.thin import enlarged_thumbnail

PREPARE = PagePreparer((896, 672), align_long_axis=False)
GIGABYTE = 1 << 30


def noise(width: int, height: int, seed: int = 1) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@given(
    short=st.integers(1, 9),
    ratio=st.floats(30, 200),
    upright=st.booleans(),
    side=st.integers(20, 70),
    stretch=st.floats(1, 2),
    strip=st.sampled_from([1, 3_000, 100_000]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_strips_give_what_one_piece_gives(short, ratio, upright, side, stretch, strip, seed):
    long = int(short * ratio)
    enlarged, limit = int(side * long / short), (side, int(side * stretch))
    image = noise(short, long, seed) if upright else noise(long, short, seed)
    large = (side, enlarged) if upright else (enlarged, side)

    whole = enlarged_thumbnail(image, large, limit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thin, "WHOLE_PIXELS", 0)
        patch.setattr(thin, "STRIP_PIXELS", strip)
        stripped = enlarged_thumbnail(image, large, limit)

    assert stripped.size == whole.size
    assert stripped.tobytes() == whole.tobytes()


@pytest.mark.parametrize("size", [(1, 100), (110, 1), (2, 190), (330, 4)], ids=str)
def test_a_line_is_prepared_as_by_pillow_alone(size, monkeypatch):
    in_strips = PREPARE(line_on_a_page(*size))
    monkeypatch.setattr(thin, "WHOLE_PIXELS", 1 << 40)
    whole = PREPARE(line_on_a_page(*size))

    assert in_strips is not None
    assert whole is not None
    np.testing.assert_array_equal(in_strips, whole)


def line_on_a_page(width: int, height: int) -> Image.Image:
    page = Image.new("RGB", (max(width, 40) + 40, max(height, 40) + 40), "white")
    page.paste(noise(width, height).point(lambda level: level // 2), (20, 20))
    return page


def prepared_line(size: tuple[int, int]) -> tuple[int, ...]:
    pixels = PREPARE(line_on_a_page(*size))
    assert pixels is not None
    return pixels.shape


def test_a_line_across_a_large_page_takes_little_memory():
    """Enlarged it would have 470,400 by 672 pixels of 4 bytes, 1.3 GB."""
    (answer,) = in_children(prepared_line, [(700, 1)], workers=1, memory_limit_bytes=GIGABYTE)

    assert answer.value == (3, 896, 672)
