"""PDFs to a folder of texts: what `pagemill ocr` does, in the place of the stock `nougat` command."""

import hashlib
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pagemill.errors import UserError
from pagemill.ledger import LEDGER_FILE, NAMES_FILE, STORE_FOLDER
from pagemill.manifest import Manifest
from pagemill.ocr.agreement import LOW_AGREEMENT_BELOW
from pagemill.ocr.plan import retry_rounds
from pagemill.ocr.recognize import recognize_pages
from pagemill.pages.inspect import inspect_pdfs
from pagemill.records import BookRecord, MemberRecord, PageRecord, Reason, Status
from pagemill.storage import COPY_BYTES, Store, digest

RESULTS = ("manifests", "pages", "readings")  # folders of that store that a run goes on from


def read_pdfs(
    pdfs: Sequence[Path],
    out: Path,
    *,
    checkpoint: str,
    engine: str = "nougat",
    fallback: str = "none",
    min_agreement: float = LOW_AGREEMENT_BELOW,
    languages: str = "",
    retry: str = "none",
    resume: bool = True,
    dpi: int = 96,
    precision: str = "auto",
    batch_size: int = 0,
    page_time_limit_seconds: float = 60.0,
    render_workers: int = 0,
    device: str = "auto",
    threads: int = 0,
    workers: int = 0,
    instances_per_gpu: int = 1,
) -> list[PageRecord]:
    """Read PDFs into a folder: `<stem>.mmd` for each that opens, and `ledger.jsonl` for every page.

    The pages of a text are joined as the stock command joins them. A page without text leaves that
    command's mark, `[MISSING_PAGE_EMPTY:n]` or `[MISSING_PAGE_FAIL:n]`; so does a loop, after what
    was read before it. Of two books of one name the second becomes `<stem>-<first 8 of its sha256>.mmd`.
    A run that was stopped goes on where it was when it is started again.

    Args:
        pdfs: The files; a content that comes twice is read once.
        out: The folder, made if need be. What is in it of other PDFs stays.
        checkpoint: As the other parameters, see `recognize_pages`.
        engine: See there.
        fallback: See there.
        min_agreement: See there.
        languages: See there.
        retry: One more round of retries, after those of earlier calls for this folder; "none" keeps to what is there.
        resume: Go on from what is in the folder; False reads everything anew.
        dpi: See there.
        precision: See there.
        batch_size: See there.
        page_time_limit_seconds: See there.
        render_workers: See there.
        device: See there.
        threads: See there.
        workers: See there.
        instances_per_gpu: See there.

    Returns:
        The rows of these PDFs, in the order in which they were given.

    Raises:
        UserError: A file is not there, or `recognize_pages` has one.
    """
    for pdf in pdfs:
        if not pdf.is_file():
            raise UserError(str(pdf), "there is no such file", "give the path of a PDF")
    if not resume:
        for folder in RESULTS:
            shutil.rmtree(out / STORE_FOLDER / folder, ignore_errors=True)
    store = Store(str(out / STORE_FOLDER))
    given = _given(pdfs, store)
    rounds = _rounds(retry, store, [checkpoint, engine, languages, dpi, precision])
    books = recognize_pages(
        inspect_pdfs(given, store),
        store,
        checkpoint=checkpoint,
        engine=engine,
        fallback=fallback,
        min_agreement=min_agreement,
        languages=languages,
        retry=rounds,
        dpi=dpi,
        precision=precision,
        batch_size=batch_size,
        page_time_limit_seconds=page_time_limit_seconds,
        render_workers=render_workers,
        device=device,
        threads=threads,
        workers=workers,
        instances_per_gpu=instances_per_gpu,
    )
    by_pdf = {book.pdf_sha256: book for book in books.rows}
    rows = {pdf.sha256: _rows(by_pdf[pdf.sha256], store) for pdf in given.rows}
    _write_texts(given.rows, rows, out, store)
    _write_ledger(rows, out)
    for sha256 in rows:
        store.delete(f"pdf/{sha256}.pdf")
    return [row for book in rows.values() for row in book]


