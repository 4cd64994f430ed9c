"""`pagemill decks`: review pitch decks, look how far they are, mend what failed, read what came out."""

import functools
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from pagemill.errors import UserError
from pagemill.showing import AsJson, show_json, show_rows

if TYPE_CHECKING:
    from pagemill.decks.tasks import Parameters
    from pagemill.flow.reading import PipelineStatus
    from pagemill.reviews.backend.desk import Desk
    from pagemill.reviews.embedded import Embedded
    from pagemill.reviews.reviewing import HandedIn
    from pagemill.settings import DecksSettings

FOLLOW_SECONDS = 1.0
LATEST = 20
PACKAGES = ("alembic", "dbos", "fastapi", "httpx", "ollama", "openai", "sqlalchemy", "uvicorn")
TINY = (
    "the tiny model answers for {}: what it says proves that all is wired up, and is no judgement of the deck;"
    " name real ones by PAGEMILL_DECKS__VISION__URL and PAGEMILL_DECKS__TEXT__URL"
)

group = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="markdown")
Command = TypeVar("Command", bound=Callable[..., None])

Store = Annotated[str, typer.Option(help="Folder or URI of decks and results; `decks.store` by default.")]
Database = Annotated[
    str, typer.Option(help="`postgresql://…` of the queue; `decks.database` by default, else SQLite in the store.")
]
ReviewId = Annotated[str, typer.Argument(help="Of a review, as long as no other begins so.")]


def _command(name: str) -> Callable[[Command], Command]:
    """Register a command; a package that is not installed is told in a line."""

    def register(function: Command) -> Command:
        @functools.wraps(function)
        def command(*args: Any, **values: Any) -> None:
            try:
                function(*args, **values)
            except ModuleNotFoundError as missing:
                if (missing.name or "").split(".")[0] not in PACKAGES:
                    raise
                mend = "pip install 'pagemill[decks]'"
                raise UserError("pagemill decks", f"{missing.name} is not installed", mend) from None

        group.command(name)(command)
        return function

    return register


def _settings(store: str, database: str) -> "DecksSettings":
    from pagemill.settings import load_settings

    return load_settings({"decks.store": store, "decks.database": database}).decks


@_command("review")
def review(
    decks: Annotated[list[Path], typer.Argument(help="PDF files.")],
    wait: Annotated[bool, typer.Option("--wait", help="Stay until they are reviewed, and write the reports.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the reports, with --wait; `reviews` by default.")] = None,
    template: Annotated[str, typer.Option(help="What is asked: `healthcare`, or a YAML file.")] = "healthcare",
    specialists: Annotated[str, typer.Option(help="Which decks they see: `healthcare` or `always`.")] = "healthcare",
    ocr: Annotated[bool, typer.Option("--ocr/--no-ocr", help="Read slides that have no text by RapidOCR.")] = True,
    max_slides: Annotated[int, typer.Option(min=1, help="A deck of more is refused.")] = 100,
    priority: Annotated[int, typer.Option(help="Lower comes first.")] = 0,
    store: Store = "",
    database: Database = "",
    as_json: AsJson = False,
) -> None:
    """Review pitch decks. Goes on where it was stopped.

    With --wait everything runs on this machine, unless a backend (`pagemill decks serve`) is there already. Models are
    named by `PAGEMILL_DECKS__VISION__URL`, `…__VISION__MODEL`, and the same of `TEXT`; without a URL a tiny one
    answers, which proves that all is wired up, and no more.

    Example: `pagemill decks review deck.pdf --wait --out reviews`
    """
    from pagemill.reviews.reviewing import desk_of, hand_in

    if out and not wait:
        raise UserError("--out", "nothing is written before the reviews are over", "give --wait as well")
    parameters = _parameters(template, specialists, max_slides, ocr=ocr)
    settings, folder = _settings(store, database), out or Path("reviews")
    with desk_of(settings, new=True) as desk:
        if wait:
            folder.mkdir(parents=True, exist_ok=True)
        handed_in = hand_in(desk, decks, parameters, priority)
        for mistake in handed_in.mistakes:
            _complain(str(mistake))
        if wait:
            again = f"retry --store {shlex.quote(store)}" if store else "retry"
            code = _finish(desk, handed_in, settings, folder, again, as_json=as_json)
        else:
            _tell_of_new(desk, handed_in, as_json=as_json)
            code = 0
    raise typer.Exit(2 if handed_in.mistakes else code)


