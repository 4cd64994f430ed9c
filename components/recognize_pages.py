"""Read the pages with Nougat."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from pagemill.components import images


@dsl.component(base_image=images.NOUGAT, install_kfp_package=False)
def recognize_pages(
    pdfs: Input[Dataset],
    store: str,
    pages: Output[Dataset],
    checkpoint: str = "0.1.0-base",
    engine: str = "nougat",
    fallback: str = "none",
    min_agreement: float = 0.5,
    languages: str = "",
    retry: str = "none",
    dpi: int = 96,
    precision: str = "auto",
    batch_size: int = 0,
    page_time_limit_seconds: float = 60.0,
    workers: int = 0,
    instances_per_gpu: int = 1,
) -> None:
    """Read every page of a shard's PDFs; each comes out as one row of the page ledger.

    Args:
        pdfs: The PDFs of inspect_pdfs.
        store: URI of the store.
        pages: One row for every PDF, pointing to its pages in the store. Metadata: manifest, stage, stage_version,
            pagemill_version, config_digest, parameters, seconds, rows, rows_<status>, pages, pages_<status>, tokens.
        checkpoint: Folder, `gs://` folder or release tag of the Nougat weights.
        engine: What reads the pages.
        fallback: `text-layer` takes the PDF's own text for a page that the engine failed on, or that disagrees with it;
            `ocr` also has pages without such text read by rapidocr; `none` does neither.
        min_agreement: Pages that agree less than this with the PDF's own text are flagged; 0 to 1.
        languages: Pages that are surely in no language of this list (`en,de`) are skipped; empty for any.
        retry: Rounds of reading again, rendered otherwise: `failed`, `truncated` or `all`, with commas; or `none`.
        dpi: Resolution that pages are rendered at; Nougat was trained at 96.
        precision: `bf16`, `fp32`, or `auto` for bf16 on GPUs.
        batch_size: Pages a batch; 0 chooses by device and memory.
        page_time_limit_seconds: Time to render one page.
        workers: Processes with a model each; 0 for one a GPU, times instances_per_gpu.
        instances_per_gpu: Models on each GPU.
    """
    from pagemill import ocr as room
    from pagemill.manifest import Manifest
    from pagemill.records import PdfRecord
    from pagemill.storage import Store

    manifest = room.recognize_pages(
        Manifest.read(pdfs.path, PdfRecord),
        Store(store),
        checkpoint=checkpoint,
        engine=engine,
        fallback=fallback,
        min_agreement=min_agreement,
        languages=languages,
        retry=retry,
        dpi=dpi,
        precision=precision,
        batch_size=batch_size,
        page_time_limit_seconds=page_time_limit_seconds,
        workers=workers,
        instances_per_gpu=instances_per_gpu,
    )
    manifest.write(pages.path)
    pages.metadata.update(manifest.lineage())
