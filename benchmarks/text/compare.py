"""Chunking beside the chunkers that others use, and cleaning with chunking beside the mere counting of tokens.

All cut the same documents with the same tokenizer, and what they cut is told by the documents' truth. Each runs in an
environment and a process of its own, on one core, one after another in rounds with other documents; times are processor
times of the work itself, and medians of the rounds are quoted. `python -m benchmarks.text` from the project's folder.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.text import cleaning, memory, speed
from benchmarks.text.corpus import Document, documents
from benchmarks.text.peers import OURS, SPLITTERS, Splitter, Structure, cut
from benchmarks.text.results import Result, chunk_counter, result_of
from benchmarks.text.tokenizer import tokenizer_file

SEED = 7
GOAL_PEER_SPEED = 5
STRUCTURE_AWARE = {Structure.PARSED: "best that parses markup", Structure.SEPARATORS: "best that knows its separators"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=3000, help="of all documents together")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--budget-seconds", type=float, default=10, help="of a splitter in a round")
    parser.add_argument("--book-pages", type=int, nargs="*", default=[1000, 3000, 10_000])
    parser.add_argument("--only", nargs="*", default=[], help="names of splitters; all without it")
    options = parser.parse_args()
    started = time.monotonic()
    tokenizer = tokenizer_file()
    rounds = [list(documents(SEED + number, options.pages // options.rounds)) for number in range(options.rounds)]
    splitters = [splitter for splitter in SPLITTERS if not options.only or splitter.name in options.only]
    print(_corpus_line(rounds, tokenizer), flush=True)
    fastest: dict[int, list[Result]] = {}
    for tokens in options.tokens:
        results = measure(splitters, rounds, tokenizer, tokens, options.budget_seconds)
        print_cuts(results, tokens)
        print_chunking_goals(results)
        fastest[tokens] = best_peers(results, lambda peer: peer.speed)
    for pages, intact in (("pages as they should be read", True), ("damaged pages", False)):
        amount = options.pages // options.rounds, options.rounds + 2
        speeds = speed.measure(tokenizer, *amount, options.tokens, intact)
        speed.print_table(speeds, pages)
        for tokens, peers in fastest.items():
            print_speed_goals(speed.speed_together(speeds, tokens), tokens, peers)
    cleaning.print_table(cleaning.measure(SEED, options.pages))
    if options.book_pages:
        memory.print_table(memory.measure(options.book_pages, tokenizer))
    print(f"\nAll this took {(time.monotonic() - started) / 60:.1f} minutes.")


def measure(
    splitters: Sequence[Splitter],
    rounds: Sequence[Sequence[Document]],
    tokenizer: Path,
    tokens: int,
    budget_seconds: float,
) -> list[Result]:
    """Have every splitter cut the documents of each round, by turns."""
    counter = chunk_counter(tokenizer)
    results = [Result(splitter) for splitter in splitters]
    for batch in rounds:
        for result in results:
            try:
                cuttings = cut(result.splitter, batch, tokenizer, tokens, budget_seconds)
            except RuntimeError as error:
                print(error, file=sys.stderr)
                continue
            result.add(result_of(result.splitter, batch, cuttings, counter, tokens))
    return results


def print_cuts(results: Sequence[Result], tokens: int) -> None:
    """Print what each splitter did to the documents."""
    rows = [result.cells() for result in results if result.chunks]
    print(f"\n### {tokens:,} tokens\n")
    print(f"| {' | '.join(rows[0])} |\n|{' --- |' * len(rows[0])}")
    for row in rows:
        print(f"| {' | '.join(row.values())} |", flush=True)


def best_peers(results: Sequence[Result], figure: Callable[[Result], float]) -> list[Result]:
    """Return the peer with the highest figure of those that parse markup, and of those that know its separators."""
    peers = [result for result in results if result.splitter.name != OURS and result.chunks]
    groups = ([peer for peer in peers if peer.splitter.structure is structure] for structure in STRUCTURE_AWARE)
    return [max(group, key=figure) for group in groups if group]


def print_chunking_goals(results: Sequence[Result]) -> None:
    """Print the goals of chunking and whether they are met."""
    ours = next((result for result in results if result.splitter.name == OURS and result.chunks), None)
    if ours is None:
        return
    cuts = ours.cuts
    broken = (cuts.display_cut + cuts.inline_cut, cuts.tables_cut, cuts.headings_orphaned, cuts.captions_parted)
    print("\n| goal | pagemill | |\n| --- | --- | --- |")
    print_goal("equations, tables that fit, headings, captions cut: 0", " + ".join(map(str, broken)), not any(broken))
    print_goal("chunks over the maximum: 0", str(ours.over), not ours.over)
    for peer in best_peers(results, lambda peer: peer.fill):
        print_goal(f"fill of {_named(peer)}: {peer.fill:.3f}", f"{ours.fill:.3f}", ours.fill >= peer.fill)
    for peer in best_peers(results, lambda peer: peer.speed):
        _print_times(ours.speed, "chunking", peer)


def print_speed_goals(speed: float, tokens: int, peers: Sequence[Result]) -> None:
    """Print how many times as fast cleaning and chunking together are as the chunking of the fastest peers."""
    print(f"\n| goal, at {tokens:,} tokens | pagemill | |\n| --- | --- | --- |")
    for peer in peers:
        _print_times(speed, "cleaning and chunking", peer)


def _print_times(speed: float, work: str, peer: Result) -> None:
    name = f"{work} {GOAL_PEER_SPEED}x as fast as the chunking of {_named(peer)}: {peer.speed:.2f} MB/s"
    print_goal(name, f"{speed:.2f} MB/s, {speed / peer.speed:.1f}x", speed >= GOAL_PEER_SPEED * peer.speed)


def _named(peer: Result) -> str:
    return f"{peer.splitter.name} ({STRUCTURE_AWARE[peer.splitter.structure]})"


def print_goal(name: str, value: str, is_met: bool) -> None:
    print(f"| {name} | {value} | {'met' if is_met else 'not met'} |", flush=True)


def _corpus_line(rounds: Sequence[Sequence[Document]], tokenizer: Path) -> str:
    every = [document for batch in rounds for document in batch]
    pages, characters = sum(len(document.pages) for document in every), sum(len(document.text) for document in every)
    middle = statistics.median(len(document.pages) for document in every)
    return (
        f"{pages:,} pages in {len(every)} documents (median {middle:.0f} pages), {characters / 1e6:.1f} M characters; "
        f"tokenizer {tokenizer.parent.name}"
    )


if __name__ == "__main__":
    main()
