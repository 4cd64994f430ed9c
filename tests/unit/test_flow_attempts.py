"""Tasks in the tables, on SQLite and PostgreSQL alike: handed out, begun, and ended once by whoever began last."""

import pytest

from pagemill.flow import servers, watchdog
from pagemill.flow.attempts import MOST_LOSSES, retry_delay
from pagemill.flow.servers import DRAINING, WARMING, Load, Work, choose
from pagemill.flow.spec import PipelineSpec, TaskSpec
from pagemill.flow.states import PipelineState, TaskState
from tests.flow_databases import flow_database, sqlite_database
from tests.flow_desk import BAKER, TIMEOUT_SECONDS, Desk, container
from tests.flow_specs import BREAD


@pytest.fixture(params=["sqlite", "postgresql"])
def desk(request, tmp_path):
    made = Desk(flow_database(request.param, tmp_path), BREAD, BAKER)
    yield made
    made.database.close()


@pytest.fixture
def empty(tmp_path):
    """A desk without a server."""
    made = Desk(sqlite_database(tmp_path), BREAD)
    yield made
    made.database.close()


def test_tasks_come_after_what_they_need_and_get_its_results(desk):
    pipeline = desk.add("flour")
    first = desk.hand_out()
    assert [each.name for each in first] == ["grind", "heat"]
    for each in first:
        desk.finish(desk.begin(each), of=each.name)
    second = {each.name: desk.begin(each) for each in desk.hand_out()}
    assert second["knead"].inputs == {"grind": {"of": "grind"}}
    assert second["count"].inputs == {"grind": {"of": "grind"}}
    for attempt in second.values():
        desk.finish(attempt)
    assert desk.work_off() == ["bake"]
    assert desk.status(pipeline).state is PipelineState.DONE
    assert desk.status(pipeline).progress == 100


def test_a_pipeline_is_what_its_document_and_parameters_are(desk):
    pipeline = desk.add("flour", size=2, shape="round")
    assert desk.add("flour", shape="round", size=2) == pipeline
    assert desk.add("flour", size=3, shape="round") != pipeline
    assert desk.add("rye", size=2, shape="round") != pipeline
    assert len([event for event in desk.events(pipeline) if event.kind == "created"]) == 1


def test_every_change_of_state_has_its_event(desk):
    pipeline = desk.add("flour")
    desk.work_off()
    for name in ("grind", "heat", "knead", "bake", "count"):
        chain = [(event.before, event.after) for event in desk.events(pipeline) if event.task == name]
        assert chain == [("queued", "queued"), ("queued", "running"), ("running", "done")]
    whole = [(event.before, event.after) for event in desk.events(pipeline) if event.task is None]
    assert whole == [(None, "queued"), ("queued", "running"), ("running", "done")]


def test_a_late_answer_changes_nothing(desk):
    pipeline = desk.add("flour")
    first = desk.start(pipeline, "grind")
    given = desk.given[pipeline, "grind"]
    second = desk.begin(given, "another process")
    assert second.task.epoch > first.task.epoch
    assert not desk.report(first, 0.9)
    assert not desk.finish(first, of="the first")
    assert not desk.fail(first)
    assert not desk.lose(first)
    assert desk.task(pipeline, "grind").share == 0
    assert desk.finish(second, of="the second")
    assert not desk.finish(first, of="the first")
    assert [event.task for event in desk.events(pipeline) if event.kind == "late"] == ["grind"] * 5
    assert next(each.inputs for each in map(desk.begin, desk.hand_out()))["grind"] == {"of": "the second"}


def test_what_was_handed_out_anew_cannot_be_begun_by_the_old_hand(desk):
    pipeline = desk.add("flour")
    attempt = desk.start(pipeline, "grind")
    given = desk.given[pipeline, "grind"]
    desk.lose(attempt)
    assert desk.begin(given) is None
    desk.start(pipeline, "grind")
    again = desk.given[pipeline, "grind"]
    assert again.run == given.run + 1
    assert desk.begin(given) is None


def test_what_is_done_is_not_begun_again(desk):
    pipeline = desk.add("flour")
    attempt = desk.start(pipeline, "grind")
    given = desk.given[pipeline, "grind"]
    desk.finish(attempt)
    assert desk.begin(given) is None
    assert "grind" not in [each.name for each in desk.hand_out()]


def test_a_task_fails_after_its_attempts_and_the_rest_is_kept(desk):
    pipeline = desk.add("flour")
    attempt = desk.start(pipeline, "grind")
    desk.finish(attempt)
    for number in (1, 2):
        attempt = desk.start(pipeline, "knead")
        assert attempt.task.attempt == number
        desk.fail(attempt, "too dry")
    assert desk.task(pipeline, "knead").state is TaskState.FAILED
    assert desk.task(pipeline, "knead").reason == "too dry"
    assert desk.task(pipeline, "bake").state is TaskState.SKIPPED
    assert desk.task(pipeline, "bake").reason == "needs knead, which failed"


