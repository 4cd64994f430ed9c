"""Find documents of any shard that say the same."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from pagemill.components import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def find_duplicates(
    documents: Input[list[Dataset]],
    store: str,
    duplicates: Output[Dataset],
    profile: str = "books",
) -> None:
    """Compare the signatures that clean_documents made of the documents of all shards.

    Args:
        documents: The documents of every shard.
        store: URI of the store.
        duplicates: One row for every document that is not kept, naming the one that is. Metadata: manifest, stage,
            stage_version, pagemill_version, config_digest, parameters, seconds, rows, documents, clusters,
            duplicate_text, near_duplicate.
        profile: Says how similar two documents must be: the name of a shipped profile, or a YAML by path or URI.
    """
    from pagemill import text as room
    from pagemill.manifest import Manifest
    from pagemill.records import BookRecord
    from pagemill.storage import Store

    shards = [Manifest.read(each.path, BookRecord) for each in documents]
    manifest = room.find_duplicates(shards, Store(store), profile=profile)
    manifest.write(duplicates.path)
    duplicates.metadata.update(manifest.lineage())
