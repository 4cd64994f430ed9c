"""Running an unpacking program under a time limit, as a stream of bytes."""

import contextlib
import fcntl
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from typing import IO

PIPE_BYTES = 1 << 20
_MESSAGE_BYTES = 4096
_PROMPTS = 8  # a program may ask once a volume
_SET_PIPE_SIZE = getattr(fcntl, "F_SETPIPE_SZ", None)


class Deadline:
    """A moment after which nothing more is begun and what runs is killed."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def remaining_seconds(self) -> float:
        """How long there is still to go, never less than 0."""
        return max(0.0, self._end - time.monotonic())

    @property
    def passed(self) -> bool:
        """Whether it is over."""
        return self.remaining_seconds == 0.0


class Running:
    """A program at work: its output, and what it has said about errors."""

    def __init__(self, process: subprocess.Popen[bytes], messages: IO[bytes]) -> None:
        assert process.stdout is not None
        self._output, self._messages = process.stdout, messages

    def read(self, most_bytes: int) -> bytes:
        """Return some of the next bytes; b"" at the end."""
        return self._output.read(min(most_bytes, PIPE_BYTES)) or b""

    def message(self) -> str:
        """Return the end of what the program wrote to stderr."""
        size_bytes = self._messages.seek(0, os.SEEK_END)
        self._messages.seek(max(0, size_bytes - _MESSAGE_BYTES))
        return self._messages.read().decode(errors="replace")


@contextlib.contextmanager
def running(command: Sequence[str], password: str, deadline: Deadline) -> Iterator[Running]:
    """Start a program that reads its password from stdin; at the deadline or at the block's end it is killed.

    It gets a process group of its own, so that its children die with it.
    """
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=messages,
            start_new_session=True,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
        alarm = threading.Timer(deadline.remaining_seconds, _kill, [process])
        alarm.daemon = True
        alarm.start()
        try:
            _prepare(process, password)
            yield Running(process, messages)
        finally:
            alarm.cancel()
            _kill(process)
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()


def _prepare(process: subprocess.Popen[bytes], password: str) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    if _SET_PIPE_SIZE is not None:
        with contextlib.suppress(OSError):  # a small pipe is slower, no more
            fcntl.fcntl(process.stdout, _SET_PIPE_SIZE, PIPE_BYTES)
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(f"{password}\n".encode() * _PROMPTS)
        process.stdin.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and its children, unless it has been waited for and its number may be another's."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
