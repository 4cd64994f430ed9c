"""The stage makes a document of every book with text, and says what became of the others."""

import dataclasses
import importlib

import pytest

from pagemill.documents import read_document, read_drops
from pagemill.manifest import Manifest, Outcome, Stage
from pagemill.records import BookRecord, PageRecord, PdfRecord, Reason, Status
from pagemill.storage import Store
from pagemill.text.clean_documents import clean_documents
from pagemill.text.cleaning.book import clean
from pagemill.text.dedup import find_duplicates
from pagemill.text.judging.profile import load_profile

INSPECT = Stage("inspect_pdfs", 1, PdfRecord)
RECOGNIZE = Stage("recognize_pages", 1, BookRecord)
MODEL = {"engine": "nougat", "checkpoint_name": "demo", "checkpoint_sha256": "c0ffee"}

STORY = [
    "The Voyage\n\n# Rain\n\nThe old captain watched the rain fall on the har-",
    "The Voyage\n\nbour and thought of the \\(n\\) storms that he had seen, of which he",
    "The Voyage\n\nremembered only the first and the last.",
]


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


def page(number, text, status=Status.OK, **values):
    defaults = {"reason": None, "engine": "nougat", "attempts": 1, "tokens": 10, "seconds": 0.1}
    return PageRecord(pdf_sha256="", page=number, status=status, text=text, **defaults | values)


def pages_of(texts):
    return [page(number, text) for number, text in enumerate(texts, start=1)]


def ledger(store, books, parameters=None):
    """Write the manifests that the stage reads: `books` maps a PDF's name to its page records, or None."""
    pdfs = [
        PdfRecord(
            pdf_sha256=name,
            archive="books.rar",
            archive_sha256="ab" * 32,
            member_path=f"shelf/{name}.pdf",
            size_bytes=1000,
            num_pages=len(pages or ()),
            status=Status.OK,
            title=f"Title of {name}",
            author="A. Author",
            created="1900-01-01T00:00:00+00:00",
            added="2020-01-01T00:00:00+00:00",
        )
        for name, pages in books.items()
    ]
    inspected = INSPECT.once(store, [], {"books": sorted(books)}, lambda: Outcome(pdfs))
    rows = []
    for name, pages in books.items():
        if pages is None:
            rows.append(BookRecord(name, "", 0, Status.FAILED, Reason.BROKEN_PDF, "no cross-reference table"))
            continue
        written = [dataclasses.replace(each, pdf_sha256=name).to_dict() for each in pages]
        store.write_jsonl(f"pages/key/{name}.jsonl", written)
        rows.append(BookRecord(name, f"pages/key/{name}.jsonl", len(pages), Status.OK))
    return RECOGNIZE.once(store, [inspected], MODEL | (parameters or {}), lambda: Outcome(rows))


def document(store, row):
    return read_document(store, row.result)


def test_a_book_becomes_a_document_and_its_plain_text(store):
    manifest = clean_documents(ledger(store, {"b": pages_of(STORY)}), store)
    (row,) = manifest.rows
    assert (row.status, row.reason, row.items) == (Status.OK, None, 1)
    assert row.result == f"documents/{manifest.config_key}/b.json"
    found = document(store, row)
    assert found.text == (
        "# Rain\n\nThe old captain watched the rain fall on the harbour and thought of the \\(n\\) storms that he had "
        "seen, of which he remembered only the first and the last."
    )
    assert store.read_bytes(f"documents/{manifest.config_key}/b.mmd").decode() == found.text
    assert found.language == "en"
    assert tuple(page.language for page in found.page_quality) == ("en", "en", "en")
    assert tuple(page.tag for page in found.page_quality) == ("body", "body", "body")
    assert found.page_ends[-1] == len(found.text)
    assert found.quality.running_lines_removed == 3
    assert found.token_count == 30


def test_a_document_knows_where_it_comes_from(store):
    manifest = clean_documents(ledger(store, {"b": pages_of(STORY)}), store)
    found = document(store, manifest.rows[0])
    assert (found.source, found.extractor) == ("books.rar/shelf/b.pdf", "nougat")
    assert (found.added[:4], found.created[:4]) == ("2020", "1900")
    metadata = found.metadata
    assert (metadata.title, metadata.author, metadata.num_pages) == ("Title of b", "A. Author", 3)
    assert (metadata.model, metadata.model_sha256) == ("demo", "c0ffee")
    assert (metadata.pdf_sha256, metadata.config_digest) == ("b", manifest.config_key)


def test_an_engine_without_checkpoint_is_named_as_the_model(store):
    pages = ledger(store, {"b": pages_of(STORY)}, {"engine": "tiny", "checkpoint_name": "", "checkpoint_sha256": ""})
    found = document(store, clean_documents(pages, store).rows[0])
    assert (found.metadata.model, found.metadata.model_sha256, found.extractor) == ("tiny", "", "tiny")


