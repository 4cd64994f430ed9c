"""The peak memory of cleaning and of chunking a book, by its length, each in a process of its own."""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.text.corpus import BREAK, book_pages
from benchmarks.text.peers import one_thread

SEED = 3_000_000
TOKENS = 512
WORKS = ("chunk a stream", "chunk a text", "clean")
MAX_GROWTH = 1.05  # of the peak, from the shortest book to the longest


@dataclasses.dataclass(frozen=True)
class Peak:
    """The peak memory of one process, or why it ended."""

    mebibytes: float = 0.0
    error: str = ""


def measure(page_counts: Sequence[int], tokenizer: Path) -> dict[int, dict[str, Peak]]:
    """Return the peaks of each work, by the number of pages of a book."""
    peaks: dict[int, dict[str, Peak]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for pages in page_counts:
            book = Path(folder, f"{pages}.jsonl")
            _run("write", book, tokenizer, pages)
            peaks[pages] = {work: _run(work, book, tokenizer) for work in WORKS}
    return peaks


def print_table(peaks: dict[int, dict[str, Peak]]) -> None:
    """Print the peaks, and whether that of chunking a stream grows with the book."""
    print(f"\n### Peak memory, chunks of {TOKENS} tokens\n")
    print(f"| pages | {' | '.join(WORKS)} |\n| --- |{' --- |' * len(WORKS)}")
    for pages, row in peaks.items():
        cells = [row[work].error or f"{row[work].mebibytes:.0f} MiB" for work in WORKS]
        print(f"| {pages:,} | {' | '.join(cells)} |")
    shortest, longest = min(peaks), max(peaks)
    first, last = peaks[shortest][WORKS[0]], peaks[longest][WORKS[0]]
    if first.error or last.error or shortest == longest:
        return
    growth = last.mebibytes / first.mebibytes
    verdict = "met" if growth <= MAX_GROWTH else "not met"
    print(f"\n{WORKS[0]}: {growth:.2f} times the peak of {shortest:,} pages (goal: at most {MAX_GROWTH}, {verdict})")


def _run(work: str, book: Path, tokenizer: Path, pages: int = 0) -> Peak:
    command = [sys.executable, "-m", "benchmarks.text.memory", work, str(book), str(tokenizer), str(pages)]
    folder = Path(__file__).parents[2]
    result = subprocess.run(
        command, cwd=folder, env={**os.environ, **one_thread()}, capture_output=True, text=True, check=False
    )
    if result.returncode:
        return Peak(error=result.stderr.strip().splitlines()[-1][:100])
    return Peak(mebibytes=float(result.stdout))


def _write(path: Path, pages: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        for page in book_pages(SEED, pages):
            file.write(json.dumps(page) + "\n")


def _read(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _chunk_stream(path: Path, tokenizer: str) -> None:
    from pagemill.text.chunking.chunker import chunk

    for _ in chunk((page + BREAK for page in _read(path)), tokenizer, target_tokens=TOKENS, max_tokens=TOKENS):
        pass


def _chunk_text(path: Path, tokenizer: str) -> None:
    from pagemill.text.chunking.chunker import chunk

    for _ in chunk(BREAK.join(_read(path)), tokenizer, target_tokens=TOKENS, max_tokens=TOKENS):
        pass


def _clean(path: Path) -> None:
    from pagemill.text.cleaning.book import clean

    clean(list(_read(path)))


def _peak_kibibytes() -> int:
    """Return the peak of this program; that of `getrusage` counts what the process was before it began with it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0])


def main() -> None:
    """Do one piece of work and print the peak memory of this process, in MiB."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", choices=["write", *WORKS])
    parser.add_argument("book", type=Path)
    parser.add_argument("tokenizer")
    parser.add_argument("pages", type=int)
    options = parser.parse_args()
    match options.work:
        case "write":
            _write(options.book, options.pages)
        case "chunk a stream":
            _chunk_stream(options.book, options.tokenizer)
        case "chunk a text":
            _chunk_text(options.book, options.tokenizer)
        case "clean":
            _clean(options.book)
    print(_peak_kibibytes() / 1024)


if __name__ == "__main__":
    main()
