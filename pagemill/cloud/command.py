"""`pagemill run`: a subcommand a pipeline, an option a pipeline parameter, read from the compiled YAML."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pagemill.cloud.checks import CHECKS
from pagemill.cloud.compiled import PIPELINES, Parameter, parameters_of, path_of
from pagemill.errors import UserError

_OPTIONS: dict[str, Any] = {
    "runs": Annotated[
        Path | None, typer.Option(help="Folder of runs and of the task cache; without it, in the store or the cache.")
    ],
    "caching": Annotated[bool, typer.Option(help="Leave out tasks that were done before with the same inputs.")],
}
_PATHS = ("source", "store", "publish", "checkpoint", "tokenizer", "passwords")


class RunCommands(TyperGroup):
    """The group of `pagemill run`, whose commands are made when they are asked for."""

    summary = "Run a pipeline on this machine."

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the pipelines."""
        return list(PIPELINES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Build the command of one pipeline; None when there is no such pipeline."""
        if cmd_name not in PIPELINES:
            return None
        app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
        app.command(cmd_name)(_command(cmd_name))
        return typer.main.get_command(app)


def _command(pipeline: str) -> Callable[..., None]:
    parameters = parameters_of(pipeline)

    def run(**values: Any) -> None:
        own = {name: values.pop(name) for name in _OPTIONS}
        _run(pipeline, values, **own)

    run.__doc__ = (
        f"Run {pipeline} on this machine, each task a process. What was done before is not done again.\n\n"
        f"Example: `pagemill run {pipeline} --source books --store store --publish dataset`"
    )
    options = [_option(each) for each in parameters]
    own = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        for (name, annotation), default in zip(_OPTIONS.items(), (None, True), strict=True)
    ]
    run.__signature__ = inspect.Signature(options + own)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in options + own}
    return run


def _option(parameter: Parameter) -> inspect.Parameter:
    """Make the option of a pipeline parameter; the fingerprint is found out when it is not given."""
    optional = parameter.name == "source_fingerprint"
    default = "" if optional else parameter.default
    return inspect.Parameter(
        parameter.name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[parameter.type, typer.Option(help=parameter.description)],
        default=inspect.Parameter.empty if default is None else default,
    )


def _run(pipeline: str, values: dict[str, Any], runs: Path | None, caching: bool) -> None:
    from rich.console import Console

    from pagemill.cloud.local import run_pipeline

    console = Console()
    arguments = {name: _absolute(name, value) for name, value in values.items()}
    CHECKS[pipeline](arguments)
    arguments["source_fingerprint"] = arguments["source_fingerprint"] or _fingerprint(arguments)
    arguments["profile"] = _kept_profile(arguments)
    run = run_pipeline(
        path_of(pipeline, "kfp"),
        arguments,
        runs or _default_runs(arguments["store"]),
        caching=caching,
        on_event=_printer(console),
    )
    console.print(f"report  {run.report or 'none'}\nlog     {run.log}", soft_wrap=True)
    if run.succeeded:
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
    if name not in _PATHS or not value or "://" in value or value.startswith("env:"):
        return value
    must_be_local = name in ("source", "store", "publish")
    return str(Path(value).absolute()) if must_be_local or Path(value).exists() else value


def _fingerprint(arguments: dict[str, Any]) -> str:
    from pagemill.archives import fingerprint_of

    return fingerprint_of(arguments["source"], arguments["pattern"])


def _kept_profile(arguments: dict[str, Any]) -> str:
    """Return a profile under a name that follows from its content, so that a changed file is no cached task's input."""
    from pagemill.storage import Store
    from pagemill.text.judging.profile import keep_profile, load_profile, shipped_profiles

    profile: str = arguments["profile"]
    return profile if profile in shipped_profiles() else keep_profile(load_profile(profile), Store(arguments["store"]))


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
