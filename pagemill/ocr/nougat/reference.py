"""Nougat as its authors run it: `model.inference` itself, a page at a time."""

import contextlib
import logging
import sys
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from pagemill.ocr.checkpoint import Checkpoint
from pagemill.ocr.engine import Draft, Engine, PageInput
from pagemill.ocr.nougat import finisher as finisher
from pagemill.ocr.nougat import preparer as preparer

NAME = "nougat-reference"


def load(checkpoint: Checkpoint, device: str = "auto", threads: int = 0, precision: str = "auto") -> Engine:
    """Load the model of a verified checkpoint; see `pagemill.ocr.engine.load_engine`."""
    from pagemill.ocr.nougat.loading import load_model
    from pagemill.ocr.nougat.words import provide_word_list

    provide_word_list()  # `inference` cleans up what it read, though what it makes of it is not used here
    return ReferenceEngine(load_model(checkpoint, device, threads, precision))


class ReferenceEngine:
    """A Nougat model that reads page after page."""

    name = NAME
    default_batch_size = 1

    def __init__(self, model: Any) -> None:
        from pagemill.ocr.nougat.loading import PixelTable

        self.model = model
        self.pixels = PixelTable(model)
        self.waiting: deque[PageInput] = deque()

    def admit(self, pages: Sequence[PageInput]) -> None:
        """Take pages in; they wait for their turn."""
        self.waiting.extend(pages)

    def step(self) -> list[Draft]:
        """Read the next page.

        Raises:
            MemoryError: It does not fit into the device's memory.
            EngineLost: The device is gone.
        """
        from pagemill.ocr.nougat.decoding import shielded

        return shielded(self._read_next, self.drop)

    def drop(self) -> None:
        """Forget every page that waits."""
        self.waiting.clear()

    def _read_next(self) -> list[Draft]:
        from pagemill.ocr.nougat.decoding import draft

        if not self.waiting:
            return []
        page = self.waiting.popleft()
        with _quietly():
            output = self.model.inference(image_tensors=self.pixels([page.pixels]), early_stopping=True)
        sequence, repeats = output["sequences"][0].tolist(), output["repeats"][0]
        return [draft(page.key, sequence, repeats, self.model.decoder.tokenizer, self.model.config.max_length)]


class _NoLoopMessages(logging.Filter):
    """Keeps Nougat's own remarks about loops out of the log: the ledger says it page by page."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Found repetitions")


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Run Nougat without its prints on stdout and its remarks on the root logger."""
    remarks = _NoLoopMessages()
    logging.root.addFilter(remarks)
    try:
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.removeFilter(remarks)
