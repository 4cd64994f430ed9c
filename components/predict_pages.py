"""Read the pages through an endpoint."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from pagemill.components import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def predict_pages(
    pdfs: Input[Dataset],
    store: str,
    endpoint: str,
    pages: Output[Dataset],
    checkpoint: str = "0.1.0-base",
    fallback: str = "none",
    min_agreement: float = 0.5,
    languages: str = "",
    retry: str = "none",
    dpi: int = 96,
    pages_per_request: int = 4,
    concurrency: int = 16,
    patience_seconds: float = 900.0,
) -> None:
    """Have an endpoint read every page of a shard's PDFs; each comes out as one row of the page ledger.

    Args:
        pdfs: The PDFs of inspect_pdfs.
        store: URI of the store.
        endpoint: `projects/<project>/locations/<region>/endpoints/<number>`, or the URL of a server.
        pages: One row for every PDF, pointing to its pages in the store. Metadata: manifest, stage, stage_version,
            pagemill_version, config_digest, parameters, seconds, rows, rows_<status>, pages, pages_<status>, tokens.
        checkpoint: What the endpoint's model was deployed with; its tokenizer is fetched from there.
        fallback: `text-layer` takes the PDF's own text for a page that the engine failed on, or that disagrees with it;
            `ocr` also has pages without such text read by rapidocr; `none` does neither.
        min_agreement: Pages that agree less than this with the PDF's own text are flagged; 0 to 1.
        languages: The languages that the model was deployed to read (`en,de`); empty for any.
        retry: Rounds of reading again, rendered otherwise: `failed`, `truncated` or `all`, with commas; or `none`.
        dpi: Resolution that pages are rendered at; Nougat was trained at 96.
        pages_per_request: At most; Vertex AI allows a request 60 seconds.
        concurrency: Requests at once.
        patience_seconds: How long a request is repeated while the endpoint is overloaded or out of reach.
    """
    from pagemill.manifest import Manifest
    from pagemill.ocr import remote as room
    from pagemill.records import PdfRecord
    from pagemill.storage import Store

    manifest = room.predict_pages(
        Manifest.read(pdfs.path, PdfRecord),
        Store(store),
        endpoint=endpoint,
        checkpoint=checkpoint,
        fallback=fallback,
        min_agreement=min_agreement,
        languages=languages,
        retry=retry,
        dpi=dpi,
        pages_per_request=pages_per_request,
        concurrency=concurrency,
        patience_seconds=patience_seconds,
    )
    manifest.write(pages.path)
    pages.metadata.update(manifest.lineage())
