"""A process beside this one, which is started again when it dies and ends with this one, however that ends."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pagemill.errors import UserError

MOST_STARTS = 5
SETTLED_SECONDS = 30.0  # a process that lived for so long may die again as if it never had
MISTAKE_EXIT = 2
LAST_WORDS_BYTES = 4096


class Child:
    """A Python module as a process that ends when its standard input does.

    Args:
        name: For people.
        module: That is run, with its arguments.
        environment: Variables beside those of this process.
        log: Receives all that the process says.
    """

    def __init__(self, name: str, module: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = [sys.executable, "-m", *module]
        self._environment = os.environ | dict(environment)
        self._starts = 0
        self._started = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process."""
        self._starts += 1
        self._started = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,  # which closes with this process, even if that is killed
                stdout=log,
                stderr=log,
                env=self._environment,
                process_group=0,  # Ctrl-C at the terminal reaches this process alone
            )

    def keep(self) -> None:
        """Start the process again if it has died.

        Raises:
            UserError: That would not help: the process says so, or it has died too often.
        """
        if self._process is None or (code := self._process.poll()) is None:
            return
        self._let_go()
        if time.monotonic() - self._started > SETTLED_SECONDS:
            self._starts = 0
        if code == MISTAKE_EXIT or self._starts >= MOST_STARTS:
            raise UserError(self.name, self._last_words() or f"ended with exit code {code}", f"its log is {self.log}")
        self.start()

    def end(self) -> None:
        """Ask the process to end."""
        if self._process is not None:
            self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait until the process is gone; after a while it is made to go."""
        if self._process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self._process.kill()
        self._process.wait()
        self._let_go()

    def _let_go(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process = None

    def _last_words(self) -> str:
        """Return the last line of the log."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - LAST_WORDS_BYTES))
            lines = log.read().decode(errors="replace").split("\n")
        return next((line.strip().removeprefix("pagemill: ") for line in reversed(lines) if line.strip()), "")
