"""Building the dataset: every page and member accounted for, nothing twice, equal input giving equal bytes."""

import dataclasses
import io
import itertools
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import zstandard

from pagemill.dataset import publish_dataset
from pagemill.documents import write_document
from pagemill.errors import UserError
from pagemill.manifest import Manifest
from pagemill.records import Chunk, DatasetFile, Document, PageRecord, Reason, Status, arrow_schema
from pagemill.storage import Store
from tests import chain

ROW_TYPES = {"chunks": Chunk, "documents": Document, "pages": PageRecord}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def read_parquet(store: Store, dataset: Manifest[DatasetFile], config: str) -> list[dict]:
    files = [file for file in dataset.rows if file.config == config and file.path.endswith(".parquet")]
    return [row for file in files for row in pq.read_table(store.path(file.stored)).to_pylist()]


def read_jsonl(store: Store, dataset: Manifest[DatasetFile], config: str) -> list[dict]:
    files = [file for file in dataset.rows if file.config == config and file.path.endswith(".jsonl.zst")]
    texts = (zstandard.ZstdDecompressor().stream_reader(io.BytesIO(store.read_bytes(f.stored))).read() for f in files)
    return [json.loads(line) for text in texts for line in text.splitlines()]


def card_of(store: Store, dataset: Manifest[DatasetFile]) -> str:
    (card,) = (file for file in dataset.rows if file.path == "README.md")
    return store.read_bytes(card.stored).decode()


def test_every_page_that_went_in_has_one_row(store: Store) -> None:
    dataset = chain.build(store, chain.sample_chains(store))
    pages = read_parquet(store, dataset, "pages")
    distinct = {pdf.sha256: pdf for shard in chain.SHARDS for pdf in shard}
    expected = {(sha256, n) for sha256, pdf in distinct.items() for n in (range(1, len(pdf.pages) + 1) or [0])}
    assert [(row["pdf_sha256"], row["page"]) for row in pages] == sorted(expected)
    assert dataset.counts["pages"] == sum(len(pdf.pages) or 1 for pdf in distinct.values()) == len(pages)
    assert dataset.counts["pages_missing"] == 0


def test_page_rows_are_the_ledger(store: Store) -> None:
    dataset = chain.build(store, chain.sample_chains(store))
    rows = [PageRecord.from_dict(row) for row in read_parquet(store, dataset, "pages")]
    ledger = {
        (row.pdf_sha256, row.page): row for shard in chain.SHARDS for pdf in shard for row in chain.page_rows(pdf)
    }
    assert {(row.pdf_sha256, row.page): row for row in rows} == ledger


def test_members_pages_and_documents_are_in_the_data_or_in_the_counted_drops(store: Store) -> None:
    counts = chain.build(store, chain.sample_chains(store)).counts
    of_members = counts["dropped_checksum_mismatch"] + counts["dropped_not_a_pdf"]
    assert counts["archives"] == 2
    assert counts["members"] == counts["pdfs"] + counts["members_repeated"] + of_members == 8
    assert counts["pdfs"] == counts["documents"] + counts["dropped_broken_pdf"] == 5
    with_text = counts["pages_ok"] + counts["pages_truncated"] + counts["pages_fallback"]
    of_pages = counts["dropped_blank_page"] + counts["dropped_repetition_from_start"]
    assert counts["pages"] == with_text + of_pages + counts["pdfs_failed"]
    assert counts["dropped_duplicate_text"] == 1
    assert (counts["members_failed"], counts["pdfs_failed"], counts["members_repeated"]) == (1, 1, 1)


def test_counts_of_bytes_and_tokens_are_those_of_the_files(store: Store) -> None:
    dataset = chain.build(store, chain.sample_chains(store))
    chunks = read_parquet(store, dataset, "chunks")
    assert dataset.counts["chunks"] == len(chunks)
    assert dataset.counts["tokens"] == sum(row["token_count"] for row in chunks)
    assert dataset.counts["bytes"] == sum(store.size_bytes(file.stored) for file in dataset.rows)
    assert dataset.counts["rows"] == len(dataset.rows)


def test_chunks_lead_to_document_page_and_archive(store: Store) -> None:
    dataset = chain.build(store, chain.sample_chains(store))
    documents = {row["id"]: row for row in read_parquet(store, dataset, "documents")}
    pages = {(row["pdf_sha256"], row["page"]): row for row in read_parquet(store, dataset, "pages")}
    for chunk in read_parquet(store, dataset, "chunks"):
        document = documents[chunk["doc_id"]]
        assert document["text"][chunk["char_start"] : chunk["char_end"]] == chunk["text"]
        assert pages[document["metadata"]["pdf_sha256"], chunk["page_start"]]["text"] == chunk["text"]
        assert document["metadata"]["archive_sha256"] == chain.fingerprint(document["metadata"]["archive"])


