"""Tells a backend of a container, again and again, until the container ends."""

import asyncio
import logging
from collections.abc import Callable, Sequence

import httpx

from pagemill.reviews.wire import HEARTBEAT_SECONDS, LOCAL_HOSTS, SERVER_ROUTE, ServerReport

TIMEOUT_SECONDS = 2.0  # so that a backend that hangs does not keep the next one from hearing in time

log = logging.getLogger("pagemill")


class Registration:
    """Reports a container to the first backend that answers.

    Args:
        backends: Their URLs; the next one is taken when one does not answer.
        token: That backend and containers share.
        server_id: Of the container, new at every start.
        report: What the container says of itself now.
    """

    def __init__(self, backends: Sequence[str], token: str, server_id: str, report: Callable[[], ServerReport]) -> None:
        self._backends = [url.rstrip("/") for url in backends]
        self._route = SERVER_ROUTE.format(server_id=server_id)
        self._report = report
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_SECONDS,
            mounts={f"all://{host}": None for host in LOCAL_HOSTS},
        )
        self._now = asyncio.Event()
        self._ending = False
        self.trouble = ""  # why no backend takes reports; "" when one does

    async def run(self) -> None:
        """Report until the container ends."""
        while self._backends and not self._ending:
            await self.tell()
            try:
                await asyncio.wait_for(self._now.wait(), HEARTBEAT_SECONDS)
            except TimeoutError:
                continue
            self._now.clear()

    def tell_now(self) -> None:
        """Have the next report go out at once."""
        self._now.set()

    def end(self) -> None:
        """Begin no more reports: one that arrived late would register the container anew."""
        self._ending = True
        self._now.set()

    async def tell(self) -> bool:
        """Report once; say whether a backend has heard it."""
        return await self._send("PUT", content=self._report().model_dump_json())

    async def dismiss(self) -> None:
        """Say that the container has ended."""
        if self._backends:
            await self._send("DELETE")
        await self._client.aclose()

    async def _send(self, method: str, content: str | None = None) -> bool:
        """Send to the first backend that takes it, and keep to that one."""
        failures = []
        headers = {"Content-Type": "application/json"} if content else {}
        for url in list(self._backends):
            try:
                answer = await self._client.request(method, url + self._route, content=content, headers=headers)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                failures.append(f"{url}: {type(error).__name__}")
            else:
                if answer.is_success or (method == "DELETE" and answer.status_code == 404):
                    self._note("", url)
                    return True
                failures.append(f"{url}: HTTP {answer.status_code}")
            self._backends.append(self._backends.pop(0))
        self._note("; ".join(failures), "")
        return False

    def _note(self, trouble: str, url: str) -> None:
        """Log what has changed, and nothing again and again."""
        if trouble and not self.trouble:
            log.warning("no backend takes reports: %s", trouble)
        if not trouble and self.trouble:
            log.info("reports are taken by %s", url)
        self.trouble = trouble