def test_every_page_is_accounted_for(store):
    pages = [
        page(1, STORY[0]),
        page(2, "", Status.FAILED, reason=Reason.RENDER_FAILED),
        page(3, "", Status.EMPTY, reason=Reason.BLANK_PAGE),
        page(4, "What the text layer has of the storm.", Status.FALLBACK, engine="text-layer"),
        page(5, "It went on and", Status.TRUNCATED, reason=Reason.REPETITION),
    ]
    manifest = clean_documents(ledger(store, {"b": pages}), store)
    found = document(store, manifest.rows[0])
    assert found.page_numbers == (1, 2, 3, 4, 5)
    assert found.page_status == ("ok", "failed", "empty", "fallback", "truncated")
    assert found.fallback_pages == (4,)
    assert found.missing_pages == (2,)
    assert (found.quality.missing_share, found.quality.truncated_share) == (0.25, 0.2)
    assert tuple(page.language for page in found.page_quality[1:3]) == ("und", "und")
    assert (manifest.counts["pages"], manifest.counts["pages_missing"], manifest.counts["pages_fallback"]) == (5, 1, 1)


def test_pages_are_read_in_their_order(store):
    forward, backward = pages_of(STORY), pages_of(STORY)[::-1]
    first = clean_documents(ledger(store, {"b": forward}), store)
    text = document(store, first.rows[0]).text
    second = clean_documents(ledger(store, {"b": backward}, {"dpi": 72}), store)
    assert document(store, second.rows[0]).text == text


@pytest.mark.parametrize(
    "pages",
    [
        [],
        [page(0, "", Status.FAILED, reason=Reason.BROKEN_PDF)],
        [page(1, "", Status.EMPTY), page(2, "", Status.FAILED)],
        [page(1, "[MISSING_PAGE_FAIL:2]")],
        [page(1, "--- *** --- " * 10)],
        None,
    ],
)
def test_a_book_without_text_has_no_document(store, pages):
    manifest = clean_documents(ledger(store, {"b": pages}), store)
    (row,) = manifest.rows
    assert (row.result, row.items, row.status, row.reason) == ("", 0, Status.SKIPPED, Reason.NO_TEXT)
    assert row.detail
    assert manifest.counts["documents"] == 0
    assert store.names(f"documents/{manifest.config_key}") == []


def test_the_reason_of_the_stage_before_is_told_on(store):
    (row,) = clean_documents(ledger(store, {"b": None}), store).rows
    assert row.detail == "broken_pdf: no cross-reference table"


def test_a_book_that_breaks_a_rule_has_no_document_but_a_reason_and_an_excerpt(store):
    manifest = clean_documents(ledger(store, {"b": [page(1, "Title 12"), page(2, "", Status.FAILED)]}), store)
    (row,) = manifest.rows
    assert (row.result, row.status, row.reason) == ("", Status.SKIPPED, Reason.FILTERED)
    assert row.detail == "no_text: characters 7 is below 20"
    assert (manifest.counts["documents"], manifest.counts["dropped_by_no_text"]) == (0, 1)
    (drop,) = read_drops(store, [manifest])
    assert (drop.pdf_sha256, drop.page, drop.rule, drop.excerpt) == ("b", 0, "no_text", "Title 12")


def test_a_page_that_breaks_a_rule_leaves_the_text_and_the_rest_stays(store):
    pages = pages_of([*STORY, STORY[0].replace("The", "A").replace("Rain", "Snow"), "word " * 2000])
    manifest = clean_documents(ledger(store, {"b": pages}), store)
    found = document(store, manifest.rows[0])
    assert found.page_dropped == ("", "", "", "", "loop_residue_page")
    assert found.page_ends[-1] == found.page_ends[-2] == len(found.text)
    assert (manifest.counts["pages_dropped"], manifest.counts["dropped_by_loop_residue_page"]) == (1, 1)
    assert [(drop.page, drop.rule) for drop in read_drops(store, [manifest])] == [(5, "loop_residue_page")]


def test_personal_data_is_masked_and_counted(store):
    texts = ["Write to captain@harbour.org about the storms that he had seen.", "The rain fell on the harbour."]
    manifest = clean_documents(ledger(store, {"b": pages_of(texts)}), store)
    found = document(store, manifest.rows[0])
    assert found.text.startswith("Write to [EMAIL] about")
    assert (found.masked.email, manifest.counts["masked_email"]) == (1, 1)
    assert found.text[found.page_ends[0] :] == "The rain fell on the harbour."


