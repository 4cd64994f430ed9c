"""`pagemill status`, `cancel`, `retry`: what becomes of a run."""

import contextlib
import dataclasses
import datetime
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from pagemill.cloud.commands.options import with_settings
from pagemill.showing import AsJson, show_json, show_rows

if TYPE_CHECKING:
    from rich.console import Console

    from pagemill.cloud.backend import Backend, Run
    from pagemill.cloud.standing import Standing
    from pagemill.settings import Settings

POLL_SECONDS = 10.0

RunId = Annotated[str, typer.Argument(help="As `pagemill submit` printed it, and `pagemill status` lists it.")]
Wait = Annotated[bool, typer.Option("--wait", help="Stay until it has ended; exit code 1 when it failed.")]


@with_settings
def status(
    settings: "Settings",
    run: Annotated[str, typer.Argument(help="As `pagemill submit` printed it; without it the latest runs.")] = "",
    follow: Annotated[bool, typer.Option("--follow", help="Stay until it has ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how far a run is: tasks, shards, pages, time left, cost so far. Without a run, list the latest.

    Example: `pagemill status book-dataset-20260103-021500 --follow`
    """
    from rich.console import Console

    from pagemill.cloud.standing import render, standing_of
    from pagemill.cloud.submission import backend_for

    backend = backend_for(settings)
    if not run:
        _list(backend, as_json=as_json)
    elif follow:
        _follow(backend, run, settings)
    else:
        standing = standing_of(backend.run(run), settings)
        show_json(dataclasses.asdict(standing)) if as_json else Console().print(render(standing), soft_wrap=True)


@with_settings
def cancel(run: RunId, settings: "Settings") -> None:
    """End a run; what it has finished is kept.

    Example: `pagemill cancel book-dataset-20260103-021500`
    """
    from pagemill.cloud.submission import backend_for

    backend = backend_for(settings)
    state = backend.run(run).state
    if state.ended:
        typer.echo(f"{run} has ended already: {state}")
        return
    backend.cancel(run)
    typer.echo(f"{run} is being cancelled; `pagemill retry {run}{_where(settings)}` goes on from there")


@with_settings
def retry(run: RunId, settings: "Settings", wait: Wait = False) -> None:
    """Run again what failed of a run, and what depends on it.

    Example: `pagemill retry book-dataset-20260103-021500 --wait`
    """
    from pagemill.cloud.submission import backend_for

    backend = backend_for(settings)
    tell_of(backend.retry(run), backend, settings, wait=wait)


def tell_of(started: "Run", backend: "Backend", settings: "Settings", *, wait: bool) -> None:
    """Tell of a run that was started, and stay until it has ended where that is asked for."""
    typer.echo(f"run     {started.id}\nconsole {started.console}")
    if wait:
        _follow(backend, started.id, settings)


def _list(backend: "Backend", *, as_json: bool) -> None:
    rows = [
        {
            "run": each.id,
            "name": each.name,
            "pipeline": each.pipeline,
            "state": str(each.state),
            "created": each.created,
        }
        for each in backend.runs()
    ]
    show_rows(rows, as_json=as_json)


def _follow(backend: "Backend", run_id: str, settings: "Settings") -> None:
    """Show a run until it has ended; leaving does not end it, and neither does a service that is silent for a while."""
    from rich.console import Console

    from pagemill.cloud.backend import State
    from pagemill.cloud.standing import render, watch_of

    console = Console()
    run = backend.run(run_id)
    watch = watch_of(run, settings)
    try:
        with _display(console) as show:
            show(watch.standing(run))
            while not run.state.ended:
                time.sleep(POLL_SECONDS)
                run = _again(backend, run)
                show(watch.standing(run))
    except KeyboardInterrupt:
        typer.echo(f"{run_id} goes on; `pagemill cancel {run_id}{_where(settings)}` ends it", err=True)
        raise typer.Exit(130) from None
    if not console.is_terminal:
        console.print(render(watch.standing(run)), soft_wrap=True)
    if run.state is not State.SUCCEEDED:
        raise typer.Exit(1)


def _again(backend: "Backend", run: "Run") -> "Run":
    """Return a run as it is now, or as it was where the service does not answer: whoever watches goes on watching."""
    from pagemill.cloud.backend import Unreachable

    try:
        return backend.run(run.id)
    except Unreachable as silence:
        typer.echo(f"{datetime.datetime.now():%H:%M} {silence}; asking again", err=True)
        return run


@contextlib.contextmanager
def _display(console: "Console") -> Iterator[Callable[["Standing"], None]]:
    """Give a function that shows a standing: in place on a terminal, else a line whenever something has changed."""
    from rich.live import Live

    from pagemill.cloud.standing import render

    if console.is_terminal:
        with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
            yield lambda standing: live.update(render(standing), refresh=True)
        return
    shown = ""

    def show(standing: "Standing") -> None:
        nonlocal shown
        line = _line(standing)
        if line != shown:
            typer.echo(f"{datetime.datetime.now():%Y-%m-%d %H:%M} {line}")
            shown = line

    yield show


def _line(standing: "Standing") -> str:
    """Say in a line how a run stands."""
    progress = standing.progress
    parts = [str(standing.run.state)]
    if progress.shards:
        parts.append(f"shards {progress.shards_done:,} of {progress.shards:,}")
        parts.append(f"pages {progress.pages_done:,} of {progress.pages:,}")
    if standing.cost is not None:
        parts.append(f"about {standing.cost:,.2f} {standing.currency}")
    return ", ".join(parts)


def _where(settings: "Settings") -> str:
    """Return the option that leads a further command to the same service."""
    return f" --to {settings.to}"
