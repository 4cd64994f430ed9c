"""The model is kept full, and what it cannot read costs itself alone."""

import pytest

from pagemill.ocr import reading
from pagemill.ocr.checkpoint import Checkpoint
from pagemill.ocr.engine import EngineLost, PageInput, Prepared
from pagemill.ocr.queueing import PageQueue
from pagemill.ocr.reading import Reader
from pagemill.records import Reason, Status
from tests import light_engine
from tests.light_engine import read_log


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "light"


def light(folder, **behaviour):
    light_engine.write_checkpoint(folder, **behaviour)
    return light_engine.load(Checkpoint(folder, "0" * 64, "light", "none", {}))


def queue_of(*numbers: int) -> PageQueue:
    queue = PageQueue()
    for number in numbers:
        pixels = light_engine.np.array([number, 0]).view("uint8")
        queue.put(PageInput(f"page {number}", pixels), Prepared(pixels))
    queue.close()
    return queue


def read_all(reader: Reader, queue: PageQueue) -> dict[str, tuple[Status, Reason | None, int]]:
    drafted = [each for step in reader.read(queue) for each in step]
    found = {each.draft.key: (each.draft.status, each.draft.reason, each.attempts) for each in drafted}
    assert len(found) == len(drafted), "a page came out twice"
    return found


def test_every_page_comes_out_once_under_its_key(folder):
    reader = Reader(light(folder, steps=3), batch_size=4)

    found = read_all(reader, queue_of(*range(1, 12)))

    assert found == {f"page {number}": (Status.OK, None, 1) for number in range(1, 12)}
    assert reader.totals.pages == 11
    assert reader.totals.tokens == 55
    assert max(map(len, read_log(folder))) == 4


def test_pages_join_those_in_flight_when_enough_places_are_free(folder):
    class Uneven(light_engine.LightEngine):
        """Reads pages of even number in two steps, the others in one."""

        def admit(self, pages):
            super().admit(pages)
            for page in pages:
                self.in_flight[page.key][2] = 2 if self.in_flight[page.key][0] % 2 == 0 else 1

    light(folder)
    engine = Uneven(light_engine.Behaviour(), folder / "light.log")

    read_all(Reader(engine, batch_size=4), queue_of(1, 2, 3, 4, 5, 6, 7, 8))

    assert read_log(folder) == [[1, 2, 3, 4], [5, 6], [7, 8]]


def test_pages_that_do_not_fit_into_memory_are_read_in_smaller_numbers_from_then_on(folder):
    reader = Reader(light(folder, most_pages=3), batch_size=8)

    found = read_all(reader, queue_of(*range(1, 10)))

    assert {status for status, _, _ in found.values()} == {Status.OK}
    assert len(found) == 9
    assert reader.batch_size == 2
    assert max(map(len, read_log(folder))) <= 3


def test_a_single_page_that_does_not_fit_has_failed(folder):
    found = read_all(Reader(light(folder, most_pages=0), batch_size=2), queue_of(1, 2))

    assert set(found.values()) == {(Status.FAILED, Reason.MODEL_ERROR, 2)}


def test_one_bad_page_costs_itself_alone_and_its_companions_a_second_attempt(folder):
    reader = Reader(light(folder, bad=[3]), batch_size=2)

    found = read_all(reader, queue_of(1, 2, 3, 4, 5))

    assert found.pop("page 3") == (Status.FAILED, Reason.MODEL_ERROR, 2)
    assert found == {
        "page 1": (Status.OK, None, 1),
        "page 2": (Status.OK, None, 1),
        "page 4": (Status.OK, None, 2),
        "page 5": (Status.OK, None, 1),
    }
    assert reader.totals.failed == 1


def test_a_lost_device_ends_the_reading_and_blames_no_page(folder):
    with pytest.raises(EngineLost):
        read_all(Reader(light(folder, lost_after=0), batch_size=2), queue_of(1, 2))


def test_the_places_offered_are_counted_step_by_step(folder):
    reader = Reader(light(folder, steps=2), batch_size=3)
    read_all(reader, queue_of(1, 2, 3, 4))

    assert reader.totals.steps == 4
    assert reader.totals.slots_offered == 12


def test_the_seconds_of_a_step_are_divided_among_the_pages_in_flight(folder):
    reader = Reader(light(folder, seconds=0.02), batch_size=4)

    drafted = [each for step in reader.read(queue_of(1, 2, 3, 4)) for each in step]

    assert sum(each.seconds for each in drafted) == pytest.approx(reader.totals.seconds_reading, abs=0.003)


def test_what_lies_between_two_steps_is_waiting(folder, monkeypatch):
    now = 100.0
    monkeypatch.setattr(reading.time, "monotonic", lambda: now)

    class Slow(light_engine.LightEngine):
        def step(self):
            nonlocal now
            now += 1.0
            return super().step()

    light(folder)
    reader = Reader(Slow(light_engine.Behaviour(steps=3), folder / "light.log"), batch_size=1)

    for _ in reader.read(queue_of(1, 2)):
        now += 0.25

    assert reader.totals.seconds_reading == 6 * 1.0
    assert reader.totals.seconds_waiting == 5 * 0.25