def test_a_pipeline_with_some_results_is_partial_and_a_repair_does_only_the_rest(desk):
    pipeline = desk.add("flour")
    for name in ("grind", "heat", "count"):
        desk.finish(desk.start(pipeline, name))
    for _ in range(2):
        desk.fail(desk.start(pipeline, "knead"))
    assert desk.status(pipeline).state is PipelineState.PARTIAL
    before = desk.status(pipeline).progress
    assert desk.repair(pipeline) == ("knead", "bake")
    assert desk.status(pipeline).state is PipelineState.RUNNING
    assert desk.status(pipeline).progress == before
    assert desk.work_off() == ["knead", "bake"]
    assert desk.status(pipeline).state is PipelineState.DONE


def test_attempts_wait_twice_as_long_each_time():
    spec = PipelineSpec("patient", (TaskSpec("try", attempts=4, retry_delay_seconds=120.0),))
    assert [retry_delay(spec, "try", failures) for failures in (1, 2, 3, 4)] == [120, 240, 480, None]


def test_a_failed_attempt_waits_before_the_next(tmp_path):
    desk = Desk(sqlite_database(tmp_path), PipelineSpec("patient", (TaskSpec("try"),)), BAKER)
    pipeline = desk.add("flour")
    attempt = desk.start(pipeline, "try")
    desk.fail(attempt)
    assert desk.task(pipeline, "try").state is TaskState.RETRYING
    assert desk.hand_out() == []
    assert [event.detail["delay_seconds"] for event in desk.events(pipeline) if event.after == "retrying"] == [120]
    desk.database.close()


def test_a_runner_that_finds_nothing_to_do_skips_what_needs_it_too(desk):
    pipeline = desk.add("flour")
    given = {each.name: each for each in desk.hand_out()}
    desk.finish(desk.begin(given["heat"]))
    desk.skip(desk.begin(given["grind"]))
    status = desk.status(pipeline)
    assert status.state is PipelineState.DONE
    assert status.progress == 100
    assert {task.name: task.reason for task in status.tasks if task.state is TaskState.SKIPPED} == {
        "grind": "nothing to do",
        "knead": "needs grind, skipped",
        "count": "needs grind, skipped",
        "bake": "needs knead, skipped",
    }


def test_cancelling_ends_all_that_has_not_ended_and_a_repair_takes_it_up_again(desk):
    pipeline = desk.add("flour")
    given = {each.name: each for each in desk.hand_out()}
    desk.finish(desk.begin(given["grind"]))
    running = desk.begin(given["heat"])
    assert desk.cancel(pipeline)
    assert not desk.cancel(pipeline)
    assert not desk.finish(running)
    assert desk.hand_out() == []
    assert desk.status(pipeline).state is PipelineState.CANCELLED
    assert set(desk.repair(pipeline)) == {"heat", "knead", "bake", "count"}
    assert set(desk.work_off()) == {"heat", "knead", "bake", "count"}
    assert desk.status(pipeline).state is PipelineState.DONE


def test_progress_does_not_go_back_when_a_task_starts_anew(desk):
    pipeline = desk.add("flour")
    attempt = desk.start(pipeline, "grind")
    desk.report(attempt, 0.5)
    assert desk.status(pipeline).progress == 10
    desk.fail(attempt)
    attempt = desk.start(pipeline, "grind")
    desk.report(attempt, 0.1)
    assert desk.status(pipeline).progress == 10
    desk.report(attempt, 0.75)
    assert desk.status(pipeline).progress == 15


def test_losing_processes_is_no_failure_but_there_is_an_end_to_it(desk):
    pipeline = desk.add("flour")
    for _ in range(MOST_LOSSES):
        attempt = desk.start(pipeline, "grind")
        assert attempt.task.attempt == 1
        desk.lose(attempt)
    attempt = desk.start(pipeline, "grind")
    given = desk.given[pipeline, "grind"]
    assert desk.begin(given) is None  # another process takes over, and that is one too many
    assert desk.task(pipeline, "grind").state is TaskState.FAILED
    assert "processes went away" in desk.task(pipeline, "grind").reason


def test_an_attempt_beyond_its_time_limit_fails(desk):
    pipeline = desk.add("flour")
    attempt = desk.start(pipeline, "grind")
    assert watchdog.see_to_overdue(desk.database, "bread") == 0
    desk.pass_deadline(pipeline, "grind")
    assert watchdog.see_to_overdue(desk.database, "bread") == 1
    assert desk.task(pipeline, "grind").reason == "no result within 900 s"
    assert not desk.finish(attempt)


def test_a_task_that_was_handed_out_but_not_begun_is_handed_out_anew(desk):
    pipeline = desk.add("flour")
    first = {each.name: each for each in desk.hand_out()}["grind"]
    desk.pass_deadline(pipeline, "grind")
    assert watchdog.see_to_overdue(desk.database, "bread") == 1
    assert desk.start(pipeline, "grind").task.attempt == 1
    assert desk.begin(first) is None


