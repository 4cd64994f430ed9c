"""The reading of pages: every page that goes in comes out as one row, whatever happens on the way."""

import io
import json
import os
import sys
from collections import Counter
from pathlib import Path

import pypdfium2
import pytest

from pagemill.archives import extract_members
from pagemill.errors import UserError
from pagemill.ocr import read_pdfs, recognition, recognize_pages, resolve_checkpoint
from pagemill.ocr.engine import EngineLost
from pagemill.ocr.readings import Readings
from pagemill.records import Reason, Status
from pagemill.storage import Store
from tests import pdfs
from tests.light_books import (
    BOOK,
    BROKEN,
    FOLDED,
    LEAFLET,
    SEALED,
    digest,
    files_in,
    inspected,
    long_book,
    read,
    rows_of,
)
from tests.light_engine import ENGINE, numbered, read_log
from tests.tiny_nougat import write_checkpoint

DEMO = Path(__file__).parents[2] / "demo"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    return str(write_checkpoint(tmp_path_factory.mktemp("model") / "tiny"))


@pytest.fixture
def folder(light) -> Path:
    return light()


def admitted(folder: Path) -> list[int]:
    """Return how often each page was shown to the model, as a list of their numbers."""
    return sorted(number for numbers in read_log(folder) for number in numbers)


# With real models


def test_the_whole_road_with_nougat_gives_the_texts_of_model_inference(checkpoint, store):
    import torch
    from nougat.postprocessing import markdown_compatible

    from pagemill.ocr.nougat.loading import load_model
    from pagemill.ocr.nougat.words import provide_word_list

    provide_word_list()
    pages = recognize_pages(
        inspected(store, BOOK, LEAFLET, BROKEN), store, checkpoint=checkpoint, batch_size=5, threads=1
    )

    model = load_model(resolve_checkpoint(checkpoint, store), "cpu", 1, "fp32")
    images = [page.render(scale=96 / 72).to_pil() for content in (BOOK, LEAFLET) for page in _document(content)]
    texts = []
    for image in images:
        batch = model.encoder.prepare_input(image)[None]
        with torch.inference_mode():
            (text,) = model.inference(image_tensors=batch, early_stopping=True)["predictions"]
        texts.append(markdown_compatible(text))
    texts[2] = ""  # the blank page is not shown to the model
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


def test_every_page_of_every_pdf_has_exactly_one_row(folder, store):
    pages = read(store, folder, BOOK, BROKEN, LEAFLET, SEALED, pdfs.without_pages())

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
    assert {row.rendering for row in book} == {"96 dpi"}
    (unopened,) = rows_of(store, pages, BROKEN)
    assert (unopened.page, unopened.status, unopened.reason) == (0, Status.FAILED, Reason.BROKEN_PDF)
    assert pages.counts["pages"] == 15
    assert pages.counts["pages_ok"] == 11
    assert pages.counts["pages_empty"] == 1
    assert pages.counts["pages_failed"] == 3
    assert pages.counts["pages_fallback"] == 0


def test_only_whole_books_remain(folder, store):
    pages = read(store, folder, BOOK, LEAFLET)

    assert files_in(store, "pages") == sorted(book.result for book in pages.rows)
    assert all(book.result == f"pages/{pages.config_key}/{book.pdf_sha256}.jsonl" for book in pages.rows)
    assert [name.rsplit("/", 1)[-1] for name in files_in(store, "readings")] == sorted(
        f"{digest(content)}.jsonl" for content in (BOOK, LEAFLET)
    )


def test_pages_of_all_books_are_read_together_and_blank_ones_not_at_all(light, store):
    folder = light(seconds=0.2)
    read(store, folder, BOOK, LEAFLET, batch_size=20)

    assert admitted(folder) == [1, 1, 2, 2, 4, 5, 6, 7, 8, 9, 10]
    assert len(read_log(folder)) < 11


@pytest.mark.parametrize("batch_size", [1, 100])
def test_the_result_does_not_depend_on_batches_or_render_workers(folder, store, batch_size, tmp_path):
    one = read(store, folder, BOOK, LEAFLET)
    other_store = Store(str(tmp_path / "other"))
    other = read(other_store, folder, BOOK, LEAFLET, batch_size=batch_size, render_workers=2)

    assert one == other
    assert [row.text for row in rows_of(store, one, BOOK)] == [row.text for row in rows_of(other_store, other, BOOK)]


