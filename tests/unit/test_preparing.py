"""Preparation for Nougat: bit for bit what the installed package gives its own model, without loading it."""

import importlib
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from pagemill.archives import extract_members
from pagemill.ocr.checkpoint import Checkpoint
from pagemill.ocr.nougat.preparing import INPUT_SIZE, PagePreparer, is_blank
from tests.conftest import DEMO

Pages = list[Image.Image]
Prepare = Callable[[Image.Image], Any]

UPRIGHT, ACROSS, SQUARE = (96, 48), (48, 96), (60, 60)
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16", "RGBX")


@pytest.fixture(scope="module")
def stock() -> Any:
    """The module of stock Nougat that prepares pages."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("nougat.model")


@pytest.fixture(scope="module")
def table(stock: Any) -> np.ndarray[Any, Any]:
    """What stock Nougat's normalisation makes of each of 256 levels in each channel, float32 [3, 256]."""
    levels = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, axis=2)
    return np.asarray(stock.test_transform(levels))[:, 0]


@pytest.fixture(scope="module")
def by_stock(stock: Any) -> Callable[[Image.Image, PagePreparer], Any]:
    """Have stock Nougat prepare an image for an encoder of these dimensions."""

    class Encoder:
        to_tensor = staticmethod(stock.test_transform)
        crop_margin = staticmethod(stock.SwinEncoder.crop_margin)

        def __init__(self, like: PagePreparer) -> None:
            self.input_size, self.align_long_axis = list(like.input_size), like.align_long_axis

    return lambda image, like: stock.SwinEncoder.prepare_input(Encoder(like), image, random_padding=False).numpy()


