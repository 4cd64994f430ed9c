"""Reads what is missing of books through an endpoint: some requests at a time, each kept when it is answered."""

import asyncio
import contextlib
import dataclasses
import logging
from collections import Counter, deque
from typing import Any

from pagemill.errors import UserError
from pagemill.ocr.assignment import Assignment
from pagemill.ocr.remote.answers import NotRead, config_in, failed_row, records_in
from pagemill.ocr.remote.endpoint import Endpoint, RequestTooLarge, Stuck
from pagemill.ocr.remote.pieces import NotCut, Piece, Sender, TooLargeToSend, cut
from pagemill.ocr.serving.config import EngineConfig
from pagemill.progress import progress
from pagemill.records import PageRecord, Status

NOT_READ_ATTEMPTS = 3  # at pages of which the server says no more than that it could not get at them
PAGE_ATTEMPTS = 2  # at one page that the server is stuck on

log = logging.getLogger("pagemill")


@dataclasses.dataclass(slots=True)
class Figures:
    """What was read by one call."""

    rows: int = 0
    rows_failed: int = 0
    tokens: int = 0
    requests: int = 0

    def add(self, rows: list[PageRecord]) -> None:
        """Count rows."""
        self.rows += len(rows)
        self.rows_failed += sum(row.status is Status.FAILED for row in rows)
        self.tokens += sum(row.tokens for row in rows)


class RemoteReading:
    """One round of a plan, read through an endpoint.

    The rows of each request are a file of their own in the store, as those of a lease are, so a kill
    costs at most the requests in flight. A request that the server is stuck on is asked for in halves;
    a page that it is stuck on has failed if the endpoint reads another page meanwhile. Pages that
    the endpoint cannot get at stay unread, and the rest goes on.

    Args:
        assignment: What there is to read, by which plan.
        endpoint: Reads it.
        sender: Makes its requests.
        config: What the endpoint reads with, as the plan has it.
        max_pages: Of a request.
        max_requests: In flight.
    """

    def __init__(
        self,
        assignment: Assignment,
        endpoint: Endpoint,
        sender: Sender,
        config: EngineConfig,
        *,
        max_pages: int,
        max_requests: int,
    ) -> None:
        self.assignment, self.endpoint, self.sender, self.config = assignment, endpoint, sender, config
        self.max_pages, self.max_requests = max_pages, max_requests
        self.figures = Figures()
        self.unread: dict[Piece, str] = {}

    async def run(self) -> dict[str, Any]:
        """Write the books that are missing, and return figures.

        Raises:
            UserError: The endpoint is out of reach or reads with something else by now; or some pages were not read.
            OSError: The store cannot be read or written.
        """
        self.assignment.tidy()
        missing = await asyncio.to_thread(self.assignment.missing)
        self.pieces = deque(cut(missing, self.max_pages))
        self.lacking = Counter({book.pdf_sha256: len(book.pages) + len(book.suspects) for book in missing})
        with progress("recognize", self.lacking.total()) as self.advance:
            await _all_or_none([self._work() for _ in range(min(self.max_requests, len(self.pieces)))])
        if self.unread:
            raise self._unread_error()
        return dataclasses.asdict(self.figures)

    async def _work(self) -> None:
        while self.pieces:
            await self._read(self.pieces.popleft())

    async def _read(self, piece: Piece) -> None:
        """Read a piece and keep its rows, or note why it stays unread."""
        try:
            rows = await self._rows(piece)
        except (Stuck, RequestTooLarge, TooLargeToSend, NotCut) as error:
            if len(piece.pages) > 1:
                for half in piece.halves():
                    await self._read(half)
                return
            rows = await self._row_of_trouble(piece, error)
        except NotRead as error:
            self._leave(piece, str(error))
            return
        if rows:
            await self._keep(piece, rows)

    async def _rows(self, piece: Piece) -> list[PageRecord]:
        """Have a piece read; pages that the server could not get at are asked for again."""
        instance = await asyncio.to_thread(self.sender.instance, piece, self.assignment.plan.rendering)
        for attempt in range(1, NOT_READ_ATTEMPTS + 1):
            self.figures.requests += 1
            prediction = await self.endpoint.predict(instance)
            self._check_config(config_in(prediction, self.endpoint.name))
            with contextlib.suppress(NotRead) if attempt < NOT_READ_ATTEMPTS else contextlib.nullcontext():
                return records_in(prediction, piece, self.config)
        raise AssertionError("the last attempt returns or raises")

    def _check_config(self, config: EngineConfig) -> None:
        """Refuse what another model read: a ledger stands for one."""
        if config != self.config:
            reason = f"reads with {config.checkpoint_name} by now, and began with {self.config.checkpoint_name}"
            raise UserError(self.endpoint.name, reason, "let one model serve it, and run again")

    async def _row_of_trouble(self, piece: Piece, error: Exception) -> list[PageRecord]:
        """Return the row of a single page that could not be read; [] for one that stays unread."""
        match error:
            case NotCut():
                return [failed_row(piece, piece.pages[0], self.config, error.reason)]
            case Stuck():
                return await self._try_alone(piece, error)
            case _:
                self._leave(piece, f"{error}; give a store in a bucket, whose PDFs the endpoint fetches itself")
                return []

    async def _try_alone(self, piece: Piece, error: Stuck) -> list[PageRecord]:
        """Have a page read that the server was stuck on; it failed if the endpoint reads other pages meanwhile."""
        for _ in range(PAGE_ATTEMPTS - 1):
            await self.endpoint.self_test()
            try:
                return await self._rows(piece)
            except Stuck as again:
                error = again
            except NotRead as lost:
                self._leave(piece, str(lost))
                return []
        await self.endpoint.self_test()
        log.warning("%s is stuck on a page of a PDF that others are read beside: %s", self.endpoint.name, error)
        return [
            dataclasses.replace(failed_row(piece, piece.pages[0], self.config, error.reason), attempts=PAGE_ATTEMPTS)
        ]

    def _leave(self, piece: Piece, why: str) -> None:
        log.warning("pages %s of %s are not read: %s", piece.span, piece.pdf_sha256, why)
        self.unread[piece] = why

    async def _keep(self, piece: Piece, rows: list[PageRecord]) -> None:
        """Keep the rows of a piece, and join its book when it was the last; threads only write, and count nothing."""
        await asyncio.to_thread(self.assignment.readings.save, piece.pdf_sha256, piece.pages, rows)
        self.figures.add(rows)
        self.advance(len(rows))
        self.lacking[piece.pdf_sha256] -= len(rows)
        if not self.lacking[piece.pdf_sha256]:
            await asyncio.to_thread(self.assignment.join, piece.pdf_sha256)

    def _unread_error(self) -> UserError:
        pages = sum(len(piece.pages) for piece in self.unread)
        books = len({piece.pdf_sha256 for piece in self.unread})
        first, why = next(iter(self.unread.items()))
        reason = f"did not read {pages} pages of {books} PDFs, such as {first.span} of {first.pdf_sha256[:12]} ({why})"
        return UserError(self.endpoint.name, reason, "mend that and run again: what was read is kept")


async def _all_or_none(work: Any) -> None:
    """Await everything at once; an error of one cancels the rest, and is raised as it is."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
