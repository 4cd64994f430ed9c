"""A page goes down the line: prepared, read, cleaned up; what goes wrong on the way is its own reading."""

import functools
import threading

import pytest

from pagemill.ocr.checkpoint import Checkpoint
from pagemill.ocr.engine import EngineLost, PageOrder, Rendering, load_engine
from pagemill.ocr.feeding import PreparePage
from pagemill.ocr.finishing import FinishPage
from pagemill.ocr.line import Line
from pagemill.records import Reason, Status
from tests import light_engine
from tests.light_books import BOOK, digest
from tests.light_engine import ENGINE, read_log


@pytest.fixture
def book(tmp_path) -> str:
    path = tmp_path / "book.pdf"
    path.write_bytes(BOOK)
    return str(path)


@pytest.fixture
def new_line(tmp_path):
    def make(behaviour=None, load=None, **options) -> Line:
        folder = light_engine.write_checkpoint(tmp_path / "light", **(behaviour or {}))
        checkpoint = Checkpoint(folder, "0" * 64, "light", "none", {})
        load = load or functools.partial(load_engine, ENGINE, checkpoint)
        return Line(PreparePage(ENGINE, checkpoint), FinishPage(ENGINE, checkpoint), load, **options)

    return make


def order(book: str, page: int, **options) -> PageOrder:
    return PageOrder(digest(BOOK), page, book, **options)


def read(line: Line, orders) -> list:
    with line:
        readings = [line.submit(each) for each in orders]
        line.close()
        line.run()
        return [reading.result(timeout=0) for reading in readings]


def test_each_page_has_its_own_text_whatever_order_it_was_read_in(new_line, book, tmp_path):
    readings = read(new_line(batch_size=3), [order(book, page) for page in (5, 2, 9, 1)])

    assert [reading.page.text.split(" has ")[0] for reading in readings] == ["Page 5", "Page 2", "Page 9", "Page 1"]
    assert {reading.page.status for reading in readings} == {Status.OK}
    assert {reading.rendering for reading in readings} == {"96 dpi"}


def test_long_pages_are_read_first(new_line, book, tmp_path):
    started = threading.Event()

    def load():
        started.wait(30)
        return light_engine.load(Checkpoint(tmp_path / "light", "0" * 64, "light", "none", {}))

    line = new_line(load=load, batch_size=1)
    with line:
        readings = [line.submit(order(book, page)) for page in (1, 9, 5)]
        line.close()
        while len(line.queue) < 3:
            threading.Event().wait(0.01)
        started.set()
        line.run()
        assert all(reading.done() for reading in readings)
    assert read_log(tmp_path / "light") == [[9], [5], [1]]


def test_a_blank_page_is_settled_without_the_model(new_line, book, tmp_path):
    (reading,) = read(new_line(), [order(book, 3)])

    assert (reading.page.status, reading.page.reason, reading.attempts) == (Status.EMPTY, Reason.BLANK_PAGE, 1)
    assert read_log(tmp_path / "light") == []


def test_what_happens_in_preparation_is_the_pages_own_affair(new_line, book):
    troubles = {"2": "hang", "5": "crash", "7": "raise"}
    line = new_line({"troubles": troubles}, page_time_limit_seconds=2.0)

    readings = read(line, [order(book, page) for page in (1, 2, 5, 7, 8)])

    reasons = [reading.page.reason for reading in readings]
    assert reasons == [None, Reason.TIME_LIMIT, Reason.CRASHED, Reason.RENDER_FAILED, None]


def test_a_child_that_somebody_kills_costs_no_page(new_line, book):
    line = new_line({"troubles": {"5": "crash once"}, "afterwards": {"7": "crash once"}})

    readings = read(line, [order(book, page) for page in (1, 5, 7)])

    assert [reading.page.status for reading in readings] == [Status.OK] * 3
    assert [reading.attempts for reading in readings] == [1, 2, 2]


def test_what_happens_in_cleaning_up_is_the_pages_own_affair(new_line, book):
    afterwards = {"2": "hang", "5": "crash", "7": "raise"}
    line = new_line({"afterwards": afterwards}, page_time_limit_seconds=2.0)

    readings = read(line, [order(book, page) for page in (1, 2, 5, 7, 8)])

    reasons = [reading.page.reason for reading in readings]
    assert reasons == [None, Reason.CLEANUP_TIME_LIMIT, Reason.CLEANUP_FAILED, Reason.CLEANUP_FAILED, None]


def test_a_rendering_is_recorded(new_line, book):
    (reading,) = read(new_line(), [order(book, 1, rendering=Rendering(120, 0.02))])

    assert reading.rendering == "120 dpi, margin 0.02"


def test_the_text_is_compared_with_the_text_layer(new_line, book):
    (reading,) = read(new_line(), [order(book, 9)])

    assert reading.agreement is not None
    assert reading.agreement < 0.3  # the light engine does not read Lorem ipsum


def test_without_a_page_the_engine_is_not_loaded(new_line):
    def refuse():
        raise AssertionError("nothing needs an engine")

    assert read(new_line(load=refuse), []) == []


def test_an_engine_that_cannot_be_loaded_fails_every_page_and_the_run(new_line, book):
    def fail():
        raise OSError("no such model")

    line = new_line(load=fail)
    with line:
        reading = line.submit(order(book, 1))
        with pytest.raises(OSError, match="no such model"):
            line.run()
        with pytest.raises(OSError, match="no such model"):
            reading.result(timeout=0)
        with pytest.raises(OSError, match="no such model"):
            line.submit(order(book, 2)).result(timeout=0)


def test_a_lost_device_fails_every_page_that_is_not_done(new_line, book):
    line = new_line({"lost_after": 1}, batch_size=1)
    with line:
        readings = [line.submit(order(book, page)) for page in (1, 2, 4)]
        with pytest.raises(EngineLost):
            line.run()

    done = [reading for reading in readings if reading.exception(timeout=0) is None]
    lost = [reading for reading in readings if isinstance(reading.exception(timeout=0), EngineLost)]
    assert len(done) <= 1
    assert len(done) + len(lost) == 3


def test_pages_may_come_from_many_threads_while_the_model_is_at_work(new_line, book):
    line = new_line({"seconds": 0.002}, batch_size=4)
    readings = []

    def submit_all():
        for _ in range(5):
            readings.extend(line.submit(order(book, page)) for page in (1, 2, 4))

    with line:
        threads = [threading.Thread(target=submit_all) for _ in range(4)]
        for thread in threads:
            thread.start()
        closer = threading.Thread(target=lambda: ([thread.join() for thread in threads], line.close()))
        closer.start()
        line.run()
        closer.join()

    assert len(readings) == 60
    assert all(reading.done() for reading in readings)
    assert line.totals.pages == 60
