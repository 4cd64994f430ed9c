"""`pagemill run`: a subcommand a pipeline, an option a pipeline parameter, read from the compiled YAML."""

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from pagemill.cloud.arguments import settle
from pagemill.cloud.checks import CHECKS, PATHS
from pagemill.cloud.commands.options import parameter_option, pipeline_group, with_options
from pagemill.cloud.compiled import Parameter, parameters_of, path_of, pipelines_for
from pagemill.errors import UserError
from pagemill.secrets import is_reference

_OPTIONS: dict[str, Any] = {
    "runs": Annotated[
        Path | None, typer.Option(help="Folder of runs and of the task cache; without it, in the store or the cache.")
    ],
    "caching": Annotated[bool, typer.Option(help="Leave out tasks that were done before with the same inputs.")],
}
_EXAMPLES = {
    "book-dataset": "--source books --store store --publish dataset",
    "deck-review": "--source decks --store store --vision-url http://127.0.0.1:11434 --vision-model llava:13b "
    "--text-url http://127.0.0.1:11434 --text-model gemma3:27b",
}


def _command(pipeline: str) -> Callable[..., None]:
    def run(**values: Any) -> None:
        own = {name: values.pop(name) for name in _OPTIONS}
        _run(pipeline, values, **own)

    run.__doc__ = (
        f"Run {pipeline} on this machine, each task a process. What was done before is not done again.\n\n"
        f"Example: `pagemill run {pipeline} {_EXAMPLES[pipeline]}`"
    )
    own = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        for (name, annotation), default in zip(_OPTIONS.items(), (None, True), strict=True)
    ]
    return with_options(run, [*map(_option, parameters_of(pipeline)), *own])


def _option(parameter: Parameter) -> inspect.Parameter:
    """Make the option of a pipeline parameter; the fingerprint is found out when it is not given."""
    if parameter.name == "source_fingerprint":
        parameter = dataclasses.replace(parameter, default="")
    return parameter_option(parameter, required=True)


def _run(pipeline: str, values: dict[str, Any], runs: Path | None, caching: bool) -> None:
    from rich.console import Console

    from pagemill.cloud.local import run_pipeline

    console = Console()
    arguments = {name: _absolute(name, value) for name, value in values.items()}
    CHECKS[pipeline](arguments, True)
    arguments = settle(pipeline, arguments)
    run = run_pipeline(
        path_of(pipeline, "local"),
        arguments,
        runs or _default_runs(arguments["store"]),
        caching=caching,
        on_event=_printer(console),
    )
    console.print(f"report  {run.report or 'none'}\nlog     {run.log}", soft_wrap=True)
    if run.succeeded:
        if "publish" in arguments:
            console.print(f"dataset {arguments['publish']}", soft_wrap=True)
    elif run.mistake:
        subject, _, rest = run.mistake.partition(": ")
        raise UserError(subject, *rest.rsplit("; ", 1))
    else:
        failed = ", ".join(sorted(set(run.tasks.get("failed", ())))) or "the run itself"
        typer.echo(
            f"pagemill: failed in {failed}; the log tells why, and the same command goes on from there", err=True
        )
        raise typer.Exit(1)


def _absolute(name: str, value: Any) -> Any:
    """Make local paths absolute, so that a task's cache key does not depend on the working folder."""
    if name not in PATHS or not value or "://" in value or is_reference(value):
        return value
    must_be_local = name in ("source", "store", "publish")
    return str(Path(value).absolute()) if must_be_local or Path(value).exists() else value


def _default_runs(store: str) -> Path:
    if "://" not in store:
        return Path(store) / "runs"
    from pagemill.storage import digest

    return Path(typer.get_app_dir("pagemill")) / "runs" / digest(store)[:16]


def _printer(console: Any) -> Callable[[Any], None]:
    styles = {"started": "dim", "cached": "dim", "finished": "green", "failed": "red", "progress": "cyan"}

    def show(event: Any) -> None:
        console.print(f"[{styles[event.kind]}]{event.kind:<9}[/] {event.task} {event.detail}", highlight=False)

    return show


group = typer.Typer(cls=pipeline_group(pipelines_for("local"), _command), no_args_is_help=True)
