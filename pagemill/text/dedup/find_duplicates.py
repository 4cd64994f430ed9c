"""The stage that finds, over all shards, the documents that say the same as another, and keeps the best."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np

from pagemill.documents import signature_name
from pagemill.manifest import Manifest, Outcome, Stage
from pagemill.progress import track
from pagemill.records import BookRecord, Duplicate, Reason, Signature, Status
from pagemill.storage import Store
from pagemill.text.dedup.lsh import near_duplicates
from pagemill.text.dedup.minhash import decode
from pagemill.text.dedup.signature_file import SignatureFile
from pagemill.text.judging.profile import DEFAULT_PROFILE, load_profile

FIND = Stage("find_duplicates", 1, Duplicate)

_READERS = 16  # files of a store that is far away are waited for together
_READ_AHEAD = 1024


def find_duplicates(
    documents: Sequence[Manifest[BookRecord]], store: Store, *, profile: str = DEFAULT_PROFILE
) -> Manifest[Duplicate]:
    """Find the documents of all shards that say the same as another, by the signatures that lie beside them.

    Of documents with the same words, and of those that are alike as `near_duplicates` has it, the one with the highest
    `preference` is kept, of equal ones the first by id. Every other one is a row that names it. A PDF that lies in
    several shards counts once. The order of `documents` changes nothing.

    Memory: less than 1 KB a document; the signatures are in a temporary file of 1 KB a document.

    Args:
        documents: The manifest of `clean_documents` of every shard.
        store: Where the documents and their signatures lie.
        profile: See `pagemill.text.load_profile`; its `duplicates.min_similarity` is the estimated Jaccard similarity
            of the runs of three words of two documents, from which on they are editions of one book. Without it,
            only documents with the same words are duplicates.

    Returns:
        Manifest with a row for each document that is not kept, in order of id. Counts: documents, clusters (kept
        documents with at least one duplicate), duplicate_text, near_duplicate.

    Raises:
        UserError: There is no such profile, or it is not valid.
        FileNotFoundError: The store lacks the signature of a document.
        ValueError: A signature is not such a one.
    """
    likeness = load_profile(profile).duplicates
    min_similarity = likeness.min_similarity if likeness else None
    parents = sorted({manifest.name: manifest for manifest in documents}.values(), key=lambda manifest: manifest.name)

    def body() -> Outcome[Duplicate]:
        names = _signature_names(parents)
        with SignatureFile() as file:
            candidates = _Candidates(file)
            for signature in track(_read(names, store), "read signatures", len(names)):
                candidates.add(signature)
            rows = candidates.duplicates(min_similarity)
        return Outcome(rows, _counts(len(names), rows))

    return FIND.once(store, parents, {"min_similarity": min_similarity}, body, {"profile": profile})


def _signature_names(documents: Sequence[Manifest[BookRecord]]) -> list[str]:
    """Return where the signatures lie, one for each PDF, in order of PDFs."""
    by_pdf: dict[str, str] = {}
    for shard in documents:
        for book in shard.rows:
            if book.result and book.status is Status.OK:
                by_pdf.setdefault(book.pdf_sha256, signature_name(book.result))
    return [name for _, name in sorted(by_pdf.items())]


def _read(names: Iterable[str], store: Store) -> Iterator[Signature]:
    """Yield signatures in the order of their names; a store that is far away is asked for several at a time."""
    remaining = iter(names)
    with ThreadPoolExecutor(_READERS, "read signatures") as pool:
        while some := list(islice(remaining, _READ_AHEAD)):
            yield from map(Signature.from_dict, pool.map(store.read_json, some))


class _Candidates:
    """The documents that may be duplicates: what is needed of each in memory, its signature on disk."""

    def __init__(self, file: SignatureFile) -> None:
        self.file = file
        self.ids: list[str] = []
        self.pdfs: list[str] = []
        self.texts: list[bytes] = []  # equal where the words are
        self.preferences: list[float] = []
        self.signed: list[int] = []  # the documents whose signatures are in the file, in its order

    def add(self, signature: Signature) -> None:
        """Take a document in."""
        minhash = decode(signature.minhash)
        if minhash is not None:
            self.file.append(minhash)
            self.signed.append(len(self.ids))
        self.ids.append(signature.id)
        self.pdfs.append(signature.pdf_sha256)
        self.texts.append(bytes.fromhex(signature.text_sha256) if signature.characters else signature.id.encode())
        self.preferences.append(signature.preference)

    def duplicates(self, min_similarity: float | None) -> list[Duplicate]:
        """Return the documents that are not kept, in order of id."""
        best_first = sorted(range(len(self.ids)), key=lambda index: (-self.preferences[index], self.ids[index]))
        kept = np.arange(len(self.ids))
        similarity = np.ones(len(self.ids))
        best_with_text: dict[bytes, int] = {}
        for index in best_first:
            kept[index] = best_with_text.setdefault(self.texts[index], index)
        if min_similarity is not None:
            ranks = np.empty(len(kept), np.int64)
            ranks[best_first] = np.arange(len(kept))
            signed = np.array(self.signed, np.int64)
            found = near_duplicates(self.file, min_similarity, np.argsort(ranks[signed]))
            kept[signed], similarity[signed] = signed[found.kept], found.similarity
        lost = np.flatnonzero(kept != np.arange(len(kept))).tolist()
        return [
            self._duplicate(index, kept[index], similarity[index]) for index in sorted(lost, key=self.ids.__getitem__)
        ]

    def _duplicate(self, index: int, kept: int, similarity: float) -> Duplicate:
        same = self.texts[index] == self.texts[kept]
        reason = Reason.DUPLICATE_TEXT if same else Reason.NEAR_DUPLICATE
        return Duplicate(self.ids[index], self.pdfs[index], self.ids[kept], reason, round(float(similarity), 4))


def _counts(documents: int, rows: Sequence[Duplicate]) -> dict[str, int]:
    reasons = Counter(row.reason for row in rows)
    return {
        "documents": documents,
        "clusters": len({row.kept for row in rows}),
        "duplicate_text": reasons[Reason.DUPLICATE_TEXT],
        "near_duplicate": reasons[Reason.NEAR_DUPLICATE],
    }
