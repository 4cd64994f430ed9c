"""The model instances of the server: pages go to the one with the fewest, and survive the end of any."""

import contextlib
import itertools
import logging
import pickle
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from multiprocessing import connection
from typing import Any, Self

from pagemill.errors import UserError
from pagemill.ocr.engine import PageOrder, failed
from pagemill.ocr.line import Reading
from pagemill.ocr.serving.instance import Answered, Beat, Kit, Mistake, Order, Ready, Wire, start
from pagemill.ocr.serving.turns import TurnQueue
from pagemill.records import Reason

# An instance is given pages for so many batches ahead, so that its line can put them in a good order; the others
# wait here, where they can still go to another instance or be given up.
BATCHES_AHEAD = 2
START_LIMIT_SECONDS = 900.0  # to load a model and read the first page
SILENCE_LIMIT_SECONDS = 60.0
MAX_PAUSE_SECONDS = 30.0  # between two attempts to start an instance
LOSSES_ALLOWED = 1  # a page that took two instances along is not given to a third

log = logging.getLogger("pagemill")


class _Page:
    """A page that is to be read."""

    def __init__(self, number: int, order: PageOrder) -> None:
        self.number, self.order = number, order
        self.reading: Future[Reading] = Future()
        self.losses = 0  # instances that ended while they had it


