"""The stage that cuts each clean document into chunks, and the same for a single file."""

import dataclasses
import hashlib
import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pagemill.documents import read_facts, stream_text
from pagemill.errors import UserError
from pagemill.manifest import Manifest, Outcome, Stage
from pagemill.progress import track
from pagemill.records import BookRecord, Chunk, Status
from pagemill.storage import Store, digest
from pagemill.text.chunking.chunker import Passage, check_lengths, chunk
from pagemill.text.chunking.tokens import TOKENIZER_FILE, AnyTokenizer, TokenCounter, load_tokenizer
from pagemill.text.judging.language import UNDETERMINED, detect
from pagemill.text.text_files import FACTS_SUFFIX, stream_text_file

STAGE = Stage("chunk_documents", 2, BookRecord)
LANGUAGE_CHARACTERS = 1 << 18  # of a file, from its beginning, that its language is told by

_ID_CHARACTERS = 32


def chunk_documents(
    documents: Manifest[BookRecord],
    store: Store,
    *,
    tokenizer: str = "",
    target_tokens: int = 512,
    max_tokens: int = 1024,
    overlap_tokens: int = 0,
) -> Manifest[BookRecord]:
    """Cut the documents of a shard and keep the chunks of each in the store.

    Texts are read and chunks are written as streams, so that memory does not grow with a document's length.
    A document that was not kept, such as the repetition of another, is not cut; its row says why.

    Args:
        documents: Manifest of `clean_documents`; its first parent is that of `recognize_pages`.
        store: Where the documents lie, and where `chunks/<key>/<pdf_sha256>.jsonl` go.
        tokenizer: Path or URI of a tokenizer.json or of a folder that holds one; "" takes that of the
            checkpoint that read the pages.
        target_tokens: See `pagemill.text.chunk`.
        max_tokens: See `pagemill.text.chunk`.
        overlap_tokens: See `pagemill.text.chunk`.

    Returns:
        Manifest with a row for each book, in order of `pdf_sha256`; `items` counts its chunks.

    Raises:
        UserError: There is no such tokenizer, or the lengths contradict one another.
        FileNotFoundError: The store lacks a parent manifest or a document that a row names.
    """
    check_lengths(target_tokens, max_tokens, overlap_tokens)
    counter = load_tokenizer(tokenizer or _tokenizer_of_checkpoint(documents, store))
    lengths = {"target_tokens": target_tokens, "max_tokens": max_tokens, "overlap_tokens": overlap_tokens}
    parameters = {"documents_config": documents.config_key, **_identity(counter), **lengths}
    config_key = STAGE.config_key(parameters)

    def body() -> Outcome[BookRecord]:
        tally = Tally()
        books = sorted(documents.rows, key=lambda book: book.pdf_sha256)
        rows = [_cut(book, store, counter, config_key, lengths, tally) for book in track(books, "chunk documents")]
        return Outcome(rows, tally.counts())

    return STAGE.once(store, [documents], parameters, body, {"tokenizer": tokenizer})


def chunk_file(
    path: str | Path,
    tokenizer: AnyTokenizer,
    *,
    target_tokens: int = 512,
    max_tokens: int = 1024,
    overlap_tokens: int = 0,
) -> Iterator[dict[str, Any]]:
    """Cut one file of Nougat's Markdown.

    The chunks know their pages if `pagemill clean` made the file and left its facts beside it; else these are 0.
    The file is read twice, as a stream: first for its digest and its language, which its beginning tells.

    Args:
        path: A UTF-8 text.
        tokenizer: See `pagemill.text.chunk`.
        target_tokens: See `pagemill.text.chunk`.
        max_tokens: See `pagemill.text.chunk`.
        overlap_tokens: See `pagemill.text.chunk`.

    Yields:
        `Chunk` rows as plain values. Ids follow from the text and the parameters, not from the path.

    Raises:
        UserError: The file or the tokenizer cannot be read, or the lengths contradict one another.
    """
    path = Path(path)
    counter = load_tokenizer(tokenizer)
    lengths = {"target_tokens": target_tokens, "max_tokens": max_tokens, "overlap_tokens": overlap_tokens}
    check_lengths(**lengths)
    config_key = STAGE.config_key({**_identity(counter), **lengths})
    sha256, beginning = hashlib.sha256(), ""
    for piece in stream_text_file(path):
        sha256.update(piece.encode())
        beginning += piece[: LANGUAGE_CHARACTERS - len(beginning)]
    doc_id = digest({"text_sha256": sha256.hexdigest()})[:_ID_CHARACTERS]
    source = _Source(doc_id, detect(beginning)[0], **_pages_beside(path, sha256.hexdigest()))
    for row in _rows(source, chunk(stream_text_file(path), counter, **lengths), counter.name, config_key):
        yield row.to_dict()