def test_a_second_run_does_nothing(folder, store):
    first = read(store, folder, BOOK)
    before = read_log(folder)

    assert read(store, folder, BOOK, batch_size=2) == first
    assert read_log(folder) == before


def test_a_book_that_was_read_for_another_shard_is_not_read_again(folder, store):
    read(store, folder, BOOK)
    read(store, folder, LEAFLET, BOOK)

    assert len(admitted(folder)) == 9 + 2


def test_the_model_is_not_loaded_when_there_is_nothing_to_render(folder, store, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("nothing needs a model")

    monkeypatch.setattr(recognition, "load_engine", refuse)

    assert read(store, folder, BROKEN, SEALED).counts["pages_failed"] == 2


def test_a_store_elsewhere_serves_as_well(folder, tmp_path):
    remote = Store(f"memory://{tmp_path.name}-{os.getpid()}")

    pages = read(remote, folder, BOOK)

    assert [row.page for row in rows_of(remote, pages, BOOK)] == list(range(1, 11))
    assert files_in(remote, "pages") == [pages.rows[0].result]


def test_the_figures_of_the_run_are_kept_beside_its_result(folder, store, caplog):
    caplog.set_level("INFO", "pagemill")
    figures = read(store, folder, BOOK, batch_size=4).settings["figures"]

    assert [(run["rows"], run["rows_failed"], run["pages"]) for run in figures] == [(10, 0, 9)]
    assert figures[0]["slots_offered"] == 4 * figures[0]["steps"]
    assert figures[0]["ranks"][0]["tokens"] == 45
    assert "recognize: 10 pages, 0 failed, 45 tokens; 1 model, busy for " in caplog.text


# Trouble with single pages


def test_pages_that_hang_crash_or_raise_cost_themselves_alone(light, store):
    folder = light(troubles={"2": "hang", "5": "crash", "7": "raise"})

    pages = read(store, folder, BOOK, page_time_limit_seconds=2.0)

    rows = rows_of(store, pages, BOOK)
    assert {row.page: row.reason for row in rows if row.status is Status.FAILED} == {
        2: Reason.TIME_LIMIT,
        5: Reason.CRASHED,
        7: Reason.RENDER_FAILED,
    }
    assert Counter(row.status for row in rows) == {Status.OK: 6, Status.EMPTY: 1, Status.FAILED: 3}


def test_a_page_too_large_to_render_is_a_failed_row(folder, store):
    pages = read(store, folder, FOLDED)

    assert [row.reason for row in rows_of(store, pages, FOLDED)] == [Reason.PAGE_TOO_LARGE, None]
    assert admitted(folder) == [2]


def test_a_page_that_the_model_fails_on_is_tried_twice(light, store):
    rows = rows_of(store, read(store, light(bad=[6]), BOOK), BOOK)

    assert {row.page: row.reason for row in rows if row.status is Status.FAILED} == {6: Reason.MODEL_ERROR}
    assert rows[5].attempts == 2


def test_a_book_without_a_single_page_read_has_failed(light, store):
    (book,) = read(store, light(bad=[1, 2]), LEAFLET).rows

    assert (book.status, book.reason, book.items) == (Status.FAILED, Reason.MODEL_ERROR, 2)


def test_pages_in_another_language_are_skipped_before_the_model(folder, store):
    german = "Es war einmal ein König, der hatte einen großen Wald bei seinem Schloss, darin lief Wild aller Art. " * 4
    english = (
        "There was once a king who had a great forest near his castle, and all kinds of game ran about in it. " * 4
    )
    tale = pdfs.book([numbered(1, german), numbered(2, english), numbered(3, "")])

    pages = read(store, folder, tale, languages="en")

    rows = rows_of(store, pages, tale)
    assert [(row.status, row.reason) for row in rows] == [
        (Status.SKIPPED, Reason.OTHER_LANGUAGE),
        (Status.OK, Reason.LOW_AGREEMENT),  # the light engine says how many dots there are
        (Status.OK, None),
    ]
    assert admitted(folder) == [2, 3]


# Doubtful and lost pages


def test_a_page_that_disagrees_with_its_text_layer_is_flagged(folder, store):
    pages = read(store, folder, BOOK)
    trusting = read(store, folder, BOOK, min_agreement=0.0)

    assert rows_of(store, pages, BOOK)[8].reason is Reason.LOW_AGREEMENT
    assert rows_of(store, pages, BOOK)[8].agreement < 0.5
    assert rows_of(store, trusting, BOOK)[8].reason is None
    assert len(admitted(folder)) == 9  # another threshold is no reason to read again


def test_failed_and_disagreeing_pages_take_the_text_layer_only_when_asked(light, store):
    folder = light(bad=[2], loops=[1])

    without = read(store, folder, BOOK, FOLDED)
    asked = read(store, folder, BOOK, FOLDED, fallback="text-layer")

    assert without.counts["pages_failed"] == 3
    assert asked.counts["pages_failed"] == 0
    assert asked.config_key != without.config_key
    second = rows_of(store, asked, BOOK)[1]
    assert (second.status, second.reason, second.engine) == (Status.FALLBACK, Reason.MODEL_ERROR, "text-layer")
    assert "Lorem ipsum" in second.text
    assert (second.tokens, second.attempts) == (0, 2)
    ninth = rows_of(store, asked, BOOK)[8]
    assert (ninth.status, ninth.reason, ninth.engine) == (Status.FALLBACK, Reason.LOW_AGREEMENT, "text-layer")
    assert [row.text for row in rows_of(store, asked, FOLDED)] == ["A map", "Its legend"]


def test_asking_for_a_fallback_later_reads_nothing_again(light, store):
    folder = light(bad=[2])
    read(store, folder, BOOK)
    before = read_log(folder)

    read(store, folder, BOOK, fallback="text-layer")

    assert read_log(folder) == before


def test_a_failed_page_without_a_text_layer_stays_failed(light, store):
    scan = pdfs.scanned()

    pages = read(store, light(lost_after=None, bad=[0]), scan, fallback="text-layer")

    (row,) = rows_of(store, pages, scan)
    assert (row.status, row.reason, row.engine, row.text) == (Status.FAILED, Reason.MODEL_ERROR, ENGINE, "")


def test_a_failed_page_without_a_text_layer_is_read_by_the_other_engine_when_asked(light, store):
    tale = "There was once a king who had a great forest near his castle, and all kinds of game ran about in it."
    typeset = pdfs.book([numbered(1, tale), numbered(2, tale)])
    images = [page.render(scale=200 / 72).to_pil() for page in _document(typeset)]
    scan = io.BytesIO()
    images[0].save(scan, "PDF", resolution=200, save_all=True, append_images=images[1:])

    pages = read(store, light(bad=[2]), scan.getvalue(), fallback="ocr")

    first, second = rows_of(store, pages, scan.getvalue())
    assert first.status is Status.OK
    assert (second.status, second.reason, second.engine) == (Status.FALLBACK, Reason.MODEL_ERROR, "rapidocr")
    assert "There was once a king who had a great forest" in " ".join(second.text.split())


def test_a_fallback_that_is_not_installed_is_told_before_any_work(folder, store, monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(UserError, match="rapidocr is not installed"):
        read(store, folder, BOOK, fallback="ocr")
    assert read_log(folder) == []


# Reading again


def test_a_round_of_retries_reads_failed_pages_again_rendered_otherwise(light, store):
    folder = light(bad=[2, 6], loops=[4])
    first = read(store, folder, BOOK, batch_size=1)
    before = len(read_log(folder))

    light(bad=[6])
    second = read(store, folder, BOOK, batch_size=1, retry="failed")

    assert {number for numbers in read_log(folder)[before:] for number in numbers} == {2, 6}
    rows, earlier = rows_of(store, second, BOOK), rows_of(store, first, BOOK)
    assert (rows[1].status, rows[1].attempts, rows[1].rendering) == (Status.OK, 2 + 1, "120 dpi, margin 0.02")
    assert (rows[5].status, rows[5].attempts, rows[5].rendering) == (Status.FAILED, 2 + 2, "96 dpi")
    assert [row for row in rows if row.page not in (2, 6)] == [row for row in earlier if row.page not in (2, 6)]


def test_a_retry_never_makes_a_page_worse(light, store):
    folder = light(loops=[4])
    first = rows_of(store, read(store, folder, BOOK), BOOK)
    light(silent=[4])

    again = rows_of(store, read(store, folder, BOOK, retry="truncated"), BOOK)

    assert (again[3].status, again[3].text) == (Status.TRUNCATED, first[3].text)
    assert again[3].attempts == 2


def test_each_further_round_goes_on_from_the_one_before(light, store):
    folder = light(bad=[2, 6])
    read(store, folder, BOOK, batch_size=1, retry="failed")
    light(bad=[6])
    read(store, folder, BOOK, batch_size=1, retry="failed,failed")
    light()
    pages = read(store, folder, BOOK, batch_size=1, retry="failed,failed,all")

    rows = rows_of(store, pages, BOOK)
    assert {row.status for row in rows} == {Status.OK, Status.EMPTY}
    assert [rows[1].rendering, rows[5].rendering] == ["72 dpi, margin 0.05", "144 dpi, margin 0.08"]
    assert [rows[1].attempts, rows[5].attempts] == [2 + 2 + 1, 2 + 2 + 2 + 1]


def test_a_retry_comes_before_the_fallback(light, store):
    folder = light(bad=[2, 6])
    read(store, folder, BOOK)
    light(bad=[6])

    pages = read(store, folder, BOOK, retry="failed", fallback="text-layer", min_agreement=0.0)

    rows = rows_of(store, pages, BOOK)
    assert [rows[1].status, rows[5].status] == [Status.OK, Status.FALLBACK]


@pytest.mark.parametrize("retry", ["ok", "failed,,truncated", "failed,ok"])
def test_an_unknown_retry_is_a_mistake_of_the_user(folder, store, retry):
    with pytest.raises(UserError, match="is not known; choose none or of: failed, truncated, all"):
        read(store, folder, retry=retry)


# Mistakes and faults


def test_an_unknown_fallback_is_a_mistake_of_the_user(folder, store):
    with pytest.raises(UserError, match="fallback guess: is not known; choose one of: none, text-layer, ocr"):
        read(store, folder, fallback="guess")


@pytest.mark.parametrize("engine", ["tesseract", "no.such.module", "../nougat"])
def test_an_unknown_engine_is_a_mistake_of_the_user(folder, store, engine):
    with pytest.raises(UserError, match="is not known; choose one of: nougat, nougat-reference, rapidocr"):
        recognize_pages(inspected(store), store, checkpoint=str(folder), engine=engine)


def test_a_checkpoint_that_is_not_there_is_told_before_any_work(store):
    with pytest.raises(UserError, match="no such folder or release"):
        read(store, "/no/where", BOOK)
    assert files_in(store, "pages") == []


def test_a_pdf_that_the_store_lost_is_a_fault_not_a_failed_page(folder, store):
    books = inspected(store, BOOK)
    store.delete(f"pdf/{digest(BOOK)}.pdf")

    with pytest.raises(FileNotFoundError, match=digest(BOOK)):
        recognize_pages(books, store, checkpoint=str(folder), engine=ENGINE)


def test_a_full_store_is_one_clear_error_and_leaves_nothing_half_written(folder, store, monkeypatch):
    """The disk fills up in the middle of a write."""
    book = long_book(40)

    def fail(self, pdf_sha256, pages, rows):
        with self.store.writing(self._range(pdf_sha256, pages, ".jsonl")) as stream:
            stream.write(b'{"page": 1')
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(Readings, "save", fail)
        with pytest.raises(OSError, match="No space left on device"):
            read(store, folder, book)

    assert [name for name in files_in(store, "readings") if name.endswith(".jsonl")] == []
    assert [row.page for row in rows_of(store, read(store, folder, book), book)] == list(range(1, 41))


def test_a_lost_device_ends_the_run_and_the_next_goes_on(light, store):
    book = long_book(100)
    folder = light(lost_after=12)
    with pytest.raises(EngineLost):
        read(store, folder, book, batch_size=4)
    kept = Readings(store, store.folders("readings")[0]).kept(digest(book))
    assert len(kept) in (0, 32)
    before = admitted(folder)

    light()
    pages = read(store, folder, book, batch_size=4)

    assert [row.status for row in rows_of(store, pages, book)] == [Status.OK] * 100
    again = admitted(folder)[len(before) :]
    assert len(admitted(folder)) - len(before) == 100 - len(kept), again
