"""`pagemill submit`: a subcommand a pipeline, which starts a run on Vertex AI Pipelines or Kubeflow Pipelines."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pagemill.cloud.commands.ordering import (
    Caching,
    Checking,
    FailurePolicy,
    Labels,
    Network,
    Ocr,
    Parameters,
    RunAs,
    Sets,
    order_commands,
    order_of,
    settings_of,
    show_findings,
)
from pagemill.cloud.commands.runs import Wait, tell_of

if TYPE_CHECKING:
    from pagemill.settings import Settings


def _function(pipeline: str) -> Callable[..., None]:
    def submit(
        settings: "Settings",
        parameters: Parameters = None,
        sets: Sets = None,
        ocr: Ocr = "worker",
        run: Annotated[str, typer.Option(help="Name of the run, for people.")] = "",
        caching: Caching = None,
        failure_policy: FailurePolicy = "slow",
        label: Labels = None,
        run_as: RunAs = "",
        network: Network = "",
        check: Checking = True,
        wait: Wait = False,
        **values: Any,
    ) -> None:
        from pagemill.cloud import submission

        settings = settings_of(settings, label, run_as, network)
        order = order_of(
            pipeline, values, parameters, sets, ocr=ocr, caching=caching, run=run, failure_policy=failure_policy
        )
        started = submission.submit(order, settings, check=check, tell=show_findings)
        tell_of(started, submission.backend_for(settings), settings, wait=wait)

    submit.__doc__ = (
        f"Run {pipeline} on Vertex AI Pipelines or Kubeflow Pipelines.\n\n"
        f"Example: `pagemill submit {pipeline} --to vertex --project my-project --parameters run.yaml --wait`"
    )
    return submit


group = order_commands(_function)
