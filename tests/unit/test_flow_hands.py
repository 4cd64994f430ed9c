"""What a process has in hand: a task is begun as it is handed out, and DBOS, which comes later, waits for it."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from pagemill.flow.attempts import Attempt
from pagemill.flow.hands import Hands
from pagemill.flow.runner import PipelineRun, Server, TaskRun

PATIENCE_SECONDS = 30.0
TASK = ("bread", "bake", 1)


def attempt(pipeline: str, name: str, run: int) -> Attempt:
    server = Server(id="me", server_type="backend", capabilities={"": True})
    task = TaskRun(name, "", 1, 1, f"{pipeline}.{name}.{run}", 1, 60.0, server)
    return Attempt(task, PipelineRun(pipeline, "bread", "0" * 64, {}, ""), {})


class Work:
    """Counts how often each task was carried out; holds them while they are to be held."""

    def __init__(self) -> None:
        self.times = Counter()
        self.ended = set()
        self.fails = 0
        self.superseded = 0
        self.is_here = True
        self.rooms = []
        self.begun, self.go = threading.Event(), threading.Event()
        self.go.set()
        self.hands = Hands(lambda _: self.is_here, "me", 2, self.begin, self.carry_out, lambda: None)

    def begin(self, *task) -> Attempt | None:
        begun = attempt(*task)
        return None if begun.task.key in self.ended else begun

    def carry_out(self, begun: Attempt) -> bool:
        self.times[begun.task.key] += 1
        self.begun.set()
        assert self.go.wait(PATIENCE_SECONDS)
        if self.fails:
            self.fails -= 1
            raise OSError("the database is away")
        if self.superseded:
            self.superseded -= 1
            return False
        self.ended.add(begun.task.key)
        return True

    def hand_out(self, *given) -> None:
        def begin_all(here):
            self.rooms.append(here.room)
            return [attempt(*each) for each in given]

        self.hands.hand_out(begin_all)


@pytest.fixture
def work():
    work = Work()
    yield work
    work.go.set()
    work.hands.wait(PATIENCE_SECONDS)


@pytest.fixture
def dbos():
    with ThreadPoolExecutor() as pool:
        yield pool


def test_dbos_waits_for_a_task_that_was_begun_ahead(work, dbos):
    work.go.clear()
    work.hand_out(TASK)
    assert work.begun.wait(PATIENCE_SECONDS)
    came = dbos.submit(work.hands.take_up, *TASK)
    assert not came.done()
    work.go.set()
    came.result(PATIENCE_SECONDS)
    assert work.times == {"bread.bake.1": 1}


def test_dbos_comes_when_the_task_is_through(work):
    work.hand_out(TASK)
    work.hands.wait(PATIENCE_SECONDS)
    work.hands.take_up(*TASK)
    assert work.times == {"bread.bake.1": 1}


def test_dbos_comes_while_the_task_is_being_handed_out(work, dbos):
    """It was committed a moment ago, and is not yet among those that were begun."""
    came = []

    def hand_out(here):
        came.append(dbos.submit(work.hands.take_up, *TASK))
        return [attempt(*TASK)]

    work.hands.hand_out(hand_out)
    came[0].result(PATIENCE_SECONDS)
    assert work.times == {"bread.bake.1": 1}


def test_dbos_comes_with_a_task_of_a_process_that_died(work):
    work.hands.take_up(*TASK)
    assert work.times == {"bread.bake.1": 1}


@pytest.mark.parametrize("came_before", [True, False])
def test_a_task_that_was_interrupted_is_done_again_by_dbos(came_before, work, dbos):
    work.fails = 1
    work.go.clear()
    work.hand_out(TASK)
    assert work.begun.wait(PATIENCE_SECONDS)
    if came_before:
        came = dbos.submit(work.hands.take_up, *TASK)
    work.go.set()
    work.hands.wait(PATIENCE_SECONDS)
    if not came_before:
        came = dbos.submit(work.hands.take_up, *TASK)
    came.result(PATIENCE_SECONDS)
    assert work.times == {"bread.bake.1": 2}
    assert work.ended == {"bread.bake.1"}


@pytest.mark.parametrize("is_here", [True, False])
def test_a_task_that_another_process_took_over_is_left_to_it_unless_it_came_back(is_here, work, dbos):
    """It comes back, under the same key, when that process dies before this one has noticed."""
    work.superseded, work.is_here = 1, is_here
    work.go.clear()
    work.hand_out(TASK)
    assert work.begun.wait(PATIENCE_SECONDS)
    came = dbos.submit(work.hands.take_up, *TASK)
    time.sleep(0.05)
    work.go.set()
    came.result(PATIENCE_SECONDS)
    assert work.times == {"bread.bake.1": 1 + is_here}


def test_there_is_room_for_so_many_tasks_at_once(work):
    work.go.clear()
    work.hand_out(TASK, ("bread", "grind", 1))
    work.hand_out()
    work.go.set()
    work.hands.wait(PATIENCE_SECONDS)
    work.hand_out()
    assert work.rooms == [2, 0, 2]
