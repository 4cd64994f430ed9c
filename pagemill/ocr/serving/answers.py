"""From an instance of a request to its prediction: the PDF fetched, looked at in a child, its pages read."""

import asyncio
import dataclasses
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from pagemill.children import Answer, Crew
from pagemill.ocr.engine import PageOrder, Rendering, failed
from pagemill.ocr.line import Reading
from pagemill.ocr.serving.config import EngineConfig
from pagemill.ocr.serving.pool import Instances
from pagemill.ocr.serving.wanted import BadInstance, Fault, PageRange, Wanted, check_uri, parse_instance
from pagemill.pages.document import Examination, PdfFacts, examine
from pagemill.pages.inspect import MEMORY_LIMIT_BYTES
from pagemill.records import PageInspection, PageRecord, Reason, Status
from pagemill.storage import COPY_BYTES, file_sha256, filesystem_of

EXAMINERS = 2  # children that open PDFs
FETCHERS = 16  # threads that fetch and write PDFs
EXAMINE_LIMIT_SECONDS = 60.0
MAX_PDF_PAGES = 20_000
MAX_PAGE_POINTS = 14_400.0  # the largest page that Acrobat makes


@dataclasses.dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one instance: what is wrong with its PDF as a whole, or the records of its pages in order."""

    config: EngineConfig
    pdf_sha256: str = ""
    num_pages: int = 0
    status: Status = Status.OK
    reason: Reason | Fault | None = None
    detail: str = ""
    pages: tuple[PageRecord, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction as plain JSON values."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, slots=True)
class Fetching:
    """Where PDFs may come from, and how much of them."""

    schemes: tuple[str, ...] = ("gs",)
    max_pdf_bytes: int = 512 << 20
    time_limit_seconds: float = 120.0


Examined = tuple[PdfFacts, tuple[PageInspection, ...]]


class Admission(Protocol):
    """Who decides whether so many pages can be taken on now."""

    def __call__(self, pages: int) -> AbstractContextManager[None]:
        """Take the pages on for the time of the block, or raise."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Opened:
    """A PDF of which pages are to be read."""

    path: str
    sha256: str
    num_pages: int
    inspections: tuple[PageInspection, ...]  # of these pages
    rendering: Rendering