def _parameters(template: str, specialists: str, max_slides: int, *, ocr: bool) -> "Parameters":
    from pagemill.decks.batch.running import review_parameters

    return review_parameters(template, specialists, max_slides=max_slides, slide_ocr=ocr)


def _tell_of_new(desk: "Desk", handed_in: "HandedIn", *, as_json: bool) -> None:
    """Tell the ids, and who carries the reviews out."""
    from pagemill.reviews.showing import pipeline_row

    rows = [pipeline_row(desk.status(each), whole_id=as_json) for each in handed_in.pipelines]
    show_rows(rows, as_json=as_json)
    if rows and not as_json:
        _tell_who(desk)


def _tell_who(desk: "Desk") -> None:
    """Tell who carries out what is queued."""
    from pagemill.reviews.reviewing import Backends

    if Backends(desk.queue).live():
        typer.echo("a backend carries them out; `pagemill decks status` tells how far they are")
    else:
        who = "`pagemill decks serve` and containers do, or `pagemill decks review` of the same decks with --wait"
        typer.echo(f"nobody carries them out yet: {who}")


def _complain(mistake: str) -> None:
    typer.echo(f"pagemill: {mistake}", err=True)


def _finish(
    desk: "Desk", handed_in: "HandedIn", settings: "DecksSettings", out: Path, again: str, *, as_json: bool
) -> int:
    """Wait for reviews, write them, and tell where; return the exit code."""
    from rich.console import Console

    from pagemill.reviews.reviewing import WITH_RESULT, carry_out, shortcoming, was_refused, write_reports
    from pagemill.reviews.showing import shown_progress

    try:
        with shown_progress(Console(stderr=True)) as show:
            over = carry_out(desk, handed_in.pipelines, settings, show, _tell_of_embedded)
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on from here", err=True)
        raise typer.Exit(130) from None
    rows = []
    for each in over:
        files = write_reports(desk, each, out) if each.state in WITH_RESULT else []
        rows.append({"review": each.id, "deck": each.document_name, "state": each.state, "files": files})
        if lacking := shortcoming(desk, each, again):
            _complain(lacking)
    _show_files(rows, as_json=as_json)
    if any(was_refused(desk, each) for each in over):
        return 2
    return 1 if any(each.state not in WITH_RESULT for each in over) else 0


def _tell_of_embedded(embedded: "Embedded") -> None:
    typer.echo(f"carried out by this process; logs in {embedded.logs}", err=True)
    if embedded.models:
        typer.echo(f"tasks are warming until their model answers: {', '.join(embedded.models)}", err=True)
    if embedded.tiny:
        typer.echo(TINY.format(" and ".join(embedded.tiny)), err=True)


