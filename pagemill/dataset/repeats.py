"""Finds documents with the same text, wherever their archives lay."""

from collections.abc import Iterable

from pagemill.records import Document
from pagemill.storage import text_digest


class Repeats:
    """Groups documents of equal wording; of each group the first by id is kept.

    One without chunks, because cleaning kept another of its shard, gives way to one that has them.
    """

    def __init__(self) -> None:
        self._digest: dict[str, str] = {}  # by document id
        self._kept: dict[str, tuple[bool, str]] = {}  # by digest: whether it lacks chunks, and its id

    def add(self, document: Document, *, has_chunks: bool) -> None:
        """Take notice of a document."""
        digest = self._digest[document.id] = text_digest(document.text)
        candidate = (not has_chunks, document.id)
        self._kept[digest] = min(self._kept.get(digest, candidate), candidate)

    def cluster(self, document_id: str) -> str:
        """Return the id of the document that is kept instead of this one; "" when it is this one."""
        _, kept = self._kept[self._digest[document_id]]
        return "" if kept == document_id else kept


def find_repeats(documents: Iterable[tuple[Document, bool]]) -> Repeats:
    """Return the groups among documents, each given with whether it has chunks."""
    repeats = Repeats()
    for document, has_chunks in documents:
        repeats.add(document, has_chunks=has_chunks)
    return repeats
