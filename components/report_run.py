"""Report a run, whatever became of it."""

from kfp import dsl
from kfp.dsl import HTML, Output, PipelineTaskFinalStatus

from pagemill.components import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def report_run(store: str, parameters: dict[str, str], status: PipelineTaskFinalStatus, report: Output[HTML]) -> None:
    """Write one HTML page about the run from what its stages left in the store.

    Args:
        store: URI of the store.
        parameters: The pipeline's parameters, by which the run's manifests are found.
        status: Given by the pipeline: how the run ended.
        report: The page, self-contained.
    """
    from pathlib import Path

    from pagemill.report import report_run as write_report
    from pagemill.storage import Store

    write_report(
        Store(store), Path(report.path), parameters=parameters, status=status.state, error=status.error_message or ""
    )
