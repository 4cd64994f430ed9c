"""RAR archives of PDF books in, a published dataset out."""

from typing import Any

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
from pagemill.components.report_run import report_run
from pagemill.pipelines.placing import Placement
from pagemill.pipelines.ways import way_named, with_parameters_of
from pagemill.presets import Preset

NAME = "book-dataset"


def book_dataset(preset: Preset, ocr: str) -> Any:
    """Make the pipeline.

    Args:
        preset: What its tasks run on, and the defaults of the parameters that depend on that.
        ocr: A key of `pagemill.pipelines.ways.WAYS`: how pages are read.
    """
    placement = Placement(preset, NAME)
    on_cpu = placement.cpu_task
    read_pages = way_named(ocr)

    def pipeline(
        source: str,
        source_fingerprint: str,
        store: str,
        publish: str,
        checkpoint: str = "0.1.0-base",
        pattern: str = "*.rar",
        max_shards: int = preset.max_shards,
        passwords: str = "",
        fallback: str = "none",
        min_agreement: float = 0.5,
        languages: str = "",
        retry: str = "none",
        profile: str = "books",
        tokenizer: str = "",
        target_tokens: int = 512,
        max_tokens: int = 1024,
        overlap_tokens: int = 0,
        name: str = "books",
        contact: str = "",
        max_failed_fraction: float = 0.1,
        private: bool = True,
        hf_token: str = "env:HF_TOKEN",  # noqa: S107 - its name
        **of_way: Any,
    ) -> None:
        """Run the whole road from archives to a published dataset.

        Args:
            source: Folder, glob, `gs://` prefix, `http(s)://` file or index, or `hf://datasets/<repo>[@rev]`.
            source_fingerprint: Names the state of the source. The listing is cached under it: give another to look
                again.
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
            hf_token: Names the Hub's token: `env:NAME`, or `secret:projects/<p>/secrets/<s>` of Secret Manager.
            **of_way: What the way of OCR takes besides these.
        """
        report = placement.cpu_task(
            report_run(
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
                preset=preset.name,
            ),
            retries=0,
        ).set_caching_options(False)
        with dsl.ExitHandler(report, name=NAME):
            archives = on_cpu(
                discover_archives(source=source, source_fingerprint=source_fingerprint, store=store, pattern=pattern),
                secrets=["HF_TOKEN"],
            )
            shards = on_cpu(plan_shards(archives=archives.output, store=store, max_shards=max_shards))
            with dsl.ParallelFor(shards.output, name="shard", parallelism=preset.parallelism or None) as shard:
                members = on_cpu(
                    extract_pdfs(shard=shard, store=store, passwords=passwords),
                    secrets=["HF_TOKEN", "ARCHIVE_PASSWORDS"],
                )
                pdfs = on_cpu(inspect_pdfs(members=members.outputs["members"], store=store))
                pages = read_pages(
                    pdfs.outputs["pdfs"],
                    placement,
                    store=store,
                    checkpoint=checkpoint,
                    fallback=fallback,
                    min_agreement=min_agreement,
                    languages=languages,
                    retry=retry,
                    **of_way,
                )
                documents = on_cpu(clean_documents(pages=pages, store=store, profile=profile))
                chunks = on_cpu(
                    chunk_documents(
                        documents=documents.outputs["documents"],
                        store=store,
                        tokenizer=tokenizer,
                        target_tokens=target_tokens,
                        max_tokens=max_tokens,
                        overlap_tokens=overlap_tokens,
                    )
                )
            duplicates = on_cpu(
                find_duplicates(documents=dsl.Collected(documents.outputs["documents"]), store=store, profile=profile)
            )
            dataset = on_cpu(
                build_dataset(
                    chunks=dsl.Collected(chunks.outputs["chunks"]),
                    duplicates=duplicates.outputs["duplicates"],
                    store=store,
                    name=name,
                    contact=contact,
                )
            ).outputs["dataset"]
            gate = on_cpu(check_failures(dataset=dataset, max_failed_fraction=max_failed_fraction), retries=0)
            on_cpu(
                publish_dataset(dataset=dataset, store=store, publish=publish, private=private, hf_token=hf_token),
                secrets=["HF_TOKEN"],
            ).after(gate)

    whole = with_parameters_of(read_pages, preset, pipeline)
    return dsl.pipeline(name=NAME, description="RAR archives of PDF books in, a published dataset out.")(whole)
