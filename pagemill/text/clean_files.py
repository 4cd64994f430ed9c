"""Cleans and judges texts in files, without a store: Nougat's Markdown, or the page ledgers of `pagemill ocr`."""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pagemill.errors import UserError
from pagemill.ledger import read_ledger, text_names
from pagemill.records import PageRecord
from pagemill.text.cleaning.book import Cleaned, clean
from pagemill.text.judging.book import Judged, judge
from pagemill.text.judging.profile import DEFAULT_PROFILE, Profile, load_profile
from pagemill.text.text_files import FACTS_SUFFIX, read_text_file

LEDGER_SUFFIX = ".jsonl"
PAGE_BREAK = "\f"


@dataclasses.dataclass(frozen=True, slots=True)
class CleanFile:
    """A text that was cleaned and judged, and where it lies."""

    path: Path
    cleaned: Cleaned
    judged: Judged

    def summary(self) -> str:
        """Return in one line what came out, what was mended and what was masked."""
        judged = self.judged
        pages = f"{len(judged.page_ends):,} pages, {judged.language} {judged.language_score:.2f}"
        done = dataclasses.asdict(self.cleaned.removed) | dataclasses.asdict(self.cleaned.repaired)
        masked = {f"{kind} masked": number for kind, number in judged.masked.items()}
        counts = [f"{number:,} {name.replace('_', ' ')}" for name, number in (done | masked).items() if number]
        result = "left out" if judged.dropped_by else str(self.path)
        return "; ".join([f"{result}: {pages}", *counts])


@dataclasses.dataclass(frozen=True, slots=True)
class _Book:
    """A book that was found in a file; the rows of its ledger are () where there is none."""

    name: str
    pages: Sequence[str]
    ledger: Sequence[PageRecord] = ()

    @property
    def pdf_sha256(self) -> str:
        return self.ledger[0].pdf_sha256 if self.ledger else ""

    @property
    def page_numbers(self) -> list[int]:
        return [row.page for row in self.ledger] or list(range(1, len(self.pages) + 1))


def clean_files(paths: Iterable[str | Path], out: str | Path, *, profile: str = DEFAULT_PROFILE) -> Iterator[CleanFile]:
    r"""Clean and judge the books in files; each becomes `<name>.mmd` and, with figures and facts, `<name>.json`.

    A text is one page, or as many as form feeds (``\f``) part. A file that ends in `.jsonl` is a page ledger:
    each of its PDFs is a book, named as `pagemill ocr` named its text, elsewhere by its digest. A book that a
    rule leaves out has its `.json`, which tells why, and no `.mmd`.

    Args:
        paths: UTF-8 texts and page ledgers.
        out: The folder for what comes out.
        profile: See `pagemill.text.load_profile`.

    Yields:
        What became of each book, in order.

    Raises:
        UserError: A file or the profile cannot be read, or two books have one name.
    """
    loaded = load_profile(profile)
    folder = Path(out)
    names: dict[str, Path] = {}
    for path in map(Path, paths):
        for book in _books(path):
            if names.setdefault(book.name, path) is not path:
                mend = "clean them into different folders"
                raise UserError(str(path), f"and {names[book.name]} would both become {book.name}.mmd", mend)
            yield _clean(book, path, folder, loaded)


def _clean(book: _Book, path: Path, folder: Path, profile: Profile) -> CleanFile:
    cleaned = clean(book.pages, **dataclasses.asdict(profile.cleaning))
    judged = judge(cleaned, profile, ledger=book.ledger, pdf_sha256=book.pdf_sha256)
    result = folder / f"{book.name}.mmd"
    if result.resolve() == path.resolve():
        raise UserError(str(path), "would be overwritten by what comes out of it", "give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    if judged.dropped_by:
        result.unlink(missing_ok=True)
    else:
        result.write_text(judged.text, encoding="utf-8", newline="")
    facts = json.dumps(_facts(path, book, cleaned, judged, profile), ensure_ascii=False, indent=1)
    result.with_suffix(FACTS_SUFFIX).write_text(facts + "\n", encoding="utf-8")
    return CleanFile(result, cleaned, judged)


def _facts(path: Path, book: _Book, cleaned: Cleaned, judged: Judged, profile: Profile) -> dict[str, Any]:
    text = {"text_sha256": hashlib.sha256(judged.text.encode()).hexdigest(), "page_numbers": book.page_numbers}
    facts = {name: value for name, value in dataclasses.asdict(judged).items() if name != "text"}
    made = {"source": str(path), "profile": profile.name, "profile_sha256": profile.digest}
    done = {"removed": dataclasses.asdict(cleaned.removed), "repaired": dataclasses.asdict(cleaned.repaired)}
    return made | done | text | facts


def _books(path: Path) -> Iterator[_Book]:
    if path.suffix != LEDGER_SUFFIX or not path.is_file():
        yield _Book(path.stem, read_text_file(path).split(PAGE_BREAK))
        return
    names = text_names(path.parent)
    rows = sorted(read_ledger(str(path)), key=lambda row: (row.pdf_sha256, row.page))
    for pdf_sha256, of_book in itertools.groupby(rows, key=lambda row: row.pdf_sha256):
        ledger = [row for row in of_book if row.page > 0]
        yield _Book(names.get(pdf_sha256, pdf_sha256), [row.text for row in ledger], ledger)
