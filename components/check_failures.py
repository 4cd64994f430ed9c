"""Stop a run that failed too often before anything is published."""

from kfp import dsl
from kfp.dsl import Dataset, Input

from pagemill.components import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def check_failures(dataset: Input[Dataset], max_failed_fraction: float = 0.1) -> None:
    """Fail when too large a part of what went in did not come out.

    Args:
        dataset: The dataset of build_dataset.
        max_failed_fraction: The part that may fail, 0 to 1.
    """
    from pagemill import dataset as room
    from pagemill.manifest import Manifest
    from pagemill.records import DatasetFile

    room.check_failures(Manifest.read(dataset.path, DatasetFile), max_failed_fraction=max_failed_fraction)
