"""Share the archives out among shards."""

from kfp import dsl
from kfp.dsl import Dataset, Input

from pagemill.components import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def plan_shards(archives: Input[Dataset], store: str, max_shards: int = 100) -> list[str]:
    """Share the archives out among shards of about equal bytes.

    Args:
        archives: The archive manifest of discover_archives.
        store: URI of the store.
        max_shards: At most so many shards, 1 to 100.

    Returns:
        Store names of the shards' manifests. A shard's name is made from its archives alone, so that what is
        cached for a shard stays valid when other archives come to the source.
    """
    from pagemill import archives as room
    from pagemill.manifest import Manifest
    from pagemill.records import Archive
    from pagemill.storage import Store

    return room.plan_shards(Manifest.read(archives.path, Archive), Store(store), max_shards=max_shards)
