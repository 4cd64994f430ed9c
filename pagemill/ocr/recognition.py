"""One process's part in reading books: leases in, pages down the line, finished leases into the store."""

import contextlib
import dataclasses
import functools
import json
import logging
import math
import queue
import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from pagemill.ocr.assignment import Assignment, Missing, page_row
from pagemill.ocr.engine import PageOrder, load_engine
from pagemill.ocr.feeding import PreparePage
from pagemill.ocr.finishing import FinishPage
from pagemill.ocr.leases import Lease, Leases, plan_leases
from pagemill.ocr.line import Line, Reading
from pagemill.ocr.ranks import Ranks
from pagemill.ocr.readings import ALONE, TOGETHER
from pagemill.progress import Advance, progress
from pagemill.records import PageRecord, Status
from pagemill.storage import Store

AHEAD_PAGES = 32  # at least so many are prepared or being prepared while a batch is read: 60 MB of Nougat's inputs
OPEN_BOOKS = 4  # local copies that are kept although none of their pages is on the line
TICK_SECONDS = 1.0
STALLED_SECONDS = 600.0  # no step of any model takes so long

log = logging.getLogger("pagemill")


@dataclasses.dataclass(slots=True)
class _Held:
    """A lease whose pages are on the line."""

    lease: Lease
    mark: str
    rows: list[PageRecord] = dataclasses.field(default_factory=list)

    @property
    def complete(self) -> bool:
        return len(self.rows) == len(self.lease.pages)


