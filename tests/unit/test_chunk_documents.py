"""The stage that cuts documents: rows that resolve to pages and characters, and nothing done twice."""

import dataclasses
import itertools
import json
import sys
from pathlib import Path

import pytest

from pagemill.documents import write_document
from pagemill.errors import UserError
from pagemill.manifest import Manifest, Outcome, Stage
from pagemill.records import (
    BookRecord,
    Chunk,
    Document,
    DocumentMetadata,
    MaskCounts,
    PageQuality,
    Quality,
    Reason,
    Status,
)
from pagemill.storage import Store, digest
from pagemill.text import chunk_documents, chunk_file
from pagemill.text.chunking.tokens import load_tokenizer
from tests.bytewise import bytewise_tokenizer

PAGES = (
    "# Elements\n\nA point is that which has no part. A line is breadthless length.\n\n",
    "The ends of a line are points.\n\n## Tables\n\n\\[a^2 + b^2 = c^2\\]\n\n",
    "",
    "Une droite est une longueur sans largeur. Les extr\u00e9mit\u00e9s d'une ligne sont des points.\n",
)
LANGUAGES = ("en", "en", "und", "fr")


def make_document(name: str, pages: tuple[str, ...] = PAGES, page_numbers: tuple[int, ...] = (3, 4, 5, 6)) -> Document:
    ends = tuple(sum(map(len, pages[: index + 1])) for index in range(len(pages)))
    return Document(
        id=digest(name)[:32],
        text="".join(pages),
        source=f"books.rar/{name}.pdf",
        added="",
        created="",
        metadata=DocumentMetadata("books.rar", "a" * 64, f"{name}.pdf", digest(name), "", "", 4, "m", "", "0", ""),
        language="en",
        language_score=0.9,
        token_count=80,
        extractor="nougat",
        page_ends=ends,
        page_numbers=page_numbers,
        page_labels=("",) * len(pages),
        page_status=("ok",) * len(pages),
        page_dropped=("",) * len(pages),
        page_quality=tuple(
            PageQuality(100, 0.9, 0.1, 0.0, 0, 0, language, 0.9, "body") for language in LANGUAGES[: len(pages)]
        ),
        fallback_pages=(),
        missing_pages=(),
        quality=Quality(0.9, 0.1, 0.0, 0.0, 0, 0, 0),
        masked=MaskCounts(),
        duplicate_cluster="",
    )


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A folder with a tokenizer that makes one token of each byte."""
    folder = tmp_path / "tiny-checkpoint"
    folder.mkdir()
    bytewise_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def documents(store: Store, checkpoint: Path) -> Manifest[BookRecord]:
    return make_documents(store, checkpoint)


def make_documents(store: Store, checkpoint: Path | None) -> Manifest[BookRecord]:
    """A shard of one good book, one that repeats it and one without text."""
    kept = "tokenizers/aa/tiny-checkpoint.json" if checkpoint else ""
    if checkpoint:
        store.write_bytes(kept, (checkpoint / "tokenizer.json").read_bytes())
    pages = Stage("recognize_pages", 1, BookRecord).once(
        store, [], {"checkpoint_name": "tiny"}, lambda: Outcome([]), {"checkpoint_tokenizer": kept}
    )
    first, second = make_document("first"), make_document("second")
    rows = [
        BookRecord(digest("none"), "", 0, Status.SKIPPED, Reason.NO_TEXT, "4 pages without text"),
        BookRecord(digest("first"), f"documents/x/{digest('first')}.json", 1, Status.OK),
        BookRecord(digest("second"), f"documents/x/{digest('second')}.json", 1, Status.SKIPPED, Reason.DUPLICATE_TEXT),
    ]
    write_document(store, rows[1].result, first)
    write_document(store, rows[2].result, dataclasses.replace(second, duplicate_cluster=first.id))
    return Stage("clean_documents", 1, BookRecord).once(store, [pages], {}, lambda: Outcome(rows))


def cut_rows(store: Store, manifest: Manifest[BookRecord]) -> list[Chunk]:
    (name,) = (row.result for row in manifest.rows if row.result)
    return [Chunk.from_dict(values) for values in store.read_jsonl(name)]


def test_chunks_resolve_to_characters_pages_headings_and_languages(store: Store, documents) -> None:
    chunks = cut_rows(store, chunk_documents(documents, store, target_tokens=80, max_tokens=100))
    text = make_document("first").text
    assert "".join(chunk.text for chunk in chunks) == text
    assert all(chunk.text == text[chunk.char_start : chunk.char_end] for chunk in chunks)
    assert [(chunk.text.split()[0], chunk.page_start, chunk.page_end, chunk.language) for chunk in chunks] == [
        ("#", 3, 3, "en"),
        ("The", 4, 4, "en"),
        ("Une", 6, 6, "fr"),
    ]
    assert [chunk.heading_path for chunk in chunks] == [("Elements",), ("Elements",), ("Elements", "Tables")]
    assert [chunk.has_math for chunk in chunks] == [False, True, False]
    assert [chunk.chunk_index for chunk in chunks] == [0, 1, 2]
    assert {chunk.doc_id for chunk in chunks} == {make_document("first").id}
    assert {chunk.tokenizer for chunk in chunks} == {"tiny-checkpoint"}


def test_a_chunk_over_several_pages_names_the_first_and_the_last_one_with_its_text(store: Store, documents) -> None:
    (chunk,) = cut_rows(store, chunk_documents(documents, store, target_tokens=900, max_tokens=900))
    assert (chunk.page_start, chunk.page_end, chunk.language) == (3, 6, "en")


def test_documents_that_were_not_kept_have_a_row_and_no_chunks(store: Store, documents) -> None:
    manifest = chunk_documents(documents, store)
    assert [row.pdf_sha256 for row in manifest.rows] == sorted(row.pdf_sha256 for row in documents.rows)
    reasons = {row.pdf_sha256: (row.status, row.reason, row.result, row.items) for row in manifest.rows}
    assert reasons[digest("none")] == (Status.SKIPPED, Reason.NO_TEXT, "", 0)
    assert reasons[digest("second")] == (Status.SKIPPED, Reason.DUPLICATE_TEXT, "", 0)
    assert reasons[digest("first")][::3] == (Status.OK, 1)


def test_the_counts_add_up(store: Store, documents) -> None:
    manifest = chunk_documents(documents, store, target_tokens=90, max_tokens=120)
    sizes = [chunk.token_count for chunk in cut_rows(store, manifest)]
    assert manifest.counts == {
        "rows": 3,
        "rows_ok": 1,
        "rows_skipped": 2,
        "documents": 1,
        "chunks": len(sizes),
        "tokens": sum(sizes),
        "chunks_with_math": 1,
        "chunks_with_table": 0,
        "longest_tokens": max(sizes),
    }


def test_overlap_is_part_of_the_span(store: Store, documents) -> None:
    parameters = {"target_tokens": 50, "max_tokens": 100, "overlap_tokens": 45}
    chunks = cut_rows(store, chunk_documents(documents, store, **parameters))
    text = make_document("first").text
    assert all(chunk.text == text[chunk.char_start : chunk.char_end] for chunk in chunks)
    assert any(after.char_start < before.char_end for before, after in itertools.pairwise(chunks))


# -- once, and again ----------------------------------------------------------------------------------------


def test_ids_are_the_same_in_every_run_and_differ_within_one(tmp_path: Path, checkpoint: Path) -> None:
    runs = []
    for name in ("one", "two"):
        store = Store(str(tmp_path / name))
        manifest = chunk_documents(make_documents(store, checkpoint), store, target_tokens=40, max_tokens=80)
        runs.append([chunk.id for chunk in cut_rows(store, manifest)])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == len(runs[0]) > 3
    assert all(len(identity) == 32 for identity in runs[0])


def test_ids_follow_the_parameters(store: Store, documents) -> None:
    small = cut_rows(store, chunk_documents(documents, store, target_tokens=900, max_tokens=900))
    large = cut_rows(store, chunk_documents(documents, store, target_tokens=900, max_tokens=901))
    assert small[0].text == large[0].text
    assert small[0].id != large[0].id


def test_work_that_is_in_the_store_is_not_done_again(store: Store, documents, monkeypatch) -> None:
    first = chunk_documents(documents, store)
    forget_manifest(store, first)
    monkeypatch.setattr(
        sys.modules["pagemill.text.chunk_documents"], "chunk", lambda *_, **__: pytest.fail("cut again")
    )
    assert chunk_documents(documents, store) == first  # from the chunks that are there
    assert chunk_documents(documents, store) == first  # from the manifest


def test_another_cleaning_of_the_same_book_is_cut_anew(store: Store, documents) -> None:
    other = dataclasses.replace(documents, parameters={"min_text_characters": 1})
    (first,) = (row for row in chunk_documents(documents, store).rows if row.result)
    (second,) = (row for row in chunk_documents(other, store).rows if row.result)
    assert first.result != second.result


def forget_manifest(store: Store, manifest: Manifest[BookRecord]) -> None:
    store.delete(manifest.name)
    assert not store.exists(manifest.name)


# -- tokenizers ---------------------------------------------------------------------------------------------


def test_without_a_tokenizer_it_is_that_of_the_checkpoint(store: Store, documents, checkpoint: Path) -> None:
    named = chunk_documents(documents, store, tokenizer=str(checkpoint / "tokenizer.json"))
    assert chunk_documents(documents, store) == named
    assert named.parameters["tokenizer_sha256"] == load_tokenizer(checkpoint).sha256


def test_pages_that_name_no_checkpoint_need_a_tokenizer(store: Store) -> None:
    with pytest.raises(UserError, match="tokenizer: is not given"):
        chunk_documents(make_documents(store, None), store)


def test_a_tokenizer_that_is_not_there_is_named_before_anything_is_cut(store: Store, documents) -> None:
    with pytest.raises(UserError, match="holds no tokenizer"):
        chunk_documents(documents, store, tokenizer="nowhere/tokenizer.json")
    assert store.folders("chunks") == []


def test_lengths_that_contradict_one_another_are_named_before_anything_is_cut(store: Store, documents) -> None:
    with pytest.raises(UserError, match="target_tokens 512"):
        chunk_documents(documents, store, max_tokens=100)
    assert store.folders("chunks") == []


# -- files --------------------------------------------------------------------------------------------------


def test_a_file_is_cut_into_rows_without_pages(tmp_path: Path, checkpoint: Path) -> None:
    path = tmp_path / "book.mmd"
    path.write_bytes("".join(PAGES).replace("\n", "\r\n").encode())
    rows = list(chunk_file(path, checkpoint, target_tokens=80, max_tokens=100))
    assert "".join(row["text"] for row in rows).encode() == path.read_bytes()
    chunks = [Chunk.from_dict(json.loads(json.dumps(row))) for row in rows]
    assert {(chunk.page_start, chunk.page_end) for chunk in chunks} == {(0, 0)}
    assert {chunk.language for chunk in chunks} <= {"en", "fr"}
    assert len({chunk.id for chunk in chunks}) == len(chunks)


def test_ids_of_a_file_follow_from_its_text_alone(tmp_path: Path, checkpoint: Path) -> None:
    rows = []
    for name in ("one.mmd", "two.mmd"):
        (tmp_path / name).write_text("# Title\n\nSome text.")
        rows.append(list(chunk_file(tmp_path / name, checkpoint)))
    assert rows[0] == rows[1]


def test_documents_and_files_are_read_as_streams(
    store: Store, documents, tmp_path: Path, checkpoint, monkeypatch
) -> None:
    whole = cut_rows(store, chunk_documents(documents, store, target_tokens=80, max_tokens=100))
    path = tmp_path / "book.mmd"
    path.write_text("".join(PAGES))
    rows = list(chunk_file(path, checkpoint, target_tokens=80, max_tokens=100))
    for module in ("pagemill.documents", "pagemill.text.text_files"):
        monkeypatch.setattr(sys.modules[module], "READ_BYTES", 1)  # shorter than a character
    again = Store(str(tmp_path / "again"))
    streamed = cut_rows(
        again, chunk_documents(make_documents(again, checkpoint), again, target_tokens=80, max_tokens=100)
    )
    assert streamed == whole
    assert list(chunk_file(path, checkpoint, target_tokens=80, max_tokens=100)) == rows


def test_an_empty_file_has_no_chunks(tmp_path: Path, checkpoint: Path) -> None:
    (tmp_path / "empty.mmd").touch()
    assert list(chunk_file(tmp_path / "empty.mmd", checkpoint)) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "cannot be read"), (b"caf\xe9", "is no UTF-8 text"), (b"caf\xc3", "is no UTF-8 text")],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, checkpoint: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "book.mmd"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=f"book.mmd: {reason}"):
        list(chunk_file(path, checkpoint))
