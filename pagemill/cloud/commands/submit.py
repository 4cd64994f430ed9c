"""`pagemill submit`: a subcommand a pipeline, which starts a run on Vertex AI Pipelines or Kubeflow Pipelines."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from pagemill.cloud.commands.ordering import Checking, order_commands, show_findings
from pagemill.cloud.commands.runs import Wait, tell_of

if TYPE_CHECKING:
    from pagemill.cloud.submission import Order
    from pagemill.settings import Settings


def _function(pipeline: str) -> Callable[..., None]:
    def submit(
        settings: "Settings",
        order: "Order",
        run: Annotated[str, typer.Option(help="Name of the run, for people.")] = "",
        check: Checking = True,
        wait: Wait = False,
    ) -> None:
        from pagemill.cloud import submission

        started = submission.submit(dataclasses.replace(order, run=run), settings, check=check, tell=show_findings)
        tell_of(started, submission.backend_for(settings), settings, wait=wait)

    submit.__doc__ = (
        f"Run {pipeline} on Vertex AI Pipelines or Kubeflow Pipelines.\n\n"
        f"Example: `pagemill submit {pipeline} --to vertex --project my-project --parameters run.yaml --wait`"
    )
    return submit


group = order_commands(_function)
