"""Work in child processes that can be killed: what hangs or crashes on one item costs that item alone."""

import contextlib
import ctypes
import dataclasses
import os
import pickle
import queue
import resource
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future
from multiprocessing import connection
from typing import Any, Generic, Self, TypeVar

from pagemill.records import Reason

ItemT = TypeVar("ItemT")
ValueT = TypeVar("ValueT")

START_LIMIT_SECONDS = 120.0
START_ATTEMPTS = 3
OUT_OF_MEMORY_EXIT = 86
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_STDERR = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Answer(Generic[ItemT, ValueT]):
    """What became of one item: a value, or the function's own exception, or the end of its child."""

    item: ItemT
    seconds: float
    outcome: ValueT | None = None
    error: Exception | None = None  # raised by the function, with the child's traceback as its note
    reason: Reason | None = None  # TIME_LIMIT or CRASHED when the child did not live to answer
    detail: str = ""  # one line about `error` or `reason`

    @property
    def ok(self) -> bool:
        """Say whether the function returned."""
        return self.error is None and self.reason is None

    @property
    def value(self) -> ValueT:
        """Return what the function returned; raise what it raised, or ChildLost."""
        if self.error is not None:
            raise self.error
        if self.reason is not None:
            raise ChildLost(f"{self.reason}: {self.detail}")
        return self.outcome  # type: ignore[return-value]  # None only where the function returns None


class ChildLost(RuntimeError):
    """A child ended without an answer, or could not start."""


class RaisedInChild(RuntimeError):
    """Stands for an exception that cannot travel between processes; its text names the original."""


