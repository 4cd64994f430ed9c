"""Cut the documents into chunks."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from pagemill.components import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def chunk_documents(
    documents: Input[Dataset],
    store: str,
    chunks: Output[Dataset],
    tokenizer: str = "",
    target_tokens: int = 512,
    max_tokens: int = 1024,
    overlap_tokens: int = 0,
) -> None:
    """Cut each document where a reader would: at headings and sentences, never inside mathematics or a table.

    Args:
        documents: The documents of clean_documents.
        store: URI of the store.
        chunks: One row for every document, pointing to its chunks in the store. Metadata: manifest, stage,
            stage_version, pagemill_version, config_digest, parameters, seconds, rows, rows_<status>, documents,
            chunks, chunks_with_math, chunks_with_table, tokens, longest_tokens.
        tokenizer: A tokenizer.json, or a folder that holds one; "" takes that of the checkpoint that read the pages.
        target_tokens: Length that chunks are filled up to.
        max_tokens: Length that no chunk exceeds, but for a single equation that is longer.
        overlap_tokens: How much of the sentences before a chunk is repeated in it.
    """
    from pagemill import text as room
    from pagemill.manifest import Manifest
    from pagemill.records import BookRecord
    from pagemill.storage import Store

    manifest = room.chunk_documents(
        Manifest.read(documents.path, BookRecord),
        Store(store),
        tokenizer=tokenizer,
        target_tokens=target_tokens,
        max_tokens=max_tokens,
        overlap_tokens=overlap_tokens,
    )
    manifest.write(chunks.path)
    chunks.metadata.update(manifest.lineage())
