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
    hf_token: str = "env:HF_TOKEN",  # noqa: S107 - its name
) -> None:
    """Publish the dataset in one commit; files that are there already are not sent again.

    Args:
        dataset: The dataset of build_dataset.
        store: URI of the store.
        publish: `hf://<user>/<name>`, or a folder by path or URI.
        publication: What was published. Metadata: uri, revision, files, files_sent, bytes_sent.
        private: Whether a repository on the Hub is private.
        hf_token: Name of the secret with the Hub's token: `env:NAME` or `secret:projects/P/secrets/S`. Only this name
            is recorded. Where HF_TOKEN is not set, the Hub's own login counts.
    """
    import dataclasses
    from pathlib import Path

    from pagemill import dataset as room
    from pagemill.manifest import Manifest
    from pagemill.records import DatasetFile
    from pagemill.storage import Store

    result = room.publish_dataset(
        Manifest.read(dataset.path, DatasetFile), Store(store), publish=publish, private=private, hf_token=hf_token
    )
    Path(publication.path).write_text(result.uri + "\n")
    publication.metadata.update(dataclasses.asdict(result))
