"""How the worker scales over 1, 2, 4 and 8 ranks, with a clock in the place of each rank's GPU.

There is no GPU in this: each rank's model is a STAND-IN that waits as long as a GPU would take for a step. So this
shows what the worker itself costs and leaves idle: real processes started by torchrun, the real leases on a real
TCPStore, the real queue and model loop, the real files in the store. It shows nothing of GPUs, of rendering (which is
left out, for a few cores could not feed eight) or of a network.

Which pages are long follows measurement: the token counts that the demo's checkpoint writes on the demo's pages, and
what is foretold of them, both scaled so that a page has `--mean-tokens` on average, as Nougat's pages have about a
thousand. A GPU's time is assumed, not measured: see the options. The clock runs `--speed` times as fast, so what the
worker itself costs weighs that much more here than it would beside a GPU.
"""

import argparse
import dataclasses
import json
import multiprocessing
import os
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from clock_engine import Pace, Page
from clock_worker import JOB
from ocr_corpus import DEMO, Book, Leaf, extract_leaves, write_long
from ocr_stock import read_alone

from pagemill.manifest import Manifest
from pagemill.ocr.checkpoint import Checkpoint, resolve_checkpoint
from pagemill.ocr.launch import launch
from pagemill.ocr.nougat.words import write_word_list
from pagemill.ocr.plan import Plan
from pagemill.ocr.worker import plan_to_dict
from pagemill.pages.inspect import inspect_pdfs
from pagemill.records import MemberRecord, PdfRecord, Status
from pagemill.storage import Store

MODEL_LIMIT_TOKENS = 4096  # of Nougat
BOOK_SHARES = (0.5, 0.25, 0.15, 0.1)  # of the pages


def measured_pages(leaves: Sequence[Leaf], checkpoint: Checkpoint, mean_tokens: int) -> dict[Leaf, Page]:
    """Measure how long the text of each page is, and what is foretold of it, and scale both."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        measured = dict(zip(leaves, process.submit(_measure, leaves, checkpoint).result(), strict=True))
    mean = statistics.mean(page.tokens for page in measured.values() if page.tokens)
    return {leaf: _scaled(page, mean_tokens / mean) for leaf, page in measured.items()}


def _measure(leaves: Sequence[Leaf], checkpoint: Checkpoint) -> list[Page]:
    from pagemill.ocr.engine import PageOrder
    from pagemill.ocr.feeding import PreparePage

    prepare = PreparePage("nougat", checkpoint)
    prepare.__setstate__(prepare.__dict__)  # as where it arrives
    steps = {source: [page.steps for page in read_alone(source, checkpoint.path)] for source in _sources(leaves)}
    pages = []
    for leaf in leaves:
        prepared = prepare(PageOrder("", leaf.page, str(leaf.source)))
        tokens = steps[leaf.source][leaf.page - 1] if prepared.pixels is not None else 0
        pages.append(Page(tokens, prepared.expected_tokens, prepared.likely_loop))
    return pages


def _sources(leaves: Sequence[Leaf]) -> list[Path]:
    return sorted({leaf.source for leaf in leaves})


def _scaled(page: Page, factor: float) -> Page:
    tokens = min(round(page.tokens * factor), MODEL_LIMIT_TOKENS)
    return dataclasses.replace(page, tokens=tokens, expected_tokens=round(page.expected_tokens * factor))


def inspected(books: Sequence[Book], store: Store) -> Manifest[PdfRecord]:
    """Put the books into a store, as those who come before the worker do."""
    rows = []
    for book in books:
        content = book.path.read_bytes()
        store.write_bytes(f"pdf/{book.sha256}.pdf", content)
        rows.append(MemberRecord("", "", book.path.name, len(content), book.sha256, Status.OK))
    return inspect_pdfs(Manifest("given_pdfs", 1, (), {}, tuple(rows), {}), store)


def read_with(workers: int, job: Mapping[str, Any], uri: str, plan: Plan) -> list[dict[str, Any]]:
    """Have so many ranks read the books, and return the figures of each."""
    store, folder = Store(uri), f"scaling/{workers}"
    plan = dataclasses.replace(plan, dpi=plan.dpi + workers, workers=workers)  # another dpi: nothing is there yet
    store.write_json(f"{folder}/{JOB}", {**job, "plan": plan_to_dict(plan)})
    launch("clock_worker", [uri, folder], workers=workers, max_restarts=0)
    check_complete(store, plan, job["pages"])
    return [store.read_json(f"{folder}/rank-{rank}.json") for rank in range(workers)]


def check_complete(store: Store, plan: Plan, pages: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Make sure that every page of every book was read, once, and that it got its own text."""
    for sha256, book in pages.items():
        rows = list(store.read_jsonl(f"{plan.readings_folder}/{sha256}.jsonl"))
        assert [row["page"] for row in rows] == list(range(1, len(book) + 1)), f"{sha256} lacks pages"
        assert [row["tokens"] for row in rows] == [page["tokens"] for page in book], f"{sha256} has pages mixed up"


