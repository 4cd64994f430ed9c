"""The backend's web application: containers report to it, clients hand decks in and ask what became of them."""

import tempfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from pagemill import __version__
from pagemill.decks.records import Deck
from pagemill.decks.report import write_report
from pagemill.decks.slides import add_deck
from pagemill.decks.specialized import When
from pagemill.decks.tasks import Parameters, TaskOutput
from pagemill.errors import UserError
from pagemill.flow.reading import PipelineStatus
from pagemill.flow.runner import Server
from pagemill.reviews.backend.answers import (
    Cancelled,
    EventReport,
    Health,
    PipelineReport,
    PipelineSummary,
    QueuedAnew,
    ServerHeard,
    ServerOverview,
)
from pagemill.reviews.backend.asked import After, DeckName, Limit, PipelineId, Priority, ServerId, TaskName
from pagemill.reviews.backend.desk import Desk
from pagemill.reviews.http import BEARER, documented, guard, problem_response, refused
from pagemill.reviews.wire import HEALTH_ROUTE, SERVER_ROUTE, ErrorKind, Problem, ServerReport

PIPELINES_ROUTE = "/api/pipelines"
PIPELINE_ROUTE = f"{PIPELINES_ROUTE}/{{pipeline_id}}"
SERVERS_ROUTE = SERVER_ROUTE.rpartition("/")[0]
MAX_DECK_BYTES = 100 << 20
UNKNOWN = documented(ErrorKind.NOT_FOUND)
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # a report needs nothing else
PDF_BODY = {
    "requestBody": {
        "required": True,
        "description": "The deck.",
        "content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def create_app(desk: Desk, token: str) -> FastAPI:
    """Return the application.

    Args:
        desk: That it speaks for.
        token: That containers and clients have to bring.
    """
    app = FastAPI(title="Deck review: backend", version=__version__, docs_url=None, redoc_url=None)
    app.include_router(_health())
    app.include_router(_servers(desk))
    app.include_router(_decks(desk))
    app.include_router(_pipelines(desk))
    app.add_exception_handler(UserError, _refuse)
    guard(app, token, larger={PIPELINES_ROUTE: MAX_DECK_BYTES}, quiet=(HEALTH_ROUTE, SERVERS_ROUTE))
    return app


def _refuse(request: Request, error: Exception) -> Response:
    return problem_response(Problem(error=ErrorKind.REFUSED, message=str(error)))


def _health() -> APIRouter:
    router = APIRouter()

    @router.get(HEALTH_ROUTE)
    async def health() -> Health:  # in the event loop: a database that is away keeps all threads waiting
        """Say that the process answers."""
        return Health()

    return router


def _servers(desk: Desk) -> APIRouter:
    router = APIRouter(tags=["servers"], dependencies=[BEARER], responses=documented())

    @router.get(SERVERS_ROUTE)
    def list_servers() -> list[ServerOverview]:
        """Tell which containers and backends there are, how they are and what they have to do."""
        return [ServerOverview.of(each) for each in desk.queue.servers()]

    @router.put(SERVER_ROUTE)
    def hear(server_id: ServerId, report: ServerReport) -> ServerHeard:
        """Hear what a container says of itself: the first time it registers by that, then it is alive by that."""
        desk.queue.hear(_server(server_id, report), report.state, report.current_pipelines)
        return ServerHeard(server_id=server_id)

    @router.delete(SERVER_ROUTE)
    def dismiss(server_id: ServerId) -> ServerHeard:
        """Hear that a container has ended: what it still had goes to others at once."""
        desk.queue.dismiss(server_id)
        return ServerHeard(server_id=server_id)

    return router


def _server(server_id: str, report: ServerReport) -> Server:
    return Server(
        id=server_id,
        server_type=report.server_type,
        capabilities=report.capabilities,
        url=report.url,
        max_pipelines=report.max_pipelines,
        max_tasks=report.max_tasks,
        container_id=report.container_id or None,
        visual_cache_access=True,
        models=report.models,
    )


def _decks(desk: Desk) -> APIRouter:
    router = APIRouter(tags=["pipelines"], dependencies=[BEARER], responses=documented(ErrorKind.REFUSED))

    @router.post(PIPELINES_ROUTE, openapi_extra=PDF_BODY)
    async def add(
        request: Request,
        name: DeckName = "deck.pdf",
        priority: Priority = 0,
        specialists: When = When.HEALTHCARE,
    ) -> PipelineReport:
        """Hand in a deck, the PDF as the body; handed in again with the same parameters it is the same pipeline."""
        with tempfile.TemporaryDirectory(prefix="pagemill-deck-") as folder:
            pdf = Path(folder) / "deck.pdf"
            with pdf.open("wb") as file:
                async for part in request.stream():
                    file.write(part)
            deck = await run_in_threadpool(_taken_in, desk, pdf, name)
        parameters = Parameters(specialists=specialists)
        pipeline_id = await run_in_threadpool(
            desk.add_document_processing_pipeline, deck, parameters, priority=priority
        )
        return await run_in_threadpool(_report, desk, pipeline_id)

    @router.get(PIPELINES_ROUTE)
    def list_pipelines(limit: Limit = 50) -> list[PipelineSummary]:
        """Tell of the pipelines that were last added, the newest first."""
        return [PipelineSummary.of(desk.status(each)) for each in desk.queue.latest(limit)]

    return router


def _taken_in(desk: Desk, pdf: Path, name: str) -> Deck:
    try:
        return add_deck(pdf, desk.store).model_copy(update={"name": name})
    except UserError as error:
        raise UserError(name, error.reason, error.mend) from error


def _report(desk: Desk, pipeline_id: str) -> PipelineReport:
    return PipelineReport.whole(desk.status(pipeline_id), desk.queue.hand_offs(pipeline_id))


def _pipelines(desk: Desk) -> APIRouter:
    def existing(pipeline_id: PipelineId) -> PipelineStatus:
        try:
            return desk.status(pipeline_id)
        except UserError as error:
            raise refused(ErrorKind.NOT_FOUND, str(error)) from error

    Existing = Annotated[PipelineStatus, Depends(existing)]
    router = APIRouter(prefix=PIPELINE_ROUTE, tags=["pipelines"], dependencies=[BEARER], responses=UNKNOWN)

    @router.get("")
    def status(pipeline: Existing) -> PipelineReport:
        """Tell where a pipeline stands."""
        return PipelineReport.whole(pipeline, desk.queue.hand_offs(pipeline.id))

    @router.get("/results")
    def results(pipeline: Existing) -> dict[str, TaskOutput]:
        """Return what tasks have answered so far, by task."""
        return desk.outputs(pipeline.id)

    @router.get("/events")
    def events(pipeline: Existing, after: After = 0) -> list[EventReport]:
        """Tell what happened, in its order."""
        return [EventReport.of(each) for each in desk.queue.events(pipeline.id, after)]

    @router.get("/report", response_class=HTMLResponse)
    def report(pipeline: Existing) -> HTMLResponse:
        """Return the review, as far as it is known, as one page of HTML."""
        with tempfile.TemporaryDirectory(prefix="pagemill-report-") as folder:
            page = write_report(desk.review(pipeline.id), desk.store, Path(folder) / "report.html")
            return HTMLResponse(page.read_bytes(), headers={"Content-Security-Policy": PAGE_POLICY})

    @router.post("/retry", responses=documented(ErrorKind.NOT_FOUND, ErrorKind.REFUSED))
    def retry(pipeline: Existing, task: TaskName | None = None) -> QueuedAnew:
        """Have done again what failed, is lost or has gaps: of one task and what needs it, or of all."""
        return QueuedAnew(tasks=desk.retry(pipeline.id, task))

    @router.post("/cancel")
    def cancel(pipeline: Existing) -> Cancelled:
        """Cancel what has not ended."""
        return Cancelled(cancelled=desk.cancel(pipeline.id))

    return router
