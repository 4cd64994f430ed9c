"""From a server's prediction to the rows of the page ledger."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pagemill.errors import UserError
from pagemill.ocr.assignment import page_row
from pagemill.ocr.engine import failed
from pagemill.ocr.line import Reading
from pagemill.ocr.plan import READING_VERSION
from pagemill.ocr.remote.pieces import Piece
from pagemill.ocr.serving.config import EngineConfig
from pagemill.records import PageRecord, Reason, Row

RowT = TypeVar("RowT", bound=Row)

_UPDATE = "have the server and pagemill here be of the same version"
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError)
# On its way through Vertex AI every number becomes a double, and 60.0 may come as 60 or 3 as 3.0.
_NUMBERS: dict[Any, Callable[[Any], Any]] = {
    int: int,
    float: float,
    float | None: lambda value: None if value is None else float(value),
}


class NotRead(RuntimeError):
    """Pages that a server did not read although nothing is known to be wrong with them; its text says why."""


def config_in(prediction: Mapping[str, Any], server: str) -> EngineConfig:
    """Return what a prediction was made with; raises UserError for one by a server of another version."""
    try:
        config = _revived(EngineConfig, prediction["config"])
    except _MALFORMED:
        raise UserError(server, "does not say what it reads with", _UPDATE) from None
    if config.reading_version != READING_VERSION:
        reason = f"reads pages by version {config.reading_version}, not {READING_VERSION}"
        raise UserError(server, reason, _UPDATE)
    return config


def records_in(prediction: Mapping[str, Any], piece: Piece, config: EngineConfig) -> list[PageRecord]:
    """Return the rows of a piece's pages, in order.

    What the server says of the PDF as a whole is said of each page.

    Raises:
        NotRead: The server could not get at the PDF, or the prediction is not of these pages.
    """
    reason = prediction.get("reason")
    if reason in set(Reason):
        return [failed_row(piece, page, config, Reason(reason)) for page in piece.pages]
    if reason is not None:
        raise NotRead(" ".join(f"{reason}: {prediction.get('detail', '')}".split())[:300])
    try:
        rows = [_revived(PageRecord, values) for values in prediction["pages"]]
    except _MALFORMED as error:
        raise NotRead(f"the answer holds no page records ({error})") from None
    if len(rows) != len(piece.pages):
        raise NotRead(f"{len(rows)} pages were answered for {len(piece.pages)}")
    # A PDF that was cut for sending has a digest of its own, and its pages count from 1.
    return [
        dataclasses.replace(row, pdf_sha256=piece.pdf_sha256, page=page)
        for row, page in zip(rows, piece.pages, strict=True)
    ]


def failed_row(piece: Piece, page: int, config: EngineConfig, reason: Reason) -> PageRecord:
    """Return the row of a page that failed as a server's page does."""
    return page_row(piece.pdf_sha256, page, config.engine, Reading(failed(reason)))


def _revived(row: type[RowT], values: Mapping[str, Any]) -> RowT:
    """Build a row from JSON whose numbers have lost their types."""
    numbers = {field.name: _NUMBERS[field.type] for field in dataclasses.fields(row) if field.type in _NUMBERS}
    return row.from_dict({name: numbers[name](value) if name in numbers else value for name, value in values.items()})
