"""A process of the queue: it takes up tasks, has them carried out, says that it lives and watches over the others."""

import logging
import threading
import time
from collections.abc import Callable

import sqlalchemy as sa

from pagemill.flow import attempts, servers, watchdog
from pagemill.flow.attempts import Attempt
from pagemill.flow.changes import canonical
from pagemill.flow.database import Database
from pagemill.flow.dispatch import Dispatcher
from pagemill.flow.durable import Durable
from pagemill.flow.hands import Hands
from pagemill.flow.runner import NeedLost, Runner, Server, ServerLost, Skip, Superseded, TaskFailed

LEAST_PROGRESS = 0.01  # of a task; less is not worth a write
LONGEST_SILENCE_SECONDS = 5.0  # then it is asked all the same whether the attempt still counts
_log = logging.getLogger(__name__)


class Worker:
    """What a process does for a queue while it is open."""

    def __init__(
        self,
        database: Database,
        durable: Durable,
        dispatch: Dispatcher,
        runner: Runner,
        server: Server,
        timeout_seconds: float,
        tick_seconds: float,
    ) -> None:
        self._database = database
        self._durable = durable
        self._dispatch = dispatch
        self._runner = runner
        self._server = server
        self._hands = Hands(self._is_here, server.id, server.max_tasks, self._begin, self._carry_out, dispatch)
        self._status = servers.ACTIVE
        self._timeout_seconds = timeout_seconds
        self._tick_seconds = tick_seconds
        self._stopping = threading.Event()
        self._last_beat = time.monotonic()
        self._judges_from = 0.0
        self._threads = [
            threading.Thread(target=self._keep, args=(what,), name=f"pagemill-flow-{what.__name__}", daemon=True)
            for what in (self._live, self._watch)  # apart: who waits while watching is not to be held for dead
        ]

    def start(self, at_once: int) -> None:
        """Take up tasks, `at_once` at a time."""
        self._durable.launch(self._server.id, self._hands.take_up, at_once)
        watchdog.hear(self._database, self._server, self._status)
        self._last_beat = time.monotonic()
        for thread in self._threads:
            thread.start()
        self._dispatch.begin_here(self._hands.hand_out)
        self._dispatch()

    def stop(self, grace_seconds: int) -> None:
        """Take up nothing more; what still runs after a while is handed to others."""
        self._status = servers.DRAINING
        self._live()
        self._dispatch.close()
        end = time.monotonic() + grace_seconds
        self._durable.stop(self._server.id, grace_seconds)  # who still has something to do is heard of meanwhile
        self._hands.wait(max(0.0, end - time.monotonic()))
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        watchdog.give_up(self._database, self._durable, self._server.id, "its process ended")

    def _begin(self, pipeline_id: str, name: str, run: int) -> Attempt | None:
        return self._database.write(attempts.begin, pipeline_id, name, run, self._server.id)

    def _is_here(self, key: str) -> bool:
        return self._durable.is_with(self._server.id, key)

    def _carry_out(self, attempt: Attempt) -> bool:
        """Carry out a task that was begun; returns whether the attempt counted to its end.

        All of it may happen again, in this process or another, whenever one dies: an attempt that was superseded
        changes nothing, so DBOS has nothing to remember but that the task is to be carried out.
        """
        try:
            return self._conclude(attempt)
        except (sa.exc.DataError, UnicodeError) as error:  # NUL in a text, half a character
            _log.warning("what %s answered cannot be kept: %s", attempt.task.key, type(error).__name__)
            return self._database.write(attempts.fail, attempt, "its answer has characters that no database takes")

    def _conclude(self, attempt: Attempt) -> bool:
        try:
            result = self._runner.run(
                attempt.task, attempt.pipeline, attempt.inputs, _Progress(self._database, attempt)
            )
            canonical(result)
        except Superseded:
            return False
        except Skip as skipped:
            return self._database.write(attempts.skip, attempt, str(skipped), skipped.result)
        except ServerLost as lost:
            return self._database.write(attempts.lose, attempt, str(lost), lost.begun)
        except NeedLost as lost:
            return self._database.write(attempts.lose_need, attempt, lost.task_name)
        except TaskFailed as failed:
            _log.warning("%s failed: %s", attempt.task.key, failed)
            return self._database.write(attempts.fail, attempt, str(failed), failed.retry, failed.detail)
        except Exception as error:
            _log.warning("%s failed", attempt.task.key, exc_info=True)
            return self._database.write(attempts.fail, attempt, f"{type(error).__name__}: {error}")
        else:
            return self._database.write(attempts.finish, attempt, result)

    def _keep(self, what: Callable[[], None]) -> None:
        while not self._stopping.wait(self._tick_seconds):
            try:
                what()
            except Exception:  # it has to go on, whatever the database says
                _log.exception("a look at servers and tasks failed; the next one follows")

    def _live(self) -> None:
        watchdog.hear(self._database, self._server, self._status)
        now = time.monotonic()
        if self._is_deaf(now):
            self._judges_from = now + self._timeout_seconds
        self._last_beat = now

    def _is_deaf(self, now: float) -> bool:
        """Whether the database was away, or this process stopped: then the others' silence means nothing."""
        return now - self._last_beat > self._timeout_seconds / 2

    def _watch(self) -> None:
        now = time.monotonic()
        if now >= self._judges_from and not self._is_deaf(now):
            watchdog.see_to_missing(self._database, self._durable, self._timeout_seconds)
        watchdog.see_to_overdue(self._database, self._durable.spec_name)
        self._dispatch()


class _Progress:
    """What a runner reports to."""

    def __init__(self, database: Database, attempt: Attempt) -> None:
        self._database = database
        self._attempt = attempt
        self._last = 0.0
        self._told = time.monotonic()
        self._lock = threading.Lock()

    def __call__(self, share: float) -> None:
        with self._lock:
            now = time.monotonic()
            is_news = share >= self._last + LEAST_PROGRESS or share >= 1 > self._last
            if not is_news and now < self._told + LONGEST_SILENCE_SECONDS:
                return
            self._last, self._told = max(share, self._last), now
        if not self._database.write(attempts.report, self._attempt, share):
            raise Superseded(self._attempt.task.key)
