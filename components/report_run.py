"""Report a run, whatever became of it."""

from kfp import dsl
from kfp.dsl import HTML, Output, PipelineTaskFinalStatus

from pagemill.components import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def report_run(
    store: str,
    source: str,
    source_fingerprint: str,
    publish: str,
    checkpoint: str,
    pattern: str,
    max_shards: int,
    passwords: str,
    fallback: str,
    min_agreement: float,
    languages: str,
    retry: str,
    profile: str,
    tokenizer: str,
    target_tokens: int,
    max_tokens: int,
    overlap_tokens: int,
    name: str,
    contact: str,
    max_failed_fraction: float,
    status: PipelineTaskFinalStatus,
    report: Output[HTML],
    preset: str = "local",
) -> None:
    """Write one HTML page about the run from what its stages left in the store.

    The run's manifests are found by the parameters of the pipeline, because the task that always runs cannot read what
    other tasks give.

    Args:
        store: URI of the store.
        source: As the other parameters down to `max_failed_fraction`, that of the pipeline.
        source_fingerprint: See there.
        publish: See there.
        checkpoint: See there.
        pattern: See there.
        max_shards: See there.
        passwords: See there.
        fallback: See there.
        min_agreement: See there.
        languages: See there.
        retry: See there.
        profile: See there.
        tokenizer: See there.
        target_tokens: See there.
        max_tokens: See there.
        overlap_tokens: See there.
        name: See there.
        contact: See there.
        max_failed_fraction: See there.
        status: Given by the pipeline: how the run ended.
        report: The page, self-contained. Metadata: state, preset.
        preset: What the tasks ran on, to compare what it was to cost with what it did.
    """
    parameters = {key: value for key, value in locals().items() if key not in ("store", "status", "report", "preset")}

    from pathlib import Path

    from pagemill.report import report_run as write_report
    from pagemill.storage import Store

    write_report(
        Store(store),
        Path(report.path),
        parameters=parameters,
        status=status.state,
        error=status.error_message or "",
        preset=preset,
    )
    report.metadata.update(state=status.state, preset=preset)
