"""`pagemill ocr` beside the stock `nougat` command: same checkpoint, pages, precision and machine, in one run.

The runs alternate, so that both meet the same state of the machine, and each is a process from start to
finish. What starting costs is measured on a book of one page, read in turn with the others, and taken off in
a line of its own. Memory is that of all processes of a run together, every shared page counted once.

Texts are compared page by page with what `model.inference` gives for that page alone, in a process of its
own and by the stock package's own code. The stock command's files have no page boundaries; that they are
made of those same pages is checked by putting them together from them, byte for byte.
"""

import argparse
import dataclasses
import itertools
import json
import multiprocessing
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from ocr_corpus import DEMO, Book, Leaf, extract_leaves, write_book, write_long, write_mixed
from ocr_stock import StockPage, Verdict, read_alone, slots_used, stock_file, verdict_on

from pagemill.ocr.nougat.words import write_word_list

SAMPLE_SECONDS = 0.2
MEBIBYTE = 2**20
STATIC_BATCH = 8  # for which the decode slots of static batches are worked out
MEMORY_BOOKS_PAGES = (100, 1000)

Command = Callable[[Sequence[Book], Path, "Setting"], list[str | Path]]


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """What both commands are given."""

    checkpoint: Path
    batch_size: int  # 0: each command's own default
    environment: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """What one run took, and what it left."""

    seconds: float
    peak_bytes: int
    out: Path


def ours(books: Sequence[Book], out: Path, setting: Setting) -> list[str | Path]:
    program = Path(sys.executable).with_name("pagemill")
    batch_size = str(setting.batch_size)
    paths = [book.path for book in books]
    return [program, "ocr", *paths, "--checkpoint", setting.checkpoint, "--out", out, "--batch-size", batch_size]


def stock(books: Sequence[Book], out: Path, setting: Setting) -> list[str | Path]:
    program = Path(sys.executable).with_name("nougat")
    options = ["--batchsize", str(setting.batch_size)] if setting.batch_size else []
    paths = [book.path for book in books]
    return [program, *paths, "--checkpoint", setting.checkpoint, "--out", out, "--full-precision", *options]


COMMANDS: dict[str, Command] = {"pagemill ocr": ours, "nougat": stock}


