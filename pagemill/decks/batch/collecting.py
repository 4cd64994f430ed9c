"""The decks at a source: each PDF goes into the store; what is none, or is there twice, becomes a row that says so."""

import dataclasses
import shutil
import time
from collections.abc import Iterable

from pagemill.archives.sources import SourceFile, list_source, matches, matches_path
from pagemill.decks.batch.items import item_of
from pagemill.decks.records import Deck
from pagemill.decks.slides import add_deck
from pagemill.errors import UserError
from pagemill.manifest import Manifest, Outcome, Stage
from pagemill.records import Reason, Row, Status
from pagemill.storage import COPY_BYTES, Store, digest, filesystem_of

MAX_DECKS = 100  # Vertex AI collects the artifacts of no more


@dataclasses.dataclass(frozen=True, slots=True)
class DeckFile(Row):
    """A file at the source, and the deck that it is."""

    name: str  # path below the source
    uri: str
    size_bytes: int
    status: Status
    pdf_sha256: str = ""
    reason: Reason | None = None
    detail: str = ""

    @property
    def is_deck(self) -> bool:
        """Say whether it is a deck, and the first file that is this one."""
        return self.status is Status.OK

    @property
    def deck(self) -> Deck:
        """The deck; only of a file that is one."""
        return Deck(pdf_sha256=self.pdf_sha256, name=self.name.rsplit("/", 1)[-1])


COLLECT = Stage("collect_decks", 1, DeckFile)


def collect_decks(
    source: str, store: Store, *, pattern: str = "*.pdf", source_fingerprint: str = ""
) -> Manifest[DeckFile]:
    """Put the decks at a source into the store, and write down what every file came to.

    It always lists, because the outside world may have changed.

    Args:
        source: A local file, folder or glob, or a `gs://` prefix.
        store: Where decks and manifest go.
        pattern: Glob for the names of decks; with a slash, for their paths below the source.
        source_fingerprint: Names the state that the source is expected in, such as `fingerprint_of` it.

    Raises:
        UserError: The source does not exist, cannot be reached, or holds no deck, or too many.
    """
    started = time.monotonic()
    files = _files_at(source, pattern)
    rows: list[DeckFile] = []
    for file in files:
        rows.append(_collected(file, store, rows))
    decks = sum(row.is_deck for row in rows)
    if not decks:
        raise UserError(source, f"none of its {len(rows)} files is a PDF", "export the decks as PDF")
    parameters = {
        "source": source,
        "source_fingerprint": source_fingerprint,
        "pattern": pattern,
        "fingerprint": _fingerprint(files),
    }
    return COLLECT.record(store, (), parameters, Outcome(rows, {"decks": decks}), {}, time.monotonic() - started)


def fingerprint_of(source: str, pattern: str) -> str:
    """Return one digest of all files at a source that may be decks, as they are now; raises as `collect_decks` does."""
    return _fingerprint(_files_at(source, pattern))


def deck_items(files: Iterable[DeckFile]) -> list[str]:
    """Return the decks among files, as `deck_of` reads them."""
    return [item_of(file.deck) for file in files if file.is_deck]


def _files_at(source: str, pattern: str) -> list[SourceFile]:
    listing = list_source(source)
    files = [
        file
        for file in listing.files
        if matches(file.name, pattern) and (not listing.wanted or matches_path(file.name, listing.wanted))
    ]
    if not files:
        raise UserError(source, f"holds no file that matches {pattern!r}", "check the source and the pattern")
    if len(files) > MAX_DECKS:
        reason = f"holds {len(files)} files that match {pattern!r}, and a run takes {MAX_DECKS}"
        raise UserError(source, reason, "give folders or globs of fewer, one a run")
    return sorted(files, key=lambda file: file.name)


def _fingerprint(files: Iterable[SourceFile]) -> str:
    return digest([[file.name, file.size_bytes, file.version] for file in files])


def _collected(file: SourceFile, store: Store, before: Iterable[DeckFile]) -> DeckFile:
    """Put a file into the store and return its row."""
    row = DeckFile(file.name, file.uri, file.size_bytes, Status.OK)
    filesystem, path = filesystem_of(file.uri)
    with store.staging() as staged:
        with filesystem.open(path, "rb") as content, staged.open("wb") as copy:
            shutil.copyfileobj(content, copy, COPY_BYTES)
        try:
            deck = add_deck(staged, store)
        except UserError:
            return dataclasses.replace(row, status=Status.FAILED, reason=Reason.NOT_A_PDF)
    row = dataclasses.replace(row, pdf_sha256=deck.pdf_sha256)
    first = next((each for each in before if each.pdf_sha256 == deck.pdf_sha256), None)
    if first is None:
        return row
    return dataclasses.replace(row, status=Status.SKIPPED, reason=Reason.SAME_PDF, detail=first.name)
