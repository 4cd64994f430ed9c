"""The dataset card: metadata that the Hub and `datasets` read, and an account of everything that went in."""

import dataclasses
import itertools
import re
from pathlib import Path

import datasets
import pytest
from huggingface_hub import DatasetCard
from hypothesis import given
from hypothesis import strategies as st

from pagemill.dataset.card import LISTED_FAILURES, features, markdown_cell, token_histogram
from pagemill.documents import write_document
from pagemill.manifest import Manifest
from pagemill.records import Chunk, DatasetFile, Document, PageRecord, Reason, Row, Status, arrow_schema
from pagemill.storage import Store
from tests import chain


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def card_of(store: Store, dataset: Manifest[DatasetFile]) -> DatasetCard:
    (file,) = (file for file in dataset.rows if file.path == "README.md")
    return DatasetCard(store.read_bytes(file.stored).decode())


def table_after(text: str, heading: str) -> dict[str, str]:
    """Return the first table below a heading: last cell by the cells before it."""
    section = text.split(f"{heading}\n", 1)[1].split("\n#", 1)[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return {" ".join(row[:-1]).strip(): row[-1] for row in rows[2:]}


def test_the_metadata_parses_back(store: Store) -> None:
    data = card_of(store, chain.build(store, chain.sample_chains(store), name="Old books: a sample")).data
    assert data.pretty_name == "Old books: a sample"
    assert data.language == ["de", "en"]
    assert (data.license, data.license_name) == ("other", "sources-vary-weights-cc-by-nc-4.0")
    assert data.license_link.startswith("https://")
    assert data.annotations_creators == ["machine-generated"]
    assert data.task_categories == ["text-generation"]
    assert data.size_categories == ["n<1K"]
    assert "nougat" in data.tags


def test_configurations_name_the_files_and_chunks_are_the_default(store: Store) -> None:
    dataset = chain.build(store, chain.sample_chains(store), max_shard_bytes=2048)
    configs = card_of(store, dataset).data["configs"]
    assert [(config["config_name"], config.get("default", False)) for config in configs] == [
        ("chunks", True),
        ("documents", False),
        ("pages", False),
    ]
    for config in configs:
        ((path,),) = ([files["path"]] for files in config["data_files"])
        named = [file.path for file in dataset.rows if Path(file.path).match(path)]
        owned = [f.path for f in dataset.rows if f.config == config["config_name"] and f.path.endswith(".parquet")]
        assert named == owned


def test_dataset_info_counts_the_rows_and_bytes_of_the_files(store: Store) -> None:
    dataset = chain.build(store, chain.sample_chains(store))
    for info in card_of(store, dataset).data["dataset_info"]:
        files = [f for f in dataset.rows if f.config == info["config_name"] and f.path.endswith(".parquet")]
        assert info["splits"][0]["num_examples"] == sum(file.rows for file in files)
        assert info["download_size"] == sum(file.size_bytes for file in files)
        assert info["dataset_size"] == info["splits"][0]["num_bytes"] > 0


@pytest.mark.parametrize("row", [Chunk, Document, PageRecord])
def test_features_are_those_that_datasets_sees_in_the_files(row: type[Row]) -> None:
    schema = arrow_schema(row)
    assert datasets.Features._from_yaml_list(features(schema)) == datasets.Features.from_arrow_schema(schema)


def test_the_body_accounts_for_what_went_in(store: Store) -> None:
    text = card_of(store, chain.build(store, chain.sample_chains(store))).text
    numbers = table_after(text, "## From what went in to what came out")
    assert numbers["archives"] == "2"
    assert numbers["members of the archives"] == "8"
    assert numbers["rows of the page ledger"] == "12"
    assert numbers["chunks"] == "7"
    assert table_after(text, "### Left out, by reason") == {
        "PDF `broken_pdf`": "1",
        "document `duplicate_text`": "1",
        "member `checksum_mismatch`": "1",
        "member `not_a_pdf`": "1",
        "page `blank_page`": "1",
        "page `repetition_from_start`": "1",
    }


def test_the_body_lists_what_failed(store: Store) -> None:
    text = card_of(store, chain.build(store, chain.sample_chains(store))).text
    assert r"| a.rar | books/torn.pdf | member | `checksum_mismatch` | crc32 0 \| not &lt;1&gt; |" in text
    assert "| b.rar | broken.pdf | PDF | `broken_pdf` |" in text


def test_the_body_gives_the_rates_of_pages(store: Store) -> None:
    text = card_of(store, chain.build(store, chain.sample_chains(store))).text
    rates = table_after(text, "## Pages")
    assert rates["7"] == "58.33 % read in full by the model"
    assert "16.67 % missing" in rates.values()
    assert "8.33 % taken from the PDF's own text layer instead" in text


def test_the_body_says_what_made_it(store: Store) -> None:
    text = card_of(store, chain.build(store, chain.sample_chains(store))).text
    assert f"Checkpoint: demo-tiny, sha256 `{'c' * 64}`, licence CC-BY-NC-4.0" in text
    assert "pagemill 0.1.0" in text
    for stage in ("extract_pdfs", "recognize_pages", "chunk_documents"):
        assert re.search(rf"\| `{stage}` \| 1 \| `[0-9a-f]{{32}}` \|", text)
    assert "target\\_tokens" in text


def test_the_body_counts_what_rules_left_out_and_what_was_masked(store: Store) -> None:
    shard = chain.chain(store, 0, [chain.ALICE])
    archive = chain.sample_archives()[0]
    document = chain.document_of(chain.ALICE, archive.name, archive.fingerprint)
    document = dataclasses.replace(document, page_dropped=("garbage_page", "", "garbage_page"))
    write_document(store, f"documents/clean/{chain.ALICE.sha256}.json", document)
    text = card_of(store, chain.build(store, [shard])).text
    assert "| `garbage_page` | 2 |" in text
    assert "| page | `filtered` | 2 |" in text
    assert "masked: 2 e-mail addresses, 0 telephone" in text


def test_languages_and_lengths_have_their_histograms(store: Store) -> None:
    text = card_of(store, chain.build(store, chain.sample_chains(store))).text
    assert table_after(text, "## Languages") == {"en 2": "43", "de 1": "9"}
    assert sum(int(row.split()[-1]) for row in table_after(text, "## Length of the chunks")) == 7


def test_the_card_of_the_demo_says_what_it_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "This is a demonstration" in card_of(store, chain.build(store, chain.sample_chains(store))).text
    monkeypatch.setitem(chain.CHECKPOINT, "checkpoint_name", "nougat-0.1.0-base")
    text = card_of(store, chain.build(store, chain.sample_chains(store))).text
    assert "This is a demonstration" not in text
    assert "Checkpoint: nougat-0.1.0-base" in text


def test_whom_to_ask_for_a_takedown(store: Store) -> None:
    manifests = chain.sample_chains(store)
    assert (
        "write to desk@example.org." in card_of(store, chain.build(store, manifests, contact="desk@example.org")).text
    )
    assert "open a discussion in this dataset's repository" in card_of(store, chain.build(store, manifests)).text


def test_a_dataset_without_books_has_a_card_all_the_same(store: Store) -> None:
    card = card_of(store, chain.build(store, []))
    assert card.data.language is None
    assert "Nothing was left out." in card.text
    assert "There are no chunks." in card.text


def test_only_so_many_failures_are_listed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    torn = [
        chain.member("a.rar", f"{n:03d}.pdf", "", Status.FAILED, Reason.DAMAGED_MEMBER)
        for n in range(LISTED_FAILURES + 7)
    ]
    monkeypatch.setitem(chain.OTHER_MEMBERS, 0, torn)
    text = card_of(store, chain.build(store, [chain.chain(store, 0, [chain.ALICE])])).text
    assert text.count("`damaged_member` |") == LISTED_FAILURES + 1  # and once among the drops
    assert "And 7 more." in text


def test_names_in_archives_cannot_break_out_of_the_card(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "a | b\n\n---\n# Heading <script>alert(1)</script> `code` ![x](http://example.org/x.png)\udce9"
    torn = chain.member("a.rar", hostile, "", Status.FAILED, Reason.DAMAGED_MEMBER)
    monkeypatch.setitem(chain.OTHER_MEMBERS, 0, [torn])
    card = card_of(store, chain.build(store, [chain.chain(store, 0, [chain.ALICE])]))
    (line,) = (line for line in card.text.splitlines() if "alert" in line)
    assert len(re.findall(r"(?<!\\)\|", line)) == 6
    assert "<script>" not in line
    assert "![x]" not in line


@given(st.text())
def test_a_cell_stays_one_cell(text: str) -> None:
    cell = markdown_cell(text)
    assert len(cell.splitlines()) <= 1
    assert not re.search(r"(?<!\\)(\\\\)*[|`]|<|>", cell)
    cell.encode()


@given(st.dictionaries(st.integers(0, 5000), st.integers(1, 9), max_size=30))
def test_the_histogram_has_a_place_for_everything_and_no_gaps(tokens: dict[int, int]) -> None:
    histogram = token_histogram(tokens)
    assert sum(number for _, _, number in histogram) == sum(tokens.values())
    for low, high, number in histogram:
        assert number == sum(times for count, times in tokens.items() if low <= count <= high)
    assert all(before[1] + 1 == after[0] for before, after in itertools.pairwise(histogram))