def test_a_profile_decides_and_is_kept_by_its_digest(store, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("cleaning: {running_min_pages: 4}\n")
    manifest = clean_documents(ledger(store, {"b": pages_of(STORY)}), store, profile=str(own))
    assert "The Voyage" in document(store, manifest.rows[0]).text
    assert manifest.parameters["profile_sha256"] == load_profile(str(own)).digest
    assert load_profile(store.uri_of(f"profiles/{manifest.parameters['profile_sha256']}.yaml")) == load_profile(
        str(own)
    )


def test_duplicates_are_found_by_what_is_kept_beside_the_documents(store):
    louder = [text.replace("captain", "CAPTAIN") for text in STORY]
    books = {"c": pages_of(STORY), "a": pages_of(louder), "b": pages_of(["Quite another book, of other words."])}
    manifest = clean_documents(ledger(store, books), store)
    ids = {row.pdf_sha256: document(store, row).id for row in manifest.rows}
    (duplicate,) = find_duplicates([manifest], store).rows
    assert {duplicate.id, duplicate.kept} == {ids["a"], ids["c"]}
    assert duplicate.reason is Reason.DUPLICATE_TEXT


def test_counts_tell_what_was_made(store):
    manifest = clean_documents(
        ledger(store, {"a": pages_of(STORY), "b": pages_of(["Der Regen fällt auf das Land."])}), store
    )
    counts = manifest.counts
    assert (counts["documents"], counts["documents_en"], counts["documents_de"]) == (2, 1, 1)
    assert counts["running_lines_removed"] == 3
    assert counts["characters"] == sum(len(document(store, row).text) for row in manifest.rows)


def test_work_that_is_done_is_not_done_again(store, monkeypatch):
    pages = ledger(store, {"a": pages_of(STORY), "b": pages_of(["The snow falls on the hills."])})
    first = clean_documents(pages, store)
    store.delete(first.name)
    store.delete(first.rows[1].result)
    cleaned = []

    def counting(texts, **thresholds):
        cleaned.append(texts)
        return clean(texts, **thresholds)

    monkeypatch.setattr(importlib.import_module(clean_documents.__module__), "clean", counting)
    assert clean_documents(pages, store) == first
    assert cleaned == [["The snow falls on the hills."]]
    clean_documents(pages, store)
    assert len(cleaned) == 1


def test_two_runs_write_the_same_bytes(tmp_path):
    written = []
    for name in ("one", "two"):
        store = Store(str(tmp_path / name))
        manifest = clean_documents(ledger(store, {"a": pages_of(STORY), "b": pages_of(STORY)}), store)
        names = store.names(f"documents/{manifest.config_key}")
        written.append({each: store.read_bytes(each) for each in names})
    assert written[0] == written[1]
    assert sorted(name.partition(".")[2] for name in written[0]) == [
        "json",
        "json",
        "mmd",
        "mmd",
        "signature.json",
        "signature.json",
    ]


def test_another_ocr_or_another_profile_gives_other_documents(store, tmp_path):
    pages = ledger(store, {"b": pages_of(STORY)})
    other_pages = ledger(store, {"b": pages_of(STORY)}, {"checkpoint_sha256": "decaf"})
    (tmp_path / "bare.yaml").write_text("mask: []\n")
    manifests = [
        clean_documents(pages, store),
        clean_documents(other_pages, store),
        clean_documents(pages, store, profile=str(tmp_path / "bare.yaml")),
    ]
    ids = {document(store, manifest.rows[0]).id for manifest in manifests}
    assert len({manifest.config_key for manifest in manifests}) == len(ids) == 3


def test_a_text_that_no_encoding_takes_is_mended_first(store):
    manifest = clean_documents(
        ledger(store, {"b": pages_of(["The snow\x00 falls \ud800on the hills\ud83d\ude00."])}), store
    )
    assert document(store, manifest.rows[0]).text == "The snow falls on the hills😀."


def test_an_empty_shard_gives_an_empty_manifest(store):
    manifest = clean_documents(ledger(store, {}), store)
    assert manifest.rows == ()
    assert manifest.counts["documents"] == 0


def test_a_ledger_that_the_store_lacks_is_no_fault_of_the_data(store):
    pages = ledger(store, {"b": pages_of(STORY)})
    store.delete("pages/key/b.jsonl")
    with pytest.raises(FileNotFoundError):
        clean_documents(pages, store)


def test_the_manifest_of_the_pages_is_the_only_parent(store):
    pages = ledger(store, {"b": pages_of(STORY)})
    manifest = clean_documents(pages, store)
    assert manifest.parents == (pages.name,)
    assert manifest.parameters["pages_config"] == pages.config_key
    assert Manifest.load(store, manifest.name, BookRecord) == manifest