class _Instance:
    """One model instance as the server sees it."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.pages: dict[int, _Page] = {}
        self.room = 0  # pages that it takes at once; 0 until it is ready
        self.wire: Wire[Any, Any] | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self.beat = Beat(0.0, {})
        self.past_totals: dict[str, float] = {}  # of its earlier lives

    @property
    def takes_more(self) -> bool:
        """Whether it has room for another page; a page that another instance ended with is read alone."""
        return len(self.pages) < self.room and not any(page.losses for page in self.pages.values())

    @property
    def totals(self) -> dict[str, float]:
        """What it did in all its lives."""
        names = self.past_totals | self.beat.totals
        return {name: self.past_totals.get(name, 0.0) + self.beat.totals.get(name, 0.0) for name in names}


class Instances:
    """Model instances, each a process of its own, behind one queue of pages.

    An instance that ends or hangs is started again. The pages that it had are read again, each alone
    on an instance, so that one that kills is told from those beside it: it alone fails as CRASHED.

    Args:
        kits: One an instance.
        on_mistake: Called, on another thread, when an instance finds a mistake of the user in how it was made.
        stall_limit_seconds: An instance whose model's loop takes longer to come round is ended.
    """

    def __init__(
        self, kits: Sequence[Kit], on_mistake: Callable[[UserError], None], *, stall_limit_seconds: float = 300.0
    ) -> None:
        self.on_mistake, self.stall_limit_seconds = on_mistake, stall_limit_seconds
        self.instances = [_Instance(kit) for kit in kits]
        self.waiting = TurnQueue[_Page]()
        self.suspects: deque[_Page] = deque()  # pages of instances that ended
        self.numbers = itertools.count()
        self.read_again = 0
        self.lock = threading.Lock()
        self.closed, self.closing = connection.Pipe(duplex=False)
        # An instance lives and ends with the thread that owns it.
        self.threads = [threading.Thread(target=self._own, args=[each], daemon=True) for each in self.instances]
        for thread in self.threads:
            thread.start()

    @property
    def ready(self) -> int:
        """How many instances have read a page and are alive."""
        return sum(instance.room > 0 for instance in self.instances)

    @property
    def restarts(self) -> int:
        """How often an instance was started again."""
        return sum(max(0, instance.starts - 1) for instance in self.instances)

    @property
    def queued(self) -> int:
        """How many pages wait for an instance."""
        with self.lock:
            return sum(not page.reading.cancelled() for page in (*self.waiting, *self.suspects))

    @property
    def in_flight(self) -> int:
        """How many pages the instances have."""
        return sum(len(instance.pages) for instance in self.instances)

    def totals(self) -> list[dict[str, float]]:
        """Return the figures of `reading.Totals`, of each instance over all its lives."""
        return [instance.totals for instance in self.instances]

    def submit(self, order: PageOrder, party: Hashable = None) -> "Future[Reading]":
        """Have a page read; cancelling the future gives up a page that waits.

        Pages of one party are read in order, and parties take turns. The future's callbacks run on a
        thread of the pool, so they must be quick.
        """
        page = _Page(next(self.numbers), order)
        with self.lock:
            self.waiting.put(party, page)
            self._dispatch()
        return page.reading

    def close(self) -> None:
        """Kill the instances and cancel every page that is not read."""
        self.closing.close()  # `closed` becomes readable, which wakes every thread that waits for its instance
        for thread in self.threads:
            thread.join()
        self.closed.close()
        for page in (*self.waiting, *self.suspects):
            if not page.reading.cancel():
                page.reading.set_exception(RuntimeError("the server was stopped"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _dispatch(self) -> None:
        """Give pages to the instances that have room; the caller holds the lock."""
        while self.suspects:
            idle = next((each for each in self.instances if each.room and not each.pages), None)
            if idle is None:
                return
            self._give(idle, self.suspects.popleft())
        while self.waiting:
            ready = [each for each in self.instances if each.takes_more]
            if not ready:
                return
            page = self.waiting.take()
            if page.reading.set_running_or_notify_cancel():
                self._give(min(ready, key=lambda each: len(each.pages)), page)

    def _give(self, instance: _Instance, page: _Page) -> None:
        instance.pages[page.number] = page
        assert instance.wire is not None, "an instance with room has a wire"
        with contextlib.suppress(OSError):  # it has ended: its owner is about to find out
            instance.wire.send_bytes(pickle.dumps(Order(page.number, page.order)))

    def _own(self, instance: _Instance) -> None:
        """Start an instance and listen to it, again and again: the whole life of a thread."""
        pause_seconds = 0.5
        while not self.closed.poll(0):
            try:
                end = self._live(instance)
            except Exception as error:
                log.exception("a model instance could not be started")
                end = str(error)
            was_ready = instance.room > 0
            self._bury(instance)
            if self.closed.poll(0):
                return
            log.warning("a model instance ended: %s; it is started again", end)
            pause_seconds = 0.5 if was_ready else min(2 * pause_seconds, MAX_PAUSE_SECONDS)
            if not was_ready:
                self.closed.poll(pause_seconds)

    def _live(self, instance: _Instance) -> str:
        """Run an instance from its start to its end; return why it ended."""
        wire, far_end = connection.Pipe()
        instance.wire = wire
        instance.starts += 1
        with far_end:
            instance.process = start(far_end)
        with contextlib.suppress(OSError):
            wire.send_bytes(pickle.dumps(instance.kit))
        return self._listen(instance, wire)

    def _listen(self, instance: _Instance, wire: "Wire[Any, Any]") -> str:
        """Take what the instance tells until it ends, hangs or the pool is closed."""
        started = time.monotonic()
        while True:
            limit_seconds = SILENCE_LIMIT_SECONDS if instance.room else START_LIMIT_SECONDS
            there = connection.wait([wire, self.closed], limit_seconds)
            if self.closed in there:
                return "closed"
            if wire not in there:
                return f"it was silent for {limit_seconds:g} s"
            try:
                message = pickle.loads(wire.recv_bytes())  # noqa: S301  # from our own child
            except (EOFError, OSError):
                assert instance.process is not None, "an instance has a process"
                return f"exit code {instance.process.wait()}"
            self._take(instance, message)
            if instance.room == 0 and time.monotonic() - started > START_LIMIT_SECONDS:
                return f"it was not ready within {START_LIMIT_SECONDS:g} s"
            if instance.room and instance.beat.stalled_seconds > self.stall_limit_seconds:
                return f"its model took longer than {self.stall_limit_seconds:g} s for a step"

    def _take(self, instance: _Instance, message: Ready | Answered | Beat | Mistake) -> None:
        match message:
            case Answered(number, reading):
                with self.lock:
                    page = instance.pages.pop(number)
                    self._dispatch()
                page.reading.set_result(reading)
            case Beat():
                instance.beat = message
            case Ready(batch_size):
                with self.lock:
                    instance.room = BATCHES_AHEAD * batch_size
                    self._dispatch()
            case Mistake(subject, reason, mend):
                self.on_mistake(UserError(subject, reason, mend))

    def _bury(self, instance: _Instance) -> None:
        """Make sure that an instance is gone, and have its pages read by others."""
        if instance.process is not None:
            instance.process.kill()  # not under the lock: whoever sends to it may hold that, and waits for this
            instance.process.wait()
        with self.lock:
            if instance.wire is not None:
                instance.wire.close()
            instance.room, instance.process, instance.wire = 0, None, None
            instance.past_totals, instance.beat = instance.totals, Beat(0.0, {})
            pages, instance.pages = list(instance.pages.values()), {}
            for page in pages:
                page.losses += 1
            lost = [page for page in pages if page.losses > LOSSES_ALLOWED]
            self.suspects.extend(page for page in pages if page.losses <= LOSSES_ALLOWED)
            self.read_again += len(pages) - len(lost)
            self._dispatch()
        for page in lost:
            page.reading.set_result(Reading(failed(Reason.CRASHED), attempts=page.losses))
