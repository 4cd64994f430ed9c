"""The service without its web framework: which requests are taken on, how they end, and how it comes to its own end."""

import asyncio
import collections
import contextlib
import dataclasses
import logging
import math
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from pagemill.ocr.serving.answers import Answerer, Prediction
from pagemill.ocr.serving.metrics import Metrics
from pagemill.ocr.serving.pool import Instances
from pagemill.ocr.serving.settings import Settings
from pagemill.ocr.serving.wanted import BadRequest, parse_request

RATE_WINDOW_SECONDS = 60.0
RETRY_SECONDS_UNKNOWN = 10  # while nothing tells how fast pages are read
MAX_RETRY_SECONDS = 600
DISCARD_SECONDS = 2.0  # for the rest of a body that is too large: who still sends would not hear the answer

access = logging.getLogger("pagemill.access")
log = logging.getLogger("pagemill")


class Refused(Exception):
    """A request that is not answered with predictions, and the HTTP status for it."""

    def __init__(self, status: int, outcome: str, message: str, retry_after_seconds: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.outcome = outcome
        self.message = message
        self.retry_after_seconds = retry_after_seconds


@dataclasses.dataclass(slots=True)
class Visit:
    """A request as the access log tells of it."""

    started: float
    status: int = 200
    outcome: str = "ok"
    request_bytes: int = 0
    instances: int = 0
    instances_failed: int = 0
    pages: int = 0


class Throughput:
    """How many pages a second were answered lately."""

    def __init__(self) -> None:
        self.times: collections.deque[tuple[float, int]] = collections.deque()

    def add(self, pages: int, now: float) -> None:
        """Count pages that were answered."""
        self.times.append((now, pages))

    def seconds_for(self, pages: int, now: float) -> int:
        """Return in how many seconds so many pages will have been answered, as far as the last minute tells."""
        while self.times and self.times[0][0] < now - RATE_WINDOW_SECONDS:
            self.times.popleft()
        if not self.times:
            return RETRY_SECONDS_UNKNOWN
        span_seconds = max(1.0, now - self.times[0][0])
        rate = sum(count for _, count in self.times) / span_seconds
        return min(MAX_RETRY_SECONDS, max(1, math.ceil(pages / rate)))


class Service:
    """Takes requests on as far as there is room, and answers each that it took on."""

    def __init__(self, settings: Settings, instances: Instances, answerer: Answerer, metrics: Metrics) -> None:
        self.settings, self.instances, self.answerer, self.metrics = settings, instances, answerer, metrics
        self.throughput = Throughput()
        self.pages_taken_on = 0
        self.open: set[asyncio.Task[Any]] = set()
        self.draining = False

    @property
    def unhealthy(self) -> str:
        """Say why nothing can be read now; "" when a model has read a page, and is alive."""
        if self.draining:
            return "the server is ending"
        return "" if self.instances.ready else "no model has read a page yet"

    async def predict(self, body: AsyncIterator[bytes], length: int, visit: Visit) -> list[Prediction]:
        """Answer a request.

        Args:
            body: The bytes of the request as they come.
            length: How many its head announces; 0 if it does not say.
            visit: Receives what the log is to tell.

        Raises:
            Refused: It is too large, malformed, or there is no room for it now.
        """
        self._check_open()
        task = asyncio.current_task()
        assert task is not None, "requests are answered in tasks"
        self.open.add(task)
        try:
            content = await self._whole(body, length)
            visit.request_bytes = len(content)
            try:
                instances, pages = await asyncio.to_thread(parse_request, content)
            except BadRequest as error:
                raise Refused(400, "bad_request", str(error)) from None
            del content
            predictions = await self.answerer.answer(instances, pages, self._taking_on)
        finally:
            self.open.discard(task)
        visit.instances, visit.pages = len(predictions), sum(len(each.pages) for each in predictions)
        visit.instances_failed = sum(each.reason is not None for each in predictions)
        return predictions

    def _check_open(self) -> None:
        if self.unhealthy:
            raise Refused(503, "unavailable", self.unhealthy, RETRY_SECONDS_UNKNOWN)
        if len(self.open) >= self.settings.max_requests:
            wait_seconds = self.throughput.seconds_for(1, time.monotonic())
            raise Refused(429, "busy", f"{len(self.open)} requests are open", wait_seconds)

    async def _whole(self, body: AsyncIterator[bytes], length: int) -> bytes:
        """Return the body, unless it is too large."""
        limit, content = self.settings.max_body_bytes, bytearray()
        async for part in body:
            if length > limit or len(content) + len(part) > limit:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(DISCARD_SECONDS):
                        async for _ in body:
                            pass
                raise Refused(413, "too_large", f"the body is larger than {limit:,} bytes")
            content += part
        return bytes(content)

    @contextlib.contextmanager
    def _taking_on(self, pages: int) -> Iterator[None]:
        """Hold room for pages."""
        limit, most = self.settings.max_queued_pages, self.settings.max_request_pages
        if pages > most:
            raise Refused(413, "too_large", f"{pages:,} pages are more than the {most:,} of a request")
        if self.pages_taken_on + pages > limit:
            wait_seconds = self.throughput.seconds_for(self.pages_taken_on + pages - limit, time.monotonic())
            raise Refused(429, "busy", f"{self.pages_taken_on:,} pages are waiting", wait_seconds)
        self.pages_taken_on += pages
        try:
            yield
        finally:
            self.pages_taken_on -= pages

    def tell(self, visit: Visit, predictions: list[Prediction]) -> None:
        """Count a request that has ended, and log it: what it took, and nothing of what it held."""
        seconds = time.monotonic() - visit.started
        self.metrics.requests.labels(visit.outcome).inc()
        if visit.outcome == "ok":
            self.metrics.seconds.observe(seconds)
        for prediction in predictions:
            for page in prediction.pages:
                self.metrics.pages.labels(page.status).inc()
        if visit.pages:
            self.throughput.add(visit.pages, time.monotonic())
        fields = {name: value for name, value in dataclasses.asdict(visit).items() if name != "started"}
        access.info("request", extra={"fields": fields | {"seconds": round(seconds, 3)}})

    async def drain(self) -> bool:
        """Take no more requests and wait for those that are open; False when the time for it ran out."""
        self.draining = True
        log.info("ending: %d requests are open", len(self.open))
        if not self.open:
            return True
        _, late = await asyncio.wait(list(self.open), timeout=self.settings.drain_limit_seconds)
        for task in late:
            task.cancel()
        return not late