def _rounds(retry: str, store: Store, reading: list[Any]) -> str:
    """Return all rounds of retries of this reading, the new one last, and keep them for later calls."""
    name = f"readings/{digest(reading)[:32]}.retries.json"
    rounds = [*(store.read_json(name) if store.exists(name) else ()), *retry_rounds(retry)]
    if retry_rounds(retry):
        store.write_json(name, rounds)
    return ",".join(rounds) or "none"


def joined(rows: Iterable[PageRecord]) -> str:
    """Return the text of a book as the stock command writes it: pages one after another, at most one empty line."""
    text = "".join(_page_text(row) for row in rows).strip()
    return re.sub(r"\n{3,}", "\n\n", text)


def _page_text(row: PageRecord) -> str:
    if row.status is Status.FALLBACK:
        return f"\n\n{row.text}\n\n"
    if row.status is Status.OK:
        return row.text
    kind = "EMPTY" if row.status is Status.EMPTY or row.reason is Reason.REPETITION_FROM_START else "FAIL"
    return f"{row.text}\n\n[MISSING_PAGE_{kind}:{row.page}]\n\n"


def _given(pdfs: Sequence[Path], store: Store) -> Manifest[MemberRecord]:
    """Copy the files into the store and name them as if they were the members of an archive."""
    rows = tuple(_copy(pdf, store) for pdf in pdfs)
    contents = {row.member_path: row.sha256 for row in rows}
    return Manifest("given_pdfs", 1, (), {"pdfs": contents}, rows, {"rows": len(rows)})


def _copy(pdf: Path, store: Store) -> MemberRecord:
    content = hashlib.sha256()
    with store.staging() as staged:
        with pdf.open("rb") as source, staged.open("wb") as target:
            while block := source.read(COPY_BYTES):
                content.update(block)
                target.write(block)
        store.adopt(staged, f"pdf/{content.hexdigest()}.pdf")
    return MemberRecord(
        archive="",
        archive_sha256="",
        member_path=str(pdf),
        size_bytes=pdf.stat().st_size,
        sha256=content.hexdigest(),
        status=Status.OK,
    )


def _rows(book: BookRecord, store: Store) -> list[PageRecord]:
    return [PageRecord.from_dict(values) for values in store.read_jsonl(book.result)]


def _write_texts(given: Iterable[MemberRecord], rows: Mapping[str, list[PageRecord]], out: Path, store: Store) -> None:
    owners: dict[str, str] = store.read_json(NAMES_FILE) if store.exists(NAMES_FILE) else {}
    for pdf in given:
        book = rows[pdf.sha256]
        if book[0].page == 0:  # it could not be opened
            continue
        name = _free_name(Path(pdf.member_path).stem, pdf.sha256, owners, out)
        owners[name] = pdf.sha256
        store.write_json(NAMES_FILE, owners)
        (out / name).write_text(joined(book), encoding="utf-8")


def _free_name(stem: str, sha256: str, owners: Mapping[str, str], out: Path) -> str:
    """Return the name of a text file that is this PDF's already, or nobody's."""
    taken = {path.name.casefold(): owners.get(path.name, "") for path in out.glob("*.mmd")}
    taken |= {name.casefold(): owner for name, owner in owners.items()}
    name = f"{stem}.mmd"
    return name if taken.get(name.casefold(), sha256) == sha256 else f"{stem}-{sha256[:8]}.mmd"


def _write_ledger(rows: Mapping[str, list[PageRecord]], out: Path) -> None:
    """Write the rows of these PDFs, after those of other PDFs that are there from earlier runs."""
    folder = Store(str(out))
    earlier = folder.read_jsonl(LEDGER_FILE) if folder.exists(LEDGER_FILE) else iter(())
    kept = [values for values in earlier if values["pdf_sha256"] not in rows]
    folder.write_jsonl(LEDGER_FILE, kept + [row.to_dict() for book in rows.values() for row in book])
