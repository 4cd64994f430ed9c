"""What `pagemill submit` and `pagemill schedule create` share: the options of a run, and the order that they make."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pagemill.cloud.commands.options import parameter_option, pipeline_group, with_options, with_settings
from pagemill.cloud.compiled import PIPELINES, parameters_of
from pagemill.errors import UserError

if TYPE_CHECKING:
    from pagemill.cloud.prerequisites import Finding
    from pagemill.cloud.submission import Order
    from pagemill.settings import KfpSettings, Settings, VertexSettings

_OPTIONS: dict[str, tuple[Any, Any]] = {  # by name: what each is, and what it is where it is not given
    "parameters": (Annotated[Path | None, typer.Option(help="YAML of parameters; options beat it.")], None),
    "sets": (
        Annotated[list[str] | None, typer.Option("--set", help="A parameter that has no option: `name=value`.")],
        None,
    ),
    "ocr": (
        Annotated[str, typer.Option(help="How pages are read: `worker`, `endpoint` or `batch-prediction`.")],
        "worker",
    ),
    "caching": (
        Annotated[
            bool | None,
            typer.Option("--caching/--no-caching", help="For all tasks; without it each as the pipeline says."),
        ],
        None,
    ),
    "failure_policy": (
        Annotated[
            str,
            typer.Option(
                help="`slow`: finish what does not depend on a failed task; or `fast`. Vertex AI alone has it."
            ),
        ],
        "slow",
    ),
    "label": (
        Annotated[list[str] | None, typer.Option("--label", help="For the bill: `key=value`, besides the settings'.")],
        None,
    ),
    "run_as": (Annotated[str, typer.Option(help="Service account of the tasks, in place of the settings'.")], ""),
    "network": (
        Annotated[
            str, typer.Option(help="VPC network of the tasks, in place of the settings'; Vertex AI alone has it.")
        ],
        "",
    ),
}
Checking = Annotated[bool, typer.Option("--check/--no-check", help="Look first whether all is there that it needs.")]


def order_commands(function_for: Callable[[str], Callable[..., None]]) -> typer.Typer:
    """Return a group of commands, one a pipeline, with options for the settings, the order and its parameters.

    Args:
        function_for: Makes the function of a pipeline's command. It takes `settings` and `order`, and what is its own.
    """
    return typer.Typer(
        cls=pipeline_group(PIPELINES, lambda name: _command(name, function_for(name))), no_args_is_help=True
    )


def _command(pipeline: str, function: Callable[..., None]) -> Callable[..., None]:
    parameters = parameters_of(pipeline)

    def command(settings: "Settings", **values: Any) -> None:
        choices = {name: values.pop(name) for name in _OPTIONS}
        given = {each.name: values.pop(each.name) for each in parameters}
        settings = settings_of(settings, *(choices.pop(name) for name in ("label", "run_as", "network")))
        order = order_of(pipeline, given, choices.pop("parameters"), choices.pop("sets"), **choices)
        function(settings=settings, order=order, **values)

    signature = inspect.signature(function)
    own = [each for name, each in signature.parameters.items() if name != "order"]
    command.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]
    command.__name__, command.__doc__ = function.__name__, function.__doc__
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
        for name, (kind, default) in _OPTIONS.items()
    ]
    return with_options(
        with_settings(command), [*options, *(parameter_option(each, required=False) for each in parameters)]
    )


def settings_of(settings: "Settings", labels: list[str] | None, run_as: str, network: str) -> "Settings":
    """Return the settings with what one run has in their place; raises UserError."""
    given = dict(_pair("--label", each) for each in labels or ())
    section: VertexSettings | KfpSettings = getattr(settings, settings.to)
    changed = {name: value for name, value in (("service_account", run_as), ("network", network)) if value}
    if "network" in changed and settings.to != "vertex":
        raise UserError(f"--network {network}", f"means nothing on {settings.to}", "leave it out")
    return settings.model_copy(
        update={"labels": settings.labels | given, settings.to: section.model_copy(update=changed)}
    )


def order_of(
    pipeline: str, values: dict[str, Any], file: Path | None, sets: list[str] | None, **choices: Any
) -> "Order":
    """Return the order that the options of a command come to: an option beats `--set`, and that the file."""
    from pagemill.cloud.submission import Order, read_parameters

    types = {each.name: each.type for each in parameters_of(pipeline)}
    parameters = read_parameters(file) if file else {}
    for each in sets or ():
        name, value = _pair("--set", each)
        parameters[name] = _value(name, value, types)
    parameters |= {name: value for name, value in values.items() if value is not None}
    return Order(pipeline, parameters, **choices)


def _pair(option: str, text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise UserError(f"{option} {text}", "is not name=value", "give a name, =, and its value")
    return name, value


def _value(name: str, text: str, types: Mapping[str, type]) -> Any:
    """Return what `--set` gives a parameter: a text as it stands, anything else as YAML reads it."""
    import yaml

    if types.get(name, str) is str:
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"--set {name}", "is no value that YAML reads", "correct or quote it") from None


def show_findings(findings: "list[Finding]") -> None:
    """Print what was found on the prerequisites of a run, on stderr."""
    from rich.console import Console

    from pagemill.cloud.prerequisites import print_findings

    print_findings(findings, Console(stderr=True))
