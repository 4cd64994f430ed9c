"""The commands of the clouds, a file a command or group; what they do stands outside of this folder."""

import typer

from pagemill.cloud.commands import planning, run, runs, schedule, submit


def add_commands(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(run.group, name="run", help="Run a pipeline on this machine.")
    app.add_typer(submit.group, name="submit", help="Run a pipeline on a cloud.")
    app.add_typer(schedule.group, name="schedule", help="Run pipelines at set times.")
    for command in (runs.status, runs.cancel, runs.retry, planning.presets, planning.estimate):
        app.command()(command)
    app.add_typer(planning.prices, name="prices", help="What machines cost.")
    app.add_typer(planning.config, name="config", help="The settings.")
