"""List the archives of a source."""

from kfp import dsl
from kfp.dsl import Dataset, Output

from pagemill.components import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def discover_archives(
    source: str,
    source_fingerprint: str,
    store: str,
    archives: Output[Dataset],
    pattern: str = "*.rar",
) -> None:
    """List the RAR archives of a source, multivolume sets put together.

    Args:
        source: Folder, glob, `gs://` prefix, `http(s)://` file or index, or `hf://datasets/<repo>[@rev]`.
        source_fingerprint: Names the state of the source. The listing is cached under it: give another to look again.
        store: URI of the store.
        archives: The archive manifest. Metadata: manifest, stage, stage_version, pagemill_version, config_digest,
            parameters, seconds, rows, archives, volumes, bytes, archives_incomplete.
        pattern: Which file names are archives.
    """
    from pagemill import archives as room
    from pagemill.storage import Store

    manifest = room.discover_archives(source, Store(store), pattern=pattern, source_fingerprint=source_fingerprint)
    manifest.write(archives.path)
    archives.metadata.update(manifest.lineage())
