"""Reading by Vertex AI's batch prediction: instances as JSON Lines into the store, predictions out of it."""

import dataclasses
import itertools
import json
import logging
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from pagemill.errors import UserError
from pagemill.ledger import pdf_of
from pagemill.manifest import Manifest, Outcome
from pagemill.ocr.agreement import LOW_AGREEMENT_BELOW
from pagemill.ocr.assignment import Assignment, Missing
from pagemill.ocr.engine import Rendering
from pagemill.ocr.plan import RECOGNIZE, check_fallback, retry_rounds
from pagemill.ocr.recognize import written_ledgers
from pagemill.ocr.remote.answers import NotRead, config_in, failed_row, records_in
from pagemill.ocr.remote.pieces import Piece, cut, inline_instance, instance_by_uri
from pagemill.ocr.remote.plan import keep_tokenizer, plan_of
from pagemill.ocr.serving.config import EngineConfig
from pagemill.ocr.serving.kits import self_test_pdf
from pagemill.ocr.serving.wanted import PageRange, parse_instance
from pagemill.pages.inspect import read_inspections
from pagemill.progress import track
from pagemill.records import BookRecord, PageRecord, PdfRecord, Reason, Status
from pagemill.storage import Store, digest

RESULTS, ERRORS = "prediction.results-", "prediction.errors_stats-"  # how Vertex AI names its files
SHOWN_ERRORS = 3
LEFT_PAGES = 64  # of pages without a prediction, in one file
SERVER = "batch prediction"

log = logging.getLogger("pagemill")


@dataclasses.dataclass(frozen=True, slots=True)
class Instances:
    """Where the instances of a job lie, and how much they ask for."""

    uri: str
    instances: int
    pages: int


def write_instances(
    pdfs: Manifest[PdfRecord], store: Store, *, dpi: int = 96, retry: str = "none", pages_per_instance: int = 8
) -> Instances:
    """Write what a job of batch prediction is to read: every page that can be rendered, some pages an instance.

    Their name says what is in them, so doing it again changes nothing. A shard of which no page can be
    read asks for a page of three lines, for a job has to have something to do.

    Args:
        pdfs: What `inspect_pdfs` found.
        store: A bucket; holds the PDFs, which the job fetches itself, and receives the instances.
        dpi: Of the rendering.
        retry: "none": a job reads a page once.
        pages_per_instance: At most.

    Raises:
        UserError: The store is no bucket, or pages are to be read again.
        OSError: The store cannot be read or written.
    """
    if "://" not in store.uri:
        raise UserError(f"store {store.uri}", "is no bucket", "batch prediction reads from gs:// alone: give one")
    if retry_rounds(retry):
        mend = "choose none; what failed can be read again by another way"
        raise UserError(f"retry {retry}", "is nothing that batch prediction does", mend)
    pieces = _pieces(pdfs, store, pages_per_instance)
    instances = [instance_by_uri(store, piece, Rendering(dpi)) for piece in pieces] or [
        inline_instance(self_test_pdf())
    ]
    name = f"predictions/{digest(instances)[:32]}/instances.jsonl"
    if not store.exists(name):
        store.write_jsonl(name, instances)
    return Instances(store.uri_of(name), len(instances), sum(len(piece.pages) for piece in pieces))


def collect_predictions(
    pdfs: Manifest[PdfRecord],
    store: Store,
    predictions: str,
    *,
    checkpoint: str = "0.1.0-base",
    fallback: str = "none",
    min_agreement: float = LOW_AGREEMENT_BELOW,
    languages: str = "",
    dpi: int = 96,
) -> Manifest[BookRecord]:
    """Make of a job's predictions the ledgers and the manifest that `recognize_pages` gives.

    A page that the job gave no prediction for has failed; `retry` of another way reads it again.

    Args:
        pdfs: What `inspect_pdfs` found.
        store: Holds the PDFs and receives the ledgers.
        predictions: URI of the folder that the job wrote.
        checkpoint: What the model reads with, as it was uploaded; its tokenizer is fetched from there.
        fallback: As `recognize_pages` has it; the fallback is made here.
        min_agreement: Pages whose text agrees less than this with their text layer, 0 to 1, are flagged.
        languages: What the model was told to read, with commas; another prediction is refused.
        dpi: As the instances were written with.

    Raises:
        UserError: There is no prediction, or of another model than the rest; or a parameter asks for what is not there.
        OSError: The store cannot be read or written.
    """
    check_fallback(fallback)
    output = Store(predictions)
    config = _config(output)
    plan = plan_of(
        config, SERVER, fallback=fallback, min_agreement=min_agreement, languages=languages, retry="none", dpi=dpi
    )
    settings: dict[str, Any] = {"checkpoint": checkpoint, **plan.settings, "predictions": predictions}

    def body() -> Outcome[BookRecord]:
        keep_tokenizer(plan, config, checkpoint, store)
        _Collection(Assignment(pdfs, store, plan), config).collect(output)
        return written_ledgers(pdfs, store, plan)

    return RECOGNIZE.once(store, [pdfs], plan.parameters, body, settings)