def test_a_duplicate_has_no_chunks_and_names_what_is_kept(store: Store) -> None:
    dataset = chain.build(store, chain.sample_chains(store))
    documents = {row["id"]: row for row in read_parquet(store, dataset, "documents")}
    kept, repeat = chain.document_id(chain.FAUST), chain.document_id(chain.FAUST_AGAIN)
    assert documents[kept]["duplicate_cluster"] == ""
    assert documents[repeat]["duplicate_cluster"] == kept
    with_chunks = {row["doc_id"] for row in read_parquet(store, dataset, "chunks")}
    assert with_chunks == documents.keys() - {repeat}


def test_a_pdf_in_two_shards_comes_once(store: Store) -> None:
    dataset = chain.build(store, chain.sample_chains(store))
    chunks = [row["id"] for row in read_parquet(store, dataset, "chunks")]
    assert len(chunks) == len(set(chunks))
    (alice,) = (r for r in read_parquet(store, dataset, "documents") if r["id"] == chain.document_id(chain.ALICE))
    assert alice["metadata"]["archive"] == "a.rar"


@pytest.mark.parametrize("config", ROW_TYPES)
def test_jsonl_and_parquet_hold_the_same_rows_in_the_same_shards(store: Store, config: str) -> None:
    dataset = chain.build(store, chain.sample_chains(store), max_shard_bytes=4096)
    assert read_jsonl(store, dataset, config) == read_parquet(store, dataset, config)
    rows = {file.path.split("/", 1)[1].split(".")[0]: [] for file in dataset.rows if file.config == config}
    for file in (file for file in dataset.rows if file.config == config):
        rows[file.path.split("/", 1)[1].split(".")[0]].append(file.rows)
    assert all(len(set(of_shard)) == 1 and len(of_shard) == 2 for of_shard in rows.values())


@pytest.mark.parametrize("config", ROW_TYPES)
def test_parquet_has_the_schema_of_the_rows_and_what_the_hub_asks_for(store: Store, config: str) -> None:
    dataset = chain.build(store, chain.sample_chains(store))
    (file,) = (file for file in dataset.rows if file.path == f"data/{config}/train-00000-of-00001.parquet")
    parquet = pq.ParquetFile(store.path(file.stored))
    assert parquet.schema_arrow.equals(arrow_schema(ROW_TYPES[config]))
    column = parquet.metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert column.has_offset_index
    assert column.has_column_index


def test_the_order_of_the_shards_changes_nothing(tmp_path: Path) -> None:
    built = []
    for name, order in (("one", 1), ("two", -1)):
        store = Store(str(tmp_path / name))
        manifests = chain.sample_chains(store)[::order]
        built.append(chain.build(store, manifests))
    assert built[0] == built[1]
    assert built[0].name == built[1].name


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        store = Store(str(tmp_path / name))
        digests.append([(file.path, file.sha256) for file in chain.build(store, chain.sample_chains(store)).rows])
    assert digests[0] == digests[1]


def test_a_second_build_does_nothing(store: Store) -> None:
    manifests = chain.sample_chains(store)
    first = chain.build(store, manifests)
    for file in first.rows:
        store.delete(file.stored)
    again = chain.build(store, manifests)
    assert (again, again.finished) == (first, first.finished)
    assert not store.exists(first.rows[0].stored)


def test_a_shard_given_twice_counts_once(store: Store) -> None:
    manifests = chain.sample_chains(store)
    assert chain.build(store, [*manifests, *manifests]) == chain.build(store, manifests)


def test_without_any_book_there_are_files_without_rows(store: Store) -> None:
    dataset = chain.build(store, [chain.chain(store, 1, [chain.BROKEN])])
    assert [row["page"] for row in read_parquet(store, dataset, "pages")] == [0]
    for config in ("chunks", "documents"):
        assert f"data/{config}/train-00000-of-00001.parquet" in [file.path for file in dataset.rows]
        assert read_parquet(store, dataset, config) == read_jsonl(store, dataset, config) == []
    assert (dataset.counts["documents"], dataset.counts["pages_failed"]) == (0, 1)


def test_without_any_shard_there_are_files_without_rows(store: Store) -> None:
    dataset = chain.build(store, [])
    assert len(dataset.rows) == 7
    assert all(file.rows == 0 for file in dataset.rows)
    assert dataset.counts["archives"] == 0


