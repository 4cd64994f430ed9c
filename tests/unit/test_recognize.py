"""The reading of pages: every page that goes in comes out as one row, whatever happens on the way."""

import functools
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from pikepdf import Array

from pagemill.archives import extract_members
from pagemill.errors import UserError
from pagemill.manifest import Manifest
from pagemill.ocr import read_pdfs, recognition, recognize_pages, resolve_checkpoint
from pagemill.ocr.book import BookLedger
from pagemill.ocr.engine import EngineLost
from pagemill.ocr.folder import joined
from pagemill.pages.inspect import inspect_pdfs
from pagemill.records import MemberRecord, PageRecord, Reason, Status
from pagemill.storage import Store
from tests import light_engine, pdfs
from tests.light_engine import LightEngine, LightPreparePage
from tests.tiny_nougat import write_checkpoint

DEMO = Path(__file__).parents[2] / "demo"
BLANK = "#rect(stroke: none)"
BOOK = pdfs.book([f"Page number {page}. #lorem({12 * page})" if page != 3 else BLANK for page in range(1, 11)])
LEAFLET = pdfs.book(["First side", "Second side"])
BROKEN = pdfs.truncated(pdfs.book(["Half a book"]))
SEALED = pdfs.encrypted(pdfs.book(["Secret"]), "unknown")
FOLDED = pdfs.with_page(pdfs.book(["A map", "Its legend"]), MediaBox=Array([0, 0, 20_000, 20_000]))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    return str(write_checkpoint(tmp_path_factory.mktemp("model") / "tiny"))


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def light(monkeypatch):
    """Puts the light engine in Nougat's place and returns what sets it up."""

    def install(troubles=None, **options) -> LightEngine:
        engine = LightEngine(**options)
        monkeypatch.setattr(recognition, "load_engine", lambda *arguments: engine)
        monkeypatch.setattr(recognition, "PreparePage", functools.partial(LightPreparePage, troubles=troubles))
        return engine

    install()
    return install


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def inspected(store: Store, *contents: bytes):
    """Put PDFs into the store and inspect them, as the stages before do."""
    for content in contents:
        store.write_bytes(f"pdf/{digest(content)}.pdf", content)
    members = tuple(
        MemberRecord("a.rar", "0" * 64, f"{number}.pdf", len(content), digest(content), Status.OK)
        for number, content in enumerate(contents)
    )
    given = Manifest("extract_pdfs", 1, (), {"contents": [digest(content) for content in contents]}, members, {})
    return inspect_pdfs(given, store)


def rows_of(store: Store, manifest, content: bytes) -> list[PageRecord]:
    (book,) = (row for row in manifest.rows if row.pdf_sha256 == digest(content))
    return [PageRecord.from_dict(values) for values in store.read_jsonl(book.result)]


def files_in_pages(store: Store) -> list[str]:
    return [name for folder in store.folders("pages") for name in store.names(folder)]


# With real models


def test_the_whole_road_with_nougat_gives_the_texts_of_model_inference(checkpoint, store):
    from nougat.postprocessing import markdown_compatible

    from pagemill.ocr import nougat

    pages = recognize_pages(
        inspected(store, BOOK, LEAFLET, BROKEN), store, checkpoint=checkpoint, batch_size=5, threads=1
    )

    engine = nougat.load(resolve_checkpoint(checkpoint, store), "cpu", 1)
    images = [page.render(scale=96 / 72).to_pil() for content in (BOOK, LEAFLET) for page in _document(content)]
    inked = [engine.model.encoder.prepare_input(image) for number, image in enumerate(images, 1) if number != 3]
    texts = []
    for batch in (inked[:5], inked[5:10], inked[10:]):
        output = engine.model.inference(image_tensors=nougat.torch.stack(batch), early_stopping=True)
        texts += [markdown_compatible(text) for text in output["predictions"]]
    texts.insert(2, "")
    rows = rows_of(store, pages, BOOK) + rows_of(store, pages, LEAFLET)
    assert [row.text for row in rows] == texts
    assert [row.page for row in rows] == [*range(1, 11), 1, 2]
    assert {row.engine for row in rows} == {"nougat"}
    assert pages.counts["pages"] == 13
    assert pages.counts["tokens"] == sum(row.tokens for row in rows) > 0


def _document(content: bytes) -> pypdfium2.PdfDocument:
    return pypdfium2.PdfDocument(content)


