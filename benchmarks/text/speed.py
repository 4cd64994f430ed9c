"""The time of cleaning and of chunking, as a share of that of counting the same text's tokens once."""

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.text.corpus import documents
from benchmarks.text.damage import damage
from benchmarks.text.peers import one_thread

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from pagemill.text.chunking.tokens import TokenCounter

SEED = 2_000_000


@dataclasses.dataclass(frozen=True)
class Round:
    """Processor seconds of a round, each part on the same documents, which no other round has."""

    characters: int
    counting: float
    cleaning: float
    chunking: dict[str, float]  # by the length of chunks in tokens


def measure(tokenizer: Path, pages: int, rounds: int, tokens: Sequence[int], intact: bool = False) -> list[Round]:
    """Measure in a process of its own with one thread; the parts take turns in being first.

    Pages are damaged as OCR damages them, or with `intact` as they should be read.
    """
    command = [
        sys.executable,
        "-m",
        "benchmarks.text.speed",
        str(tokenizer),
        str(pages),
        str(rounds),
        *map(str, tokens),
        *(["--intact"] if intact else []),
    ]
    folder = Path(__file__).parents[2]
    output = subprocess.run(
        command, cwd=folder, env={**os.environ, **one_thread()}, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    return [Round(**json.loads(line)) for line in output.splitlines()]


def print_table(rounds: Sequence[Round], pages: str = "damaged pages") -> None:
    """Print the medians, and whether cleaning and chunking together are as fast as counting."""
    print(f"\n### Cleaning and chunking of {pages} beside counting, median of {len(rounds)} rounds\n")
    print("| work | MB/s | time over that of counting |\n| --- | --- | --- |")
    print(_line("counting the tokens once with `tokenizers`", rounds, lambda each: each.counting))
    print(_line("cleaning", rounds, lambda each: each.cleaning))
    for tokens in rounds[0].chunking:
        print(_line(f"chunking to {int(tokens):,} tokens", rounds, partial(_chunking, tokens=tokens)))
    for tokens in rounds[0].chunking:
        together = partial(_together, tokens=tokens)
        verdict = "met" if statistics.median(together(each) / each.counting for each in rounds) <= 1 else "not met"
        print(_line(f"cleaning and chunking to {int(tokens):,} tokens (goal: 1.00, {verdict})", rounds, together))


def speed_together(rounds: Sequence[Round], tokens: int) -> float:
    """Return the median speed of cleaning and chunking, in MB/s."""
    return statistics.median(each.characters / 1e6 / _together(each, str(tokens)) for each in rounds)


def _chunking(each: Round, tokens: str) -> float:
    return each.chunking[tokens]


def _together(each: Round, tokens: str) -> float:
    return each.cleaning + each.chunking[tokens]


def _line(name: str, rounds: Sequence[Round], seconds: Callable[[Round], float]) -> str:
    speed = statistics.median(each.characters / 1e6 / seconds(each) for each in rounds)
    ratios = [seconds(each) / each.counting for each in rounds]
    spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    return f"| {name} | {speed:.2f} | {spread} |"


def _round(number: int, loaded: "Tokenizer", counters: Mapping[int, "TokenCounter"], pages: int, intact: bool) -> Round:
    from pagemill.text import chunk, clean

    written = documents(SEED + number, pages)
    books = [document.pages if intact else damage(document, SEED).pages for document in written]
    cleaned = [clean(book).text for book in books[:1]]  # what is made at first use is not of interest
    seconds: dict[str, float] = {}

    def count() -> None:
        encode = getattr(loaded, "encode_batch_fast", loaded.encode_batch)
        started = time.process_time()
        for book in books:
            sum(len(encoding) for encoding in encode(list(book), add_special_tokens=False))
        seconds["counting"] = time.process_time() - started

    def clean_and_chunk() -> None:
        started = time.process_time()
        cleaned[:] = [clean(book).text for book in books]
        seconds["cleaning"] = time.process_time() - started
        for length, counter in counters.items():
            started = time.process_time()
            for text in cleaned:
                for _ in chunk(text, counter, target_tokens=length, max_tokens=length):
                    pass
            seconds[str(length)] = time.process_time() - started

    for work in (count, clean_and_chunk) if number % 2 else (clean_and_chunk, count):
        work()
    characters = sum(len(page) for book in books for page in book)
    chunking = {str(length): seconds[str(length)] for length in counters}
    return Round(characters, seconds["counting"], seconds["cleaning"], chunking)


def main() -> None:
    """Print the rounds as JSON lines."""
    from tokenizers import Tokenizer

    from pagemill.text.chunking.tokens import load_tokenizer

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tokenizer")
    parser.add_argument("pages", type=int)
    parser.add_argument("rounds", type=int)
    parser.add_argument("tokens", type=int, nargs="+")
    parser.add_argument("--intact", action="store_true", help="leave the pages as they should be read")
    options = parser.parse_args()
    # Loaded once, as in any run: all remember words of earlier rounds, which had other documents.
    loaded = Tokenizer.from_file(options.tokenizer)
    counters = {length: load_tokenizer(options.tokenizer) for length in options.tokens}
    for number in range(options.rounds):
        result = _round(number, loaded, counters, options.pages, options.intact)
        print(json.dumps(dataclasses.asdict(result)), flush=True)


if __name__ == "__main__":
    main()
