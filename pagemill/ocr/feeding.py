"""Pages on their way to the model: rendered and prepared by killable children, a bounded number ahead."""

import dataclasses
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

from pagemill.children import Answer, cpu_count, in_children
from pagemill.ocr.checkpoint import Checkpoint
from pagemill.ocr.engine import Pixels, Preparer, preparer_for
from pagemill.pages.document import text_layer
from pagemill.pages.render import render_page

AUTO_LOOK_AHEAD_PAGES = 32  # 230 MB of full-size Nougat inputs
BATCHES_AHEAD = 2
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


@dataclasses.dataclass(frozen=True, slots=True)
class PageOrder:
    """A page to be worked on by a child."""

    pdf_sha256: str
    page: int  # from 1
    path: str  # of the PDF, local


PreparedPage = Answer[PageOrder, Pixels | None]


class PreparePage:
    """Renders a page and makes the engine's input of it.

    What the engine brings along for that is imported where the object arrives, so that the parent
    does not wait for it and the children's time limit does not count it.
    """

    def __init__(self, engine: str, checkpoint: Checkpoint, dpi: int) -> None:
        self.engine, self.checkpoint, self.dpi = engine, checkpoint, dpi
        self.prepare: Preparer | None = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.prepare = preparer_for(self.engine, self.checkpoint)

    def __call__(self, order: PageOrder) -> Pixels | None:
        """Return the engine's input, or None for a blank page; raises what rendering raises."""
        assert self.prepare is not None, "pages are prepared in children"
        return self.prepare(render_page(order.path, order.page, self.dpi).image())


def prepared_pages(
    orders: Iterable[PageOrder], prepare: PreparePage, *, workers: int, batch_size: int, time_limit_seconds: float
) -> Generator[PreparedPage, None, None]:
    """Yield the prepared pages in order, made while the caller reads earlier ones."""
    yield from in_children(
        prepare,
        orders,
        workers=workers,
        ahead=BATCHES_AHEAD * batch_size or AUTO_LOOK_AHEAD_PAGES,
        time_limit_seconds=time_limit_seconds,
    )


def text_layers(orders: Iterable[PageOrder], time_limit_seconds: float) -> Iterator[str]:
    """Yield the text layer of each page, in order; "" where there is none or it cannot be had."""
    for answer in in_children(_text_layer, orders, workers=1, time_limit_seconds=time_limit_seconds):
        yield answer.value.strip() if answer.ok else ""


def render_workers_for(device: str) -> int:
    """Return how many children keep the model busy: half the CPUs for a GPU, else one.

    One child prepares some twenty pages a second, far more than a model on the same CPUs reads.
    """
    on_gpu = device != "cpu" and NVIDIA_DRIVER.exists()
    return max(1, cpu_count() // 2) if on_gpu else 1


def _text_layer(order: PageOrder) -> str:
    return text_layer(order.path, order.page)
