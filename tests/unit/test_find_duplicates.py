"""The stage that finds documents that say the same, over all shards, and what is signed of each document for it."""

import dataclasses
import itertools
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from pagemill.documents import signature_name
from pagemill.errors import UserError
from pagemill.manifest import Manifest, Outcome, Stage
from pagemill.records import (
    BookRecord,
    Document,
    DocumentMetadata,
    Duplicate,
    MaskCounts,
    Quality,
    Reason,
    Signature,
    Status,
)
from pagemill.storage import Store, digest
from pagemill.text.dedup import find_duplicates, sign
from pagemill.text.dedup.signing import preference

GOOD = Quality(0.9, 0.1, 0.0, 0.0, 0, 0, 0)


def make_text(seed: int, words: int = 600) -> str:
    chooser = random.Random(seed)
    return " ".join(f"w{int(4000 ** chooser.random())}" for _ in range(words))


def make_edition(text: str, share: float, seed: int = 0) -> str:
    """The same text with a share of its words read otherwise."""
    chooser = random.Random(seed)
    return " ".join(word + "x" if chooser.random() < share else word for word in text.split(" "))


def make_document(name: str, text: str, quality: Quality = GOOD) -> Document:
    return Document(
        id=digest(name)[:32],
        text=text,
        source=f"books.rar/{name}.pdf",
        added="",
        created="",
        metadata=DocumentMetadata("books.rar", "a" * 64, f"{name}.pdf", digest(name), "", "", 1, "m", "", "0", ""),
        language="en",
        language_score=0.9,
        token_count=80,
        extractor="nougat",
        page_ends=(len(text),),
        page_numbers=(1,),
        page_labels=("",),
        page_status=("ok",),
        page_dropped=("",),
        page_quality=(),
        fallback_pages=(),
        missing_pages=(),
        quality=quality,
        masked=MaskCounts(),
        duplicate_cluster="",
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def profile(tmp_path: Path) -> str:
    return write_profile(tmp_path, 0.6)


def write_profile(folder: Path, min_similarity: float | None) -> str:
    path = folder / f"similar-{min_similarity}.yaml"
    path.write_text(yaml.safe_dump({"duplicates": min_similarity and {"min_similarity": min_similarity}}))
    return str(path)


def make_shard(store: Store, number: int, documents: Sequence[Document]) -> Manifest[BookRecord]:
    """A shard of clean documents, one that was left out, and their signatures beside them."""
    rows = [BookRecord(digest(f"none {number}"), "", 0, Status.SKIPPED, Reason.NO_TEXT)]
    for document in documents:
        name = f"documents/{number}/{document.metadata.pdf_sha256}.json"
        store.write_json(signature_name(name), sign(document).to_dict())
        rows.append(BookRecord(document.metadata.pdf_sha256, name, 1, Status.OK))
    return Stage("clean_documents", 3, BookRecord).once(store, [], {"number": number}, lambda: Outcome(rows))


def outcome(manifest: Manifest[Duplicate], documents: Sequence[Document]) -> dict[str, tuple[str, Reason]]:
    """The duplicates by name: which is kept, and why."""
    names = {document.id: document.metadata.member_path.removesuffix(".pdf") for document in documents}
    return {names[row.id]: (names[row.kept], row.reason) for row in manifest.rows}


# -- signing ------------------------------------------------------------------------------------------------


def test_a_signature_tells_the_document_its_wording_and_its_worth() -> None:
    signed = sign(make_document("a", "The ends of a line, \\(x\\), are points."))
    assert (signed.id, signed.pdf_sha256) == (digest("a")[:32], digest("a"))
    assert signed.characters == len("theendsofalinexarepoints") == signed.preference
    assert Signature.from_dict(signed.to_dict()) == signed
    assert len(signed.minhash) == 1368  # base64 of 256 numbers of 4 bytes


def test_a_lost_space_case_and_marks_make_no_other_wording() -> None:
    one, other = (sign(make_document(*each)) for each in (("a", "The ends of aline."), ("b", "the ENDS of a line")))
    assert one.text_sha256 == other.text_sha256
    assert one.id != other.id
    assert sign(make_document("c", "The end of a line.")).text_sha256 != one.text_sha256


@pytest.mark.parametrize("text", ["", "***", "Two words"])
def test_a_short_text_has_no_minhash(text: str) -> None:
    assert sign(make_document("a", text)).minhash == ""


def test_a_document_is_worth_its_characters_less_what_is_missing_broken_off_or_no_word() -> None:
    quality = dataclasses.replace(GOOD, missing_share=0.5, truncated_share=0.2, garbage_score=0.1)
    assert preference(1000, GOOD) == 1000.0
    assert preference(1000, quality) == 360.0
    assert preference(1000, dataclasses.replace(GOOD, garbage_score=1.5)) == 0.0


# -- finding ------------------------------------------------------------------------------------------------


@pytest.fixture
def documents() -> dict[str, Document]:
    book = make_text(1)
    worse = dataclasses.replace(GOOD, garbage_score=0.2)
    return {
        "book": make_document("book", book),
        "scan": make_document("scan", make_edition(book, 0.04), worse),
        "copy": make_document("copy", book.upper() + " .", worse),
        "poem": make_document("poem", "Two words"),
        "again": make_document("again", "two Words!", worse),
        "other": make_document("other", make_text(2)),
        "third": make_document("third", make_text(3)),
    }


def test_of_documents_of_all_shards_that_say_the_same_the_best_is_kept(
    store: Store, profile: str, documents: dict[str, Document]
) -> None:
    everything = list(documents.values())
    shards = [make_shard(store, number, everything[number::2]) for number in range(2)]
    manifest = find_duplicates(shards, store, profile=profile)
    assert outcome(manifest, everything) == {
        "scan": ("book", Reason.NEAR_DUPLICATE),
        "copy": ("book", Reason.DUPLICATE_TEXT),
        "again": ("poem", Reason.DUPLICATE_TEXT),
    }
    assert [row.id for row in manifest.rows] == sorted(row.id for row in manifest.rows)
    similarity = {row.pdf_sha256: row.similarity for row in manifest.rows}
    assert similarity[digest("copy")] == similarity[digest("again")] == 1.0
    assert 0.6 < similarity[digest("scan")] < 0.95
    assert manifest.counts == {"rows": 3, "documents": 7, "clusters": 2, "duplicate_text": 2, "near_duplicate": 1}


def test_the_order_and_number_of_shards_change_nothing(
    tmp_path: Path, profile: str, documents: dict[str, Document]
) -> None:
    everything = list(documents.values())
    found = []
    for run, order in enumerate(itertools.permutations(range(3))):
        store = Store(str(tmp_path / f"store-{run}"))
        shards = [make_shard(store, number, everything[number::3]) for number in order]
        found.append(find_duplicates(shards, store, profile=profile))
    assert all(manifest == found[0] for manifest in found)
    store = Store(str(tmp_path / "one"))
    assert find_duplicates([make_shard(store, 0, everything)], store, profile=profile).rows == found[0].rows


def test_a_pdf_in_two_shards_counts_once(store: Store, profile: str, documents: dict[str, Document]) -> None:
    shards = [make_shard(store, 0, [documents["book"]]), make_shard(store, 1, [documents["book"], documents["copy"]])]
    manifest = find_duplicates([*shards, shards[0]], store, profile=profile)
    assert outcome(manifest, list(documents.values())) == {"copy": ("book", Reason.DUPLICATE_TEXT)}
    assert manifest.counts["documents"] == 2
    assert manifest.parents == tuple(sorted(shard.name for shard in shards))


def test_equal_documents_keep_the_first_by_id(store: Store, profile: str) -> None:
    twins = [make_document(name, make_text(1)) for name in "abcdef"]
    manifest = find_duplicates([make_shard(store, 0, twins)], store, profile=profile)
    assert {row.kept for row in manifest.rows} == {min(twin.id for twin in twins)}
    assert len(manifest.rows) == 5


def test_what_has_the_words_of_a_document_that_is_not_kept_goes_with_it(store: Store, profile: str) -> None:
    text = make_text(1)
    longer = make_document("longer", make_edition(text, 0.02) + " and an index")
    twins = [make_document(name, text) for name in "ab"]
    manifest = find_duplicates([make_shard(store, 0, [*twins, longer])], store, profile=profile)
    assert outcome(manifest, [*twins, longer]) == dict.fromkeys("ab", ("longer", Reason.NEAR_DUPLICATE))
    assert manifest.counts["clusters"] == 1


def test_documents_without_words_are_not_the_same(store: Store, profile: str) -> None:
    empty = [make_document(name, "* * *") for name in "abc"]
    assert find_duplicates([make_shard(store, 0, empty)], store, profile=profile).rows == ()


def test_the_profile_says_how_alike_documents_must_be(
    store: Store, tmp_path: Path, documents: dict[str, Document]
) -> None:
    shard = make_shard(store, 0, list(documents.values()))
    strict = find_duplicates([shard], store, profile=write_profile(tmp_path, 0.99))
    wording = find_duplicates([shard], store, profile=write_profile(tmp_path, None))
    assert strict.counts["near_duplicate"] == wording.counts["near_duplicate"] == 0
    assert strict.rows == wording.rows != ()
    assert strict.parameters == {"min_similarity": 0.99}
    assert strict.name != wording.name
    with pytest.raises(UserError, match="cannot be read"):
        find_duplicates([shard], store, profile=str(tmp_path / "none.yaml"))


def test_work_that_is_in_the_store_is_not_done_again(
    store: Store, profile: str, documents: dict[str, Document]
) -> None:
    shard = make_shard(store, 0, list(documents.values()))
    first = find_duplicates([shard], store, profile=profile)
    for row in shard.rows[1:]:
        store.delete(signature_name(row.result))
    assert find_duplicates([shard], store, profile=profile) == first


def test_without_documents_there_are_no_duplicates(store: Store, profile: str) -> None:
    assert find_duplicates([], store, profile=profile).counts["documents"] == 0
    assert find_duplicates([make_shard(store, 0, [])], store, profile=profile).rows == ()


def test_a_signature_of_another_length_or_none_at_all_is_an_error(
    store: Store, profile: str, documents: dict[str, Document]
) -> None:
    shard = make_shard(store, 0, [documents["book"]])
    name = signature_name(shard.rows[1].result)
    store.write_json(name, store.read_json(name) | {"minhash": "AAAAAA=="})
    with pytest.raises(ValueError, match="256 numbers"):
        find_duplicates([shard], store, profile=profile)
    store.delete(name)
    with pytest.raises(FileNotFoundError):
        find_duplicates([shard], store, profile=profile)