@dataclasses.dataclass
class Tally:
    """What a stage adds up of its chunks, whether it cut them or found them cut."""

    documents: int = 0
    chunks: int = 0
    tokens: int = 0
    chunks_with_math: int = 0
    chunks_with_table: int = 0
    longest_tokens: int = 0

    def add(self, chunks: Iterable[Mapping[str, Any]]) -> int:
        """Add the chunks of a document and return their number."""
        before = self.chunks
        self.documents += 1
        for values in chunks:
            self.chunks += 1
            self.tokens += values["token_count"]
            self.chunks_with_math += values["has_math"]
            self.chunks_with_table += values["has_table"]
            self.longest_tokens = max(self.longest_tokens, values["token_count"])
        return self.chunks - before

    def counts(self) -> dict[str, int]:
        """Return the sums by name."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, slots=True)
class _Source:
    """What chunks inherit from the text they are cut from; page i ends before `page_ends[i]`."""

    doc_id: str
    language: str
    page_ends: tuple[int, ...] = ()
    page_numbers: tuple[int, ...] = ()
    page_languages: tuple[str, ...] = ()

    def pages(self, start: int, end: int) -> tuple[int, int]:
        """Return the numbers of the first and the last page with a character of a span; 0 without pages."""
        if not self.page_numbers:
            return 0, 0
        first, last = self._index(start), self._index(max(start, end - 1))
        return self.page_numbers[first], self.page_numbers[last]

    def language_of(self, start: int, end: int) -> str:
        """Return the language of most of a span's characters, by page; the text's own where no page knows."""
        if not self.page_languages:
            return self.language
        characters: Counter[str] = Counter()
        for index in range(self._index(start), self._index(end - 1) + 1):
            page_start = self.page_ends[index - 1] if index else 0
            characters[self.page_languages[index]] += min(end, self.page_ends[index]) - max(start, page_start)
        del characters[UNDETERMINED]
        return characters.most_common(1)[0][0] if characters else self.language

    def _index(self, offset: int) -> int:
        return min(bisect_right(self.page_ends, offset), len(self.page_numbers) - 1)


def _cut(
    book: BookRecord, store: Store, counter: TokenCounter, config_key: str, lengths: Mapping[str, int], tally: Tally
) -> BookRecord:
    """Cut a book's document, unless the store has its chunks, and return its row."""
    if book.status is not Status.OK:
        return dataclasses.replace(book, result="", items=0)
    name = f"chunks/{config_key}/{book.pdf_sha256}.jsonl"
    if not store.exists(name):
        facts = read_facts(store, book.result)
        source = _Source(
            doc_id=facts.id,
            language=facts.language,
            page_ends=facts.page_ends,
            page_numbers=facts.page_numbers,
            page_languages=tuple(page.language for page in facts.page_quality),
        )
        rows = _rows(source, chunk(stream_text(store, book.result), counter, **lengths), counter.name, config_key)
        store.write_jsonl(name, (row.to_dict() for row in rows))
    return BookRecord(book.pdf_sha256, name, tally.add(store.read_jsonl(name)), Status.OK)


def _rows(source: _Source, passages: Iterable[Passage], tokenizer: str, config_key: str) -> Iterator[Chunk]:
    for index, passage in enumerate(passages):
        start, end = passage.overlap_start, passage.end
        page_start, page_end = source.pages(start, end - _blank_end(passage.content))
        identity = {"document": source.doc_id, "config": config_key, "start": start, "end": end}
        yield Chunk(
            id=digest(identity)[:_ID_CHARACTERS],
            doc_id=source.doc_id,
            chunk_index=index,
            text=passage.content,
            token_count=passage.token_count,
            tokenizer=tokenizer,
            heading_path=passage.heading_path,
            page_start=page_start,
            page_end=page_end,
            char_start=start,
            char_end=end,
            has_math=passage.has_math,
            has_table=passage.has_table,
            language=source.language_of(start, end),
        )


def _pages_beside(path: Path, text_sha256: str) -> dict[str, tuple[Any, ...]]:
    """Return what `clean_files` wrote of a text's pages; nothing if there is no such file, or it is of another text."""
    try:
        facts = json.loads(path.with_suffix(FACTS_SUFFIX).read_bytes())
        if facts["text_sha256"] == text_sha256:
            return {name: tuple(facts[name]) for name in ("page_ends", "page_numbers", "page_languages")}
    except (OSError, ValueError, TypeError, KeyError):
        pass
    return {}


def _identity(counter: TokenCounter) -> dict[str, str]:
    return {"tokenizer_name": counter.name, "tokenizer_sha256": counter.sha256}


def _tokenizer_of_checkpoint(documents: Manifest[BookRecord], store: Store) -> str:
    """Return where the tokenizer of the checkpoint lies that read the pages of these documents."""
    pages = Manifest.load(store, documents.parents[0], BookRecord)
    kept = str(pages.settings.get("checkpoint_tokenizer", ""))
    if not kept:
        raise UserError("tokenizer", "is not given, and the pages name no checkpoint", f"give a {TOKENIZER_FILE}")
    return store.uri_of(kept)


def _blank_end(text: str) -> int:
    """Return how many characters of white space a text ends with."""
    return len(text) - len(text.rstrip())
