"""Stand-ins for a GPU and for those who serve it: an engine that keeps time by the clock and reads nothing.

Pages have the lengths they were measured to have. A step takes the time it is said to take, however slow the
machine is that this runs on, as long as it can keep up: being late by one step is made up for in the next.
"""

import dataclasses
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from pagemill.children import Answer
from pagemill.ocr.engine import Draft, PageInput, PageOrder, PageText, Prepared
from pagemill.ocr.finishing import Finished, FinishOrder
from pagemill.records import Reason, Status


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """What is known of a page: how long its text is, and what was foretold of it."""

    tokens: int  # 0: blank
    expected_tokens: int
    likely_loop: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Pace:
    """How fast the stand-ins are; all times are those of the machine in question, of which `speed` pass in one."""

    speed: float  # seconds that one second of the clock stands for
    batch_size: int
    tokens_a_step: int  # several, so that a step is not too short for this machine's clock
    token_seconds: float  # for every page in flight
    encode_seconds: float  # a page, when it is taken in
    prepare_seconds: float  # a page, beside the model


class ClockEngine:
    """Brings pages on by the clock."""

    name = "clock"

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.default_batch_size = pace.batch_size
        self.left: dict[Hashable, int] = {}
        self.length: dict[Hashable, int] = {}
        self.due = time.monotonic()
        self.first = self.last = 0.0  # when it began to read, and when it ended

    def admit(self, pages: Sequence[PageInput]) -> None:
        """Take pages in; the next step takes the longer for it."""
        self.first = self.first or time.monotonic()
        if not self.left:
            self.due = max(self.due, time.monotonic() - self._step_seconds)
        for page in pages:
            self.left[page.key] = self.length[page.key] = int(page.pixels[0])
        self.due += len(pages) * self.pace.encode_seconds / self.pace.speed

    def step(self) -> list[Draft]:
        """Wait until the step is over, and return the pages that ended with it."""
        self.due = max(self.due, time.monotonic() - self._step_seconds) + self._step_seconds
        time.sleep(max(0.0, self.due - time.monotonic()))
        self.last = time.monotonic()
        for key in self.left:
            self.left[key] -= self.pace.tokens_a_step
        ended = [key for key, left in self.left.items() if left <= 0]
        for key in ended:
            del self.left[key]
        return [Draft(key, "read", self.length.pop(key), Status.OK) for key in ended]

    def drop(self) -> None:
        """Forget every page in flight."""
        self.left.clear()
        self.length.clear()

    @property
    def _step_seconds(self) -> float:
        """By the clock."""
        return self.pace.tokens_a_step * self.pace.token_seconds / self.pace.speed


class PrepareByClock:
    """Prepares a page in the time that it takes, and tells of it what would have been told."""

    def __init__(self, pages: Mapping[tuple[str, int], Page], pace: Pace) -> None:
        self.pages, self.pace = pages, pace

    def __call__(self, order: PageOrder) -> Prepared:
        """Return the length of the page's text in the place of pixels."""
        time.sleep(self.pace.prepare_seconds / self.pace.speed)
        page = self.pages[order.pdf_sha256, order.page]
        if not page.tokens:
            return Prepared(None, Reason.BLANK_PAGE)
        pixels = np.array([page.tokens])
        return Prepared(pixels, None, "", page.expected_tokens, page.likely_loop)


def finish_as_it_is(order: FinishOrder) -> Finished:
    """Take what the engine wrote for the page's text."""
    draft = order.draft
    return Finished(PageText(draft.text, draft.tokens, draft.status, draft.reason), None)


class ThreadCrew:
    """A crew without children: one thread does the work."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        self.thread = ThreadPoolExecutor(1)

    def submit(self, item: Any) -> "Future[Answer[Any, Any]]":
        """Have the item worked on."""
        return self.thread.submit(lambda: Answer(item, 0.0, self.function(item)))

    def warm_up(self) -> None:
        """Do nothing: a thread is always ready."""

    def close(self) -> None:
        """Let the thread go."""
        self.thread.shutdown(cancel_futures=True)
