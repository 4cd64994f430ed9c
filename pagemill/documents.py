"""Documents in the store: what is known of a book as JSON, and beside it the text, as plain Nougat Markdown."""

import codecs
from collections.abc import Iterable, Iterator, Sequence

from pagemill.manifest import Manifest
from pagemill.records import BookRecord, Document, Drop
from pagemill.storage import Store

DOCUMENTS_FOLDER = "documents"  # of a store: documents/<key>/<pdf>.json, .mmd and what goes with them
DROPS_SUFFIX = ".drops.jsonl"
READ_BYTES = 1 << 18


def document_name(config_key: str, pdf_sha256: str) -> str:
    """Return where the facts of a PDF's document lie, made under some configuration."""
    return f"{DOCUMENTS_FOLDER}/{config_key}/{pdf_sha256}.json"


def text_name(name: str) -> str:
    """Return where the text of a document lies, given where its facts lie."""
    return f"{name.removesuffix('.json')}.mmd"


def signature_name(name: str) -> str:
    """Return where the signature of a document lies, by which its duplicates are found."""
    return f"{name.removesuffix('.json')}.signature.json"


def drops_name(name: str) -> str:
    """Return where it lies what rules left out of a document, or the whole of one that is not there."""
    return f"{name.removesuffix('.json')}{DROPS_SUFFIX}"


def read_drops(store: Store, documents: Sequence[Manifest[BookRecord]]) -> Iterator[Drop]:
    """Yield what rules left out of the books of `clean_documents` manifests, pages and whole books, each once."""
    of_books = {drops_name(document_name(each.config_key, book.pdf_sha256)) for each in documents for book in each.rows}
    for folder in sorted({name.rpartition("/")[0] for name in of_books}):
        yield from _read_drops(store, (name for name in store.names(folder) if name in of_books))


def read_all_drops(store: Store) -> Iterator[Drop]:
    """Yield what rules left out of all documents of a store, under whatever profile."""
    for folder in store.folders(DOCUMENTS_FOLDER):
        yield from _read_drops(store, (name for name in store.names(folder) if name.endswith(DROPS_SUFFIX)))


def _read_drops(store: Store, names: Iterable[str]) -> Iterator[Drop]:
    for name in names:
        yield from map(Drop.from_dict, store.read_jsonl(name))


def write_document(store: Store, name: str, document: Document) -> None:
    """Write a document; its facts come last, so that whoever finds them finds the text as well."""
    store.write_bytes(text_name(name), document.text.encode())
    store.write_json(name, {key: value for key, value in document.to_dict().items() if key != "text"})


def read_document(store: Store, name: str) -> Document:
    """Return a document with its text; raises FileNotFoundError."""
    return Document.from_dict({**store.read_json(name), "text": store.read_bytes(text_name(name)).decode()})


def read_facts(store: Store, name: str) -> Document:
    """Return a document whose text is "", for those that need no text or read it as a stream."""
    return Document.from_dict({**store.read_json(name), "text": ""})


def stream_text(store: Store, name: str) -> Iterator[str]:
    """Yield the text of a document in pieces, so that a long book need not be in memory."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with store.reading(text_name(name)) as stream:
        while piece := stream.read(READ_BYTES):
            yield decoder.decode(piece)
    yield decoder.decode(b"", final=True)
