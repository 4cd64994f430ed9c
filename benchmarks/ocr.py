"""`pagemill ocr` beside the stock `nougat` command: same checkpoint, pages, precision and machine, in one run.

The runs alternate, so that both meet the same state of the machine, and each is a process from start
to finish. Memory is that of all processes of a run together, every shared page counted once.
"""

import argparse
import dataclasses
import hashlib
import io
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from time import monotonic, sleep

import pikepdf

from pagemill.archives import extract_members
from pagemill.ocr.words import write_word_list

DEMO = Path(__file__).parent.parent / "demo"
SAMPLE_SECONDS = 0.1


@dataclasses.dataclass(frozen=True)
class Run:
    """What one run took."""

    seconds: float
    peak_bytes: int


def write_books(folder: Path, copies: int) -> list[Path]:
    """Write the demo's books into a folder, the pages of each several times over."""
    extract_members(sorted((DEMO / "samples").glob("*.rar")), folder / "members", passwords=str(DEMO / "passwords.txt"))
    truth = [json.loads(line) for line in (DEMO / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
    names = {line["pdf_sha256"]: line["book"] for line in truth}
    books = []
    for member in sorted((folder / "members").rglob("*.pdf")):
        name = names.pop(hashlib.sha256(member.read_bytes()).hexdigest(), "")
        if name and name != "plates":  # it has a page that nobody can render
            books.append(folder / f"{name}.pdf")
            books[-1].write_bytes(_repeated(member, copies))
    return books


def _repeated(book: Path, copies: int) -> bytes:
    with pikepdf.open(book) as once, pikepdf.new() as many:
        for _ in range(copies):
            many.pages.extend(once.pages)
        out = io.BytesIO()
        many.save(out)
        return out.getvalue()


def ours(books: list[Path], out: Path, checkpoint: Path, batch_size: int) -> list[str | Path]:
    program = Path(sys.executable).with_name("pagemill")
    return [program, "ocr", *books, "--checkpoint", checkpoint, "--out", out, "--batch-size", str(batch_size)]


def stock(books: list[Path], out: Path, checkpoint: Path, batch_size: int) -> list[str | Path]:
    program = Path(sys.executable).with_name("nougat")
    options = ["--batchsize", str(batch_size)] if batch_size else []
    return [program, *books, "--checkpoint", checkpoint, "--out", out, "--full-precision", *options]


def measure(command: list[str | Path], environment: dict[str, str]) -> Run:
    started = monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak_bytes = 0
    talk: list[bytes] = []
    listener = threading.Thread(target=lambda: talk.append(process.stderr.read()))
    listener.start()
    while process.poll() is None:
        peak_bytes = max(peak_bytes, _tree_bytes(process.pid))
        sleep(SAMPLE_SECONDS)
    seconds = monotonic() - started
    listener.join()
    if process.returncode:
        sys.exit(f"{command[0]} failed:\n{talk[0].decode()}")
    return Run(seconds, peak_bytes)


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


def identical_pages(pages: Iterable[str], stock_text: str) -> int:
    """Count the pages whose text stands in the stock command's output, whole and in its place.

    That output has no page boundaries. A page is identical when its text follows that of the pages
    before it with nothing but white space between; a blank page when nothing stands in its place.
    """
    identical, position, blank = 0, 0, 0
    for page in (re.sub(r"\n{3,}", "\n\n", page).strip() for page in pages):
        start = stock_text.find(page, position) if page else -1
        if not page:
            blank += 1
        elif start >= 0:
            identical += 1 + (blank if not stock_text[position:start].strip() else 0)
            position, blank = start + len(page), 0
    return identical + (blank if not stock_text[position:].strip() else 0)


def compare_texts(books: list[Path], mine: Path, theirs: Path) -> tuple[int, int]:
    """Return the number of pages and how many of them are identical."""
    rows = [json.loads(line) for line in (mine / "ledger.jsonl").read_text().splitlines()]
    by_book: dict[str, list[str]] = {}
    for row in rows:
        by_book.setdefault(row["pdf_sha256"], []).append(row["text"])
    same = 0
    for book in books:
        pages = by_book[hashlib.sha256(book.read_bytes()).hexdigest()]
        same += identical_pages(pages, (theirs / f"{book.stem}.mmd").read_text(encoding="utf-8"))
    return len(rows), same


def print_table(mine: list[Run], theirs: list[Run], pages: int, same: int) -> None:
    wall, stock_wall = (statistics.median(run.seconds for run in runs) for runs in (mine, theirs))
    peak, stock_peak = (statistics.median(run.peak_bytes for run in runs) / 2**20 for runs in (mine, theirs))
    print("| measure | pagemill ocr | nougat | ratio |")
    print("| --- | --- | --- | --- |")
    print(f"| wall, median of {len(mine)} | {wall:.1f} s | {stock_wall:.1f} s | {stock_wall / wall:.2f} |")
    print(f"| pages per second | {pages / wall:.2f} | {pages / stock_wall:.2f} | {stock_wall / wall:.2f} |")
    print(f"| peak memory, all processes | {peak:.0f} MiB | {stock_peak:.0f} MiB | {stock_peak / peak:.2f} |")
    print(f"| pages with identical text | {same} of {pages} | | {same / pages:.3f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copies", type=int, default=4, help="how often each book's pages come")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each")
    parser.add_argument("--batch-size", type=int, default=0, help="pages a batch of both; 0 for each one's own default")
    parser.add_argument("--checkpoint", type=Path, default=DEMO / "checkpoint")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        books = write_books(folder, options.copies)
        environment = os.environ | {"NLTK_DATA": str(write_word_list(folder / "nltk")), "NO_ALBUMENTATIONS_UPDATE": "1"}
        mine, theirs = [], []
        for _ in range(options.repeats):
            for command, runs in ((ours, mine), (stock, theirs)):
                out = folder / command.__name__
                shutil.rmtree(out, ignore_errors=True)
                runs.append(measure(command(books, out, options.checkpoint, options.batch_size), environment))
        print_table(mine, theirs, *compare_texts(books, folder / "ours", folder / "stock"))


if __name__ == "__main__":
    main()
