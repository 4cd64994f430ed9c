"""Put the decks of a source into the store."""

from kfp import dsl
from kfp.dsl import Dataset, Output

from pagemill.components import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def collect_decks(
    source: str,
    source_fingerprint: str,
    store: str,
    files: Output[Dataset],
    pattern: str = "*.pdf",
) -> list[str]:
    """List the files of a source, and put those that are PDFs into the store.

    Args:
        source: A PDF, folder or glob, or a `gs://` prefix.
        source_fingerprint: Names the state of the source. The decks are cached under it: give another to look again.
        store: URI of the store.
        files: One row for every file; one that is no PDF, or the same as another, has a reason. Metadata: manifest,
            stage, stage_version, pagemill_version, config_digest, parameters, seconds, rows, rows_<status>, decks.
        pattern: Which file names are decks.

    Returns:
        The decks, each as digest and name.
    """
    from pagemill.decks.batch import collecting as room
    from pagemill.storage import Store

    manifest = room.collect_decks(source, Store(store), pattern=pattern, source_fingerprint=source_fingerprint)
    manifest.write(files.path)
    files.metadata.update(manifest.lineage())
    return room.deck_items(manifest.rows)
