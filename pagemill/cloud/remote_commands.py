"""`pagemill submit`, `schedule`, `status`, `cancel`, `retry`: runs on Vertex AI Pipelines and Kubeflow Pipelines."""

import inspect
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pagemill.cloud.compiled import PIPELINES, parameters_of
from pagemill.cloud.options import parameter_option, pipeline_group, with_options, with_settings
from pagemill.errors import UserError

if TYPE_CHECKING:
    from pagemill.cloud.backend import Backend, Submission
    from pagemill.cloud.submission import Order
    from pagemill.settings import Settings

POLL_SECONDS = 10.0

RunId = Annotated[str, typer.Argument(help="As `pagemill submit` printed it.")]
ScheduleId = Annotated[str, typer.Argument(help="As `pagemill schedule list` shows it.")]
Parameters = Annotated[Path | None, typer.Option(help="YAML of parameters; options beat it.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="A parameter that has no option: `name=value`.")]
Ocr = Annotated[str, typer.Option(help="How pages are read: `worker`, `endpoint` or `batch-prediction`.")]
Caching = Annotated[
    bool | None, typer.Option("--caching/--no-caching", help="For all tasks; without it each as the pipeline says.")
]
FailurePolicy = Annotated[str, typer.Option(help="`slow`: finish what does not depend on a failed task; or `fast`.")]
Checking = Annotated[bool, typer.Option("--check/--no-check", help="Look first whether all is there that it needs.")]
Wait = Annotated[bool, typer.Option("--wait", help="Stay until it has ended; exit code 1 when it failed.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (status, cancel, retry):
        app.command()(command)
    app.add_typer(_group(PIPELINES, _submit_function), name="submit", help="Run a pipeline on a cloud.")
    schedule = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
    schedule.add_typer(_group(PIPELINES, _create_function), name="create", help="Have a pipeline run at set times.")
    for name, command in {"list": list_schedules, "pause": pause, "resume": resume, "delete": delete}.items():
        schedule.command(name)(command)
    app.add_typer(schedule, name="schedule", help="Run pipelines at set times.")


def _group(names: Any, function_for: Callable[[str], Callable[..., None]]) -> typer.Typer:
    return typer.Typer(cls=pipeline_group(names, function_for), no_args_is_help=True)


def _submit_function(pipeline: str) -> Callable[..., None]:
    def submit(
        settings: "Settings",
        parameters: Parameters = None,
        sets: Sets = None,
        ocr: Ocr = "worker",
        run: Annotated[str, typer.Option(help="Name of the run, for people.")] = "",
        caching: Caching = None,
        failure_policy: FailurePolicy = "slow",
        check: Checking = True,
        wait: Wait = False,
        **values: Any,
    ) -> None:
        from pagemill.cloud.submission import backend_for, prepare

        order = _order(pipeline, values, parameters, sets, ocr, caching, failure_policy, run)
        backend = backend_for(settings)
        with tempfile.TemporaryDirectory(prefix="pagemill-") as folder:
            submission = prepare(order, settings, Path(folder))
            if check:
                _check(settings, submission, ocr)
            started = backend.submit(submission)
        typer.echo(f"run     {started.id}\nconsole {started.console}")
        if wait:
            _follow(backend, started.id, settings)

    submit.__doc__ = (
        f"Run {pipeline} on Vertex AI Pipelines or Kubeflow Pipelines.\n\n"
        f"Example: `pagemill submit {pipeline} --to vertex --project my-project --parameters run.yaml --wait`"
    )
    return with_options(with_settings(submit), _parameter_options(pipeline))


def _create_function(pipeline: str) -> Callable[..., None]:
    def create(
        settings: "Settings",
        cron: Annotated[
            str, typer.Option(help="Minute, hour, day, month, weekday; `TZ=Europe/Berlin ` may stand first.")
        ],
        schedule: Annotated[
            str, typer.Option(help="Name of the schedule, for people; the pipeline's without it.")
        ] = "",
        max_concurrent_runs: Annotated[int, typer.Option(min=1, help="More wait, or are left out.")] = 1,
        max_runs: Annotated[int, typer.Option(min=0, help="After which it ends; 0 for no end.")] = 0,
        parameters: Parameters = None,
        sets: Sets = None,
        ocr: Ocr = "worker",
        caching: Caching = None,
        failure_policy: FailurePolicy = "slow",
        check: Checking = True,
        **values: Any,
    ) -> None:
        from pagemill.cloud.backend import Timetable
        from pagemill.cloud.submission import backend_for, prepare_schedule

        order = _order(pipeline, values, parameters, sets, ocr, caching, failure_policy, schedule)
        timetable = Timetable(cron, schedule or pipeline, max_concurrent_runs, max_runs)
        with tempfile.TemporaryDirectory(prefix="pagemill-") as folder:
            submission = prepare_schedule(order, settings, Path(folder))
            if check:
                _check(settings, submission, ocr)
            made = backend_for(settings).create_schedule(submission, timetable)
        typer.echo(f"schedule {made.id}\nconsole  {made.console}")

    create.__doc__ = (
        f"Have {pipeline} run at set times; each run looks at the source anew.\n\n"
        f"Example: `pagemill schedule create {pipeline} --cron '0 3 * * *' --parameters run.yaml`"
    )
    return with_options(with_settings(create), _parameter_options(pipeline))


@with_settings
def list_schedules(settings: "Settings") -> None:
    """List the schedules.

    Example: `pagemill schedule list --to vertex`
    """
    from rich.console import Console
    from rich.table import Table

    from pagemill.cloud.submission import backend_for

    table = Table("schedule", "name", "cron", "state", "next run", "runs", box=None)
    for each in backend_for(settings).schedules():
        runs = "" if each.runs_started is None else str(each.runs_started)
        table.add_row(each.id, each.name, each.cron, each.state, _time(each.next_run), runs)
    Console().print(table, soft_wrap=True)


@with_settings
def pause(schedule: ScheduleId, settings: "Settings") -> None:
    """Start no more runs by a schedule until it is resumed."""
    from pagemill.cloud.submission import backend_for

    backend_for(settings).pause(schedule)


@with_settings
def resume(schedule: ScheduleId, settings: "Settings") -> None:
    """Go on with a schedule that was paused."""
    from pagemill.cloud.submission import backend_for

    backend_for(settings).resume(schedule)


@with_settings
def delete(schedule: ScheduleId, settings: "Settings") -> None:
    """Remove a schedule; runs that it has started go on."""
    from pagemill.cloud.submission import backend_for

    backend_for(settings).delete_schedule(schedule)


@with_settings
def status(
    run: RunId,
    settings: "Settings",
    follow: Annotated[bool, typer.Option("--follow", help="Stay until it has ended.")] = False,
) -> None:
    """Show how far a run is: tasks, shards, pages, time left, cost so far.

    Example: `pagemill status book-dataset-20260103-021500 --follow`
    """
    from rich.console import Console

    from pagemill.cloud.standing import render, standing_of
    from pagemill.cloud.submission import backend_for

    backend = backend_for(settings)
    if follow:
        _follow(backend, run, settings)
    else:
        Console().print(render(standing_of(backend.run(run), settings)))


@with_settings
def cancel(run: RunId, settings: "Settings") -> None:
    """End a run; what it has finished is kept.

    Example: `pagemill cancel book-dataset-20260103-021500`
    """
    from pagemill.cloud.submission import backend_for

    backend_for(settings).cancel(run)
    typer.echo(f"{run} is being cancelled; `pagemill retry {run}` goes on from there")


@with_settings
def retry(run: RunId, settings: "Settings", wait: Wait = False) -> None:
    """Run again what failed of a run, and what depends on it.

    Example: `pagemill retry book-dataset-20260103-021500 --wait`
    """
    from pagemill.cloud.submission import backend_for

    backend = backend_for(settings)
    started = backend.retry(run)
    typer.echo(f"run     {started.id}\nconsole {started.console}")
    if wait:
        _follow(backend, started.id, settings)


def _parameter_options(pipeline: str) -> list[inspect.Parameter]:
    backend = PIPELINES[pipeline].backends[0]
    return [parameter_option(each, required=False) for each in parameters_of(pipeline, backend)]


def _order(
    pipeline: str,
    values: dict[str, Any],
    file: Path | None,
    sets: list[str] | None,
    ocr: str,
    caching: bool | None,
    failure_policy: str,
    run: str,
) -> "Order":
    import yaml

    from pagemill.cloud.submission import Order, read_parameters

    parameters = read_parameters(file) if file else {}
    for each in sets or ():
        name, separator, value = each.partition("=")
        if not separator:
            raise UserError(f"--set {each}", "is not name=value", "give the parameter's name, =, and its value")
        parameters[name] = yaml.safe_load(value)
    parameters |= {name: value for name, value in values.items() if value is not None}
    return Order(pipeline, parameters, ocr, caching, run, failure_policy)


def _check(settings: "Settings", submission: "Submission", ocr: str) -> None:
    """Stop where something is missing that the run needs; what could not be looked at is only told."""
    from rich.console import Console

    from pagemill.cloud.prerequisites import check_prerequisites, print_findings
    from pagemill.cloud.submission import preset_of

    findings = check_prerequisites(settings, preset_of(settings, submission.pipeline), submission.parameters, ocr=ocr)
    print_findings(findings, Console(stderr=True))
    if failed := [each for each in findings if each.failed]:
        first = failed[0]
        raise UserError(first.subject, first.reason, f"{first.mend}; --no-check submits all the same")


def _follow(backend: "Backend", run_id: str, settings: "Settings") -> None:
    """Show a run until it has ended; leaving does not end it."""
    from rich.live import Live

    from pagemill.cloud.backend import State
    from pagemill.cloud.standing import render, watch_of

    run = backend.run(run_id)
    watch = watch_of(run, settings)
    try:
        with Live(render(watch.standing(run)), auto_refresh=False) as live:
            while not run.state.ended:
                time.sleep(POLL_SECONDS)
                run = backend.run(run_id)
                live.update(render(watch.standing(run)), refresh=True)
    except KeyboardInterrupt:
        typer.echo(f"{run_id} goes on; `pagemill cancel {run_id}` ends it", err=True)
        raise typer.Exit(130) from None
    if run.state is not State.SUCCEEDED:
        typer.echo(f"pagemill: {run_id}: {run.state}{': ' if run.error else ''}{run.error}", err=True)
        raise typer.Exit(1)


def _time(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M %Z}" if moment else ""
