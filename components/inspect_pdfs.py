"""Look into the PDFs before any of them is read."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from pagemill.components import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def inspect_pdfs(
    members: Input[Dataset],
    store: str,
    pdfs: Output[Dataset],
    time_limit_seconds: float = 120.0,
    max_pages: int = 20_000,
    max_page_points: float = 14_400.0,
) -> None:
    """Count the pages of every PDF, measure them and look for a text layer.

    Args:
        members: The members of extract_pdfs.
        store: URI of the store.
        pdfs: One row for every distinct PDF. Metadata: manifest, stage, stage_version, pagemill_version, config_digest,
            parameters, seconds, rows, rows_<status>, pdfs, pdfs_encrypted, pdfs_without_text_layer, pages,
            pages_too_large, pages_with_text_layer.
        time_limit_seconds: Time for one PDF.
        max_pages: A PDF of more pages is refused.
        max_page_points: A page with a longer side is refused, in points of 1/72 inch.
    """
    from pagemill.manifest import Manifest
    from pagemill.pages import inspect as room
    from pagemill.records import MemberRecord
    from pagemill.storage import Store

    manifest = room.inspect_pdfs(
        Manifest.read(members.path, MemberRecord),
        Store(store),
        time_limit_seconds=time_limit_seconds,
        max_pages=max_pages,
        max_page_points=max_page_points,
    )
    manifest.write(pdfs.path)
    pdfs.metadata.update(manifest.lineage())
