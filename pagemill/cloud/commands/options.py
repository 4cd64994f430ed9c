"""Options of commands that are made from data: a pipeline's parameters, and the settings."""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pagemill.cloud.compiled import Parameter

SETTINGS = {  # by option; the other settings stand in pagemill.toml or the environment
    "to": ("to", "`vertex` or `kfp`."),
    "project": ("vertex.project", "Google Cloud project."),
    "region": ("vertex.region", "Of Vertex AI."),
    "host": ("kfp.host", "URL of Kubeflow Pipelines."),
    "preset": ("preset", "Machines to run on; `pagemill presets` lists them."),
}


def pipeline_group(names: Iterable[str], function_for: Callable[[str], Callable[..., None]]) -> type[TyperGroup]:
    """Return a group of commands, one a pipeline, each made when it is asked for.

    Args:
        names: Of the pipelines.
        function_for: Makes the function of a pipeline's command.
    """
    pipelines = list(names)

    class Group(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:
            return pipelines

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            if cmd_name not in pipelines:
                return None
            app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
            app.command(cmd_name)(function_for(cmd_name))
            return typer.main.get_command(app)

    return Group


def parameter_option(parameter: Parameter, *, required: bool) -> inspect.Parameter:
    """Make the option of a pipeline's parameter.

    Args:
        parameter: As the compiled pipeline has it.
        required: Whether one without a default must be given; otherwise None stands for what was not given.
    """
    if required:
        default = inspect.Parameter.empty if parameter.default is None else parameter.default
        return _option(parameter.name, parameter.type, parameter.description, default)
    return _option(parameter.name, parameter.type | None, parameter.description, None)


def with_options(function: Callable[..., None], options: Iterable[inspect.Parameter]) -> Callable[..., None]:
    """Return a function that takes further options and passes them on by name."""
    options = list(options)
    own = [
        each
        for each in inspect.signature(function).parameters.values()
        if each.kind is not inspect.Parameter.VAR_KEYWORD
    ]

    @functools.wraps(function)
    def command(*args: Any, **values: Any) -> None:
        function(*args, **values)

    command.__signature__ = inspect.Signature(own + options)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in own + options}
    return command


def with_settings(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options in `SETTINGS`; its function takes all settings, read and checked, as `settings`."""

    def command(*args: Any, **values: Any) -> None:
        from pagemill.settings import load_settings  # takes as long as all other imports of the command

        given = {setting: values.pop(option) for option, (setting, _) in SETTINGS.items()}
        function(*args, settings=load_settings(given), **values)

    signature = inspect.signature(function)
    own = [each for name, each in signature.parameters.items() if name != "settings"]
    command.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]
    command.__name__, command.__doc__ = function.__name__, function.__doc__
    return with_options(command, [_option(name, str, text, "") for name, (_, text) in SETTINGS.items()])


def _option(name: str, kind: Any, text: str, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[kind, typer.Option(help=text)],
        default=default,
    )
