"""`pagemill config`, `presets`, `estimate`: what is known of a run before anything is paid for."""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pagemill.cloud.commands.options import with_settings
from pagemill.showing import AsJson, show_json, show_rows

if TYPE_CHECKING:
    from pagemill.settings import Settings


def show(as_json: AsJson = False) -> None:
    """Show every setting, its value and where that came from; secrets are masked.

    Example: `pagemill config show`
    """
    from pagemill.settings import describe, load_settings

    rows = [
        {"setting": each.name, "value": each.value, "from": each.origin, "what_it_is_for": each.description}
        for each in describe(load_settings())
    ]
    show_rows(rows, as_json=as_json)


def presets(as_json: AsJson = False) -> None:
    """List the machines that pipelines can be compiled for.

    Example: `pagemill presets`
    """
    from pagemill.presets import DEFAULTS, PRESETS

    rows = [
        {
            "preset": each.name,
            "runs_on": f"{each.backend} (default)" if DEFAULTS[each.backend] == each.name else each.backend,
            "machine": each.machine or None,
            "GPUs": f"{each.accelerators} x {each.accelerator}" if each.accelerators else None,
            "provisioning": each.provisioning if each.accelerators else None,
            "shards_at_a_time": each.parallelism or None,
            "instances_a_GPU": each.instances_per_gpu,
        }
        for each in PRESETS.values()
    ]
    show_rows(rows, as_json=as_json)


@with_settings
def estimate(
    settings: "Settings",
    pages: Annotated[int, typer.Option(min=1, help="To read.")],
    shards: Annotated[int, typer.Option(min=0, help="As archives allow; 0 for what suits the preset.")] = 0,
    store: Annotated[str, typer.Option(help="With finished runs on such GPUs, whose speed is taken.")] = "",
    pages_per_second: Annotated[float | None, typer.Option(help="Of one GPU, if you know.")] = None,
    as_json: AsJson = False,
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
        show_json(foreseen.to_dict())
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


def _group(name: str, command: Callable[..., None]) -> typer.Typer:
    """Return a group of one command, which stays a group by its callback."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
    group.callback()(lambda: None)
    group.command(name)(command)
    return group


prices = _group("refresh", refresh)
config = _group("show", show)
