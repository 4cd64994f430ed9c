"""Nougat's own preparation of a page, pixel for pixel, without torch and the model around it."""

import dataclasses
import functools
import json

import numpy as np
from PIL import Image, ImageOps

from pagemill.ocr.checkpoint import Checkpoint
from pagemill.ocr.engine import Pixels
from pagemill.ocr.nougat.thin import enlarged_thumbnail

INPUT_SIZE = (896, 672)  # height, width where the configuration is silent, as in nougat.model.NougatConfig
# Of 256 levels after the page's own range was stretched over them: what is darker is ink
# (nougat.model.SwinEncoder.crop_margin).
INK_LEVEL = 200
# A page is blank when the means of its squares of pixels differ less than this, in gray levels of
# 256: a full stop in print makes 36, the noise and shade of a scanner's empty sheet less than 20.
BLANK_CONTRAST = 24
BLANK_SQUARE_PIXELS = 4
WHITE = (255, 255, 255)


@dataclasses.dataclass(frozen=True, slots=True)
class PagePreparer:
    """Makes of a page what `SwinEncoder.prepare_input(image, random_padding=False)` has before it normalises.

    A page without ink is not prepared: stock Nougat shows it to the model, which then writes whatever
    comes to its mind.
    """

    input_size: tuple[int, int]  # height, width in pixels
    align_long_axis: bool

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "PagePreparer":
        """Read what the preparation depends on from the checkpoint's configuration."""
        config = json.loads((checkpoint.path / "config.json").read_text())
        height, width = config.get("input_size", INPUT_SIZE)
        return cls((height, width), config.get("align_long_axis", False))

    def __call__(self, image: Image.Image, margin: float = 0.0) -> Pixels | None:
        """Return uint8 [3, height, width], or None for a page without ink.

        Args:
            image: The page, in any mode.
            margin: A white border around the ink, as a share of its height: with it the model sees the
                same page in another size. At 0 the page is as stock Nougat has it.

        Raises:
            ValueError: When Nougat cannot make an input of the image.
        """
        if not all(image.size):
            raise ValueError("Nougat takes nothing from an image without pixels")
        try:
            image = image.convert("RGB")
        except OSError as error:
            raise ValueError(f"Nougat takes nothing from this image: {error}") from error
        if is_blank(image):
            return None
        image = with_margin(crop_margin(image), margin)
        return np.ascontiguousarray(np.asarray(self._fitted(image)).transpose(2, 0, 1))

    def _fitted(self, image: Image.Image) -> Image.Image:
        """Turn, scale and pad an image to the input's size, by the very calls of `prepare_input`."""
        height, width = self.input_size
        if self.align_long_axis and _lies_across(image, height, width):
            image = image.rotate(-90, Image.Resampling.NEAREST, expand=True)
        image = enlarged_thumbnail(image, _enlarged(image.size, min(self.input_size)), (width, height))
        beside, above = width - image.width, height - image.height
        left, top = beside // 2, above // 2
        return ImageOps.expand(image, (left, top, beside - left, above - top))


def is_blank(image: Image.Image) -> bool:
    """Say whether a page bears no ink: it is all of one colour, but for a scanner's noise."""
    darkest, lightest = image.convert("L").reduce(BLANK_SQUARE_PIXELS).getextrema()
    return int(lightest) - int(darkest) < BLANK_CONTRAST  # type: ignore[arg-type]  # one band has two extremes


def crop_margin(image: Image.Image) -> Image.Image:
    """Cut an RGB image to the rectangle of its ink, as `SwinEncoder.crop_margin` does; one of one colour stays."""
    gray = image.convert("L")
    darkest, lightest = gray.getextrema()
    if darkest == lightest:
        return image
    ink = gray.point(_ink_table(darkest, lightest))
    return image.crop(ink.getbbox())


def with_margin(image: Image.Image, margin: float) -> Image.Image:
    """Return an image with a white border of a share of its height on every side."""
    border = round(margin * image.height)
    return ImageOps.expand(image, border, WHITE) if border else image


@functools.lru_cache(maxsize=64)
def _ink_table(darkest: int, lightest: int) -> list[int]:
    """Return 255 for each gray level that is ink and 0 for the others, by `crop_margin`'s own arithmetic."""
    levels = np.arange(256, dtype=np.float64)
    stretched = (levels - darkest) / (lightest - darkest) * 255
    return [int(level) for level in np.where(stretched < INK_LEVEL, 255, 0)]


def _lies_across(image: Image.Image, height: int, width: int) -> bool:
    return (height > width and image.width > image.height) or (height < width and image.width < image.height)


def _enlarged(size: tuple[int, int], shorter_side: int) -> tuple[int, int]:
    """Return the size that `torchvision.transforms.functional.resize` gives for a length of the shorter side."""
    width, height = size
    longer_side = int(shorter_side * max(size) / min(size))
    return (shorter_side, longer_side) if width <= height else (longer_side, shorter_side)
