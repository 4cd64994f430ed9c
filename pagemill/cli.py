"""The `pagemill` command."""

import errno
import json
import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pagemill import __version__
from pagemill.cloud.commands import add_commands
from pagemill.errors import UserError
from pagemill.reviews import command as decks

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

app = typer.Typer(
    help="Turn RAR archives of PDF books into a dataset with Nougat, and review pitch decks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def main() -> None:
    """Run the command: exit code 0 when it did its work, 2 for a mistake of the user, 1 for one of ours."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("pagemill").setLevel(logging.INFO)
    try:
        app()
    except UserError as mistake:
        typer.echo(f"pagemill: {mistake}", err=True)
        raise SystemExit(2) from None
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        where = error.filename or "the disk"
        typer.echo(f"pagemill: {where}: {error.strerror}; free some space and run it again, it goes on", err=True)
        raise SystemExit(2) from None


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def extract(
    archives: Annotated[list[Path], typer.Argument(help="RAR archives; one volume stands for its whole set.")],
    out: Annotated[Path, typer.Option(help="Folder for the members and manifest.jsonl.")],
    members: Annotated[str, typer.Option(help="Which members, by path; without it all that are PDFs.")] = "",
    passwords: Annotated[str, typer.Option(help="File of passwords, one a line, or `env:NAME`.")] = "",
) -> None:
    """Extract members of RAR archives, each checked against its checksum.

    Example: `pagemill extract books/*.rar --out pdfs --passwords passwords.txt`
    """
    from pagemill.archives import extract_members

    records = extract_members(archives, out, members=members, passwords=passwords)
    _print_statuses(records, out / "manifest.jsonl")


@app.command()
def ocr(
    pdfs: Annotated[list[Path], typer.Argument(help="PDF files.")],
    checkpoint: Annotated[str, typer.Option(help="Folder, `gs://` folder or release tag of the Nougat weights.")],
    out: Annotated[Path, typer.Option(help="Folder for the .mmd files and ledger.jsonl.")],
    workers: Annotated[int, typer.Option(min=0, help="Processes with a model each; 0: one a GPU, one on a CPU.")] = 0,
    instances_per_gpu: Annotated[int, typer.Option(min=1, help="Models on each GPU.")] = 1,
    batch_size: Annotated[int, typer.Option(min=0, help="Pages a batch; 0 chooses by device and memory.")] = 0,
    fallback: Annotated[
        str, typer.Option(help="`text-layer`, `ocr` or `none`: what stands in for a failed or doubtful page.")
    ] = "none",
    retry: Annotated[
        str, typer.Option(help="`failed`, `truncated` or `all`: such pages of earlier runs once more; `none`.")
    ] = "none",
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Go on from earlier runs.")] = True,
    languages: Annotated[str, typer.Option(help="Skip pages surely in none of these (`en,de`); empty for any.")] = "",
    engine: Annotated[
        str, typer.Option(help="`nougat`, `nougat-reference`, `rapidocr`, or a module's name.")
    ] = "nougat",
    device: Annotated[str, typer.Option(help="`cpu`, `cuda`, or `auto`.")] = "auto",
    precision: Annotated[str, typer.Option(help="`bf16`, `fp32`, or `auto`.")] = "auto",
) -> None:
    """Read PDFs with Nougat: one .mmd a PDF, one ledger row a page. Goes on where it was stopped.

    Example: `pagemill ocr book.pdf --checkpoint 0.1.0-base --out text`
    """
    from pagemill.ocr import read_pdfs

    records = read_pdfs(
        pdfs,
        out,
        checkpoint=checkpoint,
        workers=workers,
        instances_per_gpu=instances_per_gpu,
        batch_size=batch_size,
        fallback=fallback,
        retry=retry,
        resume=resume,
        languages=languages,
        engine=engine,
        device=device,
        precision=precision,
    )
    _print_statuses(records, out / "ledger.jsonl")


@app.command()
def clean(
    files: Annotated[
        list[Path], typer.Argument(help="Texts (.mmd; form feeds part pages), or the ledger.jsonl of `pagemill ocr`.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the clean .mmd files and what is known of each (.json).")],
    profile: Annotated[str, typer.Option(help="A shipped profile, or a YAML by path or URI.")] = "books",
) -> None:
    """Clean texts and judge them: what a profile's rules leave out is said, what it masks is counted.

    Example: `pagemill clean text/ledger.jsonl --out clean`
    """
    from pagemill.text import clean_files

    for each in clean_files(files, out, profile=profile):
        typer.echo(each.summary())
        for drop in each.judged.drops:
            where = f"page {drop.page}" if drop.page else "the book"
            typer.echo(f"  left out {where} by {drop.rule} ({drop.why}): {drop.excerpt}")


@app.command()
def chunk(
    files: Annotated[list[Path], typer.Argument(help="Files in Nougat's Markdown (.mmd).")],
    tokenizer: Annotated[str, typer.Option(help="A tokenizer.json, or a folder that holds one.")],
    max_tokens: Annotated[int, typer.Option(min=1, help="Length that no chunk exceeds.")] = 1024,
    target_tokens: Annotated[int, typer.Option(min=1, help="Length that chunks are filled up to.")] = 512,
    overlap_tokens: Annotated[int, typer.Option(min=0, help="Sentences repeated from the chunk before.")] = 0,
) -> None:
    """Cut texts into chunks, as JSONL on the standard output.

    Example: `pagemill chunk book.mmd --tokenizer tokenizer.json --max-tokens 512 > chunks.jsonl`
    """
    from pagemill.text import chunk_file

    target = min(target_tokens, max_tokens)
    for path in files:
        for row in chunk_file(
            path, tokenizer, target_tokens=target, max_tokens=max_tokens, overlap_tokens=overlap_tokens
        ):
            typer.echo(json.dumps(row, ensure_ascii=False))


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="File in Nougat's Markdown (.mmd).")],
    tokenizer: Annotated[str, typer.Option(help="A tokenizer.json, or a folder that holds one.")],
    max_tokens: Annotated[int, typer.Option(min=1, help="Length that no chunk exceeds.")] = 1024,
    target_tokens: Annotated[int, typer.Option(min=1, help="Length that chunks are filled up to.")] = 512,
    overlap_tokens: Annotated[int, typer.Option(min=0, help="Sentences repeated from the chunk before.")] = 0,
    out: Annotated[Path | None, typer.Option(help="The page; without it FILE.html, beside the file.")] = None,
) -> None:
    """Show a text's blocks, its quality, and why its chunks end where they end, as one HTML page.

    Example: `pagemill inspect book.mmd --tokenizer tokenizer.json --max-tokens 512`
    """
    from pagemill.text.inspection import inspect_file

    target = min(target_tokens, max_tokens)
    page = inspect_file(
        file, tokenizer, out=out, target_tokens=target, max_tokens=max_tokens, overlap_tokens=overlap_tokens
    )
    typer.echo(page)


@app.command()
def ledger(
    store_or_run: Annotated[str, typer.Argument(help="A store, a run's folder, a dataset's folder or a ledger.jsonl.")],
    failed: Annotated[bool, typer.Option("--failed", help="List the failed pages.")] = False,
) -> None:
    """Count pages by status and reason.

    Example: `pagemill ledger out/demo/store --failed`
    """
    from rich.console import Console

    from pagemill.ledger import read_ledger, summarize, summary_table
    from pagemill.records import Status
    from pagemill.runs import RUN_FILE, read_run_ledger

    run = Path(store_or_run)
    rows = read_run_ledger(run) if (run / RUN_FILE).is_file() else read_ledger(store_or_run)
    if failed:
        for row in rows:
            if row.status is Status.FAILED:
                typer.echo(f"{row.pdf_sha256}\t{row.page}\t{row.reason}")
        return
    Console().print(summary_table(summarize(rows)))


@app.command()
def drops(
    store_or_run: Annotated[str, typer.Argument(help="A store, or a run's folder.")],
    examples: Annotated[int, typer.Option(min=0, help="How many to show of each rule.")] = 3,
) -> None:
    """Count what the rules of a profile left out of documents, pages and books, with examples.

    Example: `pagemill drops out/demo/store --examples 5`
    """
    from pagemill.documents import DOCUMENTS_FOLDER, read_all_drops
    from pagemill.runs import RUN_FILE, read_run_drops
    from pagemill.storage import Store
    from pagemill.text.judging.drops import count_drops, format_drops

    run = Path(store_or_run)
    store = Store(store_or_run)
    if (run / RUN_FILE).is_file():
        found = read_run_drops(run)
    elif store.folders(DOCUMENTS_FOLDER):
        found = read_all_drops(store)
    else:
        raise UserError(store_or_run, "holds no documents", "give a store, or the folder of a run")
    typer.echo(format_drops(count_drops(found, examples)))


@app.command("compile")
def compile_(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail when a committed file is stale.")] = False,
) -> None:
    """Compile the pipelines to compiled/, for this machine, Vertex AI Pipelines and Kubeflow Pipelines.

    Example: `pagemill compile --check`
    """
    from pagemill.cloud.compiled import compile_pipelines, stale_pipelines

    if check:
        if stale := stale_pipelines():
            raise UserError(", ".join(map(str, stale)), "is not what the code compiles to", "run `pagemill compile`")
        return
    for path in compile_pipelines():
        typer.echo(path)


def _print_statuses(records: Any, ledger_path: Path) -> None:
    """Say how many came out how; partial success is success, none at all is not."""
    from collections import Counter

    from pagemill.records import Status

    counts = Counter(str(record.status) for record in records)
    summary = ", ".join(f"{number} {status}" for status, number in sorted(counts.items())) or "nothing"
    typer.echo(f"{summary}; details in {ledger_path}")
    if records and all(record.status is Status.FAILED for record in records):
        reasons = ", ".join(sorted({str(record.reason) for record in records}))
        raise UserError("everything", f"failed ({reasons})", f"see the details in {ledger_path}")


add_commands(app)
app.add_typer(decks.group, name="decks", help="Review pitch decks.")