class Recognition:
    """Reads the books of an assignment together with the other ranks of its group.

    The calling thread is the model's; a second one takes leases, opens books, sends pages down the
    line, keeps what comes back and tells the others. Everything that is held of a lease is that
    thread's alone.
    """

    def __init__(self, assignment: Assignment, store: Store, ranks: Ranks) -> None:
        self.assignment, self.store, self.ranks = assignment, store, ranks
        self.plan, self.readings = assignment.plan, assignment.readings
        self.events: queue.SimpleQueue[tuple[_Held, int, Future[Reading]]] = queue.SimpleQueue()
        self.held: dict[int, _Held] = {}
        self.on_line = 0  # pages
        self.rows = self.rows_failed = 0  # of this rank
        self.shown = 0  # pages of all ranks that the progress display knows of

    def run(self) -> list[dict[str, float]]:
        """Write the books that are missing, and return what each rank's model did.

        Raises:
            UserError: The engine cannot be loaded.
            EngineLost: The engine's device failed.
            OSError: The store cannot be read or written.
        """
        self.table = self.ranks.agree(self.plan.readings_folder)
        found = self._share_missing()
        plan = plan_leases([(each.pdf_sha256, each.pages) for each in found if each.pages], ranks=self.ranks.size)
        alone = [(each.pdf_sha256, page) for each in found for page in each.suspects]
        self.first_alone = len(plan)
        plan += tuple(Lease(len(plan) + number, pdf, (page,)) for number, (pdf, page) in enumerate(alone))
        self.leases_of_book = Counter(lease.pdf_sha256 for lease in plan)
        pages = sum(len(lease.pages) for lease in plan)
        self.share = math.ceil(pages / self.ranks.size)
        self.leases = Leases(self.table, plan, self.ranks.rank)
        with (
            self._new_line() as self.line,
            _Books(self.store) as self.books,
            self._progress(pages) as self.advance,
            self.ranks.watchdog(STALLED_SECONDS) if self.ranks.size > 1 else contextlib.nullcontext(),
        ):
            feeder = threading.Thread(target=self._feed_or_stop, name="feed")
            feeder.start()
            try:
                self.line.run()
            finally:
                feeder.join()
        totals = self.ranks.totals(self._figures())
        if self.ranks.rank == 0:
            self.assignment.missing()  # joins what a rank left that ended between its last page and this
            log.info("recognize: %s", described(summed(totals)))
        return totals

    def _figures(self) -> dict[str, float]:
        """Return what this rank did so far."""
        return {"rows": self.rows, "rows_failed": self.rows_failed, **self.line.totals.to_dict()}

    def _share_missing(self) -> list[Missing]:
        """Have rank 0 look what is missing, so that all ranks make the same plan."""
        if self.ranks.rank == 0:
            found = self.assignment.missing()
            if self.ranks.size > 1:
                self.table.set("missing", json.dumps([dataclasses.asdict(each) for each in found]))
            return found
        (shared,) = self.table.multi_get(["missing"])
        return [
            Missing(each["pdf_sha256"], tuple(each["pages"]), tuple(each["suspects"])) for each in json.loads(shared)
        ]

    def _progress(self, pages: int) -> contextlib.AbstractContextManager[Advance]:
        """Show how far all ranks are, once."""
        return progress("recognize", pages) if self.ranks.rank == 0 else contextlib.nullcontext(lambda amount=1: None)

    def _new_line(self) -> Line:
        plan = self.plan
        threads = plan.threads or max(1, self.ranks.threads - plan.render_workers)
        return Line(
            PreparePage(plan.engine, plan.checkpoint, plan.languages),
            FinishPage(plan.engine, plan.checkpoint),
            lambda: load_engine(plan.engine, plan.checkpoint, self.ranks.device, threads, plan.precision),
            batch_size=plan.batch_size,
            models_on_device=plan.instances_per_gpu,
            render_workers=plan.render_workers,
            page_time_limit_seconds=plan.page_time_limit_seconds,
        )

    def _feed_or_stop(self) -> None:
        try:
            self._feed()
        except BaseException as error:
            self.line.stop(error)
        finally:
            self._let_go()

    def _feed(self) -> None:
        """Keep the line full until every lease of every rank is done."""
        while not self.leases.finished:
            while self._has_room() and (lease := self.leases.grant()):
                self._begin(lease)
            self._take_back(TICK_SECONDS)
            self._tell()
            self.line.check()
        self.line.close()

    def _has_room(self) -> bool:
        """Say whether the line takes another lease: nothing beside a page that processes crashed on.

        No rank holds more than its share of a small plan, so that ranks finish together.
        """
        if any(held.mark == ALONE for held in self.held.values()):
            return False
        room = self.line.batch_size + max(self.line.batch_size, AHEAD_PAGES)
        return self.on_line < min(room, self.share)

    def _begin(self, lease: Lease) -> None:
        """Send the pages of a lease down the line."""
        held = _Held(lease, ALONE if lease.index >= self.first_alone else TOGETHER)
        while held.mark == ALONE and self.held:
            self._take_back(TICK_SECONDS)
            self._tell()
        self.held[lease.index] = held
        self.readings.mark(lease.pdf_sha256, lease.pages, held.mark)
        path = self.books.open(lease.pdf_sha256)
        self.on_line += len(lease.pages)
        for page in lease.pages:
            order = PageOrder(lease.pdf_sha256, page, path, self.plan.rendering)
            self.line.submit(order).add_done_callback(functools.partial(self._come_off, held, page))

    def _come_off(self, held: _Held, page: int, reading: Future[Reading]) -> None:
        self.events.put((held, page, reading))

    def _take_back(self, wait_seconds: float) -> None:
        """Take the pages that came off the line, waiting a while for the first."""
        with contextlib.suppress(queue.Empty):
            while True:
                held, page, reading = self.events.get(timeout=wait_seconds)
                wait_seconds = 0.0
                self._add(held, page, reading.result())

    def _add(self, held: _Held, page: int, reading: Reading) -> None:
        pdf_sha256 = held.lease.pdf_sha256
        held.rows.append(page_row(pdf_sha256, page, self.plan.engine, reading))
        self.on_line -= 1
        self.rows += 1
        self.rows_failed += reading.page.status is Status.FAILED
        if held.complete:
            self._finish(held)
        self._beat()

    def _finish(self, held: _Held) -> None:
        """Keep the rows of a lease, and join its book when it was the last."""
        lease = held.lease
        self.readings.save(lease.pdf_sha256, lease.pages, sorted(held.rows, key=lambda row: row.page))
        accepted = self.leases.done(lease)
        if not accepted:  # another rank took the lease meanwhile: what it reads counts
            self.readings.discard(lease.pdf_sha256, lease.pages)
        self._drop(held)
        key = f"leases done/{lease.pdf_sha256}"
        if accepted and self.table.add(key, 1) == self.leases_of_book[lease.pdf_sha256]:
            self.assignment.join(lease.pdf_sha256)

    def _drop(self, held: _Held) -> None:
        del self.held[held.lease.index]
        self.readings.unmark(held.lease.pdf_sha256, held.lease.pages, held.mark)
        self.books.release(held.lease.pdf_sha256)

    def _let_go(self) -> None:
        """Give back what is held when the run ends early: nobody crashed on it."""
        for held in list(self.held.values()):
            with contextlib.suppress(Exception):
                self._drop(held)
                self.leases.release(held.lease)

    def _tell(self) -> None:
        """Tell the others that this rank lives and how far it is; rank 0 shows it."""
        self._beat()
        self.ranks.publish(self._figures())
        if self.ranks.rank == 0:
            done = int(sum(status.get("rows", 0) for status in self.ranks.statuses()))
            if done > self.shown:
                self.advance(done - self.shown)
                self.shown = done

    def _beat(self) -> None:
        """Show that this rank lives, unless its model hangs: then others take its leases."""
        if self.line.stalled_seconds < STALLED_SECONDS:
            self.leases.beat()
            self.ranks.alive()