def _show_files(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        show_json(rows)
        return
    for row in rows:
        for path in row["files"]:
            typer.echo(path)


@_command("status")
def status(
    review: Annotated[str, typer.Argument(help="As long as no other begins so; without it the latest.")] = "",
    follow: Annotated[bool, typer.Option("--follow", help="Stay until it is over.")] = False,
    store: Store = "",
    database: Database = "",
    as_json: AsJson = False,
) -> None:
    """Show how far a review is, task by task. Without one, list the latest, and the servers.

    Example: `pagemill decks status 3f9a --follow`
    """
    from pagemill.reviews.reviewing import desk_of, find_pipeline

    with desk_of(_settings(store, database)) as desk:
        if not review:
            _show_all(desk, as_json=as_json)
            return
        pipeline = find_pipeline(desk, review)
        if follow:
            _follow(desk, pipeline)
        _show_one(desk, desk.status(pipeline), as_json=as_json)


def _show_all(desk: "Desk", *, as_json: bool) -> None:
    from pagemill.reviews.backend.answers import PipelineSummary, ServerOverview
    from pagemill.reviews.showing import pipeline_row, server_row

    reviews, servers = [desk.status(each) for each in desk.queue.latest(LATEST)], desk.queue.servers()
    if as_json:
        told: dict[str, Any] = {"reviews": [PipelineSummary.of(each).model_dump(mode="json") for each in reviews]}
        show_json(told | {"servers": [ServerOverview.of(each).model_dump(mode="json") for each in servers]})
        return
    show_rows([pipeline_row(each) for each in reviews], as_json=False)
    show_rows([server_row(each) for each in servers], as_json=False)


def _show_one(desk: "Desk", found: "PipelineStatus", *, as_json: bool) -> None:
    from pagemill.reviews.backend.answers import PipelineReport
    from pagemill.reviews.showing import pipeline_row, task_row

    if as_json:
        show_json(PipelineReport.whole(found, desk.queue.hand_offs(found.id)).model_dump(mode="json"))
        return
    show_rows([pipeline_row(found)], as_json=False)
    show_rows([task_row(each) for each in found.tasks], as_json=False)


def _follow(desk: "Desk", pipeline: str) -> None:
    """Show a review until it is over; leaving does not end it."""
    import time

    from rich.console import Console

    from pagemill.reviews.showing import shown_progress

    try:
        with shown_progress(Console(stderr=True)) as show:
            while not (found := desk.status(pipeline)).is_over:
                show([found])
                time.sleep(FOLLOW_SECONDS)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@_command("retry")
def retry(
    review: ReviewId,
    task: Annotated[str, typer.Option(help="Only this task and what needs it.")] = "",
    store: Store = "",
    database: Database = "",
) -> None:
    """Have done again what failed, what is lost, and what has gaps; all else stays.

    Example: `pagemill decks retry 3f9a --task slide_feedback`
    """
    from pagemill.reviews.reviewing import desk_of, find_pipeline

    with desk_of(_settings(store, database)) as desk:
        again = desk.retry(find_pipeline(desk, review), task or None)
        typer.echo(f"queued anew: {', '.join(again)}" if again else "nothing failed, is lost or has gaps")
        if again:
            _tell_who(desk)


@_command("cancel")
def cancel(review: ReviewId, store: Store = "", database: Database = "") -> None:
    """End a review; what is done is kept.

    Example: `pagemill decks cancel 3f9a`
    """
    from pagemill.reviews.reviewing import desk_of, find_pipeline

    with desk_of(_settings(store, database)) as desk:
        pipeline = find_pipeline(desk, review)
        cancelled = desk.cancel(pipeline)
    typer.echo(f"{pipeline} is cancelled" if cancelled else f"{pipeline} is over already")


@_command("result")
def result(
    review: ReviewId,
    out: Annotated[Path | None, typer.Option(help="File; without it md and json go to the standard output.")] = None,
    form: Annotated[str, typer.Option("--format", help="`html`, `md` or `json`; follows from --out.")] = "",
    store: Store = "",
    database: Database = "",
) -> None:
    """Read a review, as far as it is known: results there are count, whatever failed.

    Example: `pagemill decks result 3f9a --out review.html`
    """
    from pagemill.reviews.reviewing import FORMATS, desk_of, find_pipeline, result_text, write_result

    kind = form or (out.suffix.removeprefix(".") if out else "md")
    if kind not in FORMATS:
        raise UserError(f"format {kind or 'of ' + str(out)}", "is not known", f"give one of {', '.join(FORMATS)}")
    if out is None and kind == "html":
        raise UserError("--format html", "is not for the standard output", "name a file by --out")
    with desk_of(_settings(store, database)) as desk:
        pipeline = find_pipeline(desk, review)
        if not (found := desk.status(pipeline)).is_over:
            typer.echo(f"{pipeline} is not over, {found.progress:.0f} % done: this is what there is so far", err=True)
        if out is None:
            sys.stdout.write(result_text(desk, pipeline, kind))
        else:
            typer.echo(write_result(desk, pipeline, out, kind))


@_command("serve")
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any that is free.")] = 8080,
    store: Store = "",
    database: Database = "",
) -> None:
    """Be the backend: carry reviews out in containers, which register here; logs go to stderr as JSON.

    Backend and containers share the secret that `decks.token` names.

    Example: `DECK_REVIEW_TOKEN=… pagemill decks serve --host 0.0.0.0`
    """
    from pagemill.logs import configure_log
    from pagemill.reviews.backend.process import serve as serve_backend

    configure_log()
    raise typer.Exit(serve_backend(_settings(store, database), host, port))
