"""`pagemill schedule`: runs at set times."""

import dataclasses
import datetime
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from pagemill.cloud.commands.options import with_settings
from pagemill.cloud.commands.ordering import Checking, order_commands, show_findings
from pagemill.showing import AsJson, show_rows

if TYPE_CHECKING:
    from pagemill.cloud.submission import Order
    from pagemill.settings import Settings

ScheduleId = Annotated[str, typer.Argument(help="As `pagemill schedule list` shows it.")]


def _function(pipeline: str) -> Callable[..., None]:
    def create(
        settings: "Settings",
        order: "Order",
        cron: Annotated[
            str, typer.Option(help="Minute, hour, day, month, weekday; `TZ=Europe/Berlin ` may stand first.")
        ],
        schedule: Annotated[
            str, typer.Option(help="Name of the schedule, for people; the pipeline's without it.")
        ] = "",
        max_concurrent_runs: Annotated[int, typer.Option(min=1, help="More wait, or are left out.")] = 1,
        max_runs: Annotated[int, typer.Option(min=0, help="After which it ends; 0 for no end.")] = 0,
        start: Annotated[datetime.datetime | None, typer.Option(help="Not before this, in UTC.")] = None,
        end: Annotated[datetime.datetime | None, typer.Option(help="Not after this, in UTC.")] = None,
        catch_up: Annotated[bool, typer.Option(help="Make up for times that were missed while it was paused.")] = False,
        check: Checking = True,
    ) -> None:
        from pagemill.cloud.backend import Timetable
        from pagemill.cloud.submission import create_schedule

        timetable = Timetable(
            cron, schedule or pipeline, max_concurrent_runs, max_runs, _in_utc(start), _in_utc(end), catch_up
        )
        made = create_schedule(
            dataclasses.replace(order, run=schedule), timetable, settings, check=check, tell=show_findings
        )
        typer.echo(f"schedule {made.id}\nconsole  {made.console}")

    create.__doc__ = (
        f"Have {pipeline} run at set times; each run looks at the source anew.\n\n"
        f"Example: `pagemill schedule create {pipeline} --cron '0 3 * * *' --parameters run.yaml`"
    )
    return create


def _in_utc(moment: datetime.datetime | None) -> datetime.datetime | None:
    return moment.replace(tzinfo=datetime.UTC) if moment else None


@with_settings
def list_schedules(settings: "Settings", as_json: AsJson = False) -> None:
    """List the schedules.

    Example: `pagemill schedule list --to vertex`
    """
    from pagemill.cloud.submission import backend_for

    rows = [
        {
            "schedule": each.id,
            "name": each.name,
            "cron": each.cron,
            "state": each.state,
            "next_run": each.next_run,
            "runs": each.runs_started,
        }
        for each in backend_for(settings).schedules()
    ]
    show_rows(rows, as_json=as_json)


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


group = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
group.add_typer(order_commands(_function), name="create", help="Have a pipeline run at set times.")
for _name, _command in {"list": list_schedules, "pause": pause, "resume": resume, "delete": delete}.items():
    group.command(_name)(_command)