class Answerer:
    """Answers the instances of requests.

    Args:
        instances: What reads the pages.
        config: What the instances read with.
        fetching: The limits for PDFs by URI.
        folder: Where PDFs lie while they are read.
    """

    def __init__(self, instances: Instances, config: EngineConfig, fetching: Fetching, folder: Path) -> None:
        self.instances, self.config, self.fetching, self.folder = instances, config, fetching, folder
        self.examiners = Crew(
            examine,
            workers=EXAMINERS,
            time_limit_seconds=EXAMINE_LIMIT_SECONDS,
            memory_limit_bytes=MEMORY_LIMIT_BYTES,
        )
        self.fetchers = ThreadPoolExecutor(FETCHERS, "fetch")

    def close(self) -> None:
        """End the children; a download that hangs is not waited for."""
        self.examiners.close()
        self.fetchers.shutdown(wait=False, cancel_futures=True)

    async def answer(self, instances: list[Any], pages: PageRange, admit: Admission) -> list[Prediction]:
        """Return a prediction an instance, in order; a bad one has its reason and leaves the others alone.

        The PDFs lie in a folder of their own, which is removed when this ends however it ends.

        Args:
            instances: As `parse_request` gives them; emptied when the PDFs are on disk, for they can be large.
            pages: What to read of those that do not say.
            admit: Is told how many pages there are to read.

        Raises:
            Exception: What `admit` raises.
        """
        with tempfile.TemporaryDirectory(dir=self.folder, ignore_cleanup_errors=True) as folder:
            found = await _all(
                self._open(instance, pages, Path(folder, f"{number}.pdf")) for number, instance in enumerate(instances)
            )
            instances.clear()
            with admit(sum(len(each.inspections) for each in found if isinstance(each, _Opened))):
                return await _all(self._predict(each) for each in found)

    async def _open(self, instance: Any, pages: PageRange, path: Path) -> "_Opened | Prediction":
        """Bring a PDF here and look at it; a Prediction says what is wrong with it."""
        loop = asyncio.get_running_loop()
        try:
            wanted, sha256 = await loop.run_in_executor(self.fetchers, self._fetch, instance, pages, path)
        except BadInstance as error:
            return Prediction(self.config, status=Status.FAILED, reason=error.fault, detail=error.detail)
        examination = Examination(str(path), MAX_PDF_PAGES, MAX_PAGE_POINTS, with_text=False)
        facts, inspections = _facts(await self._examined(examination))
        if facts.reason is not None:
            return Prediction(self.config, sha256, facts.num_pages, Status.FAILED, facts.reason, facts.detail)
        try:
            numbers = wanted.pages.of(facts.num_pages)
        except BadInstance as error:
            return Prediction(self.config, sha256, facts.num_pages, Status.FAILED, error.fault, error.detail)
        asked_for = inspections[numbers.start - 1 : numbers.stop - 1]
        return _Opened(str(path), sha256, facts.num_pages, asked_for, wanted.rendering)

    async def _examined(self, examination: Examination) -> Answer[Examination, Examined]:
        # Shielded: the crew answers even when nobody wants to know any more.
        return await asyncio.shield(asyncio.wrap_future(self.examiners.submit(examination)))

    def _fetch(self, instance: Any, pages: PageRange, path: Path) -> tuple[Wanted, str]:
        wanted = parse_instance(instance, pages)
        if wanted.uri:
            check_uri(wanted.uri, self.fetching.schemes)
            _download(wanted.uri, path, self.fetching)
        else:
            path.write_bytes(wanted.content)
        return dataclasses.replace(wanted, content=b""), file_sha256(path)

    async def _predict(self, found: "_Opened | Prediction") -> Prediction:
        if isinstance(found, Prediction):
            return found
        records = await _all(self._read(found, inspection) for inspection in found.inspections)
        return Prediction(self.config, found.sha256, found.num_pages, pages=tuple(records))

    async def _read(self, pdf: _Opened, inspection: PageInspection) -> PageRecord:
        if inspection.reason is not None:
            reading = Reading(failed(inspection.reason))
        else:
            order = PageOrder(pdf.sha256, inspection.page, pdf.path, pdf.rendering)
            reading = await asyncio.wrap_future(self.instances.submit(order, Path(pdf.path).parent))
        return PageRecord(
            pdf_sha256=pdf.sha256,
            page=inspection.page,
            status=reading.page.status,
            reason=reading.page.reason,
            engine=self.config.engine,
            attempts=reading.attempts,
            text=reading.page.text,
            tokens=reading.page.tokens,
            seconds=reading.seconds,
            agreement=reading.agreement,
            rendering=reading.rendering,
        )


async def _all(work: Any) -> list[Any]:
    """Await everything at once, in order; an error of one cancels the rest."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        raise


def _facts(answer: Answer[Examination, Examined]) -> Examined:
    """Return what an examination found; what it raised, or did not survive, is the PDF's fault."""
    if answer.ok:
        return answer.value
    return PdfFacts(reason=answer.reason or Reason.BROKEN_PDF, detail=answer.detail), ()


def _download(uri: str, path: Path, limits: Fetching) -> None:
    """Copy what a URI names to a local path.

    Raises:
        BadInstance: It is not there, too large, or does not come in time.
    """
    deadline = time.monotonic() + limits.time_limit_seconds
    try:
        filesystem, remote = filesystem_of(uri)
        with filesystem.open(remote, "rb") as source, path.open("wb") as target:
            while chunk := source.read(COPY_BYTES):
                target.write(chunk)
                if target.tell() > limits.max_pdf_bytes:
                    raise BadInstance(Fault.PDF_TOO_LARGE, f"larger than {limits.max_pdf_bytes:,} bytes")
                if time.monotonic() > deadline:
                    raise BadInstance(Fault.NOT_FETCHED, f"not here within {limits.time_limit_seconds:g} s")
    except BadInstance:
        raise
    except FileNotFoundError:
        raise BadInstance(Fault.NOT_FOUND, "there is no such file") from None
    except Exception as error:  # whatever a file system raises
        detail = " ".join(f"{type(error).__name__}: {error}".split())
        raise BadInstance(Fault.NOT_FETCHED, detail[:300]) from error
