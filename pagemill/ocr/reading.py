"""Batches through the model: what fails together is tried again page by page."""

import dataclasses
import logging
import time
from collections.abc import Sequence

from pagemill.ocr.engine import Engine, EngineLost, PageText, Pixels, failed
from pagemill.records import Reason

log = logging.getLogger("pagemill")


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What an engine made of a page, and what it took."""

    page: PageText
    attempts: int = 1
    seconds: float = 0.0  # the model's time for the batch, divided evenly among its pages


class Reader:
    """Reads batches of any size with an engine, and learns how many pages its memory holds."""

    def __init__(self, engine: Engine, batch_size: int = 0) -> None:
        self.engine = engine
        self.batch_size = batch_size or engine.default_batch_size

    def read(self, pages: Sequence[Pixels]) -> list[Reading]:
        """Return one reading a page, in order.

        A batch that does not fit into memory is halved, and so are those after it. Pages of a batch
        on which the model fails are read once more, each alone.

        Raises:
            EngineLost: The device is gone.
        """
        started = time.monotonic()
        try:
            texts = self.engine.read(pages)
        except EngineLost:
            raise
        except MemoryError:
            read_smaller = self._read_halves if len(pages) > 1 else self._read_each
        except Exception as error:
            log.warning("the model failed on a batch of %d pages, trying each alone: %s", len(pages), error)
            read_smaller = self._read_each
        else:
            seconds = round((time.monotonic() - started) / len(pages), 3)
            return [Reading(text, 1, seconds) for text in texts]
        return read_smaller(pages)

    def _read_halves(self, pages: Sequence[Pixels]) -> list[Reading]:
        half = len(pages) // 2
        self.batch_size = min(self.batch_size, half)
        log.warning("a batch of %d pages does not fit into memory: going on with %d", len(pages), half)
        return self.read(pages[:half]) + self.read(pages[half:])

    def _read_each(self, pages: Sequence[Pixels]) -> list[Reading]:
        return [self._read_again(page) for page in pages]

    def _read_again(self, page: Pixels) -> Reading:
        started = time.monotonic()
        try:
            (text,) = self.engine.read([page])
        except EngineLost:
            raise
        except Exception:
            log.warning("the model failed on a page twice", exc_info=True)
            text = failed(Reason.MODEL_ERROR)
        return Reading(text, 2, round(time.monotonic() - started, 3))
