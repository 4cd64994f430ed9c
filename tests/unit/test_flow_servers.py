"""Servers on SQLite and PostgreSQL: who is heard of gets tasks, as many as it has room for; who is not loses them."""

import pytest

from pagemill.flow import servers, watchdog
from pagemill.flow.servers import ACTIVE, DRAINING, WARMING, Load, Work, choose
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
    empty.hear(container("warming", "mill"), WARMING)
    empty.hear(container("draining", "mill"))
    empty.hear(container("draining", "mill"), DRAINING)
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


def test_what_a_server_says_of_itself_again_and_again_is_its_heartbeat_and_nothing_more(desk):
    before = desk.servers()
    desk.silence("baker", 1)
    events = len(desk.events())
    assert not desk.hear(BAKER)
    assert len(desk.events()) == events
    assert desk.servers()[0].last_heartbeat >= before[0].last_heartbeat


def test_what_a_server_says_first_or_newly_counts_from_then_on(desk):
    assert desk.hear(container("new", "mill"), WARMING)
    assert desk.hear(container("new", "mill", max_tasks=2, models={"mill": "stone-2"}), ACTIVE)
    new = desk.servers()[1]
    assert (new.status, new.server.max_tasks, new.server.models) == (ACTIVE, 2, {"mill": "stone-2"})
    assert desk.hear(new.server, DRAINING)
    chain = [(each.before, each.after) for each in desk.events() if each.server_id == "new"]
    assert chain == [(None, "warming"), ("warming", "active"), ("active", "draining")]


def test_a_server_that_was_given_up_is_back_when_it_is_heard_of(desk):
    pipeline = desk.add("flour")
    desk.start(pipeline, "grind")
    desk.silence("baker")
    watchdog.see_to_missing(desk.database, Adopting(), TIMEOUT_SECONDS)
    assert desk.servers() == []
    assert desk.hear(BAKER)
    assert desk.work_off() == ["grind", "heat", "count", "knead", "bake"]


def test_a_server_that_is_heard_of_while_it_is_given_up_stays(desk):
    class Slow(Adopting):
        def adopt(self, executor_id):
            desk.hear(BAKER)

    desk.silence("baker")
    assert watchdog.see_to_missing(desk.database, Slow(), TIMEOUT_SECONDS) == 1
    assert [each.status for each in desk.servers()] == [ACTIVE]


def test_a_server_that_did_not_answer_gets_nothing_until_it_is_heard_of(desk):
    pipeline = desk.add("flour")
    desk.lose(desk.start(pipeline, "grind"))
    assert [each.is_suspected for each in desk.servers()] == [True]
    assert desk.hand_out() == []
    assert desk.hear(BAKER)
    assert desk.start(pipeline, "grind").task.attempt == 1


def test_a_dead_server_that_seems_alive_is_tried_once(desk):
    pipeline = desk.add("flour")
    desk.lose(desk.start(pipeline, "grind"))
    desk.register(container("second", "mill", "oven"))
    assert desk.start(pipeline, "grind").task.server.id == "second"
    assert [event.detail["losses"] for event in desk.events(pipeline) if event.kind == "lost"] == [1]


def test_a_server_that_did_not_answer_comes_last_until_it_has_done_a_task(desk):
    second = container("second", "mill", "oven", max_tasks=1)
    pipeline, other = desk.add("flour"), desk.add("rye")
    desk.lose(desk.start(pipeline, "grind"))
    desk.register(second)
    desk.hear(BAKER)
    assert desk.start(pipeline, "grind").task.server.id == "second"
    attempt = desk.start(other, "grind")  # the other one has no room any more
    assert attempt.task.server.id == "baker"
    desk.finish(attempt)
    desk.add("oats")
    assert {each.server.id for each in desk.hand_out()} == {"baker"}


def test_servers_tell_what_they_have_to_do(desk):
    pipeline = desk.add("flour")
    desk.hear(container("idle"))
    desk.hand_out()
    baker, idle = desk.servers()
    assert baker.server == BAKER
    assert {(work.pipeline_id, work.name) for work in baker.tasks} == {(pipeline, "grind"), (pipeline, "heat")}
    assert idle.tasks == ()
    desk.database.write(servers.set_status, "idle", servers.DEAD)
    assert [each.server.id for each in desk.servers()] == ["baker"]


def test_a_capability_has_the_model_that_was_told_last_also_when_its_server_is_gone(desk):
    assert desk.model_of("mill") is None
    desk.register(container("old", "mill", models={"mill": "stone-1", "oven": "clay"}))
    desk.silence("old", 1)
    desk.register(container("new", "mill", models={"mill": "stone-2"}))
    desk.database.write(servers.set_status, "new", servers.DEAD)
    assert (desk.model_of("mill"), desk.model_of("oven")) == ("stone-2", "clay")
