"""Join and clean the pages of each book."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from pagemill.components import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def clean_documents(pages: Input[Dataset], store: str, documents: Output[Dataset], profile: str = "books") -> None:
    """Join the pages of each book into one clean text, judge it, and leave out what breaks a rule of the profile.

    Args:
        pages: The pages of recognize_pages.
        store: URI of the store.
        documents: One row for every PDF, pointing to its document and its `.mmd` in the store. Metadata: manifest,
            stage, stage_version, pagemill_version, config_digest, parameters, seconds, rows, rows_<status>,
            documents, documents_<language>, characters, tokens, pages, pages_missing, pages_fallback, pages_dropped,
            dropped_by_<rule>, masked_<kind>, running_lines_removed, loop_lines_removed, latex_errors.
        profile: How to clean, what to leave out and what to mask: the name of a shipped profile, or a YAML by path or
            URI. Its digest is among the parameters.
    """
    from pagemill import text as room
    from pagemill.manifest import Manifest
    from pagemill.records import BookRecord
    from pagemill.storage import Store

    manifest = room.clean_documents(Manifest.read(pages.path, BookRecord), Store(store), profile=profile)
    manifest.write(documents.path)
    documents.metadata.update(manifest.lineage())
