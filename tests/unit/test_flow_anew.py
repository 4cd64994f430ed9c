"""Results that are lost, made anew on demand, or known before: what is done anew is that alone, and the rest waits."""

import pytest

from pagemill.errors import UserError
from pagemill.flow import reading
from pagemill.flow.attempts import MOST_LOSSES
from pagemill.flow.states import PipelineState, TaskState
from tests.flow_databases import flow_database
from tests.flow_desk import BAKER, Desk
from tests.flow_specs import BREAD


@pytest.fixture(params=["sqlite", "postgresql"])
def desk(request, tmp_path):
    made = Desk(flow_database(request.param, tmp_path), BREAD, BAKER)
    yield made
    made.database.close()


def do(desk, pipeline, *names):
    for name in names:
        desk.finish(desk.start(pipeline, name), of=name)


def begun(desk, pipeline):
    return [event.task for event in desk.events(pipeline) if event.kind == "running" and event.task]


def test_a_lost_result_is_made_anew_and_nothing_else(desk):
    pipeline = desk.add("flour")
    do(desk, pipeline, "grind", "heat", "knead", "count")
    before = desk.status(pipeline).progress
    assert desk.lose_need(desk.start(pipeline, "bake"), "grind")  # which it needs through knead
    assert desk.task(pipeline, "grind").state is TaskState.QUEUED
    assert desk.task(pipeline, "bake").state is TaskState.QUEUED
    assert set(desk.results(pipeline)) == {"heat", "knead", "count"}
    assert desk.status(pipeline).progress == before
    assert desk.work_off() == ["grind", "bake"]
    assert desk.status(pipeline).state is PipelineState.DONE
    assert sorted(begun(desk, pipeline)) == ["bake", "bake", "count", "grind", "grind", "heat", "knead"]


def test_the_events_say_that_a_result_was_lost_and_who_needs_it(desk):
    pipeline = desk.add("flour")
    do(desk, pipeline, "grind")
    attempt = desk.start(pipeline, "knead")
    desk.lose_need(attempt, "grind")
    told = {event.kind: (event.task, event.before, event.after, event.detail) for event in desk.events(pipeline)}
    assert told["anew"] == ("grind", "done", "queued", {"reason": "its result is lost, says knead"})
    lost = {"reason": "the result of grind is lost", "losses": 1, "delay_seconds": 0.0}
    assert told["need lost"] == ("knead", "running", "queued", lost)
    assert desk.task(pipeline, "knead").failures == 0
    do(desk, pipeline, "grind")
    again = desk.start(pipeline, "knead")
    assert again.task.key != attempt.task.key


def test_a_result_that_two_tasks_miss_is_made_anew_once(desk):
    pipeline = desk.add("flour")
    do(desk, pipeline, "grind", "heat")
    knead, count = desk.start(pipeline, "knead"), desk.start(pipeline, "count")
    desk.lose_need(knead, "grind")
    do(desk, pipeline, "grind")
    desk.lose_need(count, "grind")  # it had begun with what was lost
    assert desk.task(pipeline, "grind").state is TaskState.DONE
    assert desk.work_off() == ["count", "knead", "bake"]
    assert desk.status(pipeline).state is PipelineState.DONE


def test_what_cannot_be_made_anew_is_missed_by_what_waits_for_it_alone(desk):
    pipeline = desk.add("flour")
    do(desk, pipeline, "grind", "heat", "knead", "count")
    desk.lose_need(desk.start(pipeline, "bake"), "grind")
    desk.fail(desk.start(pipeline, "grind"), retry=False)
    status = desk.status(pipeline)
    assert status.state is PipelineState.PARTIAL
    assert {task.name: task.state for task in status.tasks if task.state is not TaskState.DONE} == {
        "grind": TaskState.FAILED,
        "bake": TaskState.SKIPPED,
    }
    assert desk.task(pipeline, "bake").reason == "needs grind, which failed"
    assert desk.repair(pipeline) == ("grind", "bake")
    assert desk.work_off() == ["grind", "bake"]


def test_who_was_handed_a_task_waits_too_when_what_it_needs_is_lost(desk):
    pipeline = desk.add("flour")
    do(desk, pipeline, "grind")
    given = {each.name: each for each in desk.hand_out()}
    desk.lose_need(desk.begin(given["knead"]), "grind")
    assert desk.begin(given["count"]) is None
    do(desk, pipeline, "grind")
    assert desk.start(pipeline, "count").inputs == {"grind": {"of": "grind"}}


def test_a_task_that_waits_for_its_next_attempt_is_skipped_when_a_need_is_lost_for_good(desk):
    pipeline = desk.add("flour")
    do(desk, pipeline, "grind")
    desk.fail(desk.start(pipeline, "knead"))
    desk.lose_need(desk.start(pipeline, "count"), "grind")
    desk.skip(desk.start(pipeline, "grind"))
    assert {desk.task(pipeline, name).state for name in ("knead", "count", "bake")} == {TaskState.SKIPPED}


