"""A process of the queue: it takes up tasks, has them carried out, says that it lives and watches over the others."""

import logging
import threading
import time
from collections.abc import Callable

from pagemill.flow import attempts, servers, watchdog
from pagemill.flow.attempts import Attempt
from pagemill.flow.changes import canonical
from pagemill.flow.database import Database
from pagemill.flow.dispatch import Dispatcher
from pagemill.flow.durable import Durable
from pagemill.flow.runner import Runner, Server, ServerLost, Skip, Superseded

LEAST_PROGRESS = 0.01  # of a task; less is not worth a write
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
        self._durable.launch(self._server.id, self.carry_out, at_once)
        self._database.write(servers.register, self._server)
        self._last_beat = time.monotonic()
        for thread in self._threads:
            thread.start()
        self._dispatch()

    def stop(self, grace_seconds: int) -> None:
        """Take up nothing more; what still runs after a while is handed to others."""
        self._database.write(servers.set_status, self._server.id, servers.DRAINING)
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._durable.stop(self._server.id, grace_seconds)
        watchdog.give_up(self._database, self._durable, self._server.id, "its process ended")

    def carry_out(self, pipeline_id: str, name: str, run: int) -> None:
        """Carry out a task that was handed out.

        All of it may happen again, in this process or another, whenever one dies: an attempt that was superseded
        changes nothing, so DBOS has nothing to remember but that the task is to be carried out.
        """
        attempt = self._database.write(attempts.begin, pipeline_id, name, run, self._server.id)
        if attempt is not None:
            self._conclude(attempt)
        self._dispatch()

    def _conclude(self, attempt: Attempt) -> None:
        try:
            result = self._runner.run(
                attempt.task, attempt.pipeline, attempt.inputs, _Progress(self._database, attempt)
            )
            canonical(result)
        except Superseded:
            return
        except Skip as skipped:
            self._database.write(attempts.skip, attempt, str(skipped))
        except ServerLost as lost:
            self._database.write(attempts.lose, attempt, str(lost))
        except Exception as error:
            _log.warning("%s failed", attempt.task.key, exc_info=True)
            self._database.write(attempts.fail, attempt, f"{type(error).__name__}: {error}")
        else:
            self._database.write(attempts.finish, attempt, result)

    def _keep(self, what: Callable[[], None]) -> None:
        while not self._stopping.wait(self._tick_seconds):
            try:
                what()
            except Exception:  # it has to go on, whatever the database says
                _log.exception("a look at servers and tasks failed; the next one follows")

    def _live(self) -> None:
        if not self._database.write(servers.heartbeat, self._server.id):
            watchdog.hand_all_back(self._database, self._server.id, "its process was held to be dead")
            self._database.write(servers.register, self._server)
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
        self._lock = threading.Lock()

    def __call__(self, share: float) -> None:
        with self._lock:
            if not (share >= self._last + LEAST_PROGRESS or share >= 1 > self._last):
                return
            self._last = share
        if not self._database.write(attempts.report, self._attempt, share):
            raise Superseded(self._attempt.task.key)
