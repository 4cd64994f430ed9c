"""Model instances of the server: pages go to the one with the fewest, and no end of an instance loses one."""

import functools
import os
import signal
import threading
import time
from concurrent.futures import wait
from pathlib import Path

import pytest

from pagemill.errors import UserError
from pagemill.ocr.checkpoint import Checkpoint
from pagemill.ocr.engine import PageOrder, load_engine
from pagemill.ocr.feeding import PreparePage
from pagemill.ocr.finishing import FinishPage
from pagemill.ocr.serving.instance import Kit
from pagemill.ocr.serving.kits import write_self_test
from pagemill.ocr.serving.pool import Instances
from pagemill.records import Reason, Status
from tests import light_engine, pdfs
from tests.light_engine import ENGINE, numbered

PAGES = 30
HANGS = 9


def refuse_to_load():
    raise UserError("weights.bin", "these are none", "give others")


def fail_to_load():
    raise RuntimeError("no memory on the device")


class HangingEngine(light_engine.LightEngine):
    """A model that comes to no end on one page."""

    def step(self):
        if any(number == HANGS for number, *_ in self.in_flight.values()):
            time.sleep(600)
        return super().step()


def load_one_that_hangs():
    return HangingEngine(light_engine.Behaviour(), Path(os.devnull))


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("book") / "book.pdf"
    path.write_bytes(pdfs.book([numbered(page, f"#lorem({3 * page})") for page in range(1, PAGES + 1)]))
    return str(path)


@pytest.fixture
def kit(tmp_path):
    def make(*, load=None, batch_size=4, **behaviour) -> Kit:
        folder = light_engine.write_checkpoint(tmp_path / "light", **behaviour)
        checkpoint = Checkpoint(folder, "0" * 64, "light", "none", {})
        load = load or functools.partial(load_engine, ENGINE, checkpoint)
        prepare, finish = PreparePage(ENGINE, checkpoint), FinishPage(ENGINE, checkpoint)
        return Kit(prepare, finish, load, write_self_test(tmp_path), batch_size=batch_size)

    return make


def no_mistake(error: UserError) -> None:
    raise AssertionError(error)


def order(book: str, page: int) -> PageOrder:
    return PageOrder("0" * 64, page, book)


def wait_until(condition) -> None:
    while not condition():
        time.sleep(0.01)


def numbers(readings) -> list[int]:
    return [int(reading.result().page.text.split()[1]) for reading in readings]


def test_two_instances_share_the_pages_and_no_text_goes_to_another(kit, book):
    one = kit(seconds=0.02, steps=2)
    with Instances([one, one], no_mistake) as instances:
        wait_until(lambda: instances.ready == 2)
        readings = [instances.submit(order(book, page)) for page in range(1, PAGES + 1)]

        assert [len(each.pages) for each in instances.instances] == [8, 8]
        assert instances.queued == PAGES - 16
        assert numbers(readings) == list(range(1, PAGES + 1))
        assert (instances.queued, instances.in_flight, instances.restarts) == (0, 0, 0)
        wait_until(lambda: sum(totals["pages"] for totals in instances.totals()) == PAGES + 2)


def test_killed_again_and_again_they_read_every_page_once(kit, book):
    with Instances([kit(seconds=0.1, steps=2)] * 2, no_mistake) as instances:
        readings = [instances.submit(order(book, page)) for page in range(1, PAGES + 1)]
        for one in instances.instances:  # while it has batches of which no page was lost before
            wait_until(lambda one=one: [page.losses for page in list(one.pages.values())].count(0) > 4)
            os.kill(one.process.pid, signal.SIGKILL)

        assert numbers(readings) == list(range(1, PAGES + 1))
        assert instances.read_again >= 2
        wait_until(lambda: instances.restarts == 2)


def test_a_page_that_takes_two_instances_along_fails_and_those_beside_it_do_not(kit, book):
    with Instances([kit(deadly=[3])], no_mistake) as instances:
        readings = [instances.submit(order(book, page)) for page in (1, 2, 3, 4)]
        page = readings.pop(2).result()

        assert (page.page.status, page.page.reason, page.attempts) == (Status.FAILED, Reason.CRASHED, 2)
        assert numbers(readings) == [1, 2, 4]
        assert instances.restarts == 2


def test_an_instance_whose_model_hangs_is_ended(kit, book):
    with Instances([kit(load=load_one_that_hangs)], no_mistake, stall_limit_seconds=1.0) as instances:
        readings = [instances.submit(order(book, page)) for page in (5, HANGS, 6)]

        assert readings.pop(1).result().page.reason is Reason.CRASHED
        assert numbers(readings) == [5, 6]


def test_a_long_request_does_not_hold_up_a_short_one(kit, book):
    with Instances([kit(seconds=0.1, batch_size=1)], no_mistake) as instances:
        long = [instances.submit(order(book, page), "long") for page in range(1, PAGES + 1)]
        short = instances.submit(order(book, 7), "short")

        assert numbers([short]) == [7]
        assert sum(reading.done() for reading in long) < PAGES // 2
        assert all(reading.cancel() or reading.running() or reading.done() for reading in long)


def test_a_page_that_waits_can_be_given_up(kit, book):
    with Instances([kit(seconds=0.1, batch_size=1)], no_mistake) as instances:
        readings = [instances.submit(order(book, page)) for page in range(1, PAGES + 1)]
        wait_until(lambda: instances.in_flight)
        given_up = [reading for reading in readings if reading.cancel()]

        assert len(given_up) >= PAGES - 4
        wait([reading for reading in readings if reading not in given_up])
        wait_until(lambda: instances.queued == instances.in_flight == 0)


def test_a_mistake_of_the_user_is_told(kit):
    told, heard = [], threading.Event()

    def on_mistake(error: UserError) -> None:
        told.append(error)
        heard.set()

    with Instances([kit(load=refuse_to_load)], on_mistake):
        heard.wait()
    assert str(told[0]) == "weights.bin: these are none; give others"


@pytest.mark.parametrize("trouble", [{"load": fail_to_load}, {"bad": [0]}])  # the page of the self-test has no number
def test_an_instance_that_cannot_read_is_never_ready(kit, trouble):
    with Instances([kit(**trouble)], no_mistake) as instances:
        wait_until(lambda: instances.restarts)
        assert instances.ready == 0