def test_there_is_an_end_to_losing_results(desk):
    pipeline = desk.add("flour")
    do(desk, pipeline, "grind")
    for _ in range(MOST_LOSSES + 1):
        desk.lose_need(desk.start(pipeline, "knead"), "grind")
        do(desk, pipeline, "grind")
    assert desk.task(pipeline, "knead").state is TaskState.FAILED
    assert desk.task(pipeline, "knead").reason == "lost 11 times, at last since the result of grind is lost"


def test_a_task_can_only_miss_what_it_needs(desk):
    pipeline = desk.add("flour")
    do(desk, pipeline, "grind", "heat")
    desk.lose_need(desk.start(pipeline, "knead"), "heat")
    assert desk.task(pipeline, "knead").reason == "says that heat is lost, which it does not need"
    assert desk.task(pipeline, "heat").state is TaskState.DONE


def test_a_pipeline_that_is_over_goes_on_with_what_is_to_be_made_anew(desk):
    pipeline = desk.add("flour")
    desk.work_off()
    assert desk.redo(pipeline, "knead", "grind") == ("grind", "knead")
    status = desk.status(pipeline)
    assert (status.state, status.progress, status.finished_at) == (PipelineState.RUNNING, 100, None)
    assert [event.detail for event in desk.events(pipeline) if event.kind == "anew"] == [{"reason": "it was wrong"}] * 2
    assert desk.work_off() == ["grind", "knead"]
    assert desk.status(pipeline).state is PipelineState.DONE


def test_what_was_skipped_can_be_made_anew_too(desk):
    pipeline = desk.add("flour")
    do(desk, pipeline, "grind")
    desk.skip(desk.start(pipeline, "count"), crumbs=0)
    assert desk.redo(pipeline, "count") == ("count",)
    do(desk, pipeline, "count")
    assert desk.results(pipeline)["count"] == {"of": "count"}


def test_only_what_is_done_or_skipped_and_has_what_it_needs_is_made_anew(desk):
    pipeline = desk.add("flour")
    do(desk, pipeline, "heat")
    desk.fail(desk.start(pipeline, "grind"), retry=False)
    with pytest.raises(UserError, match="grind: is failed"):
        desk.redo(pipeline, "heat", "grind")
    with pytest.raises(UserError, match="count: needs grind, which is failed"):
        desk.redo(pipeline, "count")
    with pytest.raises(UserError, match="fry: is not a task"):
        desk.redo(pipeline, "fry")
    assert desk.task(pipeline, "heat").state is TaskState.DONE


def test_what_is_known_is_done_from_the_start(desk):
    pipeline = desk.add("flour", known={"grind": {"of": "the shelf"}})
    assert desk.status(pipeline).progress == 20
    assert desk.results(pipeline) == {"grind": {"of": "the shelf"}}
    known = [(event.task, event.after) for event in desk.events(pipeline) if event.detail == {"known": True}]
    assert known == [("grind", "done")]
    assert {each.name for each in desk.hand_out()} == {"heat", "knead", "count"}
    assert desk.begin(desk.given[pipeline, "knead"]).inputs == {"grind": {"of": "the shelf"}}


def test_what_is_known_tells_nothing_of_how_long_it_takes(desk):
    desk.add("flour", known={"grind": {}})
    assert desk.database.read(reading.durations, BREAD.name) == {}


def test_a_pipeline_that_is_known_wholly_is_done_at_once_and_adding_it_again_changes_nothing(desk):
    known = {task.name: {"of": task.name} for task in BREAD.tasks}
    pipeline = desk.add("flour", known=known)
    assert desk.status(pipeline).state is PipelineState.DONE
    assert desk.status(pipeline).progress == 100
    assert desk.hand_out() == []
    events = len(desk.events())
    assert desk.add("flour") == desk.add("flour", known={"grind": {"of": "elsewhere"}}) == pipeline
    assert desk.results(pipeline) == known
    assert len(desk.events()) == events


def test_nothing_is_known_of_tasks_that_there_are_not(desk):
    with pytest.raises(KeyError, match="fry"):
        desk.add("flour", known={"fry": {}})


def test_a_hand_off_lasts_from_what_was_needed_last_to_the_beginning(desk):
    pipeline = desk.add("flour")
    do(desk, pipeline, "grind")
    desk.fail(desk.start(pipeline, "knead"))
    do(desk, pipeline, "heat")
    desk.hand_out_all()
    do(desk, pipeline, "knead", "count")
    desk.put_a_minute_between_events()
    told = [(event.kind, event.task) for event in desk.events(pipeline)]
    minutes = {name: told.index(("running", name)) - told.index(("done", "grind")) for name in ("knead", "count")}
    hand_offs = desk.database.read(reading.hand_offs, pipeline)
    assert hand_offs == {name: 60 * number for name, number in minutes.items()}