def test_the_most_urgent_pipeline_comes_first_and_then_the_oldest(empty):
    empty.register(container("small", "mill", max_tasks=1))
    later, old, new, urgent = (
        empty.add(name, priority) for name, priority in (("d", 5), ("c", 0), ("b", 0), ("a", -5))
    )
    order = []
    while given := empty.hand_out():
        order += [each.pipeline_id for each in given if each.name == "grind"]
        for each in given:
            empty.finish(empty.begin(each))
    assert order == [urgent, old, new, later]


def test_tasks_wait_for_a_container_that_can_do_them(empty):
    pipeline = empty.add("flour")
    empty.register(container("oven-1", "oven"))
    assert [each.name for each in empty.hand_out()] == ["heat"]
    assert empty.task(pipeline, "grind").state is TaskState.WARMING
    assert empty.status(pipeline).state is PipelineState.QUEUED
    empty.register(container("mill-1", "mill"))
    assert [each.name for each in empty.hand_out()] == ["grind"]


def test_containers_that_warm_up_drain_or_are_silent_get_nothing(empty):
    empty.database.write(servers.register, container("warming", "mill"), WARMING)
    empty.register(container("draining", "mill"))
    empty.database.write(servers.set_status, "draining", DRAINING)
    empty.register(container("silent", "mill"))
    empty.silence("silent")
    empty.add("flour")
    assert empty.hand_out() == []
    empty.register(container("alive", "mill"))
    assert [each.server.id for each in empty.hand_out()] == ["alive"]


def test_a_container_has_room_for_so_many_pipelines_and_tasks():
    one = Load(container("one", "mill", max_pipelines=2, max_tasks=3))
    for pipeline in ("a", "b"):
        assert one.has_room(Work(pipeline, "grind", "mill"))
        one.work.append(Work(pipeline, "grind", "mill"))
    assert not one.has_room(Work("c", "grind", "mill"))
    assert one.has_room(Work("a", "knead", "mill"))
    one.work.append(Work("a", "knead", "mill"))
    assert not one.has_room(Work("b", "knead", "mill"))
    assert not Load(container("other", "oven")).has_room(Work("a", "grind", "mill"))


def test_a_container_may_name_tasks_or_capabilities_and_how_many_at_a_time():
    load = Load(container("picky", able={"mill": 1, "knead": False, "heat": True}))
    assert load.has_room(Work("a", "grind", "mill"))
    assert not load.has_room(Work("a", "knead", "mill"))
    assert load.has_room(Work("a", "heat", "oven"))
    load.work.append(Work("a", "grind", "mill"))
    assert not load.has_room(Work("b", "grind", "mill"))


def test_a_task_goes_where_its_pipeline_is_and_else_where_there_is_least_to_do():
    idle, busy = Load(container("idle", "mill")), Load(container("busy", "mill"))
    busy.work.append(Work("a", "grind", "mill"))
    assert choose(Work("a", "knead", "mill"), [idle, busy]) is busy
    assert choose(Work("b", "grind", "mill"), [busy, idle]) is idle
    assert choose(Work("b", "grind", "mill"), []) is None


class Adopting:
    """Stands for the queues of processes, where there are none to adopt from."""

    spec_name = "bread"

    def __init__(self):
        self.adopted = []

    def adopt(self, executor_id):
        self.adopted.append(executor_id)


def test_tasks_of_a_container_that_is_not_heard_of_go_to_another(desk):
    pipeline = desk.add("flour")
    attempt = desk.start(pipeline, "grind")
    given = desk.given[pipeline, "grind"]
    desk.silence("baker")
    durable = Adopting()
    assert watchdog.see_to_missing(desk.database, durable, TIMEOUT_SECONDS) == 1
    assert watchdog.see_to_missing(desk.database, durable, TIMEOUT_SECONDS) == 0
    assert durable.adopted == ["baker"]
    assert desk.task(pipeline, "grind").state is TaskState.RETRYING
    assert not desk.database.write(servers.heartbeat, "baker")  # it has to register
    desk.register(container("second", "mill", "oven"))
    assert {each.server.id for each in desk.hand_out()} == {"second"}
    assert not desk.finish(attempt)  # the zombie's
    assert desk.begin(given) is None


def test_a_dead_server_is_seen_to_again_if_who_saw_to_it_died(desk, monkeypatch):
    desk.silence("baker")

    class Dying(Adopting):
        def adopt(self, executor_id):
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        watchdog.see_to_missing(desk.database, Dying(), TIMEOUT_SECONDS)
    assert watchdog.see_to_missing(desk.database, Adopting(), TIMEOUT_SECONDS) == 0  # it has been taken
    monkeypatch.setattr(watchdog, "TAKEN_SECONDS", -1.0)
    assert watchdog.see_to_missing(desk.database, Adopting(), TIMEOUT_SECONDS) == 1
