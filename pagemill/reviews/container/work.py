"""Tasks in progress: requests of one key are one task, which goes on while somebody listens, and is remembered."""

import asyncio
import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator

from pagemill.decks.tasks import TaskInput, TaskOutput
from pagemill.reviews.container.troubles import Ended, problem_of
from pagemill.reviews.http import refused
from pagemill.reviews.wire import MEANINGS, NEWS_SECONDS, Done, ErrorKind, Failed, Problem, Progress
from pagemill.storage import digest

UNHEARD_SECONDS = 30.0
BUSY_RETRY_SECONDS = 5
DRAINING_RETRY_SECONDS = 10

log = logging.getLogger("pagemill")

RunTask = Callable[[TaskInput, Callable[[float], None]], TaskOutput]


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How much is taken on at a time, and how long it is kept."""

    tasks: int
    pipelines: int
    unheard_seconds: float = UNHEARD_SECONDS  # a task that nobody listens to is ended after so long
    remembered: int = 256  # answers
    remembered_seconds: float = 3600.0


class Work:
    """A task that was taken on; only its event loop touches it, but for `ended`."""

    def __init__(self, order: TaskInput, key: str, pipeline: str) -> None:
        self.order, self.key, self.pipeline = order, key, pipeline
        self.digest = digest_of(order)
        self.started = time.monotonic()
        self.share = 0.0
        self.outcome: TaskOutput | Problem | None = None
        self.listeners = 0
        self.epoch = 0  # of the request that counts
        self.unheard: asyncio.TimerHandle | None = None
        self.ended = threading.Event()
        self.finished = 0.0
        self._changed = asyncio.Event()

    def change(self, share: float | None = None, outcome: TaskOutput | Problem | None = None) -> None:
        """Take down what is new; an outcome stays the first."""
        if self.outcome is not None:
            return
        self.share = max(self.share, share or 0.0)
        self.outcome, self.finished = outcome, time.monotonic()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def news(self, every_seconds: float = NEWS_SECONDS) -> AsyncIterator[Progress | Done | Failed]:
        """Yield what is new, at least so often, until the task has ended."""
        while self.outcome is None:
            changed = self._changed
            yield Progress(share=self.share)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), every_seconds)
        yield self.last_news

    @property
    def last_news(self) -> Done | Failed:
        """How it ended."""
        assert self.outcome is not None
        return Failed(problem=self.outcome) if isinstance(self.outcome, Problem) else Done(output=self.outcome)


def digest_of(order: TaskInput) -> str:
    """Return what two requests have in common that ask for the same."""
    return digest(order.model_dump(mode="json"))


class Works:
    """All tasks of a container. Its methods are called in one event loop; tasks run in threads.

    Args:
        run: Runs a task; it ends a task by what the progress that it is given raises.
        limits: How much at a time.
        on_outcome: Told of every task that is through.
    """

    def __init__(self, run: RunTask, limits: Limits, on_outcome: Callable[[Work], None] = lambda work: None) -> None:
        self.limits, self.draining = limits, False
        self._run, self._on_outcome = run, on_outcome
        self._by_key: dict[str, Work] = {}  # running ones and remembered ones, the oldest first
        self._running: set[Work] = set()  # whose thread is not through
        self._idle = asyncio.Event()

    @property
    def running(self) -> list[Work]:
        """What is being worked on, the oldest first."""
        return sorted(self._running, key=lambda work: work.started)

    @property
    def pipelines(self) -> set[str]:
        """Of which pipelines that is."""
        return {work.pipeline for work in self._running}

    def find(self, order: TaskInput, key: str) -> Work | None:
        """Return the task of a key, running or remembered.

        Raises:
            Refused: The key is that of another request.
        """
        self._forget_old()
        work = self._by_key.get(key)
        if work is not None and work.digest != digest_of(order):
            raise refused(ErrorKind.INVALID, "The idempotency key was used for another request.")
        return work

    def forget(self, work: Work) -> None:
        """Remember an answer no more: it is of no use now."""
        if self._by_key.get(work.key) is work:
            del self._by_key[work.key]

    def begin(self, order: TaskInput, key: str, pipeline: str) -> Work:
        """Take a task on, and run it in a thread.

        Raises:
            Refused: There is no room, or the server is ending.
        """
        if self.draining:
            raise refused(ErrorKind.DRAINING, MEANINGS[ErrorKind.DRAINING].text, DRAINING_RETRY_SECONDS)
        if len(self._running) >= self.limits.tasks or len(self.pipelines | {pipeline}) > self.limits.pipelines:
            raise refused(ErrorKind.BUSY, f"{len(self._running)} tasks are running.", BUSY_RETRY_SECONDS)
        work = Work(order, key, pipeline)
        self._by_key[key] = work
        self._running.add(work)
        self._wait_for_listeners(work)
        log.info("task started", extra={"fields": _fields(work)})
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._work, args=(work, loop), name=f"task-{order.task}", daemon=True).start()
        return work

    @contextlib.contextmanager
    def listening(self, work: Work) -> Iterator[None]:
        """Keep a task going for the time of the block, and for a while after it."""
        work.listeners += 1
        if work.unheard is not None:
            work.unheard.cancel()
        try:
            yield
        finally:
            work.listeners -= 1
            self._wait_for_listeners(work)

    def end(self, work: Work, reason: str) -> None:
        """End a task: its clients hear of it now, its thread as soon as the model has answered."""
        work.ended.set()
        self.forget(work)
        work.change(outcome=Problem(error=ErrorKind.CANCELLED, message=reason))

    def end_key(self, key: str, epoch: int | None = None) -> bool:
        """End the task of a key; say whether one was running that nobody with a higher epoch asked for since."""
        work = self._by_key.get(key)
        if work is None or work.outcome is not None or (epoch is not None and epoch < work.epoch):
            return False
        self.end(work, MEANINGS[ErrorKind.CANCELLED].text)
        return True

    async def drain(self, limit_seconds: float) -> bool:
        """Take no more on and wait for what is running; False when the time for it ran out."""
        self.draining = True
        log.info("ending: %d tasks are running", len(self._running))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_seconds):
                while self._running:
                    self._idle.clear()
                    await self._idle.wait()
        return not self._running

    def _wait_for_listeners(self, work: Work) -> None:
        if work.listeners or work.outcome is not None:
            return
        end = "Nobody listened to the task any more."
        loop = asyncio.get_running_loop()
        work.unheard = loop.call_later(self.limits.unheard_seconds, self._end_unheard, work, end)

    def _end_unheard(self, work: Work, reason: str) -> None:
        if not work.listeners and work.outcome is None:
            self.end(work, reason)

    def _work(self, work: Work, loop: asyncio.AbstractEventLoop) -> None:
        """Run a task in this thread, and tell the loop what came of it."""

        def progress(share: float) -> None:
            if work.ended.is_set():
                raise Ended(MEANINGS[ErrorKind.CANCELLED].text)
            try:
                loop.call_soon_threadsafe(work.change, share)
            except RuntimeError:  # the loop is closed: the server has gone
                raise Ended(MEANINGS[ErrorKind.DRAINING].text) from None

        outcome: TaskOutput | Problem
        try:
            progress(0.0)
            outcome = self._run(work.order, progress)
        except BaseException as error:
            outcome = problem_of(error, _fields(work))
        with contextlib.suppress(RuntimeError):  # the same
            loop.call_soon_threadsafe(self._through, work, outcome)

    def _through(self, work: Work, outcome: TaskOutput | Problem) -> None:
        work.change(outcome=outcome)
        if work.unheard is not None:
            work.unheard.cancel()
        self._running.discard(work)
        self._idle.set()
        told = work.outcome.error.value if isinstance(work.outcome, Problem) else "done"
        seconds = round(time.monotonic() - work.started, 3)
        log.info("task finished", extra={"fields": _fields(work) | {"seconds": seconds, "outcome": told}})
        self._on_outcome(work)
        self._forget_old()

    def _forget_old(self) -> None:
        oldest = time.monotonic() - self.limits.remembered_seconds
        ended = [work for work in self._by_key.values() if work.outcome is not None]
        for number, work in enumerate(ended, start=1):
            if len(ended) - number >= self.limits.remembered or work.finished < oldest:
                self.forget(work)


def _fields(work: Work) -> dict[str, str]:
    return {"task": work.order.task, "key": work.key, "pipeline": work.pipeline}
