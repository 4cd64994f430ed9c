"""Publish the dataset."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from pagemill.components import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def publish_dataset(
    dataset: Input[Dataset],
    store: str,
    publish: str,
    publication: Output[Artifact],
    private: bool = True,
) -> None:
    """Publish the dataset in one commit; files that are there already are not sent again.

    The token comes from the environment (HF_TOKEN) or the Hub's own login.

    Args:
        dataset: The dataset of build_dataset.
        store: URI of the store.
        publish: `hf://<user>/<name>`, or a folder by path or URI.
        publication: What was published. Metadata: uri, revision, files, files_sent, bytes_sent.
        private: Whether a repository on the Hub is private.
    """
    import dataclasses
    from pathlib import Path

    from pagemill import dataset as room
    from pagemill.manifest import Manifest
    from pagemill.records import DatasetFile
    from pagemill.storage import Store

    result = room.publish_dataset(
        Manifest.read(dataset.path, DatasetFile), Store(store), publish=publish, private=private
    )
    Path(publication.path).write_text(result.uri + "\n")
    publication.metadata.update(dataclasses.asdict(result))
