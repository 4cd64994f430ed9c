"""The books that `ocr.py` has read: the demo's pages, short, long, blank and looping, many times in seeded order."""

import dataclasses
import hashlib
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import pikepdf

from pagemill.archives import extract_members

DEMO = Path(__file__).parent.parent / "demo"
UNREADABLE = "plates"  # the demo's book with a page that nobody can render: the stock command would stop there
SEED = 11


@dataclasses.dataclass(frozen=True, slots=True)
class Leaf:
    """A page of a book of the demo."""

    source: Path  # the PDF that it stands in
    page: int  # from 1
    blank: bool  # by the demo's ground truth


@dataclasses.dataclass(frozen=True, slots=True)
class Book:
    """A PDF made of leaves."""

    path: Path
    leaves: tuple[Leaf, ...]

    @property
    def sha256(self) -> str:
        """What the ledger calls it."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


def extract_leaves(folder: Path) -> list[Leaf]:
    """Unpack the demo's books into a folder and return every distinct page of them."""
    extract_members(sorted((DEMO / "samples").glob("*.rar")), folder, passwords=str(DEMO / "passwords.txt"))
    sources = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in sorted(folder.rglob("*.pdf"))}
    truth = [json.loads(line) for line in (DEMO / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
    return [
        Leaf(sources[line["pdf_sha256"]], line["page"], not line["text"].strip())
        for line in truth
        if line["book"] != UNREADABLE
    ]


def write_mixed(leaves: Sequence[Leaf], folder: Path, copies: int, long_pages: int) -> list[Book]:
    """Write each book of the demo with its pages `copies` times over, shuffled, and one long book of all pages."""
    chance = random.Random(SEED)
    books = []
    for source in sorted({leaf.source for leaf in leaves}):
        own = [leaf for leaf in leaves if leaf.source == source] * copies
        books.append(write_book(folder / source.name, chance.sample(own, len(own))))
    return [*books, write_long(leaves, folder / "library.pdf", long_pages)]


def write_long(leaves: Sequence[Leaf], path: Path, pages: int) -> Book:
    """Write a book of so many pages: all leaves, shuffled, then all of them again in another order, and so on."""
    chance = random.Random(SEED)
    rounds = [leaf for _ in range(math.ceil(pages / len(leaves))) for leaf in chance.sample(leaves, len(leaves))]
    return write_book(path, rounds[:pages])


def write_book(path: Path, leaves: Sequence[Leaf]) -> Book:
    """Write a PDF of these pages in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sources = {leaf.source: pikepdf.open(leaf.source) for leaf in leaves}
    with pikepdf.new() as book:
        for leaf in leaves:
            book.pages.append(sources[leaf.source].pages[leaf.page - 1])
        book.save(path)
    for source in sources.values():
        source.close()
    return Book(path, tuple(leaves))
