"""Counts and lists what the rules of a profile left out, with examples for people to look at."""

import dataclasses
import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from pagemill.records import Drop

EXAMPLES = 3

_SHOWN_DIGEST_CHARACTERS = 12


@dataclasses.dataclass(frozen=True, slots=True)
class DropCount:
    """What one rule left out."""

    rule: str
    pages: int
    documents: int  # whole ones
    books: int  # that lost a page, or themselves, by it
    examples: tuple[Drop, ...]  # in order of book and page


def count_drops(drops: Iterable[Drop], examples: int = EXAMPLES) -> list[DropCount]:
    """Count what each rule left out, and keep some of it as examples.

    The examples are a sample that depends on nothing but what was left out: those with the lowest digests of
    book and page. Memory grows with the number of books that lose something, not with what they lose.

    Args:
        drops: In any order, as `pagemill.documents.read_drops` and `Judged.drops` have them.
        examples: How many to keep for each rule.

    Returns:
        The rules that left most out first; of as many, in order of their names.
    """
    pages: Counter[str] = Counter()
    documents: Counter[str] = Counter()
    books: defaultdict[str, set[str]] = defaultdict(set)
    samples: defaultdict[str, list[tuple[int, int, Drop]]] = defaultdict(list)
    for number, drop in enumerate(drops):
        (pages if drop.page else documents)[drop.rule] += 1
        books[drop.rule].add(drop.pdf_sha256)
        sample = samples[drop.rule]
        heapq.heappush(sample, (-_rank(drop), number, drop))
        if len(sample) > examples:
            heapq.heappop(sample)
    counts = [
        DropCount(rule, pages[rule], documents[rule], len(books[rule]), _in_order(samples[rule])) for rule in books
    ]
    return sorted(counts, key=lambda count: (-count.pages - count.documents, count.rule))


def format_drops(counts: Sequence[DropCount]) -> str:
    """Return the counts and examples as lines for people."""
    if not counts:
        return "nothing was left out"
    return "\n".join(line for count in counts for line in _lines(count))


def _lines(count: DropCount) -> Iterator[str]:
    parts = [_plural(count.pages, "page"), _plural(count.documents, "whole book")]
    what = " and ".join(part for part in parts if part)
    yield f"{count.rule}: {what}, in {_plural(count.books, 'book')}"
    for drop in count.examples:
        where = f"page {drop.page}" if drop.page else "whole book"
        yield f"  {drop.pdf_sha256[:_SHOWN_DIGEST_CHARACTERS]} {where}: {drop.why}"
        if drop.excerpt:
            yield f"    {drop.excerpt}"


def _plural(number: int, noun: str) -> str:
    if not number:
        return ""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _rank(drop: Drop) -> int:
    return int.from_bytes(hashlib.sha256(f"{drop.pdf_sha256} {drop.page}".encode()).digest()[:8])


def _in_order(sample: Iterable[tuple[int, int, Drop]]) -> tuple[Drop, ...]:
    return tuple(sorted((drop for _, _, drop in sample), key=lambda drop: (drop.pdf_sha256, drop.page)))
