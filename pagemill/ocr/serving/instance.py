"""A model instance of the server: a process of its own with a line of pages, and what it is told and tells."""

import contextlib
import dataclasses
import functools
import os
import pickle
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing import connection
from typing import Any, NamedTuple

from pagemill.children import line_to_parent, start_process
from pagemill.errors import UserError
from pagemill.ocr.engine import Engine, PageOrder
from pagemill.ocr.feeding import PreparePage
from pagemill.ocr.finishing import FinishPage
from pagemill.ocr.line import Line, Reading

BEAT_SECONDS = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Kit:
    """What makes a model instance; picklable.

    Args:
        prepare: What its line does with a page before the model, and so are the next two.
        finish: What it does after.
        load: Loads the engine, on the device that is meant for this instance.
        self_test: A page that the model has to read before the instance takes others.
        batch_size: Pages in flight; 0 for what suits the device.
        models_on_device: Instances that share the device, this one among them.
        render_workers: Children that prepare pages.
        page_time_limit_seconds: For preparing a page, and again for cleaning it up.
    """

    prepare: PreparePage
    finish: FinishPage
    load: Callable[[], Engine]
    self_test: PageOrder
    batch_size: int = 0
    models_on_device: int = 1
    render_workers: int = 1
    page_time_limit_seconds: float = 60.0


class Order(NamedTuple):
    """To the instance: read this page."""

    number: int
    page: PageOrder


class Ready(NamedTuple):
    """From the instance: the model has read a page."""

    batch_size: int


class Answered(NamedTuple):
    """From the instance: this is what became of a page."""

    number: int
    reading: Reading


class Beat(NamedTuple):
    """From the instance, every second: how long the model has been at its present step, and what it did so far."""

    stalled_seconds: float
    totals: dict[str, float]


class Mistake(NamedTuple):
    """From the instance, at its end: why starting it again is in vain."""

    subject: str
    reason: str
    mend: str


Wire = connection.Connection


def start(far_end: "Wire[Any, Any]") -> "subprocess.Popen[bytes]":
    """Start an instance at this end of a wire."""
    return start_process(__name__, "serve", far_end)


def serve(handle: int, parent: int) -> None:
    """Read the pages that come over the wire until it closes: the whole life of an instance."""
    wire = line_to_parent(handle, parent)
    kit: Kit = pickle.loads(wire.recv_bytes())  # noqa: S301  # from our own parent
    _Serving(kit, wire).run()


class _Serving:
    """The inside of an instance: the wire at one end, the line at the other."""

    def __init__(self, kit: Kit, wire: "Wire[Any, Any]") -> None:
        self.kit, self.wire = kit, wire
        self.sending = threading.Lock()
        self.line = Line(
            kit.prepare,
            kit.finish,
            kit.load,
            batch_size=kit.batch_size,
            models_on_device=kit.models_on_device,
            render_workers=kit.render_workers,
            page_time_limit_seconds=kit.page_time_limit_seconds,
        )

    def run(self) -> None:
        with self.line:
            self.line.submit(self.kit.self_test).add_done_callback(self._on_self_test)
            for work in (self._take_orders, self._beat):
                threading.Thread(target=work, daemon=True).start()
            try:
                self.line.run()
            except UserError as mistake:
                self._send(Mistake(mistake.subject, mistake.reason, mistake.mend))

    def _on_self_test(self, future: "Future[Reading]") -> None:
        if future.exception() is not None:
            return  # so does `line.run`
        page = future.result().page
        if page.tokens:
            self._send(Ready(self.line.batch_size))
        else:
            self.line.stop(RuntimeError(f"the model did not read the page of the self-test: {page}"))

    def _take_orders(self) -> None:
        while True:
            try:
                number, page = pickle.loads(self.wire.recv_bytes())  # noqa: S301  # from our own parent
            except (EOFError, OSError):
                os._exit(0)  # the server has closed the wire
            self.line.submit(page).add_done_callback(functools.partial(self._on_read, number))

    def _on_read(self, number: int, future: "Future[Reading]") -> None:
        if future.exception() is None:  # else the instance ends, and its pages are read by another
            self._send(Answered(number, future.result()))

    def _beat(self) -> None:
        while True:
            self._send(Beat(self.line.stalled_seconds, self.line.totals.to_dict()))
            time.sleep(BEAT_SECONDS)

    def _send(self, message: NamedTuple) -> None:
        with self.sending, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wire.send_bytes(pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL))
