"""RAR archives of PDF books in, a published dataset out."""

from kfp import dsl

from pagemill.components.build_dataset import build_dataset
from pagemill.components.check_failures import check_failures
from pagemill.components.chunk_documents import chunk_documents
from pagemill.components.clean_documents import clean_documents
from pagemill.components.discover_archives import discover_archives
from pagemill.components.extract_pdfs import extract_pdfs
from pagemill.components.find_duplicates import find_duplicates
from pagemill.components.inspect_pdfs import inspect_pdfs
from pagemill.components.plan_shards import plan_shards
from pagemill.components.publish_dataset import publish_dataset
from pagemill.components.recognize_pages import recognize_pages
from pagemill.components.report_run import report_run


@dsl.pipeline(name="book-dataset", description="RAR archives of PDF books in, a published dataset out.")
def book_dataset(
    source: str,
    source_fingerprint: str,
    store: str,
    publish: str,
    checkpoint: str = "0.1.0-base",
    pattern: str = "*.rar",
    max_shards: int = 100,
    passwords: str = "",
    fallback: str = "none",
    min_agreement: float = 0.5,
    languages: str = "",
    retry: str = "none",
    batch_size: int = 0,
    workers: int = 0,
    instances_per_gpu: int = 1,
    profile: str = "books",
    tokenizer: str = "",
    target_tokens: int = 512,
    max_tokens: int = 1024,
    overlap_tokens: int = 0,
    name: str = "books",
    contact: str = "",
    max_failed_fraction: float = 0.1,
    private: bool = True,
) -> None:
    """Run the whole road from archives to a published dataset.

    Args:
        source: Folder, glob, `gs://` prefix, `http(s)://` file or index, or `hf://datasets/<repo>[@rev]`.
        source_fingerprint: Names the state of the source. The listing is cached under it: give another to look again.
        store: URI of the store that keeps archives, PDFs, pages, texts and chunks.
        publish: `hf://<user>/<name>`, or a folder by path or URI.
        checkpoint: Folder, `gs://` folder or release tag of the Nougat weights.
        pattern: Which file names are archives.
        max_shards: At most so many shards, 1 to 100.
        passwords: File of archive passwords, one a line, or `env:NAME`. Only this name is recorded.
        fallback: `text-layer` takes the PDF's own text for a page that Nougat failed on, or that disagrees with it;
            `ocr` also has pages without such text read by rapidocr; `none` does neither.
        min_agreement: Pages that agree less than this with the PDF's own text are flagged; 0 to 1.
        languages: Pages that are surely in no language of this list (`en,de`) are skipped; empty for any.
        retry: Rounds of reading again, rendered otherwise: `failed`, `truncated` or `all`, with commas; or `none`.
        batch_size: Pages a batch; 0 chooses by device and memory.
        workers: Processes with a model each; 0 for one a GPU, times instances_per_gpu.
        instances_per_gpu: Models on each GPU.
        profile: How text is cleaned, which pages and documents are left out, what is masked and what counts as a
            duplicate: `books`, or a YAML by path or URI.
        tokenizer: A tokenizer.json, or a folder that holds one, to measure chunks with; "" takes the checkpoint's.
        target_tokens: Length that chunks are filled up to.
        max_tokens: Length that no chunk exceeds, but for a single equation that is longer.
        overlap_tokens: How much of the sentences before a chunk is repeated in it.
        name: The dataset's name on its card.
        contact: Whom to ask for a takedown.
        max_failed_fraction: The part of all pages that may fail before nothing is published, 0 to 1.
        private: Whether a repository on the Hub is private.
    """
    report = report_run(
        store=store,
        source=source,
        source_fingerprint=source_fingerprint,
        publish=publish,
        checkpoint=checkpoint,
        pattern=pattern,
        max_shards=max_shards,
        passwords=passwords,
        fallback=fallback,
        min_agreement=min_agreement,
        languages=languages,
        retry=retry,
        profile=profile,
        tokenizer=tokenizer,
        target_tokens=target_tokens,
        max_tokens=max_tokens,
        overlap_tokens=overlap_tokens,
        name=name,
        contact=contact,
        max_failed_fraction=max_failed_fraction,
    ).set_caching_options(False)
    with dsl.ExitHandler(report, name="book-dataset"):
        archives = discover_archives(
            source=source, source_fingerprint=source_fingerprint, store=store, pattern=pattern
        ).set_retry(2)
        shards = plan_shards(archives=archives.output, store=store, max_shards=max_shards).set_retry(2)
        with dsl.ParallelFor(shards.output, name="shard") as shard:
            members = extract_pdfs(shard=shard, store=store, passwords=passwords).set_retry(2)
            pdfs = inspect_pdfs(members=members.outputs["members"], store=store).set_retry(2)
            pages = recognize_pages(
                pdfs=pdfs.outputs["pdfs"],
                store=store,
                checkpoint=checkpoint,
                fallback=fallback,
                min_agreement=min_agreement,
                languages=languages,
                retry=retry,
                batch_size=batch_size,
                workers=workers,
                instances_per_gpu=instances_per_gpu,
            ).set_retry(2)
            documents = clean_documents(pages=pages.outputs["pages"], store=store, profile=profile).set_retry(2)
            chunks = chunk_documents(
                documents=documents.outputs["documents"],
                store=store,
                tokenizer=tokenizer,
                target_tokens=target_tokens,
                max_tokens=max_tokens,
                overlap_tokens=overlap_tokens,
            ).set_retry(2)
        duplicates = find_duplicates(
            documents=dsl.Collected(documents.outputs["documents"]), store=store, profile=profile
        ).set_retry(2)
        dataset = build_dataset(
            chunks=dsl.Collected(chunks.outputs["chunks"]),
            duplicates=duplicates.outputs["duplicates"],
            store=store,
            name=name,
            contact=contact,
        ).set_retry(2)
        gate = check_failures(dataset=dataset.outputs["dataset"], max_failed_fraction=max_failed_fraction)
        publish_dataset(dataset=dataset.outputs["dataset"], store=store, publish=publish, private=private).after(
            gate
        ).set_retry(2)
