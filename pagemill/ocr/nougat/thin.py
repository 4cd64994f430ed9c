"""Scaling of pages that bear no more than a line: Nougat's way through pictures of gigabytes, in strips."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

WHOLE_PIXELS = 1 << 25  # what is scaled in one piece: 100 MB; a page of text has a seventh of it
STRIP_PIXELS = 1 << 20
REDUCING_GAP = 2.0  # the default of PIL.Image.thumbnail
WEIGHT_BITS = 22  # behind the point of a weight, in Pillow's resampling of 8-bit images

Size = tuple[int, int]  # width, height
Integers = npt.NDArray[np.integer[Any]]
Box = tuple[int, int, int, int]


def enlarged_thumbnail(image: Image.Image, large: Size, limit: Size) -> Image.Image:
    """Return `image.resize(large, BILINEAR)` after its `thumbnail(limit)`, to the bit.

    Nougat enlarges what is on a page until its shorter side has the input's, and then makes it small
    enough: a line of one pixel by 900 becomes a picture of 1.6 GB on its way, on a larger page any size.

    Args:
        image: In RGB, with one side that is a few pixels long.
        large: The size that it is enlarged to.
        limit: The largest size of the result.
    """
    if large[0] * large[1] <= WHOLE_PIXELS:
        whole = image.resize(large, Image.Resampling.BILINEAR)
        whole.thumbnail(limit)
        return whole
    size = _fitted(large, limit)
    factors = _factor(large[0], size[0]), _factor(large[1], size[1])
    reduced = Image.new("RGB", (-(-large[0] // factors[0]), -(-large[1] // factors[1])))
    enlarge = _enlarge_in_columns if large[0] > large[1] else _enlarge_in_rows
    for (left, top, *_), strip in enlarge(image, large, factors):
        reduced.paste(strip.reduce(factors), (left // factors[0], top // factors[1]))
    box = (0, 0, large[0] / factors[0], large[1] / factors[1])
    return reduced.resize(size, Image.Resampling.BICUBIC, box)


def _fitted(large: Size, limit: Size) -> Size:
    """Return the size that `PIL.Image.thumbnail` gives."""
    (width, height), aspect = limit, large[0] / large[1]
    if width / height >= aspect:
        return _nearest(height * aspect, lambda n: abs(aspect - n / height)), height
    return width, _nearest(width / aspect, lambda n: abs(aspect - width / n) if n else 0)


def _nearest(side: float, error: Callable[[int], float]) -> int:
    return max(min(math.floor(side), math.ceil(side), key=error), 1)


def _factor(large: int, small: int) -> int:
    """Return by how much Pillow averages a side before it resamples it."""
    return int(large / small / REDUCING_GAP) or 1


def _enlarge_in_columns(image: Image.Image, large: Size, factors: Size) -> Iterator[tuple[Box, Image.Image]]:
    """Yield the enlarged image of something flat in upright strips; Pillow scales lines first, and then columns."""
    width, height = large
    flat = image.resize((width, image.height), Image.Resampling.BILINEAR)
    for left, right in _steps(width, height, factors[0]):
        column = flat.crop((left, 0, right, image.height))
        yield (left, 0, right, height), column.resize((right - left, height), Image.Resampling.BILINEAR)


def _enlarge_in_rows(image: Image.Image, large: Size, factors: Size) -> Iterator[tuple[Box, Image.Image]]:
    """Yield the enlarged image of something upright in flat strips.

    The columns are scaled here, by Pillow's arithmetic (libImaging/Resample.c), for with a part of a
    column to scale Pillow would round its place to single precision.
    """
    width, height = large
    lines = np.asarray(image.resize((width, image.height), Image.Resampling.BILINEAR)).astype(np.int32)
    for top, bottom in _steps(height, width, factors[1]):
        (above, below), (weight_above, weight_below) = _bilinear(np.arange(top, bottom), image.height, height)
        mixed = lines[above] * weight_above[:, None, None]
        mixed += lines[below] * weight_below[:, None, None]
        mixed += 1 << (WEIGHT_BITS - 1)
        mixed >>= WEIGHT_BITS
        yield (0, top, width, bottom), Image.fromarray(mixed.astype(np.uint8))


def _bilinear(places: Integers, source: int, target: int) -> tuple[list[Integers], list[Integers]]:
    """Return which two pixels of a line of `source` make those at `places` of a longer one, and their weights."""
    centre = (places + 0.5) * (source / target)
    first = np.maximum((centre - 0.5).astype(np.int64), 0)
    end = np.minimum((centre + 1.5).astype(np.int64), source)
    taps = [first, first + 1]
    weights = [np.where(tap < end, np.maximum(1 - abs(tap - centre + 0.5), 0), 0) for tap in taps]
    total = weights[0] + weights[1]
    fixed = [(0.5 + weight / total * (1 << WEIGHT_BITS)).astype(np.int32) for weight in weights]
    return [np.minimum(tap, source - 1) for tap in taps], fixed


def _steps(length: int, breadth: int, factor: int) -> Iterator[tuple[int, int]]:
    """Cut a length into strips of about STRIP_PIXELS that begin where a block of averaged pixels does."""
    step = max(1, STRIP_PIXELS // (breadth * factor)) * factor
    for start in range(0, length, step):
        yield start, min(start + step, length)
