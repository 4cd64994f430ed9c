"""What a batch leaves for people and programs: a page and a row for each deck, and one page over all of them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import Field

from pagemill import __version__
from pagemill.decks.batch.collecting import DeckFile
from pagemill.decks.batch.outcomes import HandedOn, TaskOutcome
from pagemill.decks.keeping import KEY_CHARACTERS
from pagemill.decks.records import Deck, Record, Status
from pagemill.decks.report import write_report
from pagemill.decks.review import Review, assemble_review
from pagemill.manifest import Manifest
from pagemill.storage import Store, digest
from pagemill.templates import html_templates

RECORDED = {  # of a row, as metadata of its artifact
    *("name", "pdf_sha256", "status", "reason", "content_digest", "failed_parts", "flags"),
    *("calls", "tokens_in", "tokens_out", "model_seconds", "review", "report"),
}


class TaskRow(Record):
    """What became of a task of a deck."""

    status: Status
    reason: str = ""
    result: str = ""  # its name in the store
    content_digest: str = ""


class ReviewRow(HandedOn):
    """A file of a batch in one row: what its deck says, what became of it, and what that took."""

    name: str
    uri: str = ""  # at the source
    pdf_sha256: str = ""
    status: Status
    reason: str = ""  # why it is not ok: the first
    detail: str = ""
    startup_name: str | None = None
    company_offering: str | None = None
    healthcare: str | None = None  # yes or no
    healthcare_area: str | None = None
    funding_amount: str | None = None  # a plain number
    funding_currency: str | None = None  # ISO 4217
    deck_date: str | None = None
    flags: int = 0  # on these facts
    slides: int = 0
    failed_parts: int = 0  # slides and sections without an answer
    tasks: dict[str, TaskRow] = Field(default_factory=dict)
    content_digest: str = ""  # of all findings
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    model_seconds: float = 0.0
    review: str = ""  # whole, as JSON: its name in the store
    report: str = ""  # as a page: its name in the store

    @property
    def metadata(self) -> dict[str, str | int | float]:
        """What an artifact of the row carries."""
        values: dict[str, str | int | float] = self.model_dump(mode="json", include=RECORDED)
        return values


def conclude_review(deck: Deck, outcomes: Iterable[TaskOutcome], store: Store, page: Path) -> ReviewRow:
    """Put together what the tasks of a deck found: as a page and as JSON, both also in the store, and as a row.

    Args:
        deck: What was reviewed.
        outcomes: Of its tasks.
        store: Has the results; receives page and JSON.
        page: Receives the page.
    """
    outcomes = list(outcomes)
    results = {each.task: each.output.result for each in outcomes if each.output}
    troubles = [each.trouble for each in outcomes if each.trouble]
    in_vain = {each.task: each.in_vain for each in outcomes if each.in_vain}
    found = assemble_review(deck, results, store, troubles, in_vain)
    write_report(found, store, page)
    name = f"decks/reports/{digest([each.metadata for each in outcomes])[:KEY_CHARACTERS]}"
    store.write_bytes(f"{name}.html", page.read_bytes())
    store.write_json(f"{name}.json", found.model_dump(mode="json"))
    return _row(found, {each.task: _task_row(each) for each in outcomes}, name)


def _task_row(outcome: TaskOutcome) -> TaskRow:
    told = outcome.metadata
    return TaskRow.model_validate({name: told[name] for name in TaskRow.model_fields})


def _row(found: Review, tasks: Mapping[str, TaskRow], name: str) -> ReviewRow:
    troubles, calls = found.troubles, found.calls
    parts = [part for result in found.results for part in result.parts]
    return ReviewRow(
        name=found.deck.name,
        pdf_sha256=found.deck.pdf_sha256,
        status=Status.FAILED if troubles else Status.OK,
        reason=str(troubles[0].reason) if troubles else "",
        detail=f"{troubles[0].task}: {troubles[0].detail}" if troubles else "",
        **_facts(found),
        slides=len(found.visual.rows) if found.visual else 0,
        failed_parts=parts.count(Status.FAILED),
        tasks=dict(tasks),
        content_digest=found.content_digest,
        calls=len(calls),
        tokens_in=sum(call.tokens_in for call in calls),
        tokens_out=sum(call.tokens_out for call in calls),
        model_seconds=round(sum(call.seconds for call in calls), 3),
        review=f"{name}.json",
        report=f"{name}.html",
    )


def _facts(found: Review) -> dict[str, Any]:
    if found.extractions is None:
        return {}
    facts = found.extractions.extractions
    return {
        "startup_name": facts.startup_name.value,
        "company_offering": facts.company_offering.value,
        "healthcare": facts.healthcare.value,
        "healthcare_area": facts.healthcare.area,
        "funding_amount": facts.funding_amount.value,
        "funding_currency": facts.funding_amount.currency,
        "deck_date": facts.deck_date.value,
        "flags": sum(len(fact.flags) for _, fact in facts),
    }


def report_reviews(
    files: Manifest[DeckFile], reviews: Sequence[ReviewRow], store: Store, page: Path, rows: Path
) -> dict[str, int | float]:
    """Report a batch: one page that leads to the page of each deck, and a row for every file of the source.

    Args:
        files: What was at the source.
        reviews: Of its decks.
        store: Has the pages of the decks.
        page: Receives the page.
        rows: Receives the rows as JSONL, each a `ReviewRow`.

    Returns:
        What the batch comes to, in numbers.
    """
    by_deck = {each.pdf_sha256: each for each in reviews}
    told = [_told(file, by_deck) for file in files.rows]
    figures = _figures(told)
    template = html_templates("pagemill.decks.batch").get_template("reviews.html")
    links = {each.report: link_to(store.uri_of(each.report)) for each in told if each.report}
    source = files.parameters["source"]
    page.parent.mkdir(parents=True, exist_ok=True)
    html = template.render(rows=told, figures=figures, links=links, source=source, version=__version__)
    page.write_text(html, encoding="utf-8", errors="replace")
    rows.parent.mkdir(parents=True, exist_ok=True)
    rows.write_text("".join(each.model_dump_json() + "\n" for each in told))
    return figures


def link_to(uri: str) -> str:
    """Return an address of a file in a store that a browser opens, where there is one."""
    if uri.startswith("gs://"):
        return f"https://storage.cloud.google.com/{quote(uri.removeprefix('gs://'))}"
    return uri if "://" in uri else Path(uri).absolute().as_uri()


def _told(file: DeckFile, by_deck: Mapping[str, ReviewRow]) -> ReviewRow:
    """Return the row of a file: that of its review, or why it has none."""
    if file.is_deck:
        return by_deck[file.pdf_sha256].model_copy(update={"name": file.name, "uri": file.uri})
    return ReviewRow(
        name=file.name,
        uri=file.uri,
        pdf_sha256=file.pdf_sha256,
        status=Status(file.status),
        reason=str(file.reason or ""),
        detail=file.detail,
    )


def _figures(rows: Sequence[ReviewRow]) -> dict[str, int | float]:
    decks = [row for row in rows if row.report]
    return {
        "files": len(rows),
        "files_not_pdf": sum(row.status is Status.FAILED and not row.report for row in rows),
        "decks": len(decks),
        "decks_failed": sum(row.status is Status.FAILED for row in decks),
        "decks_healthcare": sum(row.healthcare == "yes" for row in decks),
        "failed_parts": sum(row.failed_parts for row in decks),
        "flags": sum(row.flags for row in decks),
        "calls": sum(row.calls for row in decks),
        "tokens_in": sum(row.tokens_in for row in decks),
        "tokens_out": sum(row.tokens_out for row in decks),
        "model_seconds": round(sum(row.model_seconds for row in decks), 3),
    }