@pytest.mark.parametrize(("max_shard_bytes", "is_split"), [(30_000, True), (77_777, True), (500_000, False)])
def test_shards_are_numbered_and_none_is_too_large(store: Store, max_shard_bytes: int, is_split: bool) -> None:
    pages = tuple(chain.Page(f"Page {n}. " + " ".join(str(n * m) for m in range(2000))) for n in range(30))
    book = chain.SamplePdf("long.pdf", pages)
    dataset = chain.build(store, [chain.chain(store, 0, [book])], max_shard_bytes=max_shard_bytes)
    chunks = read_parquet(store, dataset, "chunks")
    assert [row["chunk_index"] for row in chunks] == list(range(30))
    files = [file for file in dataset.rows if file.path.startswith("data/chunks/")]
    names = [f"data/chunks/train-{n:05d}-of-{len(files):05d}.parquet" for n in range(len(files))]
    assert [file.path for file in files] == names
    footer_bytes = 16_384  # describes the columns and comes on top
    assert all(file.size_bytes <= max_shard_bytes + footer_bytes for file in files)
    assert (len(files) > 1) == is_split


def test_no_temporary_file_is_left(store: Store) -> None:
    chain.build(store, chain.sample_chains(store))
    assert not list(Path(store.root).rglob(".tmp-*"))


def test_datasets_loads_the_files_and_the_configurations_of_the_card(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    dataset = chain.build(store, chain.sample_chains(store))
    folder = tmp_path / "published"
    publish_dataset(dataset, store, publish=str(folder))
    cache = str(tmp_path / "cache")
    files = str(folder / "data/chunks/*.parquet")
    plain = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=cache)
    assert plain.to_list() == read_parquet(store, dataset, "chunks")
    default = datasets.load_dataset(str(folder), split="train", cache_dir=cache)
    assert default.to_list() == plain.to_list()
    for config in ROW_TYPES:
        loaded = datasets.load_dataset(str(folder), config, split="train", cache_dir=cache)
        assert loaded.to_list() == read_parquet(store, dataset, config)


def test_datasets_loads_a_dataset_without_books(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    folder = tmp_path / "published"
    publish_dataset(chain.build(store, []), store, publish=str(folder))
    cache = str(tmp_path / "cache")
    loaded = datasets.load_dataset(str(folder), "documents", split="train", cache_dir=cache, streaming=True)
    assert list(loaded) == []
    assert "metadata" in loaded.column_names


def test_names_that_are_no_unicode_do_not_stop_the_build(store: Store) -> None:
    pdf = dataclasses.replace(chain.ALICE, path="caf\udce9.pdf")
    dataset = chain.build(store, [chain.chain(store, 0, [pdf])])
    (document,) = read_parquet(store, dataset, "documents")
    assert document["metadata"]["member_path"] == "caf?.pdf"
    assert read_jsonl(store, dataset, "documents") == [document]


def test_a_document_names_the_source_of_its_book_whichever_shard_cleaned_it(store: Store) -> None:
    archive = chain.sample_archives()[1]
    cleaned_elsewhere = chain.document_of(chain.ALICE, archive.name, archive.fingerprint)
    shard = chain.chain(store, 0, [chain.ALICE])
    write_document(store, f"documents/clean/{chain.ALICE.sha256}.json", cleaned_elsewhere)
    (document,) = read_parquet(store, chain.build(store, [shard]), "documents")
    assert (document["metadata"]["archive"], document["source"]) == ("a.rar", "a.rar/books/alice.pdf")


def test_pages_without_a_row_are_counted(store: Store) -> None:
    shard = chain.chain(store, 0, [chain.EUCLID])
    result = f"pages/ocr/{chain.EUCLID.sha256}.jsonl"
    store.write_jsonl(result, itertools.islice(store.read_jsonl(result), 3))
    assert chain.build(store, [shard]).counts["pages_missing"] == 1


def test_a_book_without_a_document_is_a_counted_drop(store: Store) -> None:
    blank = chain.SamplePdf("blank.pdf", (chain.Page("", Status.EMPTY, Reason.BLANK_PAGE),))
    dataset = chain.build(store, [chain.chain(store, 0, [blank])])
    assert dataset.counts["documents"] == 0
    assert (dataset.counts["dropped_no_text"], dataset.counts["dropped_blank_page"]) == (1, 1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"name": "  "}, "the dataset's name"), ({"max_shard_bytes": 10}, "max_shard_bytes 10: is too small")],
)
def test_wrong_parameters_are_the_users(store: Store, wrong: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        chain.build(store, [], **wrong)


def test_a_manifest_that_leads_to_no_archives_is_refused(store: Store) -> None:
    shard = chain.chain(store, 0, [chain.ALICE])
    orphan = dataclasses.replace(shard, parents=())
    with pytest.raises(ValueError, match="was made without archives, fetched"):
        chain.build(store, [orphan])
