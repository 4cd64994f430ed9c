"""Tasks in the tables, on SQLite and PostgreSQL alike: handed out, begun, and ended once by whoever began last."""

import pytest

from pagemill.flow import watchdog
from pagemill.flow.attempts import MOST_LOSSES, loss_delay, retry_delay
from pagemill.flow.spec import PipelineSpec, TaskSpec
from pagemill.flow.states import PipelineState, TaskState
from tests.flow_databases import flow_database, sqlite_database
from tests.flow_desk import BAKER, Desk
from tests.flow_specs import BREAD


@pytest.fixture(params=["sqlite", "postgresql"])
def desk(request, tmp_path):
    made = Desk(flow_database(request.param, tmp_path), BREAD, BAKER)
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
    desk.hear(BAKER)
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


def test_a_skipped_task_may_leave_a_result(desk):
    pipeline = desk.add("flour")
    desk.skip(desk.start(pipeline, "grind"), flour="from the shelf")
    assert desk.results(pipeline) == {"grind": {"flour": "from the shelf"}}
    assert desk.task(pipeline, "knead").state is TaskState.SKIPPED


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


def test_a_repair_of_what_needs_cancelled_tasks_gets_no_further_than_them(desk):
    pipeline = desk.add("flour")
    desk.cancel(pipeline)
    assert desk.repair(pipeline, "bake") == ("bake",)
    assert desk.task(pipeline, "bake").reason == "needs knead, heat, cancelled"
    assert desk.status(pipeline).state is PipelineState.CANCELLED
    assert len(desk.repair(pipeline)) == 5


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
        desk.hear(BAKER)
        desk.let_delays_pass()
    attempt = desk.start(pipeline, "grind")
    given = desk.given[pipeline, "grind"]
    assert desk.begin(given) is None  # another process takes over, and that is one too many
    assert desk.task(pipeline, "grind").state is TaskState.FAILED
    assert "lost 11 times" in desk.task(pipeline, "grind").reason


def test_a_task_does_not_fail_of_servers_that_nobody_reaches(desk):
    pipeline = desk.add("flour")
    for _ in range(MOST_LOSSES + 2):
        desk.lose(desk.start(pipeline, "grind"), begun=False)
        desk.hear(BAKER)
        desk.let_delays_pass()
    delays = [event.detail["delay_seconds"] for event in desk.events(pipeline) if event.kind == "lost"]
    assert delays[-5:] == [32] * 5
    assert desk.finish(desk.start(pipeline, "grind"))


def test_after_a_loss_a_task_is_handed_out_at_once_and_after_more_of_them_ever_later():
    assert [loss_delay(losses) for losses in range(1, MOST_LOSSES + 1)] == [0, 0.5, 1, 2, 4, 8, 16, 32, 60, 60]


def test_a_failed_attempt_may_say_more_and_that_another_one_is_of_no_use(desk):
    pipeline = desk.add("flour")
    attempt = desk.start(pipeline, "grind")
    assert (attempt.task.attempt, attempt.task.attempts) == (1, 3)
    desk.fail(attempt, "too dry", detail={"raw": ["dust"]})
    assert desk.task(pipeline, "grind").state is TaskState.RETRYING
    desk.fail(desk.start(pipeline, "grind"), "no grain", retry=False, detail={"raw": ["stones"], "reason": "unsaid"})
    assert desk.task(pipeline, "grind").state is TaskState.FAILED
    told = [event.detail for event in desk.events(pipeline) if event.task == "grind" and event.before == "running"]
    assert [(each["reason"], each["raw"], each["failures"]) for each in told] == [
        ("too dry", ["dust"], 1),
        ("no grain", ["stones"], 2),
    ]


def test_a_failed_attempt_at_all_of_its_share_is_no_reason_to_hold_the_rest_for_done(desk):
    pipeline = desk.add("flour")
    attempt = desk.start(pipeline, "grind")
    desk.report(attempt, 1.0)
    desk.fail(attempt, retry=False)
    assert desk.task(pipeline, "knead").reason == "needs grind, which failed"
    assert desk.task(pipeline, "knead").share == 0


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
