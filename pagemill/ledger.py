"""The page ledger: every page that went in, what became of it and why."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pagemill.errors import UserError
from pagemill.records import PageRecord, Reason, Status
from pagemill.storage import Store

if TYPE_CHECKING:
    import pandas
    from rich.table import Table

PAGES_FOLDER = "pages"  # of a store: pages/<key>/<pdf>.jsonl
READINGS_FOLDER = "readings"  # of a store: what was read, before a ledger is made of it
DATASET_FOLDER = "data/pages"  # of a built dataset: data/pages/*.parquet
MEND = "give a store, a folder with data/pages/*.parquet or a ledger.jsonl"
LEDGER_FILE = "ledger.jsonl"  # of a folder of texts
STORE_FOLDER = ".pagemill"  # of such a folder: what a later run goes on from
NAMES_FILE = "texts.json"  # in that store: which PDF each text belongs to
BATCH_ROWS = 1024

# The order in which people want to read what became of their pages.
STATUS_ORDER = (Status.OK, Status.FALLBACK, Status.TRUNCATED, Status.EMPTY, Status.SKIPPED, Status.FAILED)


@dataclasses.dataclass
class LedgerSummary:
    """Pages counted by what became of them; `seconds` is the time the engine spent on them."""

    pages: int = 0
    tokens: int = 0
    seconds: float = 0.0
    by_status: Counter[Status] = dataclasses.field(default_factory=Counter)
    by_reason: Counter[tuple[Status, Reason | None]] = dataclasses.field(default_factory=Counter)

    def add(self, row: PageRecord) -> None:
        """Count one more page."""
        self.pages += 1
        self.tokens += row.tokens
        self.seconds += row.seconds
        self.by_status[row.status] += 1
        self.by_reason[row.status, row.reason] += 1

    def rows(self) -> list[tuple[Status, Reason | None, int]]:
        """Return (status, reason, pages), good ones first, then the most frequent reason."""
        counted = [(status, reason, pages) for (status, reason), pages in self.by_reason.items()]
        return sorted(counted, key=lambda row: (STATUS_ORDER.index(row[0]), -row[2], row[1] or ""))


def summarize(rows: Iterable[PageRecord]) -> LedgerSummary:
    """Count the rows of a ledger."""
    summary = LedgerSummary()
    for row in rows:
        summary.add(row)
    return summary


def summary_table(summary: LedgerSummary) -> "Table":
    """Return the summary as a table for the terminal."""
    from rich.table import Table

    table = Table(show_footer=True)
    table.add_column("status", footer="all")
    table.add_column("reason")
    table.add_column("pages", footer=f"{summary.pages:,}", justify="right")
    table.add_column("share", footer="" if not summary.pages else "100.0 %", justify="right")
    for status, reason, pages in summary.rows():
        table.add_row(str(status), str(reason or ""), f"{pages:,}", f"{pages / summary.pages:.1%}".replace("%", " %"))
    table.caption = f"{summary.tokens:,} tokens in {summary.seconds:,.1f} seconds"
    return table


def read_ledger(store_or_run: str) -> Iterator[PageRecord]:
    """Return the rows of the ledger in a store, in a built dataset, in a folder of texts or in one JSONL file.

    Of a store, books that are still being read give the pages that they have so far.

    Raises:
        UserError: There is no ledger, or a line of it is no page record.
    """
    file = Path(store_or_run)
    if file.is_file():
        return read_ledger_file(Store(str(file.parent)), file.name)
    try:
        place = Store(store_or_run)
    except ValueError as error:  # no such protocol
        raise UserError(store_or_run, f"holds no page ledger ({error})", MEND) from error
    if place.exists(LEDGER_FILE):
        return read_ledger_file(place, LEDGER_FILE)
    if parquet := [name for name in place.names(DATASET_FOLDER) if name.endswith(".parquet")]:
        return _read_parquet(place, parquet)
    if place.folders(PAGES_FOLDER) or place.folders(READINGS_FOLDER):
        return _read_store(place)
    raise UserError(store_or_run, "holds no page ledger", MEND)


def text_names(folder: Path) -> dict[str, str]:
    """Return, by sha256 of the PDF, the names of the texts in a folder of `pagemill ocr`; {} for any other folder."""
    names = folder / STORE_FOLDER / NAMES_FILE
    owners: dict[str, str] = json.loads(names.read_text()) if names.is_file() else {}
    return {sha256: Path(name).stem for name, sha256 in owners.items()}


def ledger_frame(store_or_run: str) -> "pandas.DataFrame":
    """Return a ledger as a data frame of one row a page, for notebooks; raises as `read_ledger` does.

    Columns are the fields of `PageRecord`; `status`, `reason` and `engine` are categories.
    """
    import pandas

    columns = [field.name for field in dataclasses.fields(PageRecord)]
    frame = pandas.DataFrame((row.to_dict() for row in read_ledger(store_or_run)), columns=columns)
    return frame.astype({"status": "category", "reason": "category", "engine": "category"})


def _read_store(store: Store) -> Iterator[PageRecord]:
    done = set()
    for folder in store.folders(PAGES_FOLDER):
        for name in store.names(folder):
            done.add(pdf_of(name))
            yield from read_ledger_file(store, name)
    for folder in store.folders(READINGS_FOLDER):
        for pdf_sha256, names in readings_in(store, folder).items():
            if pdf_sha256 not in done:
                yield from read_readings(store, names)


def readings_in(store: Store, folder: str) -> dict[str, list[str]]:
    """Return what was read under one configuration, by PDF: the whole book, or the ranges of pages so far."""
    found = {pdf_of(name): [name] for name in store.names(folder) if name.endswith(".jsonl")}
    begun = {pdf_of(book): book for book in store.folders(folder)}
    parts = {
        pdf_sha256: [name for name in store.names(book) if name.endswith(".jsonl")]
        for pdf_sha256, book in begun.items()
        if pdf_sha256 not in found
    }
    return found | {pdf_sha256: names for pdf_sha256, names in parts.items() if names}


def read_readings(store: Store, names: Iterable[str]) -> Iterator[PageRecord]:
    """Yield the pages in the files of one book; one that was read twice counts once."""
    seen = set()
    for name in names:
        for row in read_ledger_file(store, name):
            if row.page not in seen:
                seen.add(row.page)
                yield row


def pdf_of(name: str) -> str:
    """Return which PDF a file or folder of pages belongs to."""
    return name.rsplit("/", 1)[-1].split(".", 1)[0]


def read_ledger_file(store: Store, name: str) -> Iterator[PageRecord]:
    """Yield the pages of one JSONL file; a last line that was cut off by a kill is no page yet.

    Raises:
        UserError: A line is no page record.
    """
    with store.reading(name) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                yield PageRecord.from_dict(json.loads(line))
            except (ValueError, TypeError, AttributeError) as error:
                if not line.endswith(b"\n"):
                    return
                raise UserError(
                    store.uri_of(name),
                    f"line {number} is no page record ({error})",
                    "give a ledger that pagemill wrote",
                ) from error


def _read_parquet(place: Store, names: list[str]) -> Iterator[PageRecord]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name in names:
        try:
            with place.reading(name) as stream:
                for batch in pq.ParquetFile(stream).iter_batches(BATCH_ROWS):
                    yield from map(PageRecord.from_dict, batch.to_pylist())
        except (pa.ArrowInvalid, TypeError) as error:
            raise UserError(
                place.uri_of(name), f"holds no page records ({error})", "build or download it again"
            ) from error
