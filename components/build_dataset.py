"""Build the dataset's files out of all shards."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Output

from pagemill.components import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def build_dataset(
    chunks: Input[list[Dataset]],
    duplicates: Input[Dataset],
    store: str,
    dataset: Output[Dataset],
    metrics: Output[Metrics],
    name: str = "books",
    max_shard_bytes: int = 512 << 20,
    contact: str = "",
) -> None:
    """Write chunks, documents and pages of all shards as Parquet and JSONL, with a dataset card.

    Args:
        chunks: The chunks of every shard.
        duplicates: What find_duplicates found among the documents of all shards.
        store: URI of the store.
        dataset: One row for every file of the dataset. Metadata: manifest, stage, stage_version, pagemill_version,
            config_digest, parameters, seconds, rows, archives, members, members_failed, members_repeated, pdfs,
            pdfs_failed, pages, pages_<status>, pages_missing, documents, chunks, dropped_<reason>, tokens, bytes.
        metrics: The same counts, to compare runs by, with failed_fraction: what check_failures goes by.
        name: The dataset's name on its card.
        max_shard_bytes: Size that one Parquet file may reach.
        contact: Whom to ask for a takedown.
    """
    import json
    from pathlib import Path

    from pagemill import dataset as room
    from pagemill.manifest import Manifest
    from pagemill.records import BookRecord, Duplicate
    from pagemill.storage import Store

    shards = [Manifest.read(each.path, BookRecord) for each in chunks]
    manifest = room.build_dataset(
        shards,
        Manifest.read(duplicates.path, Duplicate),
        Store(store),
        name=name,
        max_shard_bytes=max_shard_bytes,
        contact=contact,
    )
    manifest.write(dataset.path)
    dataset.metadata.update(manifest.lineage())
    figures = {**manifest.counts, "failed_fraction": room.failed_fraction(manifest)}
    for figure, value in figures.items():
        metrics.log_metric(figure, value)
    Path(metrics.path).write_text(json.dumps(figures))  # a cached artifact must have a file