@pytest.fixture(scope="module")
def demo_pages(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    """Every page of the demo's books that can be opened and is of a common size, as stock Nougat renders it."""
    folder = tmp_path_factory.mktemp("demo")
    extract_members(sorted((DEMO / "samples").glob("*.rar")), folder, passwords=str(DEMO / "passwords.txt"))
    return list(rendered(folder))


def rendered(folder: Path) -> Iterator[Image.Image]:
    for path in sorted(folder.rglob("*.pdf")):
        try:
            document = pypdfium2.PdfDocument(path)
        except pypdfium2.PdfiumError:
            continue
        yield from (page.render(scale=96 / 72).to_pil() for page in document if max(page.get_size()) < 2000)


def same(ours: Any, table: Any, stocks: Any) -> bool:
    assert ours.dtype == np.uint8
    assert ours.flags.c_contiguous
    normalised = np.stack([table[channel][ours[channel]] for channel in range(3)])
    return normalised.shape == stocks.shape and normalised.tobytes() == stocks.tobytes()


def image_of(mode: str, width: int, height: int, seed: int, levels: int) -> Image.Image:
    """Return an image of noise in a mode; few levels make large areas of one colour."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, levels, (height, width, 4)) * (255 // max(1, levels - 1))
    image = Image.fromarray(pixels.astype(np.uint8), "RGBA")
    if mode == "PA":
        return image.convert("LA").convert(mode)
    if mode in ("YCbCr", "LAB", "HSV"):
        return Image.frombytes(mode, (width, height), image.convert("RGB").tobytes())
    if mode in ("I", "F", "I;16"):
        return image.convert("L").convert(mode)
    return image.convert(mode)


# Equality with stock Nougat


@pytest.mark.parametrize("align", [False, True], ids=["as it stands", "long side aligned"])
@pytest.mark.parametrize("input_size", [INPUT_SIZE, (192, 144), ACROSS], ids=str)
def test_the_pages_of_the_demo_are_prepared_as_by_stock_nougat(
    by_stock: Any, table: Any, demo_pages: Pages, input_size: tuple[int, int], align: bool
) -> None:
    prepare = PagePreparer(input_size, align)

    blank = 0
    for image in demo_pages:
        ours = prepare(image)
        if ours is None:
            blank += 1
        else:
            assert same(ours, table, by_stock(image, prepare))

    assert len(demo_pages) > 30
    assert 0 < blank < 5


@given(
    mode=st.sampled_from(MODES),
    width=st.integers(1, 200),
    height=st.integers(1, 200),
    seed=st.integers(0, 1000),
    levels=st.sampled_from([2, 3, 256]),
    input_size=st.sampled_from([UPRIGHT, ACROSS, SQUARE, (896, 672)]),
    align=st.booleans(),
)
@settings(max_examples=150)
def test_any_image_is_prepared_as_by_stock_nougat(
    by_stock, table, mode, width, height, seed, levels, input_size, align
):
    image = image_of(mode, width, height, seed, levels)
    prepare = PagePreparer(input_size, align)
    ours = prepare(image)
    assert is_blank(image.convert("RGB")) if ours is None else same(ours, table, by_stock(image, prepare))


@pytest.mark.parametrize("dark_on_light", [True, False])
@pytest.mark.parametrize("levels", [(0, 255), (0, 200), (60, 61), (120, 255), (30, 90)], ids=str)
def test_ink_is_what_stock_nougat_takes_for_it_at_every_contrast(by_stock, table, levels, dark_on_light):
    ramp = np.linspace(*levels, 40).round().astype(np.uint8)
    picture = np.tile(ramp if dark_on_light else ramp[::-1], (30, 1))
    prepare = PagePreparer(UPRIGHT, align_long_axis=False)
    image = Image.fromarray(picture).convert("RGB")
    ours = prepare(image)
    assert is_blank(image) if ours is None else same(ours, table, by_stock(image, prepare))


# What stock Nougat does not do


def text_page() -> Image.Image:
    image = Image.new("L", (300, 400), 255)
    ImageDraw.Draw(image).text((40, 50), "words on a page", fill=0)
    return image


def speckled(level: float, deviation: float) -> Image.Image:
    """Return an empty sheet as a scanner gives it: of about one gray, a little darker on one side, with noise."""
    noise = np.random.default_rng(3).normal(level, deviation, (800, 600)) + np.linspace(-5, 5, 600)
    return Image.fromarray(noise.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    "image",
    [Image.new("RGB", (600, 800), "white"), Image.new("RGB", (600, 800), "black"), speckled(244, 3), speckled(120, 4)],
    ids=["white", "black", "scanned", "dark scan"],
)
def test_a_page_without_ink_is_not_prepared(image):
    assert PagePreparer(UPRIGHT, align_long_axis=False)(image) is None


@pytest.mark.parametrize("paper", [Image.new("L", (600, 800), "white"), speckled(244, 3)], ids=["white", "scanned"])
def test_a_page_with_a_page_number_alone_is_prepared(paper):
    page = paper.copy()
    ImageDraw.Draw(page).text((300, 760), "7", fill=30, font_size=10)

    assert PagePreparer(UPRIGHT, align_long_axis=False)(page) is not None


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (3, 2), (4, 4)])
def test_an_image_of_a_few_pixels_of_one_colour_is_blank(size):
    assert is_blank(Image.new("RGB", size, "gray"))


def test_a_margin_makes_the_ink_smaller_on_white_ground():
    prepare = PagePreparer(INPUT_SIZE, align_long_axis=False)
    ink = Image.new("RGB", (100, 200), "black")
    ImageDraw.Draw(ink).rectangle((10, 10, 90, 190), fill="white")
    page = Image.new("RGB", (300, 400), "white")
    page.paste(ink, (50, 60))

    plain, widened = prepare(page), prepare(page, margin=0.1)  # 20 pixels on every side of 100 x 200

    assert plain is not None
    assert widened is not None
    np.testing.assert_array_equal(widened, prepare_whole(prepare, page.crop((30, 40, 170, 280))))
    assert (widened == 0).sum() < (plain == 0).sum()


def prepare_whole(prepare: PagePreparer, image: Image.Image) -> Any:
    """Return the image fitted to the input, with no margin cropped."""
    return np.asarray(prepare._fitted(image)).transpose(2, 0, 1)


@pytest.mark.parametrize("margin", [0.0, 0.001])
def test_a_margin_of_less_than_half_a_pixel_changes_nothing(margin):
    prepare = PagePreparer(INPUT_SIZE, align_long_axis=False)
    np.testing.assert_array_equal(prepare(text_page(), margin), prepare(text_page()))


@pytest.mark.parametrize("size", [(0, 0), (0, 10), (10, 0)])
def test_an_image_without_pixels_is_an_error(size):
    with pytest.raises(ValueError, match="takes nothing from an image without pixels"):
        PagePreparer(UPRIGHT, align_long_axis=False)(Image.new("RGB", size))


def test_an_image_file_that_breaks_off_is_an_error(tmp_path):
    path = tmp_path / "page.png"
    text_page().save(path)
    path.write_bytes(path.read_bytes()[:-60])

    with Image.open(path) as image, pytest.raises(ValueError, match="takes nothing from this image: "):
        PagePreparer(UPRIGHT, align_long_axis=False)(image)


# The checkpoint, and the process


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ('{"input_size": [192, 144], "align_long_axis": true}', PagePreparer((192, 144), align_long_axis=True)),
        ('{"model_type": "nougat"}', PagePreparer((896, 672), align_long_axis=False)),
    ],
)
def test_the_dimensions_are_those_of_the_checkpoint(tmp_path, config, expected):
    (tmp_path / "config.json").write_text(config)
    prepare = PagePreparer.of(Checkpoint(tmp_path, "", "", "", {}))
    assert pickle.loads(pickle.dumps(prepare)) == prepare == expected


def test_what_the_configuration_does_not_say_is_as_in_stock_nougat(stock):
    config = stock.NougatConfig()
    assert (tuple(config.input_size), config.align_long_axis) == (INPUT_SIZE, False)


def test_the_preparation_loads_no_model_code():
    code = "import sys, pagemill.ocr.nougat.preparing; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert loaded.isdisjoint({"nougat", "torch", "torchvision", "timm", "transformers", "albumentations", "cv2"})
    assert "PIL" in loaded
