"""Write what a job of batch prediction is to read."""

from typing import List, NamedTuple  # noqa: UP035  # kfp knows List, and evaluates the annotation by this name

from kfp import dsl
from kfp.dsl import Dataset, Input

from pagemill.components import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def write_instances(
    pdfs: Input[Dataset],
    store: str,
    model: str,
    dpi: int = 96,
    retry: str = "none",
    pages_per_instance: int = 8,
) -> NamedTuple(  # type: ignore[valid-type]
    "Outputs",
    [("uris", List[str]), ("destination", str), ("location", str), ("model_uri", str)],  # noqa: UP006
):
    """Write the pages of a shard's PDFs as instances for Vertex AI's batch prediction, JSON Lines in the store.

    Args:
        pdfs: The PDFs of inspect_pdfs.
        store: URI of the store, a bucket.
        model: `projects/<project>/locations/<region>/models/<number>`, with `@<version>` if need be.
        dpi: Resolution that pages are rendered at; Nougat was trained at 96.
        retry: `none`: a job reads a page once.
        pages_per_instance: At most.

    Returns:
        uris: The file of instances, in a list as Vertex AI wants it.
        destination: Where the job writes its folder.
        location: The model's region.
        model_uri: The model's address.
    """
    from pagemill.manifest import Manifest
    from pagemill.ocr import remote as room
    from pagemill.records import PdfRecord
    from pagemill.storage import Store

    resource = room.model_resource(model)
    written = room.write_instances(
        Manifest.read(pdfs.path, PdfRecord), Store(store), dpi=dpi, retry=retry, pages_per_instance=pages_per_instance
    )
    print(f"{written.pages} pages in {written.instances} instances: {written.uri}")
    return [written.uri], written.uri.rsplit("/", 1)[0], resource.location, resource.uri
