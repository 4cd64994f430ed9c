"""Stop a run that failed too often before anything is published."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Output

from pagemill.components import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def check_failures(dataset: Input[Dataset], metrics: Output[Metrics], max_failed_fraction: float = 0.1) -> None:
    """Fail when too large a part of what went in did not come out.

    Args:
        dataset: The dataset of build_dataset.
        metrics: Its counts and the failed fraction.
        max_failed_fraction: The part that may fail, 0 to 1.
    """
    import json
    from pathlib import Path

    from pagemill import dataset as room
    from pagemill.manifest import Manifest
    from pagemill.records import DatasetFile

    manifest = Manifest.read(dataset.path, DatasetFile)
    figures = {**manifest.counts, "failed_fraction": room.failed_fraction(manifest)}
    for name, value in figures.items():
        metrics.log_metric(name, value)
    Path(metrics.path).write_text(json.dumps(figures))  # a cached artifact must have a file
    room.check_failures(manifest, max_failed_fraction=max_failed_fraction)