def measure(command: Command, books: Sequence[Book], out: Path, setting: Setting) -> Run:
    """Run a command on books it has not seen, and watch the memory of all its processes."""
    shutil.rmtree(out, ignore_errors=True)
    line = command(books, out, setting)
    started = monotonic()
    process = subprocess.Popen(line, env=setting.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak_bytes = 0
    talk: list[bytes] = []
    listener = threading.Thread(target=lambda: talk.append(process.stderr.read() if process.stderr else b""))
    listener.start()
    while process.poll() is None:
        peak_bytes = max(peak_bytes, _tree_bytes(process.pid))
        sleep(SAMPLE_SECONDS)
    seconds = monotonic() - started
    listener.join()
    if process.returncode:
        sys.exit(f"{line[0]} failed:\n{talk[0].decode()}")
    return Run(seconds, peak_bytes, out)


def _tree_bytes(pid: int) -> int:
    """Return the proportional set size of a process and all its descendants."""
    try:
        children = Path(f"/proc/{pid}/task").glob("*/children")
        pids = [int(child) for file in children for child in file.read_text().split()]
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    own = re.search(r"^Pss:\s+(\d+) kB", rollup, re.M)
    return (int(own[1]) * 1024 if own else 0) + sum(map(_tree_bytes, pids))


def figures_of(run: Run) -> dict[str, Any]:
    """Return the totals that `pagemill ocr` keeps of a run, in the manifest of the stage that reads."""
    (manifest,) = (run.out / ".pagemill" / "manifests" / "recognize_pages").glob("*/*.json")
    (figures,) = json.loads(manifest.read_text(encoding="utf-8"))["settings"]["figures"]  # no rounds of retries
    return figures  # type: ignore[no-any-return]


def alone(leaves: Sequence[Leaf], setting: Setting) -> dict[Leaf, StockPage]:
    """Return what `model.inference` makes of each distinct page, alone."""
    os.environ.update(setting.environment)
    sources = {source: list(group) for source, group in itertools.groupby(leaves, lambda leaf: leaf.source)}
    pages: dict[Leaf, StockPage] = {}
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        for source, group in sources.items():
            read = process.submit(read_alone, source, setting.checkpoint).result()
            pages |= {leaf: read[leaf.page - 1] for leaf in group}
    return pages


def verdicts(books: Sequence[Book], known: Mapping[Leaf, StockPage], run: Run) -> Counter[Verdict]:
    """Hold every row of our ledger against the page that it tells of; every page must have one."""
    lines = (run.out / "ledger.jsonl").read_text(encoding="utf-8").splitlines()
    rows = {(row["pdf_sha256"], row["page"]): row for row in map(json.loads, lines)}
    counted: Counter[Verdict] = Counter()
    for book in books:
        sha256 = book.sha256
        for number, leaf in enumerate(book.leaves, 1):
            row = rows.pop((sha256, number))
            counted[verdict_on(known[leaf], row["text"], row["reason"], blank=leaf.blank)] += 1
    assert not rows, "the ledger tells of pages that nobody asked for"
    return counted


def files_explained(books: Sequence[Book], known: Mapping[Leaf, StockPage], run: Run) -> int:
    """Count the stock command's files that are, byte for byte, made of the pages as they are read alone."""
    explained, before = 0, 0
    for book in books:
        expected = stock_file((known[leaf] for leaf in book.leaves), before)
        explained += expected == (run.out / f"{book.path.stem}.mmd").read_text(encoding="utf-8")
        before += len(book.leaves)
    return explained


@dataclasses.dataclass(frozen=True, slots=True)
class Medians:
    """The middle of a command's runs."""

    seconds: float
    start_seconds: float  # a book of one page
    peak_bytes: float

    @classmethod
    def of(cls, mixed: Sequence[Run], single: Sequence[Run]) -> "Medians":
        """Take the middle of runs over the mixed books and over a single page."""
        return cls(
            statistics.median(run.seconds for run in mixed),
            statistics.median(run.seconds for run in single),
            statistics.median(run.peak_bytes for run in mixed),
        )


def print_speed(mine: Medians, theirs: Medians, pages: int, repeats: int) -> None:
    walls = (mine.seconds, theirs.seconds)
    reading = (mine.seconds - mine.start_seconds, theirs.seconds - theirs.start_seconds)
    print("\n| measure | goal | pagemill ocr | nougat | ratio |\n| --- | --- | --- | --- | --- |")
    print(f"| wall, median of {repeats} | 2 x | {walls[0]:.1f} s | {walls[1]:.1f} s | {walls[1] / walls[0]:.2f} |")
    print(f"| a book of one page: starting | | {mine.start_seconds:.1f} s | {theirs.start_seconds:.1f} s | |")
    print(f"| wall without that | 2 x | {reading[0]:.1f} s | {reading[1]:.1f} s | {reading[1] / reading[0]:.2f} |")
    rates = [(pages - 1) / seconds for seconds in reading]
    print(f"| pages per second, without that | | {rates[0]:.1f} | {rates[1]:.1f} | {rates[0] / rates[1]:.2f} |")
    peaks = (mine.peak_bytes / MEBIBYTE, theirs.peak_bytes / MEBIBYTE)
    print(f"| peak memory | | {peaks[0]:.0f} MiB | {peaks[1]:.0f} MiB | {peaks[1] / peaks[0]:.2f} |")


def print_model(
    figures: Sequence[Mapping[str, Any]], corpus: Sequence[StockPage], lengths: Sequence[int], batch_size: int
) -> None:
    """Print how busy the model was: ours as it counted, the stock command's worked out from its pages alone.

    A page uses as many decode slots as it has steps when it is read alone: those of the pages that we show to
    the model are `lengths`. Ours are divided by the slots that there were, taken or not, in all steps.
    """
    waiting = statistics.median(
        each["seconds_waiting"] / (each["seconds_waiting"] + each["seconds_reading"]) for each in figures
    )
    used = statistics.median(sum(lengths) / each["slots_offered"] for each in figures)
    preparing = sum(page.seconds_preparing for page in corpus)
    stock_waiting = preparing / (preparing + sum(page.seconds_reading for page in corpus))
    sizes = (batch_size, STATIC_BATCH) if batch_size > 1 else (1, STATIC_BATCH)
    static = ", ".join(f"{slots_used([page.steps for page in corpus], size):.2f} at {size}" for size in sizes)
    print("\n| measure | goal | pagemill ocr | nougat, worked out |\n| --- | --- | --- | --- |")
    shares = f"{waiting:.1%} | {stock_waiting:.1%}"
    print(f"| share of the time from its first page in which the model waits | <= 5 % | {shares} |")
    print(f"| decode slots used | >= 0.90 | {used:.3f} | {static} pages a batch |")


def print_texts(counted: Counter[Verdict], books: int, explained: int, batch_size: int) -> None:
    print("\n| pages | what became of them |\n| --- | --- |")
    for verdict in Verdict:
        print(f"| {counted[verdict]} | {verdict} |")
    read = counted[Verdict.IDENTICAL] + counted[Verdict.DIFFERENT]
    print(f"\nPages with identical text: {counted[Verdict.IDENTICAL]} of the {read} that the stock model reads.")
    print(f"Files of the stock command (batch {batch_size or 1}) that are made of these pages: {explained} of {books}.")


def print_memory(peaks: Mapping[str, Sequence[int]]) -> None:
    columns = " | ".join(peaks)
    print(f"\n| peak memory, all processes | goal | {columns} |\n| --- | --- |{' --- |' * len(peaks)}")
    for place, pages in enumerate(MEMORY_BOOKS_PAGES):
        print(
            f"| book of {pages} pages | | "
            + " | ".join(f"{row[place] / MEBIBYTE:.0f} MiB" for row in peaks.values())
            + " |"
        )
    span = MEMORY_BOOKS_PAGES[1] - MEMORY_BOOKS_PAGES[0]
    growth = [(row[1] - row[0]) / MEBIBYTE / span for row in peaks.values()]
    print("| growth a page | <= 0.05 MiB | " + " | ".join(f"{each:.3f} MiB" for each in growth) + " |")


def compare(leaves: Sequence[Leaf], folder: Path, setting: Setting, options: argparse.Namespace) -> None:
    """Read the mixed books and the book of one page in turn, and print how the commands compare."""
    books = write_mixed(leaves, folder / "mixed", options.copies, options.long_pages)
    single = [write_book(folder / "single" / "single.pdf", leaves[:1])]
    mixed_runs: dict[str, list[Run]] = {name: [] for name in COMMANDS}
    single_runs: dict[str, list[Run]] = {name: [] for name in COMMANDS}
    figures = []
    for command in COMMANDS.values():  # once for nothing: what only the first run ever pays for is no one's cost
        measure(command, single, folder / "first", setting)
    for _ in range(options.repeats):
        for name, command in COMMANDS.items():
            single_runs[name].append(measure(command, single, folder / f"{command.__name__}-single", setting))
            mixed_runs[name].append(measure(command, books, folder / command.__name__, setting))
        figures.append(figures_of(mixed_runs["pagemill ocr"][-1]))
    known = alone(leaves, setting)
    corpus = [known[leaf] for book in books for leaf in book.leaves]
    mine, theirs = (Medians.of(mixed_runs[name], single_runs[name]) for name in COMMANDS)
    print(f"{len(corpus)} pages in {len(books)} PDFs, one of them of {options.long_pages} pages")
    print_speed(mine, theirs, len(corpus), options.repeats)
    lengths = [known[leaf].steps for book in books for leaf in book.leaves if not leaf.blank]
    print_model(figures, corpus, lengths, setting.batch_size)
    counted = verdicts(books, known, mixed_runs["pagemill ocr"][-1])
    explained = files_explained(books, known, mixed_runs["nougat"][-1])
    print_texts(counted, len(books), explained, setting.batch_size)


def compare_memory(leaves: Sequence[Leaf], folder: Path, setting: Setting) -> None:
    """Read a short and a long book of the same pages, each alone, and print how memory grows."""
    books = [write_long(leaves, folder / f"pages-{pages}.pdf", pages) for pages in MEMORY_BOOKS_PAGES]
    peaks = {
        name: [measure(command, [book], folder / command.__name__, setting).peak_bytes for book in books]
        for name, command in COMMANDS.items()
    }
    print_memory(peaks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=4, help="how often each short book's pages come")
    parser.add_argument("--long-pages", type=int, default=1000, help="pages of the long book")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each")
    parser.add_argument("--batch-size", type=int, default=0, help="of both; 0 for each one's own default")
    parser.add_argument("--checkpoint", type=Path, default=DEMO / "checkpoint")
    parser.add_argument("--no-memory", action="store_true", help="leave out the growth of memory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        leaves = extract_leaves(folder / "members")
        words = str(write_word_list(folder / "nltk"))
        environment = os.environ | {"NLTK_DATA": words, "NO_ALBUMENTATIONS_UPDATE": "1"}
        setting = Setting(options.checkpoint, options.batch_size, environment)
        compare(leaves, folder, setting, options)
        if not options.no_memory:
            compare_memory(leaves, folder, setting)


if __name__ == "__main__":
    main()