def print_row(ranks: Sequence[Mapping[str, Any]], alone_seconds: float, pace: Pace) -> float:
    """Print what so many ranks did, and return how long they took."""
    wall = float(max(rank["last"] for rank in ranks) - min(rank["first"] for rank in ranks))
    idle = [1 - rank["seconds_reading"] / wall for rank in ranks]
    used = sum(rank["tokens"] for rank in ranks) / sum(rank["slots_offered"] for rank in ranks) / pace.tokens_a_step
    pages = sum(rank["pages"] for rank in ranks)
    speedup = (alone_seconds or wall * len(ranks)) / wall
    print(
        f"| {len(ranks)} | {wall:.1f} s | {wall * pace.speed / 60:.0f} min | {pages / wall / pace.speed:.2f} "
        f"| {speedup:.2f} | {speedup / len(ranks):.3f} | {max(idle):.1%} | {used:.3f} |",
        flush=True,
    )
    return wall


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8], help="ranks, a run each")
    parser.add_argument("--pages", type=int, default=6000, help="of all books")
    parser.add_argument("--mean-tokens", type=int, default=1000, help="of a page that is not blank")
    parser.add_argument("--speed", type=float, default=100.0, help="seconds of a GPU that pass in one")
    parser.add_argument("--batch-size", type=int, default=12, help="pages in flight of a rank")
    parser.add_argument("--tokens-a-step", type=int, default=20, help="by which pages go on at a time")
    parser.add_argument("--token-seconds", type=float, default=0.02, help="of a GPU, for a token of every page")
    parser.add_argument("--encode-seconds", type=float, default=0.05, help="of a GPU, for taking in a page")
    parser.add_argument("--prepare-seconds", type=float, default=0.05, help="for rendering and preparing a page")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    names = [field.name for field in dataclasses.fields(Pace)]
    pace = Pace(**{name: getattr(options, name) for name in names})
    os.environ |= {"NO_ALBUMENTATIONS_UPDATE": "1", "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as name:
        folder, uri = Path(name), str(Path(name) / "store")
        os.environ["NLTK_DATA"] = str(write_word_list(folder / "nltk"))
        leaves = extract_leaves(folder / "members")
        checkpoint = resolve_checkpoint(str(DEMO / "checkpoint"), Store(uri))
        known = measured_pages(leaves, checkpoint, options.mean_tokens)
        counts = [round(options.pages * share) for share in BOOK_SHARES]
        books = [write_long(leaves, folder / f"book-{count}.pdf", count) for count in counts]
        job = {
            "pdfs": inspected(books, Store(uri)).name,
            "pages": {book.sha256: [dataclasses.asdict(known[leaf]) for leaf in book.leaves] for book in books},
            "pace": dataclasses.asdict(pace),
        }
        lengths = [known[leaf].tokens for book in books for leaf in book.leaves]
        print(
            f"{len(lengths)} pages of {min(lengths)} to {max(lengths)} tokens in {len(books)} books; a STAND-IN reads:"
        )
        print(json.dumps(dataclasses.asdict(pace)))
        print("\n| ranks | wall | stands for | pages a second | speed-up | efficiency | idlest rank | slots used |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
        alone_seconds = 0.0
        for workers in options.workers:
            wall = print_row(read_with(workers, job, uri, plan_of(checkpoint, options.batch_size)), alone_seconds, pace)
            alone_seconds = alone_seconds or wall * workers


def plan_of(checkpoint: Checkpoint, batch_size: int) -> Plan:
    return Plan(
        checkpoint=checkpoint,
        engine="nougat",
        dpi=96,
        precision="fp32",
        languages=(),
        page_time_limit_seconds=60.0,
        retry=(),
        fallback="none",
        min_agreement=0.0,
        batch_size=batch_size,
        render_workers=1,
        device="cpu",
        threads=1,
        workers=1,
        instances_per_gpu=1,
    )


if __name__ == "__main__":
    main()
