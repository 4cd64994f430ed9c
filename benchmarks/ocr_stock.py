"""What the stock `nougat` command makes of pages: each page alone through `model.inference`, and the file it writes."""

import dataclasses
import enum
import logging
import re
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

UNREADABLE = "[MISSING_PAGE_POST]"  # what Nougat's clean-up leaves of a page that was nothing but loops


@dataclasses.dataclass(frozen=True, slots=True)
class StockPage:
    """What `model.inference` gave for one page alone."""

    text: str  # as the command would write it if it did not give up on the page
    repeats: int | None  # where a loop was cut off; None: no loop
    steps: int  # of decoding, the loop included
    seconds_preparing: float
    seconds_reading: float

    @property
    def given_up(self) -> bool:
        """Say whether the command writes a mark in the place of the text."""
        return self.repeats is not None or self.text.strip() == UNREADABLE

    def piece(self, page_of_book: int, page_of_run: int) -> str:
        """Return what the command adds to the book's file for this page; the numbers count from 1."""
        if self.text.strip() == UNREADABLE:
            return f"\n\n[MISSING_PAGE_EMPTY:{page_of_book}]\n\n"
        if self.repeats is None:
            return self.text
        if self.repeats > 0:
            return f"\n\n[MISSING_PAGE_FAIL:{page_of_book}]\n\n"
        return f"\n\n[MISSING_PAGE_EMPTY:{page_of_run}]\n\n"


def read_alone(book: Path, checkpoint: Path) -> list[StockPage]:
    """Read the pages of a book as the command does, but for the batches: each page is one of its own.

    To be called in a process of its own, with the environment that the command is given.
    """
    import torch
    from nougat import NougatModel
    from nougat.postprocessing import markdown_compatible
    from nougat.utils.dataset import LazyDataset

    logging.disable(logging.WARNING)
    model = NougatModel.from_pretrained(checkpoint).eval()
    pages = LazyDataset(book, partial(model.encoder.prepare_input, random_padding=False))
    read = []
    for number in range(len(pages)):
        started = time.monotonic()
        pixels, _ = pages[number]
        prepared = time.monotonic()
        output = model.inference(image_tensors=torch.stack([pixels]), early_stopping=True)
        (prediction,), (repeats,) = output["predictions"], output["repeats"]
        text = prediction if prediction.strip() == UNREADABLE else markdown_compatible(prediction)
        steps = output["sequences"].shape[1] - 1
        read.append(StockPage(text, repeats, steps, prepared - started, time.monotonic() - prepared))
    return read


def stock_file(pages: Iterable[StockPage], pages_before: int = 0) -> str:
    """Return the file that the command, at a batch of one, writes of a book with these pages.

    Args:
        pages: Of the book, in order.
        pages_before: In the books that came before it in the same run.
    """
    pieces = [page.piece(number, pages_before + number) for number, page in enumerate(pages, 1)]
    return re.sub(r"\n{3,}", "\n\n", "".join(pieces).strip()).strip()


class Verdict(enum.StrEnum):
    """How our row of a page stands beside what the stock model makes of it."""

    IDENTICAL = "the stock model reads them: our text is identical"
    DIFFERENT = "the stock model reads them: our text differs"
    PREFIX = "the stock command gives up on them: we keep, and call truncated, what `model.inference` gave"
    OTHER_PREFIX = "the stock command gives up on them: we keep something else"
    NOTHING = "the stock command gives up on them: so do we"
    BLANK = "blank: neither writes anything"
    INVENTED = "blank: the stock model writes something, we do not show them to it"


def verdict_on(stock: StockPage, text: str, reason: str | None, *, blank: bool) -> Verdict:
    """Compare our row of a page with what the stock model made of it.

    Args:
        stock: The page read alone.
        text: Of our row.
        reason: Of our row.
        blank: Whether the page bears no ink, by the ground truth and not by our own finding.
    """
    if blank and reason == "blank_page":
        return Verdict.INVENTED if stock.given_up or stock.text.strip() else Verdict.BLANK
    if not stock.given_up:
        return Verdict.IDENTICAL if text == stock.text else Verdict.DIFFERENT
    if not text.strip():
        return Verdict.NOTHING
    return Verdict.PREFIX if text == stock.text else Verdict.OTHER_PREFIX


def slots_used(steps: Sequence[int], batch_size: int) -> float:
    """Return the share of decode slots that bring a page on when batches are filled in page order.

    A batch goes on until its longest page is done, for all of its slots.
    """
    batches = [steps[first : first + batch_size] for first in range(0, len(steps), batch_size)]
    return sum(steps) / sum(len(batch) * max(batch) for batch in batches)
