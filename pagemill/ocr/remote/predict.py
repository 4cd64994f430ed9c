"""The stage that reads pages through an endpoint; what it gives is what `recognize_pages` gives."""

import asyncio
import contextlib
from typing import Any

from pagemill.manifest import Manifest, Outcome
from pagemill.ocr.agreement import LOW_AGREEMENT_BELOW
from pagemill.ocr.assignment import Assignment
from pagemill.ocr.launch import sigterm_as_exit
from pagemill.ocr.plan import RECOGNIZE, Plan, check_fallback, retry_rounds
from pagemill.ocr.recognize import written_ledgers
from pagemill.ocr.remote.endpoint import VERTEX_REQUEST_BYTES, Address, Endpoint, check_endpoint
from pagemill.ocr.remote.pieces import Sender
from pagemill.ocr.remote.plan import keep_tokenizer, plan_of
from pagemill.ocr.remote.reading import RemoteReading
from pagemill.ocr.serving.config import EngineConfig
from pagemill.records import BookRecord, PdfRecord
from pagemill.storage import Store


def predict_pages(
    pdfs: Manifest[PdfRecord],
    store: Store,
    *,
    endpoint: str,
    checkpoint: str = "0.1.0-base",
    fallback: str = "none",
    min_agreement: float = LOW_AGREEMENT_BELOW,
    languages: str = "",
    retry: str = "none",
    dpi: int = 96,
    pages_per_request: int = 4,
    concurrency: int = 16,
    max_request_bytes: int = VERTEX_REQUEST_BYTES,
    patience_seconds: float = 900.0,
) -> Manifest[BookRecord]:
    """Read every page of the PDFs through an endpoint and write a ledger a book, as `recognize_pages` does.

    The server says with every answer what it reads with, and the ledgers and the manifest are those of
    `recognize_pages` with that engine, checkpoint and precision: what either has read, the other does
    not read again. What is read is kept request by request.

    Args:
        pdfs: What `inspect_pdfs` found.
        store: Holds the PDFs and receives the ledgers. The endpoint fetches the PDFs of a bucket itself;
            those of another store are sent.
        endpoint: `projects/<project>/locations/<region>/endpoints/<number>`, or the URL of a server.
        checkpoint: What the server reads with, as it was deployed; its tokenizer is fetched from there.
        fallback: As `recognize_pages` has it; the fallback is made here.
        min_agreement: Pages whose text agrees less than this with their text layer, 0 to 1, are flagged.
        languages: What the server was told to read, with commas; another answer is refused.
        retry: Rounds of reading again, as `recognize_pages` has them.
        dpi: Of the rendering.
        pages_per_request: At most; they have to be read in the 60 seconds that Vertex AI allows a request.
        concurrency: Requests at once.
        max_request_bytes: That a request may have; a PDF that is larger is sent in parts.
        patience_seconds: How long a request is repeated while the endpoint is overloaded or out of reach.

    Returns:
        One row a PDF; `items` counts the rows of its ledger.

    Raises:
        UserError: The endpoint, the checkpoint or what a parameter asks for is not there; or the endpoint could
            not get at some PDFs, after everything else was read.
        OSError: The store cannot be read or written.
    """
    check_fallback(fallback)
    retry_rounds(retry)
    config = check_endpoint(endpoint, patience_seconds=patience_seconds)
    plan = plan_of(
        config,
        f"endpoint {endpoint}",
        fallback=fallback,
        min_agreement=min_agreement,
        languages=languages,
        retry=retry,
        dpi=dpi,
    )
    limits = {"max_pages": pages_per_request, "max_requests": concurrency}
    settings: dict[str, Any] = {"checkpoint": checkpoint, **plan.settings, "endpoint": endpoint, **limits}

    def body() -> Outcome[BookRecord]:
        keep_tokenizer(plan, config, checkpoint, store)
        service = Endpoint(
            endpoint, Address.of(endpoint), max_connections=concurrency, patience_seconds=patience_seconds
        )
        with contextlib.closing(Sender(store, max_request_bytes)) as sender, sigterm_as_exit():
            settings["figures"] = asyncio.run(_read_rounds(pdfs, store, plan, config, service, sender, limits))
        return written_ledgers(pdfs, store, plan)

    return RECOGNIZE.once(store, [pdfs], plan.parameters, body, settings)


async def _read_rounds(
    pdfs: Manifest[PdfRecord],
    store: Store,
    plan: Plan,
    config: EngineConfig,
    endpoint: Endpoint,
    sender: Sender,
    limits: dict[str, int],
) -> list[dict[str, Any]]:
    """Read what is missing, round after round, and return the figures of each."""
    async with endpoint:
        return [
            await RemoteReading(Assignment(pdfs, store, each), endpoint, sender, config, **limits).run()
            for each in plan.rounds
        ]
