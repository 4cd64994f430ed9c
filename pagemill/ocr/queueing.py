"""Prepared pages that wait for the model: likely loops first, then long ones, nobody passed over for ever."""

import dataclasses
import heapq
import threading

from pagemill.ocr.engine import PageInput, Prepared

GENERATION_PAGES = 256  # so many arrivals are put in order among themselves; later ones come after them


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class _Place:
    """A page's place in the queue."""

    generation: int
    no_loop: bool
    fewest_tokens: int  # negative, so that the longest page comes first
    arrival: int
    page: PageInput = dataclasses.field(compare=False)


class PageQueue:
    """Hands pages to the model in an order that keeps its batch full.

    Pages of a generation come longest first: those of one length are read side by side, and the last
    to end are not the longest. Pages that look like loops come before the others, together, for they
    run to the model's longest answer. Every page's turn comes, whatever arrives after it.
    """

    def __init__(self, generation_pages: int = GENERATION_PAGES) -> None:
        self.generation_pages = generation_pages
        self.arrivals = 0
        self.heap: list[_Place] = []
        self.closed = False
        self.changed = threading.Condition()

    def __len__(self) -> int:
        return len(self.heap)

    def put(self, page: PageInput, prepared: Prepared) -> None:
        """Add a page; what is known of it decides its place."""
        with self.changed:
            generation = self.arrivals // self.generation_pages
            place = _Place(generation, not prepared.likely_loop, -prepared.expected_tokens, self.arrivals, page)
            heapq.heappush(self.heap, place)
            self.arrivals += 1
            self.changed.notify_all()

    def take(self, limit: int, *, wait_seconds: float = 0.0) -> list[PageInput]:
        """Return up to `limit` pages; when there is none, wait a while for the first."""
        with self.changed:
            self.changed.wait_for(lambda: self.heap or self.closed, wait_seconds)
            return [heapq.heappop(self.heap).page for _ in range(min(limit, len(self.heap)))]

    def close(self) -> None:
        """Let those who wait know that no page will come any more."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()
