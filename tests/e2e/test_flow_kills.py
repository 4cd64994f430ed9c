"""Whatever is killed or stopped, every pipeline ends as it would have undisturbed, and nothing finished runs again."""

import random
import signal
import time

import pytest

from tests.flow_backends import Backend, check_course, end_before_beginning, open_queue
from tests.flow_databases import flow_database, postgres
from tests.flow_desk import BAKER, wait_beside
from tests.flow_runners import LoggingRunner

PATIENCE_SECONDS = 40.0


@pytest.fixture
def scene(request, tmp_path):
    """Two processes and a queue without one, on one database; the log of all runners."""
    url, log = flow_database(request.param, tmp_path), tmp_path / "log.jsonl"
    backends = [Backend(url, log, 0.15) for _ in range(2)]
    queue = open_queue(url, log, 0.15)
    for backend in backends:
        backend.wait_until_ready()
    yield queue, backends, LoggingRunner(log)
    for backend in backends:
        backend.end()
    queue.close()


def wait_for_runs(log, number):
    end = time.monotonic() + PATIENCE_SECONDS
    while sum(log.runs().values()) < number:
        assert time.monotonic() < end
        time.sleep(0.01)


def wait_for_late_answer(queue):
    end = time.monotonic() + PATIENCE_SECONDS
    while not any(event.kind == "late" for event in queue.events()):
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("scene", ["sqlite", "postgresql"], indirect=True)
def test_processes_are_killed(scene):
    queue, backends, log = scene
    chance = random.Random(6)
    pipelines = [queue.add_pipeline(f"{number:064}") for number in range(3)]
    for backend, earliest in zip(backends, (2, 7), strict=True):
        wait_for_runs(log, earliest + chance.randrange(3))
        backend.signal(signal.SIGKILL)
    queue.start()
    for each in pipelines:
        queue.wait(each, PATIENCE_SECONDS)
    check_course(queue, log, pipelines)


def test_a_process_leaves_alone_what_another_one_has_a_container_do(tmp_path):
    url, log = flow_database("sqlite", tmp_path), tmp_path / "log.jsonl"
    other = Backend(url, log, 0.25, capabilities={})
    with open_queue(url, log, 0.25, capabilities={}) as queue:
        other.wait_until_ready()
        wait_beside(queue, [queue.add_pipeline(f"{number:064}") for number in range(4)], BAKER)
        assert not {"taken over", "late", "lost"} & {event.kind for event in queue.events()}
    other.end()


@pytest.mark.parametrize(("kind", "capabilities"), [("postgresql", {}), ("sqlite", None)])
def test_a_process_dies_before_it_begins_what_it_handed_out(kind, capabilities, tmp_path):
    """What it would have had a container do is taken over; what it would have done itself is handed out anew."""
    url, log = flow_database(kind, tmp_path), tmp_path / "log.jsonl"
    queue = open_queue(url, log, 0.0, capabilities=capabilities)
    backend = Backend(url, log, 0.0, end_before_beginning, capabilities=capabilities)
    backend.wait_until_ready()
    containers_there = [] if capabilities is None else [BAKER]
    for each in containers_there:
        queue.hear(each, "active")
    pipeline = queue.add_pipeline("a" * 64)
    assert backend.wait_until_over() == 1
    queue.start()
    wait_beside(queue, [pipeline], *containers_there)
    check_course(queue, LoggingRunner(log), [pipeline])
    again = "lost" if capabilities is None else "taken over"
    assert again in {event.kind for event in queue.events(pipeline)}
    queue.close()


@pytest.mark.parametrize("scene", ["postgresql"], indirect=True)
def test_a_process_that_is_stopped_goes_on_too_late(scene):
    queue, (stopped, other), log = scene
    other.end()
    pipelines = [queue.add_pipeline(f"{number:064}") for number in range(2)]
    wait_for_runs(log, 3)
    stopped.signal(signal.SIGSTOP)
    queue.start()
    for each in pipelines:
        queue.wait(each, PATIENCE_SECONDS)
    results = [queue.results(each) for each in pipelines]
    stopped.signal(signal.SIGCONT)
    wait_for_late_answer(queue)
    assert [queue.results(each) for each in pipelines] == results
    check_course(queue, log, pipelines, stopped.pid)


def test_the_database_is_killed_in_the_midst_of_it(tmp_path):
    url, log = postgres().flow_database(), tmp_path / "log.jsonl"
    with open_queue(url, log, 0.1) as queue:
        pipelines = [queue.add_pipeline(f"{number:064}") for number in range(3)]
        wait_for_runs(LoggingRunner(log), random.Random(7).randrange(2, 6))
        postgres().kill()
        time.sleep(0.2)
        postgres().restart()
        for each in pipelines:
            queue.wait(each, PATIENCE_SECONDS)
        check_course(queue, LoggingRunner(log), pipelines)
        kinds = {event.kind for event in queue.events()}
        assert kinds.isdisjoint({"lost", "late"})  # nobody was held to be dead but the database