def in_children(
    function: Callable[[ItemT], ValueT],
    items: Iterable[ItemT],
    *,
    workers: int = 0,
    time_limit_seconds: float = 60.0,
    ahead: int = 0,
    memory_limit_bytes: int = 0,
) -> Generator[Answer[ItemT, ValueT], None, None]:
    """Yield `function(item)` of each item, in order, computed by child processes while the caller works.

    Children are fresh interpreters, never forks, so the caller may hold threads and GPUs. They start
    when there is work for them, are replaced when they die, ignore Ctrl-C and die with their parent
    or when the generator is closed.

    Args:
        function: A picklable callable that an import finds, so not one of `__main__`; each child
            receives it once, so a callable object may keep what it loaded.
        items: Pulled on the caller's thread and only when the look-ahead has room.
        workers: Children at once; 0 for one a CPU.
        time_limit_seconds: For one item; its child is killed past it. Starting a child does not count.
        ahead: Items pulled and not yet yielded, at most; 0 for twice the workers.
        memory_limit_bytes: Address space of a child; 0 for no limit.

    Raises:
        ChildLost: When children cannot start at all.
        Exception: What importing `function` in a child raises.
    """
    workers = workers or cpu_count()
    waiting: deque[Future[Answer[ItemT, ValueT]]] = deque()
    crew = Crew(function, workers=workers, time_limit_seconds=time_limit_seconds, memory_limit_bytes=memory_limit_bytes)
    with crew:
        for item in items:
            waiting.append(crew.submit(item))
            if len(waiting) >= (ahead or 2 * workers):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def fresh_interpreter(module: str, function: str, *arguments: int) -> list[str]:
    """Return the command of a Python process that calls a function with numbers.

    It imports what this process can, whatever the `__main__` of this one is.
    """
    call = f"{function}({', '.join(map(str, arguments))})"
    return [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; from {module} import {function}; {call}"]


def start_process(
    module: str, function: str, far_end: "connection.Connection[Any, Any]", environment: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """Start a process that calls `function(handle, parent)`, which begins with `line_to_parent` of these.

    Args:
        module: Where the function is.
        function: The whole life of the process.
        far_end: Its end of the line to this process.
        environment: Variables beside those of this process.
    """
    return subprocess.Popen(
        fresh_interpreter(module, function, far_end.fileno(), os.getpid()),
        stdin=subprocess.DEVNULL,
        stdout=_STDERR,  # what a library prints must not mix with the output of the command
        env=os.environ | (environment or {}),
        pass_fds=[far_end.fileno()],
        process_group=0,  # Ctrl-C at the terminal reaches the parent alone, even while this one starts
    )


def line_to_parent(handle: int, parent: int) -> "connection.Connection[Any, Any]":
    """Return a started process's end of the line; from now on it ignores Ctrl-C and dies with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(parent)
    os.set_inheritable(handle, False)
    return connection.Connection(handle)


def cpu_count() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_NOTHING = object()


@dataclasses.dataclass(frozen=True, slots=True)
class _Task:
    """An item for a child, and whom to tell; without one it is enough that there is a child."""

    item: Any = _NOTHING
    future: Future[Any] = dataclasses.field(default_factory=Future)


class Crew(Generic[ItemT, ValueT]):
    """Children that compute `function(item)` of whatever is submitted, until the crew is closed.

    Args:
        function: As for `in_children`, and so are the other arguments.
        workers: Children at once; 0 for one a CPU.
        time_limit_seconds: For one item.
        memory_limit_bytes: Address space of a child; 0 for no limit.
    """

    def __init__(
        self,
        function: Callable[[ItemT], ValueT],
        *,
        workers: int = 0,
        time_limit_seconds: float = 60.0,
        memory_limit_bytes: int = 0,
    ) -> None:
        self.order = pickle.dumps((function, memory_limit_bytes))
        self.time_limit_seconds = time_limit_seconds
        self.tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self.closed, self.closing = connection.Pipe(duplex=False)
        # A child lives and ends with the thread that owns it.
        self.threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers or cpu_count())]
        for thread in self.threads:
            thread.start()

    def submit(self, item: ItemT) -> "Future[Answer[ItemT, ValueT]]":
        """Have an item worked on; its future's callbacks run on a thread of the crew, so they must be quick.

        The future raises ChildLost when children cannot start, and what importing `function` raises; it is
        cancelled when the crew is closed before.
        """
        future: Future[Answer[ItemT, ValueT]] = Future()
        self.tasks.put(_Task(item, future))
        return future

    def warm_up(self) -> None:
        """Start the children now, while there is nothing for them to do yet."""
        for _ in self.threads:
            self.tasks.put(_Task())

    def close(self) -> None:
        """Kill the children and wait until they are gone."""
        self.closing.close()  # `closed` becomes readable, which wakes every thread that waits for its child
        for _ in self.threads:
            self.tasks.put(None)
        for thread in self.threads:
            thread.join()
        while not self.tasks.empty():
            if task := self.tasks.get():
                task.future.cancel()
        self.closed.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _work(self) -> None:
        child: _Child | None = None
        try:
            while (task := self.tasks.get()) is not None:
                if self.closed.poll():
                    task.future.cancel()
                if not task.future.set_running_or_notify_cancel():
                    continue
                try:
                    child = child or self._new_child()
                    answer = child.ask(task.item, self.time_limit_seconds) if task.item is not _NOTHING else None
                except Exception as error:
                    task.future.set_exception(error)
                    continue
                if answer is not None and answer.reason is not None:
                    child.end()
                    child = None
                task.future.set_result(answer)
        finally:
            if child is not None:
                child.end()

    def _new_child(self) -> "_Child":
        """Start a child; one that is killed before it is ready is not yet a reason to give up."""
        for _ in range(START_ATTEMPTS - 1):
            with contextlib.suppress(ChildLost):
                return _Child(self.order, self.closed)
        return _Child(self.order, self.closed)


class _Child:
    """One child process and the line to it."""

    def __init__(self, order: bytes, closed: "connection.Connection[Any, Any]") -> None:
        self.closed = closed
        self.line, far_end = connection.Pipe()
        with far_end:
            self.process = start_process(__name__, "serve", far_end, {"OMP_NUM_THREADS": "1"})
        try:
            self._start(order)
        except BaseException:
            self.end()
            raise

    def _start(self, order: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.line.send_bytes(order)
        reply = self._reply(START_LIMIT_SECONDS)
        if isinstance(reply, Reason):
            raise ChildLost(f"a child process did not start: {self._last_words(reply, START_LIMIT_SECONDS)}")
        _, error = reply
        if error is not None:
            raise error

    def ask(self, item: Any, time_limit_seconds: float) -> Answer[Any, Any]:
        """Have the item worked on."""
        question = pickle.dumps(item)
        started = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.line.send_bytes(question)
        reply = self._reply(time_limit_seconds)
        seconds = time.monotonic() - started
        if isinstance(reply, Reason):
            return Answer(item, seconds, reason=reply, detail=self._last_words(reply, time_limit_seconds))
        outcome, error = reply
        return Answer(item, seconds, outcome, error, detail=_one_line(error) if error else "")

    def _reply(self, time_limit_seconds: float) -> tuple[Any, Exception | None] | Reason:
        ready = connection.wait([self.line, self.closed], time_limit_seconds)
        if self.line not in ready:
            return Reason.TIME_LIMIT
        try:
            return pickle.loads(self.line.recv_bytes())  # type: ignore[no-any-return]  # noqa: S301  # from our own child
        except (EOFError, OSError):
            return Reason.CRASHED

    def _last_words(self, reason: Reason, time_limit_seconds: float) -> str:
        """Say in one line how the child ended."""
        if reason is Reason.TIME_LIMIT:
            return f"no answer within {time_limit_seconds:g} s"
        code = self.process.wait()
        if code == OUT_OF_MEMORY_EXIT:
            return "out of memory"
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def end(self) -> None:
        """Kill the process, whatever it does, and wait until it is gone."""
        self.process.kill()
        self.process.wait()
        self.line.close()


def serve(handle: int, parent: int) -> None:
    """Answer the parent's questions until its end of the line closes: the whole life of a child."""
    line = line_to_parent(handle, parent)
    try:
        _answer_all(line)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(0)  # the parent has closed the line
    except MemoryError:
        os._exit(OUT_OF_MEMORY_EXIT)


def _answer_all(line: "connection.Connection[Any, Any]") -> None:
    order = line.recv_bytes()
    try:
        function, memory_limit_bytes = pickle.loads(order)  # noqa: S301  # from our own parent
        if memory_limit_bytes:
            resource.setrlimit(resource.RLIMIT_AS, (memory_limit_bytes, memory_limit_bytes))
    except Exception as error:
        line.send_bytes(_packed(None, error))
        return
    line.send_bytes(_packed(None, None))
    while True:
        line.send_bytes(_answer(function, line.recv_bytes()))


def _answer(function: Callable[[Any], Any], question: bytes) -> bytes:
    try:
        return _packed(function(pickle.loads(question)), None)  # noqa: S301  # from our own parent
    except MemoryError:
        raise
    except Exception as error:
        return _packed(None, error)


def _packed(value: Any, error: Exception | None) -> bytes:
    """Pickle a reply; an exception that would not arrive is replaced by one that does."""
    if error is None:
        return pickle.dumps((value, None), protocol=pickle.HIGHEST_PROTOCOL)
    note = "".join(traceback.format_exception(error))
    try:
        error.add_note(note)
        reply = pickle.dumps((None, error))
        pickle.loads(reply)  # noqa: S301  # made one line above
    except Exception:
        stand_in = RaisedInChild(_one_line(error))
        stand_in.add_note(note)
        reply = pickle.dumps((None, stand_in))
    return reply


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent goes, even while it hangs in C code."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it went before we asked
        os._exit(0)
