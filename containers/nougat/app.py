"""The Nougat server: keeps Vertex AI's contract for custom containers, for online and batch prediction.

Start it with `python containers/nougat/app.py`; the environment says how it runs, see
`pagemill.ocr.serving.settings.Settings`. A request is

    POST <AIP_PREDICT_ROUTE>  {"instances": [{"gcs_uri": "gs://bucket/book.pdf", "pages": "1-5"}, {"b64": "..."}]}

and its answer `{"predictions": [{"pdf_sha256": ..., "num_pages": ..., "status": ..., "reason": ..., "detail": ...,
"config": {...}, "pages": [...]}]}`: one an instance, with the page records (`pagemill.records.PageRecord`) in order, or
`failed` with the reason why its PDF cannot be read; a bad instance leaves the others of its request alone. "config"
says what reads the pages (`pagemill.ocr.serving.config.EngineConfig`).

Batch prediction works with JSON Lines or BigQuery (`{"gcs_uri": ...}`, "pages" if need be), with a list of files or
TFRecord (Vertex AI sends `{"b64": ...}`) and with CSV (the URI, then the pages). Vertex AI lets online requests be no
larger than 1.5 MB, so longer PDFs are best given by URI.

A request that is not understood is answered by 400, one that is too large by 413, one for which there is no room
now by 429 with Retry-After, and by 503 while no model has read a page or the server is ending.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from pagemill.draining import DrainingServer
from pagemill.errors import UserError
from pagemill.logs import configure_log
from pagemill.ocr.serving.answers import Answerer, Fetching, Prediction
from pagemill.ocr.serving.config import config_of
from pagemill.ocr.serving.instance import Kit
from pagemill.ocr.serving.kits import kits_for
from pagemill.ocr.serving.metrics import Metrics
from pagemill.ocr.serving.pool import Instances
from pagemill.ocr.serving.service import Refused, Service, Visit
from pagemill.ocr.serving.settings import METRICS_ROUTE, Settings

CLIENT_CLOSED_REQUEST = 499  # nobody sees it but the log

log = logging.getLogger("pagemill")


def main() -> None:
    """Serve until SIGTERM: exit code 0, 1 when requests had to be broken off, 2 for a mistake of the user."""
    configure_log()
    # Until the server listens to signals itself; the first process of a container does not end by them otherwise.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        settings = Settings.from_environment(os.environ)
        raise SystemExit(run(settings, kits_for))
    except UserError as mistake:
        sys.stderr.write(f"pagemill: {mistake}\n")
        raise SystemExit(2) from None


def run(settings: Settings, kits: Callable[[Settings, Path], list[Kit]]) -> int:
    """Serve until a signal ends it; return the exit code.

    Raises:
        UserError: The server cannot start, or its model cannot.
    """
    with tempfile.TemporaryDirectory(prefix="pagemill-serving-", ignore_cleanup_errors=True) as folder:
        return asyncio.run(_serve(settings, kits(settings, Path(folder)), Path(folder)))


async def _serve(settings: Settings, kits: list[Kit], folder: Path) -> int:
    loop = asyncio.get_running_loop()
    mistake: asyncio.Future[UserError] = loop.create_future()

    def fail(error: UserError) -> None:
        if not mistake.done():
            mistake.set_result(error)

    def fail_soon(error: UserError) -> None:
        loop.call_soon_threadsafe(fail, error)

    config = config_of(settings, kits[0].prepare.checkpoint)
    fetching = Fetching(settings.uri_schemes, settings.max_pdf_bytes, settings.fetch_limit_seconds)
    with (
        Instances(kits, fail_soon, stall_limit_seconds=settings.stall_limit_seconds) as instances,
        contextlib.closing(Answerer(instances, config, fetching, folder)) as answerer,
    ):
        service = Service(settings, instances, answerer, Metrics(instances))
        server = DrainingServer(
            create_app(service),
            service.drain,
            host="0.0.0.0",  # noqa: S104  # a container is reached from outside
            port=settings.port,
        )
        mistake.add_done_callback(lambda _: server.stop())
        await server.serve()
        if mistake.done():
            raise mistake.result()
        return 0 if server.ended_well else 1


def create_app(service: Service) -> FastAPI:
    """Return the web application of a service."""
    app = FastAPI(title="pagemill", docs_url=None, redoc_url=None, openapi_url=None)
    settings = service.settings

    @app.get(settings.health_route)
    async def health() -> Response:
        if reason := service.unhealthy:
            return JSONResponse({"error": reason}, 503)
        return JSONResponse({"instances": service.instances.ready})

    @app.get(METRICS_ROUTE)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.post(settings.predict_route)
    async def predict(request: Request) -> Response:
        visit, predictions = Visit(time.monotonic()), list[Prediction]()
        try:
            predictions = await _unless_gone(request, service, visit)
            return JSONResponse({"predictions": [each.to_dict() for each in predictions]})
        except Refused as refused:
            visit.status, visit.outcome = refused.status, refused.outcome
            retry = {"Retry-After": str(refused.retry_after_seconds)} if refused.retry_after_seconds else {}
            return JSONResponse({"error": refused.message}, refused.status, retry)
        except ClientDisconnect:
            visit.status, visit.outcome = CLIENT_CLOSED_REQUEST, "gone"
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        except Exception:
            log.exception("a request failed")
            visit.status, visit.outcome = 500, "error"
            return JSONResponse({"error": "internal error"}, 500)
        finally:
            service.tell(visit, predictions)

    return app


async def _unless_gone(request: Request, service: Service, visit: Visit) -> list[Prediction]:
    """Answer a request, but give up the pages that have not begun when its client goes away.

    Raises:
        Refused: As `Service.predict` does, and when the time to drain runs out.
        ClientDisconnect: The client went away.
    """
    arrived = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        async for part in request.stream():
            yield part
        arrived.set()

    answering = asyncio.create_task(service.predict(body(), int(request.headers.get("content-length") or 0), visit))
    watching = asyncio.create_task(_disconnect(request, arrived))
    try:
        await asyncio.wait({answering, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise ClientDisconnect
        if answering.cancelled():
            raise Refused(503, "broken_off", "the server is ending")
        return answering.result()
    finally:
        watching.cancel()
        answering.cancel()


async def _disconnect(request: Request, arrived: asyncio.Event) -> None:
    """Return when the client has gone; the body has to arrive first, for both come the same way."""
    await arrived.wait()
    while (await request.receive())["type"] != "http.disconnect":
        pass


if __name__ == "__main__":
    main()