def test_the_demo_checkpoint_reads_the_books_of_the_demo_as_they_were_typeset(tmp_path):
    truth = [json.loads(line) for line in (DEMO / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
    archives = [DEMO / "samples" / name for name in ("novels.rar", "science-rar4.rar", "treatise.part1.rar")]
    extract_members(archives, tmp_path / "pdfs")
    found = {digest(path.read_bytes()): path for path in (tmp_path / "pdfs").rglob("*.pdf")}

    rows = read_pdfs(list(found.values()), tmp_path / "out", checkpoint=str(DEMO / "checkpoint"), threads=1)

    wanted = {(line["pdf_sha256"], line["page"]): line["text"] for line in truth if line["pdf_sha256"] in found}
    read = {(row.pdf_sha256, row.page): row for row in rows}
    assert len(wanted) > 20
    assert {key: read[key].text for key in wanted} == wanted
    assert {read[key].status for key in wanted} <= {Status.OK, Status.EMPTY}
    others = [row for row in rows if row.page and (row.pdf_sha256, row.page) not in wanted]
    assert [(row.status, row.reason) for row in others] == [(Status.FAILED, Reason.PAGE_TOO_LARGE)]
    texts = {path.stem: path.read_text(encoding="utf-8") for path in (tmp_path / "out").glob("*.mmd")}
    for sha256, page in wanted:
        assert wanted[sha256, page].strip() in texts[found[sha256].stem]


# Every page has its row


def test_every_page_of_every_pdf_has_exactly_one_row(light, checkpoint, store):
    pages = recognize_pages(
        inspected(store, BOOK, BROKEN, LEAFLET, SEALED, pdfs.without_pages()), store, checkpoint=checkpoint
    )

    assert [(book.items, book.status, book.reason) for book in pages.rows] == [
        (10, Status.OK, None),
        (1, Status.FAILED, Reason.BROKEN_PDF),
        (2, Status.OK, None),
        (1, Status.FAILED, Reason.PASSWORD_PROTECTED),
        (1, Status.FAILED, Reason.NO_PAGES),
    ]
    book = rows_of(store, pages, BOOK)
    assert [row.page for row in book] == list(range(1, 11))
    assert [row.status for row in book] == [Status.OK] * 2 + [Status.EMPTY] + [Status.OK] * 7
    assert book[2].reason == Reason.BLANK_PAGE
    assert book[4].text.startswith("Page 5 has ")
    (unopened,) = rows_of(store, pages, BROKEN)
    assert (unopened.page, unopened.status, unopened.reason) == (0, Status.FAILED, Reason.BROKEN_PDF)
    assert pages.counts["pages"] == 15
    assert pages.counts["pages_ok"] == 11
    assert pages.counts["pages_empty"] == 1
    assert pages.counts["pages_failed"] == 3
    assert pages.counts["pages_fallback"] == 0


def test_only_the_whole_ledgers_remain(light, checkpoint, store):
    pages = recognize_pages(inspected(store, BOOK, LEAFLET), store, checkpoint=checkpoint)

    assert files_in_pages(store) == sorted(book.result for book in pages.rows)
    assert all(book.result == f"pages/{pages.config_key}/{book.pdf_sha256}.jsonl" for book in pages.rows)


def test_batches_go_across_books_and_leave_blank_pages_out(light, checkpoint, store):
    engine = light()

    recognize_pages(inspected(store, BOOK, LEAFLET), store, checkpoint=checkpoint, batch_size=4)

    assert engine.batches == [[1, 2, 4, 5], [6, 7, 8, 9], [10, 1, 2]]


@pytest.mark.parametrize("batch_size", [1, 100])
def test_the_result_does_not_depend_on_batches_or_workers(light, checkpoint, store, batch_size, tmp_path):
    one = recognize_pages(inspected(store, BOOK, LEAFLET), store, checkpoint=checkpoint)
    other_store = Store(str(tmp_path / "other"))
    other = recognize_pages(
        inspected(other_store, BOOK, LEAFLET),
        other_store,
        checkpoint=checkpoint,
        batch_size=batch_size,
        render_workers=2,
    )

    assert one == other
    assert [row.text for row in rows_of(store, one, BOOK)] == [row.text for row in rows_of(other_store, other, BOOK)]


def test_a_second_run_does_nothing(light, checkpoint, store, monkeypatch):
    engine = light()
    pdf_manifest = inspected(store, BOOK)
    first = recognize_pages(pdf_manifest, store, checkpoint=checkpoint)
    batches = len(engine.batches)

    assert recognize_pages(pdf_manifest, store, checkpoint=checkpoint, batch_size=2) == first
    assert len(engine.batches) == batches


def test_a_book_that_was_read_for_another_shard_is_not_read_again(light, checkpoint, store):
    engine = light()
    recognize_pages(inspected(store, BOOK), store, checkpoint=checkpoint)
    recognize_pages(inspected(store, LEAFLET, BOOK), store, checkpoint=checkpoint)

    assert sum(map(len, engine.batches)) == 9 + 2


def test_the_model_is_not_loaded_when_there_is_nothing_to_render(checkpoint, store, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("nothing needs a model")

    monkeypatch.setattr(recognition, "load_engine", refuse)

    pages = recognize_pages(inspected(store, BROKEN, SEALED), store, checkpoint=checkpoint)

    assert pages.counts["pages_failed"] == 2


def test_a_store_elsewhere_serves_as_well(light, checkpoint, tmp_path):
    remote = Store(f"memory://{tmp_path.name}-{os.getpid()}")

    pages = recognize_pages(inspected(remote, BOOK), remote, checkpoint=checkpoint)

    assert [row.page for row in rows_of(remote, pages, BOOK)] == list(range(1, 11))
    assert files_in_pages(remote) == [pages.rows[0].result]


# Trouble with single pages


def test_pages_that_hang_crash_or_raise_cost_themselves_alone(light, checkpoint, store):
    light(troubles={2: "hang", 5: "crash", 7: "raise"})

    pages = recognize_pages(inspected(store, BOOK), store, checkpoint=checkpoint, page_time_limit_seconds=2.0)

    rows = rows_of(store, pages, BOOK)
    assert {row.page: row.reason for row in rows if row.status is Status.FAILED} == {
        2: Reason.TIME_LIMIT,
        5: Reason.CRASHED,
        7: Reason.RENDER_FAILED,
    }
    assert Counter(row.status for row in rows) == {Status.OK: 6, Status.EMPTY: 1, Status.FAILED: 3}


def test_a_page_too_large_to_render_is_a_failed_row(light, checkpoint, store):
    engine = light()

    pages = recognize_pages(inspected(store, FOLDED), store, checkpoint=checkpoint)

    assert [row.reason for row in rows_of(store, pages, FOLDED)] == [Reason.PAGE_TOO_LARGE, None]
    assert engine.batches == [[2]]


def test_a_page_that_the_model_fails_on_is_tried_twice(light, checkpoint, store):
    light(bad=[6])

    rows = rows_of(store, recognize_pages(inspected(store, BOOK), store, checkpoint=checkpoint), BOOK)

    assert {row.page: row.reason for row in rows if row.status is Status.FAILED} == {6: Reason.MODEL_ERROR}
    assert [row.attempts for row in rows] == [1, 1, 1, 1, 1, 2, 2, 2, 2, 1]


def test_a_book_without_a_single_page_read_has_failed(light, checkpoint, store):
    light(bad=[1, 2])

    (book,) = recognize_pages(inspected(store, LEAFLET), store, checkpoint=checkpoint).rows

    assert (book.status, book.reason, book.items) == (Status.FAILED, Reason.MODEL_ERROR, 2)


# The text layer as fallback


def test_failed_pages_take_the_text_layer_only_when_asked(light, checkpoint, store):
    light(bad=[2], loops=[4])
    books = inspected(store, BOOK, FOLDED)

    without = recognize_pages(books, store, checkpoint=checkpoint)
    asked = recognize_pages(books, store, checkpoint=checkpoint, fallback="text-layer")

    assert without.counts["pages_failed"] == 3
    assert asked.counts["pages_failed"] == 0
    assert asked.counts["pages_fallback"] == 3
    assert asked.config_key != without.config_key
    second = rows_of(store, asked, BOOK)[1]
    assert (second.status, second.reason, second.engine) == (Status.FALLBACK, Reason.MODEL_ERROR, "text-layer")
    assert second.text.startswith("Page number 2. Lorem ipsum")
    assert (second.tokens, second.attempts) == (0, 2)
    looped = rows_of(store, asked, BOOK)[3]
    assert (looped.status, looped.engine) == (Status.TRUNCATED, "nougat")
    assert [row.text for row in rows_of(store, asked, FOLDED)] == ["A map", "Its legend"]


def test_a_failed_page_without_a_text_layer_stays_failed(light, checkpoint, store):
    light(bad=[1])
    scan = pdfs.scanned()

    pages = recognize_pages(inspected(store, scan), store, checkpoint=checkpoint, fallback="text-layer")

    (row,) = rows_of(store, pages, scan)
    assert (row.status, row.reason, row.engine, row.text) == (Status.FAILED, Reason.MODEL_ERROR, "nougat", "")


# Mistakes and faults


def test_an_unknown_fallback_is_a_mistake_of_the_user(checkpoint, store):
    with pytest.raises(UserError, match="fallback guess: is not known; choose one of: none, text-layer"):
        recognize_pages(inspected(store), store, checkpoint=checkpoint, fallback="guess")


def test_a_checkpoint_that_is_not_there_is_told_before_any_work(light, store):
    with pytest.raises(UserError, match="no such folder or release"):
        recognize_pages(inspected(store, BOOK), store, checkpoint="/no/where")
    assert files_in_pages(store) == []


def test_a_pdf_that_the_store_lost_is_a_fault_not_a_failed_page(light, checkpoint, store):
    books = inspected(store, BOOK)
    store.delete(f"pdf/{digest(BOOK)}.pdf")

    with pytest.raises(FileNotFoundError, match=digest(BOOK)):
        recognize_pages(books, store, checkpoint=checkpoint)


def test_a_lost_device_ends_the_run_and_the_next_goes_on(light, checkpoint, store):
    books = inspected(store, BOOK, LEAFLET)
    light(lost_after=1)
    with pytest.raises(EngineLost):
        recognize_pages(books, store, checkpoint=checkpoint, batch_size=4)
    assert [name.rpartition(".")[2] for name in files_in_pages(store)] == ["000001-000005"]

    engine = light()
    pages = recognize_pages(books, store, checkpoint=checkpoint, batch_size=4)

    assert engine.batches == [[6, 7, 8, 9], [10, 1, 2]]
    assert [row.status for row in rows_of(store, pages, BOOK)] == [Status.OK] * 2 + [Status.EMPTY] + [Status.OK] * 7


# After a kill

RUN = """
import functools, logging, pathlib, sys
sys.path.insert(0, {here!r})
from tests.light_engine import LightEngine, LightPreparePage
from pagemill.manifest import Manifest
from pagemill.ocr import recognition, recognize_pages
from pagemill.records import PdfRecord
from pagemill.storage import Store
engine = LightEngine(seconds=0.05, log=pathlib.Path({log!r}))
recognition.load_engine = lambda *arguments: engine
recognition.PreparePage = LightPreparePage
recognize_pages(Manifest.read({pdfs!r}, PdfRecord), Store({store!r}), checkpoint={checkpoint!r}, batch_size=3)
"""


@pytest.mark.parametrize("parts", [1, 4])
def test_after_a_kill_at_most_the_batch_in_flight_is_read_again(light, checkpoint, store, tmp_path, parts):
    long_book = pdfs.book([f"Page {page} #lorem({page})" for page in range(1, 25)])
    books = inspected(store, long_book, LEAFLET)
    books.write(tmp_path / "pdfs.json")
    log = tmp_path / "read.txt"
    program = RUN.format(
        here=str(Path(light_engine.__file__).parent),
        log=str(log),
        pdfs=str(tmp_path / "pdfs.json"),
        store=store.uri,
        checkpoint=checkpoint,
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    while process.poll() is None and len(files_in_pages(store)) < parts:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {number for name in files_in_pages(store) for number in _pages_of_part(store, name)}
    assert len(kept) >= 3 * parts - 1

    log_before = log.read_text().splitlines()
    subprocess.run([sys.executable, "-c", program], check=True)

    assert len(log_before) <= len(kept) + 3
    assert len(log.read_text().splitlines()) <= 26 + 3
    pages = recognize_pages(books, store, checkpoint=checkpoint)
    undisturbed = Store(str(tmp_path / "undisturbed"))
    wanted = recognize_pages(inspected(undisturbed, long_book, LEAFLET), undisturbed, checkpoint=checkpoint)
    for content in (long_book, LEAFLET):
        got, expected = rows_of(store, pages, content), rows_of(undisturbed, wanted, content)
        assert [(row.page, row.text) for row in got] == [(row.page, row.text) for row in expected]
    assert files_in_pages(store) == sorted(book.result for book in pages.rows)


def _pages_of_part(store: Store, name: str) -> list[tuple[str, int]]:
    return [(row["pdf_sha256"], row["page"]) for row in store.read_jsonl(name)]


def test_two_workers_that_read_one_book_agree(light, checkpoint, store, monkeypatch):
    """The other worker's ledger appears while this one reads the last batch."""
    books = inspected(store, LEAFLET)
    first = recognize_pages(books, store, checkpoint=checkpoint)
    whole = store.read_bytes(first.rows[0].result)
    store.delete(first.rows[0].result)
    store.delete(first.name)
    engine = light()
    original = engine.read

    def read(pages):
        store.write_bytes(first.rows[0].result, whole)
        return original(pages)

    monkeypatch.setattr(engine, "read", read)

    assert recognize_pages(books, store, checkpoint=checkpoint) == first
    assert store.read_bytes(first.rows[0].result) == whole
    assert files_in_pages(store) == [first.rows[0].result]


def test_the_tokenizer_that_chunks_are_measured_with_is_kept_in_the_store(light, checkpoint, store):
    pages = recognize_pages(inspected(store, LEAFLET), store, checkpoint=checkpoint)
    kept = store.read_bytes(pages.settings["checkpoint_tokenizer"])
    assert kept == (Path(checkpoint) / "tokenizer.json").read_bytes()


def test_parts_that_another_worker_joined_and_removed_are_not_missed(store):
    row = PageRecord("a" * 64, 1, Status.OK, None, "nougat", 1, "text", 1, 0.1)
    listed_but_gone = f"pages/key/{'a' * 64}.jsonl.000001-000001"
    book = BookLedger(store, "pages/key", "a" * 64, 1, [listed_but_gone])
    assert not book.complete

    book.add(row)
    book.save()
    store.delete(listed_but_gone)
    book.close(book.rows())

    assert files_in_pages(store) == [book.name]
    assert list(store.read_jsonl(book.name)) == [row.to_dict()]


def test_parts_that_outlived_their_whole_are_removed(light, checkpoint, store):
    first = recognize_pages(inspected(store, BOOK), store, checkpoint=checkpoint)
    part = f"{first.rows[0].result}.000001-000003"
    store.write_jsonl(part, [row.to_dict() for row in rows_of(store, first, BOOK)[:3]])

    recognize_pages(inspected(store, BOOK, LEAFLET), store, checkpoint=checkpoint)

    assert not store.exists(part)


def test_a_ledger_that_lacks_a_page_is_never_written(store):
    row = PageRecord("a" * 64, 1, Status.OK, None, "nougat", 1, "text", 1, 0.1)
    book = BookLedger(store, "pages/key", "a" * 64, 2)
    book.add(row)

    with pytest.raises(AssertionError, match="lacks pages"):
        book.close(book.rows())
    with pytest.raises(AssertionError, match="came out twice"):
        book.add(row)
    assert files_in_pages(store) == []


# A folder of texts


def page_row(page: int, text: str, status: Status = Status.OK, reason: Reason | None = None) -> PageRecord:
    return PageRecord("a" * 64, page, status, reason, "nougat", 1, text, 1, 0.1)


def test_pages_are_joined_as_the_stock_command_joins_them():
    rows = [
        page_row(1, "\n\n# Title\n\nThe first page ends with a word "),
        page_row(2, "and goes on.\n\n"),
        page_row(3, "", Status.EMPTY, Reason.BLANK_PAGE),
        page_row(4, "So far", Status.TRUNCATED, Reason.REPETITION),
        page_row(5, "", Status.FAILED, Reason.REPETITION_FROM_START),
        page_row(6, "", Status.FAILED, Reason.RENDER_FAILED),
        page_row(7, "From the text layer", Status.FALLBACK, Reason.CRASHED),
        page_row(8, "The end.\n\n"),
    ]

    assert joined(rows) == (
        "# Title\n\nThe first page ends with a word and goes on.\n\n[MISSING_PAGE_EMPTY:3]\n\n"
        "So far\n\n[MISSING_PAGE_FAIL:4]\n\n[MISSING_PAGE_EMPTY:5]\n\n[MISSING_PAGE_FAIL:6]\n\n"
        "From the text layer\n\nThe end."
    )


@pytest.fixture
def shelf(tmp_path):
    """A folder of PDFs, two of them of one name."""
    folder = tmp_path / "shelf"
    for name, content in {
        "book.pdf": BOOK,
        "other/book.pdf": LEAFLET,
        "copy.pdf": LEAFLET,
        "sealed.pdf": SEALED,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_folder_of_texts_has_one_for_every_pdf_that_opens(light, checkpoint, shelf, tmp_path):
    out = tmp_path / "out"

    given = [shelf / name for name in ("book.pdf", "other/book.pdf", "copy.pdf", "sealed.pdf")]
    rows = read_pdfs(given, out, checkpoint=checkpoint)

    texts = {path.name: path.read_text(encoding="utf-8") for path in out.glob("*.mmd")}
    assert texts.keys() == {"book.mmd", f"book-{digest(LEAFLET)[:8]}.mmd", "copy.mmd"}
    assert texts["copy.mmd"] == texts[f"book-{digest(LEAFLET)[:8]}.mmd"]
    assert texts["copy.mmd"].startswith("Page 1 has ")
    assert "[MISSING_PAGE_EMPTY:3]" in texts["book.mmd"]
    ledger = [PageRecord.from_dict(json.loads(line)) for line in (out / "ledger.jsonl").read_text().splitlines()]
    assert ledger == rows
    assert Counter(row.pdf_sha256 for row in rows) == {digest(BOOK): 10, digest(LEAFLET): 2, digest(SEALED): 1}
    assert list(dict.fromkeys(row.pdf_sha256 for row in rows)) == [digest(BOOK), digest(LEAFLET), digest(SEALED)]
    assert rows[-1].reason == Reason.PASSWORD_PROTECTED


def test_a_second_run_into_the_folder_reads_nothing_and_changes_nothing(light, checkpoint, shelf, tmp_path):
    out = tmp_path / "out"
    given = [shelf / "book.pdf", shelf / "copy.pdf"]
    first = read_pdfs(given, out, checkpoint=checkpoint)
    before = {path: path.read_bytes() for path in out.iterdir() if path.is_file()}

    engine = light()
    assert read_pdfs(given, out, checkpoint=checkpoint) == first

    assert engine.batches == []
    assert {path: path.read_bytes() for path in out.iterdir() if path.is_file()} == before


def test_a_later_run_keeps_the_texts_and_rows_of_other_books(light, checkpoint, shelf, tmp_path):
    out = tmp_path / "out"
    read_pdfs([shelf / "book.pdf"], out, checkpoint=checkpoint)
    first = (out / "book.mmd").read_text()
    read_pdfs([shelf / "other" / "book.pdf"], out, checkpoint=checkpoint)

    assert (out / "book.mmd").read_text() == first
    assert (out / f"book-{digest(LEAFLET)[:8]}.mmd").is_file()
    ledger = [json.loads(line)["pdf_sha256"] for line in (out / "ledger.jsonl").read_text().splitlines()]
    assert Counter(ledger) == {digest(BOOK): 10, digest(LEAFLET): 2}


def test_a_text_that_somebody_else_wrote_is_not_overwritten(light, checkpoint, shelf, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "BOOK.mmd").write_text("mine")

    read_pdfs([shelf / "book.pdf"], out, checkpoint=checkpoint)

    assert (out / "BOOK.mmd").read_text() == "mine"
    assert (out / f"book-{digest(BOOK)[:8]}.mmd").is_file()


def test_a_pdf_that_is_not_there_is_named_before_any_is_read(light, checkpoint, shelf, tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.pdf: there is no such file"):
        read_pdfs([shelf / "book.pdf", shelf / "nowhere.pdf"], tmp_path / "out", checkpoint=checkpoint)
    assert not (tmp_path / "out").exists()


def test_memory_holds_a_bounded_number_of_pages(light, checkpoint, store, tmp_path, monkeypatch):
    """The orders run ahead of the model by two batches and what the children hold, not by a book."""
    ahead = []
    taken = Counter()
    engine = light()
    original = engine.read
    orders = recognition.Recognition._orders

    def counted(self, readable):
        for order in orders(self, readable):
            taken["ordered"] += 1
            yield order

    def read(pages):
        ahead.append(taken["ordered"] - sum(map(len, engine.batches)))
        return original(pages)

    monkeypatch.setattr(recognition.Recognition, "_orders", counted)
    monkeypatch.setattr(engine, "read", read)
    long_book = pdfs.book([f"Page {page}" for page in range(1, 61)])

    recognize_pages(inspected(store, long_book), store, checkpoint=checkpoint, batch_size=4)

    assert taken["ordered"] == 60
    assert max(ahead) <= 3 * 4
    assert np.mean(ahead) > 4