def _pieces(pdfs: Manifest[PdfRecord], store: Store, max_pages: int) -> list[Piece]:
    """Return the pages of the PDFs that can be rendered."""
    books = {pdf.pdf_sha256: pdf for pdf in pdfs.rows if pdf.status is Status.OK}
    missing = []
    for sha256, pdf in books.items():
        faults = {each.page for each in read_inspections(pdfs, sha256, store) if each.reason}
        missing.append(Missing(sha256, tuple(page for page in range(1, pdf.num_pages + 1) if page not in faults)))
    return cut(missing, max_pages)


class _Result(NamedTuple):
    """A line of a job's output."""

    piece: Piece | None  # None for the page of three lines
    prediction: dict[str, Any]


def _results(output: Store) -> Iterator[_Result]:
    """Yield what a job predicted, in any order."""
    for name in output.names(""):
        if name.startswith(RESULTS):
            for line in output.read_jsonl(name):
                yield _Result(_piece_of(line["instance"]), line["prediction"])


def _piece_of(instance: Any) -> Piece | None:
    """Return what an instance asked for, of its copy in the output."""
    wanted = parse_instance(instance, PageRange())
    if not wanted.uri:
        return None
    last = wanted.pages.last or wanted.pages.first
    return Piece(pdf_of(wanted.uri), tuple(range(wanted.pages.first, last + 1)))


def _errors(output: Store) -> Iterator[str]:
    """Yield what a job says of instances that failed, a line each and nothing of the instances."""
    for name in output.names(""):
        if name.startswith(ERRORS):
            with output.reading(name) as stream:
                for line in stream:
                    yield _said(line)


def _said(line: bytes) -> str:
    try:
        value = json.loads(line)
    except ValueError:
        value = line.decode(errors="replace")
    error = value.get("error", "no reason given") if isinstance(value, dict) else value
    said = error.get("message", error) if isinstance(error, dict) else error
    return " ".join(str(said).split())[:200]


def _config(output: Store) -> EngineConfig:
    """Return what a job reads with; raises UserError where it has predicted nothing."""
    for result in _results(output):
        return config_in(result.prediction, SERVER)
    why = next(_errors(output), "there is no file of results")
    raise UserError(output.uri, f"holds no prediction ({why})", "look at the job's log, and run it again")


class _Collection:
    """Keeps the rows of a job's predictions, and writes the books."""

    def __init__(self, assignment: Assignment, config: EngineConfig) -> None:
        self.assignment, self.config = assignment, config
        self.lacking = {book.pdf_sha256: {*book.pages, *book.suspects} for book in assignment.missing()}
        self.why_not: list[str] = []

    def collect(self, output: Store) -> None:
        """Keep what was predicted of the pages that are missing; the others of them have failed.

        Raises:
            UserError: None was predicted.
        """
        asked_for = sum(map(len, self.lacking.values()))
        for result in track(_results(output), "collect"):
            if config_in(result.prediction, SERVER) != self.config:
                raise UserError(output.uri, "holds predictions of two models", "run the job again with one version")
            if result.piece is not None and self.lacking.get(result.piece.pdf_sha256, set()) >= {*result.piece.pages}:
                self._keep(result.piece, result.prediction)
        without = sum(map(len, self.lacking.values()))
        if without:
            self.why_not += itertools.islice(_errors(output), SHOWN_ERRORS)
            self._give_up(output, without, asked_for)
        self.assignment.missing()  # joins the books

    def _keep(self, piece: Piece, prediction: dict[str, Any]) -> None:
        try:
            rows = records_in(prediction, piece, self.config)
        except NotRead as error:
            self.why_not.append(str(error))
            return
        self._save(piece, rows)

    def _save(self, piece: Piece, rows: Iterable[PageRecord]) -> None:
        self.assignment.readings.save(piece.pdf_sha256, piece.pages, rows)
        self.lacking[piece.pdf_sha256] -= {*piece.pages}

    def _give_up(self, output: Store, without: int, asked_for: int) -> None:
        """Let the pages fail that have no prediction, unless that is all."""
        why = "; ".join(self.why_not[:SHOWN_ERRORS]) or "no reason given"
        if without == asked_for:
            raise UserError(output.uri, f"holds no page that was asked for ({why})", "mend that, and run the job again")
        log.warning("%d of %d pages have no prediction: %s", without, asked_for, why)
        left = [Missing(sha256, tuple(sorted(pages))) for sha256, pages in self.lacking.items() if pages]
        for piece in cut(left, LEFT_PAGES):
            self._save(piece, [failed_row(piece, page, self.config, Reason.MODEL_ERROR) for page in piece.pages])
