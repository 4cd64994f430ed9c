"""Pages through the model: as many in flight as its memory holds, and what fails together is read alone."""

import dataclasses
import logging
import time
from collections import deque
from collections.abc import Hashable, Iterator, Sequence

from pagemill.ocr.engine import Draft, Engine, EngineLost, PageInput
from pagemill.ocr.queueing import PageQueue
from pagemill.records import Reason, Status

ADMIT_SHARE = 16  # pages are taken in when one in so many places is free: each time costs a copy of the model's caches
IDLE_WAIT_SECONDS = 0.5

log = logging.getLogger("pagemill")


@dataclasses.dataclass(slots=True)
class Totals:
    """What a model did so far."""

    pages: int = 0
    failed: int = 0
    tokens: int = 0
    steps: int = 0
    slots_offered: int = 0  # places for a page, summed over the steps
    seconds_loading: float = 0.0
    seconds_reading: float = 0.0
    seconds_waiting: float = 0.0  # between two steps, for pages or for us

    def to_dict(self) -> dict[str, float]:
        """Return the figures by name."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, slots=True)
class Drafted:
    """What the model made of a page, and what it took."""

    draft: Draft
    attempts: int
    seconds: float  # the time of each step, divided evenly among the pages in flight


@dataclasses.dataclass(slots=True)
class _Flight:
    """A page that the model is at."""

    page: PageInput
    attempts: int
    share_at_start: float


class Reader:
    """Keeps a model busy with the pages of a queue, and learns how many its memory holds."""

    def __init__(self, engine: Engine, batch_size: int, totals: Totals | None = None) -> None:
        self.engine, self.batch_size = engine, batch_size
        self.totals = totals or Totals()
        self.in_flight: dict[Hashable, _Flight] = {}
        self.again: deque[PageInput] = deque()  # pages of a batch that did not fit, for the next one
        self.suspects: deque[PageInput] = deque()  # pages of a batch that the model failed on: each is read alone
        self.alone = False  # one of them is in flight
        self.last_step: float | None = None  # when it ended
        self.share = 0.0  # seconds that a page in flight from the beginning would have been charged with

    def read(self, queue: PageQueue) -> Iterator[list[Drafted]]:
        """Yield what was read, step by step ([] when a step or a wait ended no page), until the queue is closed.

        Pages that do not fit into memory together are read in smaller numbers, from then on. Pages on
        which the model fails are read once more, each alone; one that fails alone has failed.

        Raises:
            EngineLost: The device is gone.
        """
        while True:
            arrivals = self._next_pages(queue)
            if not arrivals and not self.in_flight:
                if queue.closed and not len(queue):
                    return
                yield []
                continue
            yield self._step(arrivals)

    def _next_pages(self, queue: PageQueue) -> list[PageInput]:
        """Return the pages to take in now: a suspect alone, else what is there when enough places are free."""
        if self.alone or (self.suspects and self.in_flight):
            return []
        if self.suspects:
            self.alone = True
            return [self.suspects.popleft()]
        room = self.batch_size - len(self.in_flight)
        if room < max(1, self.batch_size // ADMIT_SHARE):
            return []
        again = [self.again.popleft() for _ in range(min(room, len(self.again)))]
        if self.in_flight or again:
            return again + queue.take(room - len(again))
        return queue.take(room, wait_seconds=IDLE_WAIT_SECONDS)

    def _step(self, arrivals: Sequence[PageInput]) -> list[Drafted]:
        attempts = 2 if self.alone else 1
        self.in_flight |= {page.key: _Flight(page, attempts, self.share) for page in arrivals}
        try:
            drafts = self._call_engine(arrivals)
        except EngineLost:
            raise
        except Exception as error:
            return self._recover(error)
        return [self._land(draft) for draft in drafts]

    def _call_engine(self, arrivals: Sequence[PageInput]) -> list[Draft]:
        self.totals.steps += 1
        self.totals.slots_offered += self.batch_size
        started = time.monotonic()
        self.totals.seconds_waiting += started - (self.last_step or started)
        try:
            if arrivals:
                self.engine.admit(arrivals)
            return self.engine.step()
        finally:
            self.last_step = time.monotonic()
            seconds = self.last_step - started
            self.totals.seconds_reading += seconds
            self.share += seconds / len(self.in_flight)

    def _land(self, draft: Draft) -> Drafted:
        flight = self.in_flight.pop(draft.key)
        self.alone = False
        self.totals.pages += 1
        self.totals.tokens += draft.tokens
        return Drafted(draft, flight.attempts, round(self.share - flight.share_at_start, 3))

    def _recover(self, error: Exception) -> list[Drafted]:
        """Take the pages out of the model that failed on them, to be read in smaller numbers or alone."""
        flights = list(self.in_flight.values())
        pages = [flight.page for flight in flights]
        self.engine.drop()
        if self.alone:
            log.warning("the model failed on a page twice", exc_info=error)
            self.totals.failed += 1
            return [self._land(Draft(pages[0].key, "", 0, Status.FAILED, Reason.MODEL_ERROR))]
        self.in_flight.clear()
        if isinstance(error, MemoryError) and len(pages) > 1:
            self.batch_size = min(self.batch_size, len(pages) // 2)
            log.warning("%d pages do not fit into memory: going on with %d", len(pages), self.batch_size)
            self.again.extendleft(reversed(pages))
        else:
            log.warning("the model failed on %d pages, trying each alone: %s", len(pages), error)
            self.suspects.extend(pages)
        return []
