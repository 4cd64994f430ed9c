"""A line of pages: children prepare them, the model reads them, children clean up what it wrote."""

import contextlib
import dataclasses
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from typing import Self

from pagemill.children import Answer, Crew
from pagemill.ocr.engine import Engine, PageInput, PageOrder, PageText, Prepared, failed
from pagemill.ocr.feeding import PreparePage
from pagemill.ocr.finishing import Finished, FinishOrder, FinishPage
from pagemill.ocr.queueing import PageQueue
from pagemill.ocr.reading import Drafted, Reader, Totals
from pagemill.records import Reason, Status

PREPARE_MEMORY_BYTES = 4 << 30  # address space of a child: five times what the largest permitted page takes
CRASHES_ALLOWED = 2  # of children at one page, until it is the page's fault
FINISHERS = 1  # one child cleans up far more pages a second than a model writes

# What the queue settles without the model, and what a child that did not live to answer leaves of a page.
_UNREAD = {Reason.BLANK_PAGE: Status.EMPTY, Reason.OTHER_LANGUAGE: Status.SKIPPED}


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What became of a page, and what it took."""

    page: PageText
    attempts: int = 1
    seconds: float = 0.0  # of the model
    agreement: float | None = None  # with the text layer
    rendering: str = ""


@dataclasses.dataclass(slots=True)
class _Job:
    """A page on its way down the line."""

    order: PageOrder
    reading: "Future[Reading]"
    prepared: Prepared | None = None
    drafted: Drafted | None = None
    crashes: Counter[str] = dataclasses.field(default_factory=Counter)  # of children that were at it, by crew


class Line:
    """Reads whatever pages are submitted, in the order that suits the model.

    Pages may be submitted from any thread; `run` is the model's loop and keeps its thread busy until
    the line is closed. How many pages are on the line at once is up to those who submit them.

    Args:
        prepare: Runs in children: renders a page and makes the engine's input of it.
        finish: Runs in a child: cleans up what the engine wrote.
        load: Loads the engine; called when the first page is submitted.
        batch_size: Pages in flight; 0 for what suits the engine's device.
        models_on_device: Models that share the device, this one among them.
        render_workers: Children that prepare pages.
        page_time_limit_seconds: For preparing a page, and again for cleaning it up.
    """

    def __init__(
        self,
        prepare: PreparePage,
        finish: FinishPage,
        load: Callable[[], Engine],
        *,
        batch_size: int = 0,
        models_on_device: int = 1,
        render_workers: int = 1,
        page_time_limit_seconds: float = 60.0,
    ) -> None:
        self.load, self.batch_size, self.models_on_device = load, batch_size, models_on_device
        self.totals = Totals()
        self.last_step: float | None = None  # when the model's loop last came round
        self.queue = PageQueue()
        self.preparing = Crew(
            prepare,
            workers=render_workers,
            time_limit_seconds=page_time_limit_seconds,
            memory_limit_bytes=PREPARE_MEMORY_BYTES,
        )
        self.finishing = Crew(finish, workers=FINISHERS, time_limit_seconds=page_time_limit_seconds)
        self.jobs: dict[int, _Job] = {}
        self.settling = 0  # pages that have left `jobs` and whose futures are being told
        self.numbers = itertools.count()
        self.changed = threading.Condition()
        self.begun = self.closed = False
        self.error: BaseException | None = None

    def submit(self, order: PageOrder) -> "Future[Reading]":
        """Have a page read; the future's callbacks run on threads of the line, so they must be quick."""
        job = _Job(order, Future())
        job.reading.set_running_or_notify_cancel()  # what is on the line cannot be taken off it
        with self.changed:
            if self.error is not None:
                job.reading.set_exception(self.error)
                return job.reading
            assert not self.closed, "a closed line takes no more pages"
            number = next(self.numbers)
            self.jobs[number] = job
            if not self.begun:
                self.begun = True
                self.finishing.warm_up()
            self.changed.notify_all()
        self._prepare(number, order)
        return job.reading

    def run(self) -> None:
        """Read pages until the line is closed and all that were submitted are done.

        Raises:
            UserError: The engine cannot be loaded.
            EngineLost: The engine's device failed.
            BaseException: Whatever the line was stopped with.
        """
        try:
            with self.changed:
                self.changed.wait_for(lambda: self.begun or self.closed)
            if self.begun:
                self._read_all()
        except BaseException as error:
            self.stop(error)
            raise

    @property
    def stalled_seconds(self) -> float:
        """How long the model has been at its present step; 0.0 while it is not loaded."""
        return 0.0 if self.last_step is None else time.monotonic() - self.last_step

    def close(self) -> None:
        """Take no more pages; `run` returns when those that were submitted are done."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()
            self._close_queue_when_done()

    def stop(self, error: BaseException) -> None:
        """Give up: every page that is not done fails with this error, and so does `run`."""
        with self.changed:
            self.error = self.error or error
            self.closed = True
            self.changed.notify_all()
            jobs, self.jobs = self.jobs, {}
            self.queue.close()
        for job in jobs.values():
            job.reading.set_exception(error)

    def check(self) -> None:
        """Raise what the line was stopped with, if it was."""
        if self.error is not None:
            raise self.error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.preparing.close()
        self.finishing.close()

    def _read_all(self) -> None:
        started = time.monotonic()
        engine = self.load()
        self.totals.seconds_loading = time.monotonic() - started
        batch_size = self.batch_size or max(1, engine.default_batch_size // self.models_on_device)
        reader = Reader(engine, batch_size, self.totals)
        for drafted in reader.read(self.queue):
            self.batch_size = reader.batch_size
            self.last_step = time.monotonic()
            self.check()
            for each in drafted:
                self._on_drafted(each)
        self.check()

    def _prepare(self, number: int, order: PageOrder) -> None:
        self.preparing.submit(order).add_done_callback(lambda answer: self._on_prepared(number, answer))

    def _finish(self, number: int, order: FinishOrder) -> None:
        self.finishing.submit(order).add_done_callback(lambda answer: self._on_finished(number, answer))

    def _on_prepared(self, number: int, future: "Future[Answer[PageOrder, Prepared]]") -> None:
        with self._blaming(number):
            answer, job = future.result(), self.jobs[number]
            if self._is_worth_another_child(job, "preparing", answer.reason):
                self._prepare(number, job.order)
                return
            if not answer.ok:
                self._settle(number, failed(answer.reason or Reason.RENDER_FAILED))
                return
            job.prepared = prepared = answer.value
            if prepared.pixels is None:
                assert prepared.reason is not None, "a page that is not to be read has a reason"
                self._settle(number, PageText("", 0, _UNREAD[prepared.reason], prepared.reason))
                return
            self.queue.put(PageInput(number, prepared.pixels), prepared)
            job.prepared = dataclasses.replace(prepared, pixels=None)

    def _on_drafted(self, drafted: Drafted) -> None:
        number = drafted.draft.key
        assert isinstance(number, int)
        job = self.jobs.get(number)
        if job is None:  # the line was stopped
            return
        job.drafted = drafted
        assert job.prepared is not None, "a page is prepared before it is read"
        self._finish(number, FinishOrder(drafted.draft, job.prepared.text_layer))

    def _on_finished(self, number: int, future: "Future[Answer[FinishOrder, Finished]]") -> None:
        with self._blaming(number):
            answer = future.result()
            if self._is_worth_another_child(self.jobs[number], "finishing", answer.reason):
                self._finish(number, answer.item)
            elif answer.ok:
                self._settle(number, answer.value.page, answer.value.agreement)
            else:
                timed_out = answer.reason is Reason.TIME_LIMIT
                self._settle(number, failed(Reason.CLEANUP_TIME_LIMIT if timed_out else Reason.CLEANUP_FAILED))

    def _is_worth_another_child(self, job: _Job, crew: str, reason: Reason | None) -> bool:
        """Say whether a child died at a page for the first time, which may be anybody's fault."""
        crashed = reason is Reason.CRASHED
        job.crashes[crew] += crashed
        return crashed and job.crashes[crew] < CRASHES_ALLOWED

    def _settle(self, number: int, page: PageText, agreement: float | None = None) -> None:
        """Give a page its reading."""
        with self.changed:
            job = self.jobs.pop(number)
            self.settling += 1
        attempts, seconds = (job.drafted.attempts, job.drafted.seconds) if job.drafted else (1, 0.0)
        attempts += sum(min(crashes, CRASHES_ALLOWED - 1) for crashes in job.crashes.values())
        job.reading.set_result(Reading(page, attempts, seconds, agreement, str(job.order.rendering)))
        with self.changed:
            self.settling -= 1
            self._close_queue_when_done()

    def _close_queue_when_done(self) -> None:
        if self.closed and not self.jobs and not self.settling:
            self.queue.close()

    @contextlib.contextmanager
    def _blaming(self, number: int) -> Iterator[None]:
        """Stop the line with an error that is no page's fault, such as children that cannot start."""
        try:
            yield
        except CancelledError:
            pass  # the line is being closed
        except Exception as error:
            if number in self.jobs:
                self.stop(error)
