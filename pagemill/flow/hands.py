"""What a process has in hand: tasks that it begins as it hands them out, so that none waits for DBOS' next look."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait

from pagemill.flow.attempts import Attempt, key_of
from pagemill.flow.dispatch import HandOut, Here

_log = logging.getLogger(__name__)


class Hands:
    """Carries out tasks as they are handed out, and those with which DBOS comes.

    DBOS comes with each of the former, too, at its next look, and is then kept until the task is through. So it makes
    no difference to what DBOS does when a process dies that a task was begun before DBOS came with it.

    Args:
        is_here: Called with the key of a task of which nothing came; returns whether DBOS has it here, and not with
            another process that took it over.
        executor_id: This process.
        at_once: So many tasks are begun ahead of DBOS at a time.
        begin: Called with pipeline, task and number of the run; returns what is to be carried out, if anything is.
        carry_out: Called with what was begun, from several threads; returns whether the attempt counted to its end.
        hand_out: Called when a task is through, which may have left room for others.
    """

    def __init__(
        self,
        is_here: Callable[[str], bool],
        executor_id: str,
        at_once: int,
        begin: Callable[[str, str, int], Attempt | None],
        carry_out: Callable[[Attempt], bool],
        hand_out: Callable[[], None],
    ) -> None:
        self._is_here = is_here
        self._executor_id = executor_id
        self._at_once = at_once
        self._begin = begin
        self._carry_out = carry_out
        self._hand_out = hand_out
        self._handing_out = threading.Lock()  # until what was handed out is among the begun
        self._begun: dict[str, Future[bool]] = {}

    def hand_out(self, hand_out: HandOut) -> None:
        """Hand out, and carry out what is begun with that."""
        with self._handing_out:
            for attempt in hand_out(Here(self._executor_id, self._at_once - len(self._begun))):
                self._start(attempt)

    def take_up(self, pipeline_id: str, name: str, run: int) -> None:
        """Carry out a task with which DBOS comes; one that is being carried out is waited for."""
        key = key_of(pipeline_id, name, run)
        with self._handing_out:
            begun = self._begun.get(key)
        if begun is not None and (begun.result() or not self._is_here(key)):
            return
        if attempt := self._begin(pipeline_id, name, run):
            self._carry_out(attempt)
        self._hand_out()

    def wait(self, seconds: float) -> None:
        """Wait, but not forever, for what was begun."""
        wait(list(self._begun.values()), timeout=seconds)

    def _start(self, attempt: Attempt) -> None:
        through = self._begun[attempt.task.key] = Future()
        threading.Thread(target=self._run, args=(attempt, through), name=attempt.task.key, daemon=True).start()

    def _run(self, attempt: Attempt, through: Future[bool]) -> None:
        is_through = False
        try:
            is_through = self._carry_out(attempt)
        except Exception:
            _log.exception("%s was interrupted; it is done again when DBOS comes with it", attempt.task.key)
        del self._begun[attempt.task.key]
        through.set_result(is_through)
        self._hand_out()