class _Books:
    """Local copies of the PDFs whose pages are on the line, and of a few before them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.copies: dict[str, tuple[str, contextlib.ExitStack]] = {}  # in the order of use
        self.users: Counter[str] = Counter()

    def open(self, pdf_sha256: str) -> str:
        """Return the local path of a PDF; raises FileNotFoundError when the store has lost it."""
        copy = self.copies.pop(pdf_sha256) if pdf_sha256 in self.copies else self._copy(pdf_sha256)
        self.copies[pdf_sha256] = copy
        self.users[pdf_sha256] += 1
        return copy[0]

    def release(self, pdf_sha256: str) -> None:
        """Let go of a PDF that `open` gave."""
        self.users[pdf_sha256] -= 1
        idle = [each for each in self.copies if not self.users[each]]
        for each in idle[: max(0, len(idle) - OPEN_BOOKS)]:
            self.copies.pop(each)[1].close()

    def _copy(self, pdf_sha256: str) -> tuple[str, contextlib.ExitStack]:
        name = f"pdf/{pdf_sha256}.pdf"
        if not self.store.exists(name):
            raise FileNotFoundError(self.store.uri_of(name))
        lease = contextlib.ExitStack()
        return str(lease.enter_context(self.store.local(name))), lease

    def __enter__(self) -> "_Books":
        return self

    def __exit__(self, *_: object) -> None:
        for _path, lease in self.copies.values():
            lease.close()


def summed(totals: list[dict[str, float]]) -> dict[str, Any]:
    """Return the figures of all ranks together, and those of each."""
    names = totals[0] if totals else {}
    return {name: round(sum(each[name] for each in totals), 3) for name in names} | {"ranks": totals}


def described(figures: Mapping[str, Any]) -> str:
    """Return the figures of a run in one line."""
    loaded_seconds = figures["seconds_reading"] + figures["seconds_waiting"]
    busy = f", busy for {figures['seconds_reading'] / loaded_seconds:.0%} of the time" if loaded_seconds else ""
    models = f"{len(figures['ranks'])} model{'s' if len(figures['ranks']) > 1 else ''}{busy}"
    return (
        f"{figures['rows']:,.0f} pages, {figures['rows_failed']:,.0f} failed, {figures['tokens']:,.0f} tokens; {models}"
    )
