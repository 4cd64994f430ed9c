"""Report all decks of a run."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Metrics, Output

from pagemill.components import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def report_reviews(
    files: Input[Dataset],
    reviews: Input[list[Dataset]],
    store: str,
    rows: Output[Dataset],
    report: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Write one page that leads to the report of each deck, and one row for every file of the source.

    Args:
        files: The files of collect_decks.
        reviews: Of every deck, that of conclude_review.
        store: URI of the store.
        rows: JSON Lines, a row for every file. Metadata: files, files_not_pdf, decks, decks_failed, decks_healthcare,
            failed_parts, flags, calls, tokens_in, tokens_out, model_seconds.
        report: The page; its links lead into the store.
        metrics: Files, decks, failures, flags, calls, tokens and seconds, to compare runs by.
    """
    import json
    from pathlib import Path

    from pagemill.decks.batch import reporting as room
    from pagemill.decks.batch.collecting import DeckFile
    from pagemill.manifest import Manifest
    from pagemill.storage import Store

    manifest = Manifest.read(files.path, DeckFile)
    told = [room.ReviewRow.read(each.path) for each in reviews]
    figures = room.report_reviews(manifest, told, Store(store), Path(report.path), Path(rows.path))
    rows.metadata.update(figures)
    for figure, value in figures.items():
        metrics.log_metric(figure, value)
    Path(metrics.path).write_text(json.dumps(figures))  # a cached artifact must have a file
