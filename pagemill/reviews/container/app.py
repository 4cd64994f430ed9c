"""The web applications of both kinds of container, made by one factory from a table of routes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, FastAPI, Header, Path, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import TypeAdapter
from starlette.types import Receive, Scope, Send

from pagemill import __version__
from pagemill.decks.tasks import TaskInput, TaskOutput
from pagemill.decks.visual import VisualAnalysis
from pagemill.reviews.container.container import Container, Health
from pagemill.reviews.container.examples import task_input, task_output
from pagemill.reviews.container.results import Kept, ResultKey, SavedResult, cached_visual, keep, keep_visual
from pagemill.reviews.container.work import Work, Works
from pagemill.reviews.http import BEARER, documented, guard, problem_response, refused
from pagemill.reviews.wire import (
    CACHE_VISUAL_ROUTE,
    CACHED_VISUAL_ROUTE,
    EPOCH_HEADER,
    HEALTH_ROUTE,
    KEY_HEADER,
    PIPELINE_HEADER,
    RUNNING_TASK_ROUTE,
    SAVE_RESULT_ROUTE,
    STREAM_TYPE,
    TASK_ROUTES,
    ErrorKind,
    News,
    Problem,
)

LOOK_SECONDS = 0.2  # between two looks whether a client is still there
PRINTABLE = r"^[\x21-\x7e]{1,200}$"
TASK_ERRORS = (
    ErrorKind.RESULT_LOST,
    ErrorKind.REFUSED,
    ErrorKind.BUSY,
    ErrorKind.CANCELLED,
    ErrorKind.BAD_ANSWER,
    ErrorKind.MODEL_UNAVAILABLE,
    ErrorKind.DRAINING,
)

IdempotencyKey = Annotated[
    str, Header(alias=KEY_HEADER, pattern=PRINTABLE, description="Requests of one key are one; by default their digest")
]
PipelineId = Annotated[
    str, Header(alias=PIPELINE_HEADER, pattern=PRINTABLE, description="By default the deck's digest")
]
Epoch = Annotated[int | None, Header(alias=EPOCH_HEADER, ge=0, description="Who asks last has the highest")]
Accept = Annotated[str, Header(include_in_schema=False)]


def create_app(container: Container, token: str) -> FastAPI:
    """Return the web application of a container.

    Args:
        container: What it serves.
        token: That requests have to bring, but for those of the health.
    """
    app = FastAPI(title=container.kind.title, version=__version__, docs_url=None, redoc_url=None)
    router = APIRouter(dependencies=[BEARER])
    _add_tasks(router, container)
    ROUTES[container.kind.name](router, container)
    app.include_router(router)
    _add_health(app, container)
    guard(app, token)
    _describe_news(app)
    return app


def _add_tasks(router: APIRouter, container: Container) -> None:
    """Add a route for every task of the kind, and the one that ends a task."""
    by_route: dict[str, list[str]] = {}
    for task in container.kind.tasks:
        by_route.setdefault(TASK_ROUTES[task], []).append(task)
    for route, tasks in by_route.items():
        _add_task(router, container, route, tuple(tasks))

    @router.delete(
        RUNNING_TASK_ROUTE,
        status_code=204,
        tags=["tasks"],
        summary="End a running task",
        responses=documented(ErrorKind.NOT_FOUND),
    )
    async def end_task(
        key: Annotated[str, Path(pattern=PRINTABLE, description="Its idempotency key")],
        epoch: Epoch = None,
    ) -> None:
        if not container.works.end_key(key, epoch):
            raise refused(ErrorKind.NOT_FOUND, "No task of that key is running, or it is another's by now.")


def _add_task(router: APIRouter, container: Container, route: str, tasks: tuple[str, ...]) -> None:
    @router.post(
        route,
        name=route.rpartition("/")[2],
        tags=["tasks"],
        summary=f"Run {' or '.join(tasks)}",
        description=(
            f"Answers when the task has ended. With `Accept: {STREAM_TYPE}` it tells news meanwhile, one a line, "
            "and how it ended in the last one."
        ),
        response_model=TaskOutput,
        responses={200: _answers(tasks[0]), **documented(*TASK_ERRORS)},
    )
    async def run(
        request: Request,
        order: Annotated[TaskInput, Body(openapi_examples={task: {"value": task_input(task)} for task in tasks})],
        idempotency_key: IdempotencyKey = "",
        pipeline: PipelineId = "",
        epoch: Epoch = None,
        accept: Accept = "",
    ) -> Response:
        if order.task not in tasks:
            raise refused(ErrorKind.INVALID, f"This route runs {' or '.join(tasks)}.")
        work = await container.take(order, idempotency_key, pipeline)
        work.epoch = max(work.epoch, epoch or 0)
        if STREAM_TYPE in accept:
            return NewsResponse(container.works, work)
        return await _one_answer(container.works, work, request)


def _add_cache_writing(router: APIRouter, container: Container) -> None:
    @router.post(
        CACHE_VISUAL_ROUTE,
        tags=["results"],
        summary="Keep a visual analysis",
        description="The first final one of a key stays.",
        responses=documented(),
    )
    def cache_visual_results(result: VisualAnalysis) -> Kept:
        return keep_visual(container.store, result)


def _add_result_routes(router: APIRouter, container: Container) -> None:
    @router.get(
        CACHED_VISUAL_ROUTE,
        tags=["results"],
        summary="Find a visual analysis",
        responses=documented(ErrorKind.NOT_FOUND),
    )
    def cached_visual_analysis(key: ResultKey) -> VisualAnalysis:
        return cached_visual(container.store, key)

    @router.post(
        SAVE_RESULT_ROUTE,
        tags=["results"],
        summary="Keep the result of a task",
        description="The first final one of a key stays.",
        responses=documented(),
    )
    def save_result(saved: SavedResult) -> Kept:
        return keep(container.store, saved)


ROUTES: dict[str, Callable[[APIRouter, Container], None]] = {
    "vision": _add_cache_writing,
    "text": _add_result_routes,
}


def _add_health(app: FastAPI, container: Container) -> None:
    @app.get(
        HEALTH_ROUTE,
        tags=["health"],
        summary="How the container is",
        response_model=Health,
        responses={503: {"model": Health, "description": "It is ending, or its model stopped answering."}},
    )
    async def health() -> Response:
        found = container.health()
        return JSONResponse(found.model_dump(mode="json"), 503 if found.trouble else 200)


class NewsResponse(StreamingResponse):
    """The news of a task, one a line; it listens for as long as its client does."""

    def __init__(self, works: Works, work: Work) -> None:
        super().__init__(_lines(work), media_type=STREAM_TYPE, headers={"Cache-Control": "no-store"})
        self.works, self.work = works, work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the news."""
        with self.works.listening(self.work):
            await super().__call__(scope, receive, send)


