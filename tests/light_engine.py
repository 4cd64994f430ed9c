"""A stand-in for an OCR engine that starts in no time: it "reads" how much ink a page bears."""

import os
import time
from collections.abc import Mapping

import numpy as np

from pagemill.ocr.engine import EngineLost, PageText
from pagemill.pages.render import render_page
from pagemill.records import Reason, Status


class LightPreparePage:
    """Renders a page in a child, as the real one does; some pages hang, crash or raise there."""

    def __init__(self, engine, checkpoint, dpi: int, troubles: Mapping[int, str] | None = None) -> None:
        self.dpi, self.troubles = dpi, troubles or {}

    def __call__(self, order):
        trouble = self.troubles.get(order.page)
        if trouble == "hang":
            time.sleep(600)
        if trouble == "crash":
            os.kill(os.getpid(), 9)
        if trouble == "raise":
            raise ValueError("no such colour space")
        pixels = np.asarray(render_page(order.path, order.page, self.dpi).image())
        return None if pixels.min() == pixels.max() else np.float32([order.page, (pixels < 128).sum()])


class LightEngine:
    """Reads prepared pages; keeps what batches it was given."""

    name, default_batch_size = "nougat", 4

    def __init__(self, *, bad=(), loops=(), lost_after: int | None = None, seconds: float = 0.0, log=None) -> None:
        self.bad, self.loops, self.lost_after = set(bad), set(loops), lost_after
        self.seconds, self.log = seconds, log
        self.batches: list[list[int]] = []

    def read(self, pages):
        numbers = [int(page[0]) for page in pages]
        self.batches.append(numbers)
        if self.lost_after is not None and len(self.batches) > self.lost_after:
            raise EngineLost("the device is gone")
        if self.bad & set(numbers):
            raise RuntimeError("a page that the model cannot digest")
        time.sleep(self.seconds)
        if self.log:
            with self.log.open("a") as log:
                log.writelines(f"{int(number)} {int(ink)}\n" for number, ink in pages)
        return [self._read(int(number), int(ink)) for number, ink in pages]

    def _read(self, number: int, ink: int) -> PageText:
        text = f"Page {number} has {ink} dots. "
        if number in self.loops:
            return PageText(text, 5, Status.TRUNCATED, Reason.REPETITION)
        return PageText(text, 5, Status.OK)
