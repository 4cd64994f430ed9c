"""Make pages of what a job of batch prediction gave."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from pagemill.components import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def collect_predictions(
    pdfs: Input[Dataset],
    predictions: Input[Artifact],
    store: str,
    pages: Output[Dataset],
    checkpoint: str = "0.1.0-base",
    fallback: str = "none",
    min_agreement: float = 0.5,
    languages: str = "",
    dpi: int = 96,
) -> None:
    """Make the page ledger of what a job predicted; each page of the shard's PDFs comes out as one row.

    Args:
        pdfs: The PDFs of inspect_pdfs.
        predictions: The folder that the job wrote.
        store: URI of the store.
        pages: One row for every PDF, pointing to its pages in the store. Metadata: manifest, stage, stage_version,
            pagemill_version, config_digest, parameters, seconds, rows, rows_<status>, pages, pages_<status>, tokens.
        checkpoint: What the model was uploaded with; its tokenizer is fetched from there.
        fallback: `text-layer` takes the PDF's own text for a page that the engine failed on, or that disagrees with it;
            `ocr` also has pages without such text read by rapidocr; `none` does neither.
        min_agreement: Pages that agree less than this with the PDF's own text are flagged; 0 to 1.
        languages: The languages that the model was uploaded to read (`en,de`); empty for any.
        dpi: As for write_instances.
    """
    from pagemill.manifest import Manifest
    from pagemill.ocr import remote as room
    from pagemill.records import PdfRecord
    from pagemill.storage import Store

    manifest = room.collect_predictions(
        Manifest.read(pdfs.path, PdfRecord),
        Store(store),
        predictions.uri,
        checkpoint=checkpoint,
        fallback=fallback,
        min_agreement=min_agreement,
        languages=languages,
        dpi=dpi,
    )
    manifest.write(pages.path)
    pages.metadata.update(manifest.lineage())