async def _lines(work: Work) -> AsyncIterator[str]:
    async for news in work.news():
        yield news.model_dump_json() + "\n"


async def _one_answer(works: Works, work: Work, request: Request) -> Response:
    """Return how a task ended, unless its client goes away before."""
    watching = asyncio.create_task(_disconnect(request))
    try:
        with works.listening(work):
            async for _ in work.news(LOOK_SECONDS):
                if watching.done():
                    break
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
    outcome = work.outcome or Problem(error=ErrorKind.CANCELLED, message="The client went away.")
    return problem_response(outcome) if isinstance(outcome, Problem) else JSONResponse(outcome.model_dump(mode="json"))


async def _disconnect(request: Request) -> None:
    """Return when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _answers(task: str) -> dict[str, Any]:
    """Return what OpenAPI is to say of a task that has its result."""
    return {
        "description": "The task has its result.",
        "content": {
            "application/json": {"example": task_output(task)},
            STREAM_TYPE: {"schema": {"$ref": "#/components/schemas/News"}},
        },
    }


def _describe_news(app: FastAPI) -> None:
    """Add the messages of a stream to the schemas of OpenAPI, which knows them from no route."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schemas = plain()["components"]["schemas"]
            news = TypeAdapter[Any](News).json_schema(ref_template="#/components/schemas/{model}")
            for name, schema in (news.pop("$defs") | {"News": news}).items():
                schemas.setdefault(name, schema)
        return plain()

    app.openapi = openapi  # type: ignore[method-assign]
