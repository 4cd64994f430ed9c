"""`pagemill config`, `presets`, `estimate`: what is known of a run before anything is paid for."""

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pagemill.cloud.options import with_settings

if TYPE_CHECKING:
    from pagemill.settings import Settings


def add_commands(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(presets)
    app.command()(estimate)
    _add_group(app, "prices", "What machines cost.", refresh=refresh)
    _add_group(app, "config", "The settings.", show=show)


def _add_group(app: typer.Typer, name: str, text: str, **commands: Callable[..., None]) -> None:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
    group.callback()(lambda: None)  # so that a group of one stays a group
    for each, command in commands.items():
        group.command(each)(command)
    app.add_typer(group, name=name, help=text)


def show() -> None:
    """Show every setting, its value and where that came from; secrets are masked.

    Example: `pagemill config show`
    """
    from rich.console import Console
    from rich.table import Table

    from pagemill.settings import describe, load_settings

    table = Table("setting", "value", "from", "what it is for", box=None)
    for each in describe(load_settings()):
        table.add_row(each.name, each.value, each.origin, each.description)
    Console().print(table, markup=False)


def presets() -> None:
    """List the machines that pipelines can be compiled for.

    Example: `pagemill presets`
    """
    from rich.console import Console
    from rich.table import Table

    from pagemill.presets import DEFAULTS, PRESETS

    table = Table(
        "preset", "runs on", "machine", "GPUs", "provisioning", "shards at a time", "instances a GPU", box=None
    )
    for each in PRESETS.values():
        default = " (default)" if DEFAULTS[each.backend] == each.name else ""
        gpus = f"{each.accelerators} x {each.accelerator}" if each.accelerators else ""
        table.add_row(
            each.name + default,
            each.backend,
            each.machine,
            gpus,
            each.provisioning if gpus else "",
            str(each.parallelism or ""),
            str(each.instances_per_gpu),
        )
    Console().print(table)


@with_settings
def estimate(
    settings: "Settings",
    pages: Annotated[int, typer.Option(min=1, help="To read.")],
    shards: Annotated[int, typer.Option(min=0, help="As archives allow; 0 for what suits the preset.")] = 0,
    store: Annotated[str, typer.Option(help="With finished runs on such GPUs, whose speed is taken.")] = "",
    pages_per_second: Annotated[float | None, typer.Option(help="Of one GPU, if you know.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say what reading so many pages takes and costs, from what and how surely.

    Example: `pagemill estimate --pages 1000000 --preset vertex-a100-40`
    """
    from rich.console import Console

    from pagemill.cloud.submission import preset_of
    from pagemill.costs.estimate import estimate as work_out
    from pagemill.costs.estimate import estimate_table
    from pagemill.costs.prices import load_prices
    from pagemill.costs.speeds import speed_for
    from pagemill.storage import Store

    preset = preset_of(settings)
    speed = speed_for(preset.accelerator, store=Store(store) if store else None, pages_per_second=pages_per_second)
    foreseen = work_out(
        pages, preset, load_prices(settings.prices), speed, region=settings.vertex.region, shards=shards
    )
    if as_json:
        typer.echo(json.dumps(foreseen.to_dict(), indent=1))
    else:
        Console().print(estimate_table(foreseen))


@with_settings
def refresh(
    settings: "Settings", out: Annotated[Path, typer.Option(help="File for the new table.")] = Path("prices.yaml")
) -> None:
    """Write a price table with today's prices from the Cloud Billing catalogue.

    Example: `pagemill prices refresh --project my-project --out prices.yaml`
    """
    from pagemill.costs.catalogue import refresh_prices
    from pagemill.costs.prices import load_prices, save_prices
    from pagemill.google_apis import GoogleApis

    today = datetime.datetime.now(datetime.UTC).date()
    apis = GoogleApis(quota_project=settings.vertex.project)
    table, lost = refresh_prices(load_prices(settings.prices), apis, today=today)
    save_prices(table, out)
    for each in lost:
        typer.echo(f"pagemill: the catalogue has no price of {each}", err=True)
    typer.echo(f'{out}; to use it, put `prices = "{out}"` into pagemill.toml')
