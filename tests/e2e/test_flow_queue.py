"""The queue at work in one process: pipelines go through, tasks are tried again, repaired, cancelled and kept apart."""

import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import dbos._queue
import pytest

from pagemill.errors import UserError
from pagemill.flow.durable import POLLING_SECONDS
from pagemill.flow.queue import Queue
from pagemill.flow.runner import NeedLost, ServerLost, Skip, Superseded, TaskFailed
from pagemill.flow.spec import PipelineSpec, TaskSpec
from pagemill.flow.states import PipelineState, TaskState
from tests.flow_databases import flow_database, sqlite_database
from tests.flow_desk import BAKER, container, wait_beside
from tests.flow_runners import Failing, Holding, LoggingRunner
from tests.flow_specs import BREAD

PATIENCE_SECONDS = 60.0


@pytest.fixture
def runner(tmp_path):
    return LoggingRunner(tmp_path / "log.jsonl")


@pytest.fixture
def url(tmp_path):
    return sqlite_database(tmp_path)


@contextmanager
def queue_of(url, runner, spec=BREAD, **others):
    with Queue(spec, url, runner, tick_seconds=0.1, **others) as queue:
        yield queue


def end_of(queue, pipeline):
    return queue.wait(pipeline, PATIENCE_SECONDS)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_pipelines_go_through_and_leave_results_and_a_history(kind, tmp_path, runner):
    with queue_of(flow_database(kind, tmp_path), runner) as queue:
        pipelines = [queue.add_pipeline(f"{number:064}", {"salt": True}) for number in range(3)]
        assert queue.add_pipeline(f"{0:064}", {"salt": True}) == pipelines[0]
        assert {end_of(queue, each).state for each in pipelines} == {PipelineState.DONE}
        results = queue.results(pipelines[0])
        assert set(results["bake"]["inputs"]) == {"knead", "heat"}
        assert results["count"]["inputs"] == {"grind": results["grind"]}
        assert queue.latest() == pipelines[::-1]
        assert queue.status(queue.add_pipeline("f" * 64)).seconds_left is not None  # it knows by now
    assert runner.runs()["bake"] in (3, 4)


@pytest.mark.parametrize(("capabilities", "at_once", "containers_there"), [(None, 1, []), ({}, 64, [BAKER])])
def test_tasks_follow_one_another_without_a_look_of_dbos(
    capabilities, at_once, containers_there, url, runner, monkeypatch
):
    monkeypatch.setattr("pagemill.flow.durable.POLLING_SECONDS", 10 * PATIENCE_SECONDS)
    with queue_of(url, runner, capabilities=capabilities, at_once=at_once) as queue:
        wait_beside(queue, [queue.add_pipeline("a" * 64)], *containers_there)
        assert set(runner.runs().values()) == {1}


def test_closing_says_nothing_of_what_dbos_comes_with_too_late(url, runner, capfd, monkeypatch):
    take_up, closing = dbos._queue.execute_dequeued_workflow, threading.Event()

    def take_up_late(*arguments):
        closing.wait(PATIENCE_SECONDS)
        return take_up(*arguments)

    monkeypatch.setattr("dbos._queue.execute_dequeued_workflow", take_up_late)
    with queue_of(url, runner) as queue:
        end_of(queue, queue.add_pipeline("a" * 64))
        time.sleep(2 * POLLING_SECONDS)
        threading.Timer(0.3, closing.set).start()
    assert capfd.readouterr().err == ""


def test_a_task_that_fails_now_and_then_is_tried_again_alone(url, runner):
    runner.deeds["grind"] = Failing(RuntimeError("jammed"), times=2)
    with queue_of(url, runner) as queue:
        pipeline = queue.add_pipeline("a" * 64)
        assert end_of(queue, pipeline).state is PipelineState.DONE
        reasons = [event.detail["reason"] for event in queue.events(pipeline) if event.kind == "retrying"]
    assert reasons == ["RuntimeError: jammed"] * 2
    assert runner.runs() == {"grind": 3, "heat": 1, "knead": 1, "bake": 1, "count": 1}


def test_a_partial_pipeline_is_repaired_without_doing_again_what_is_done(url, runner):
    runner.deeds["knead"] = Failing(ValueError("too dry"))
    with queue_of(url, runner) as queue:
        pipeline = queue.add_pipeline("a" * 64)
        assert end_of(queue, pipeline).state is PipelineState.PARTIAL
        assert set(queue.results(pipeline)) == {"grind", "heat", "count"}
        with pytest.raises(UserError, match="grind: is done"):
            queue.retry(pipeline, "grind")
        runner.deeds.clear()
        assert queue.retry(pipeline, "knead") == ("knead", "bake")
        assert end_of(queue, pipeline).state is PipelineState.DONE
        assert queue.retry(pipeline) == ()
    assert runner.runs() == {"grind": 1, "heat": 1, "knead": 3, "bake": 1, "count": 1}


def test_cancelling_stops_a_runner_where_it_reports_and_its_answer_counts_no_more(url, runner):
    grinding, stopped = Holding(), []

    def grind(task, report_progress):
        grinding(task, report_progress)
        try:
            report_progress(0.9)
        except Superseded:
            stopped.append(task.name)
            raise

    runner.deeds["grind"] = grind
    with queue_of(url, runner) as queue:
        pipeline = queue.add_pipeline("a" * 64)
        assert grinding.reached.wait(PATIENCE_SECONDS)
        assert queue.cancel(pipeline)
        grinding.go.set()
        assert end_of(queue, pipeline).state is PipelineState.CANCELLED
        runner.deeds.clear()
        queue.retry(pipeline)
        assert end_of(queue, pipeline).state is PipelineState.DONE
    assert stopped == ["grind"]


def test_cancelling_stops_a_runner_that_gets_no_further(url, runner, monkeypatch):
    monkeypatch.setattr("pagemill.flow.worker.LONGEST_SILENCE_SECONDS", 0.05)
    reached, stopped = threading.Event(), threading.Event()

    def grind(task, report_progress):
        reached.set()
        end = time.monotonic() + PATIENCE_SECONDS
        try:
            while time.monotonic() < end:
                report_progress(0.5)
                time.sleep(0.01)
        except Superseded:
            stopped.set()
            raise

    runner.deeds["grind"] = grind
    with queue_of(url, runner) as queue:
        pipeline = queue.add_pipeline("a" * 64)
        assert reached.wait(PATIENCE_SECONDS)
        queue.cancel(pipeline)
        assert stopped.wait(PATIENCE_SECONDS)


def test_limits_hold_and_the_urgent_comes_first(url, runner):
    first = Holding()
    runner.deeds["only"] = lambda task, report: None if first.reached.is_set() else first(task, report)
    spec = PipelineSpec("single", (TaskSpec("only", capability="oven"),))
    with queue_of(url, runner, spec, capabilities={"oven": 1}) as queue:
        pipelines = [queue.add_pipeline("a" * 64)]
        assert first.reached.wait(PATIENCE_SECONDS)
        pipelines += [
            queue.add_pipeline(letter * 64, priority=rank) for letter, rank in (("b", 0), ("c", 9), ("d", -1))
        ]
        first.go.set()
        for each in pipelines:
            end_of(queue, each)
    order = [line["pipeline"] for line in runner.lines("start")]
    assert order == [pipelines[index] for index in (0, 3, 1, 2)]
    assert [line["pipeline"] for line in runner.lines("through")] == order


def test_skips_lost_containers_and_results_that_are_none(url, runner):
    runner.deeds["grind"] = Failing(Skip("it is ground already"))
    runner.deeds["heat"] = Failing(ServerLost("the fire went out"), times=1)
    with queue_of(url, runner) as queue:
        status = end_of(queue, queue.add_pipeline("a" * 64))
        lost = [event.task for event in queue.events(status.id) if event.kind == "lost"]
    assert status.state is PipelineState.DONE
    assert {task.name for task in status.tasks if task.state is TaskState.SKIPPED} == {
        "grind",
        "knead",
        "bake",
        "count",
    }
    assert lost == ["heat"]


def test_a_runner_says_what_is_lost_and_what_another_attempt_is_of_no_use_for(url, runner):
    runner.deeds["bake"] = Failing(NeedLost("grind"), times=1)
    runner.deeds["count"] = Failing(TaskFailed("crumbs are uncountable", retry=False, detail={"crumbs": "many"}))
    with queue_of(url, runner) as queue:
        pipeline = queue.add_pipeline("a" * 64, document_name="Bread.pdf", known={"heat": {"of": "heat"}})
        status = end_of(queue, pipeline)
        failed = [event.detail for event in queue.events(pipeline) if event.kind == "failed"]
        assert runner.runs() == {"grind": 2, "knead": 1, "bake": 2, "count": 1}
        assert set(queue.hand_offs(pipeline)) == {"knead", "bake", "count"}
        runner.deeds.clear()
        assert queue.redo(pipeline, ["knead"], "the dough was wanted anew") == ("knead",)
        assert end_of(queue, pipeline).state is PipelineState.PARTIAL
    assert (status.document_name, status.state, status.tasks[1].state) == (
        "Bread.pdf",
        PipelineState.PARTIAL,
        TaskState.DONE,
    )
    assert failed == [{"crumbs": "many", "failures": 1, "reason": "crumbs are uncountable"}]
    assert runner.runs()["knead"] == 2


def test_what_is_no_json_fails_where_it_is_said():
    with pytest.raises(TypeError, match="not JSON serializable"):
        TaskFailed("too dry", detail={"moment": object()})
    with pytest.raises(ValueError, match="not JSON compliant"):
        Skip("nothing to do", {"crumbs": float("nan")})


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [("sqlite", object(), "not JSON serializable"), ("postgresql", "a\x00b", "characters that no database takes")],
)
def test_a_result_that_cannot_be_kept_is_a_failure(kind, value, reason, tmp_path, runner):
    runner.run = lambda *_: {"value": value}
    spec = PipelineSpec("single", (TaskSpec("only", attempts=1),))
    with queue_of(flow_database(kind, tmp_path), runner, spec) as queue:
        status = end_of(queue, queue.add_pipeline("a" * 64))
    assert status.state is PipelineState.FAILED
    assert reason in status.tasks[0].reason


def test_tasks_wait_for_containers_and_leave_those_that_fall_silent(url, runner):
    spec = PipelineSpec("single", (TaskSpec("only", capability="oven"),))
    baking = Holding()
    runner.deeds["only"] = lambda task, report: baking(task, report) if task.server.id == "first" else None
    with queue_of(url, runner, spec, capabilities={}, heartbeat_timeout_seconds=1.0) as queue:
        pipeline = queue.add_pipeline("a" * 64)
        assert queue.status(pipeline).tasks[0].state is TaskState.WARMING
        first, second = container("first", "oven"), container("second", "oven")
        queue.hear(first, "active")
        assert baking.reached.wait(PATIENCE_SECONDS)
        while queue.status(pipeline).tasks[0].share < 0.5:
            queue.hear(first, "active")
            queue.hear(second, "warming")
        while queue.status(pipeline).tasks[0].state is TaskState.RUNNING:  # first is silent from now on
            queue.hear(second, "warming")
        queue.hear(second, "active")
        assert end_of(queue, pipeline).state is PipelineState.DONE
        baking.go.set()
        assert [each.server.id for each in queue.servers() if each.server.server_type == "container"] == ["second"]
    assert [line["server"] for line in runner.lines()] == ["first", "second"]


def test_a_container_that_died_is_tried_once_though_it_seems_alive(url, runner):
    spec = PipelineSpec("single", (TaskSpec("only", capability="oven"),))

    def bake(task, report_progress):
        if task.server.id == "dead":
            raise ServerLost("connection refused")

    runner.deeds["only"] = bake
    with queue_of(url, runner, spec, capabilities={}) as queue:
        queue.hear(container("dead", "oven"), "active")
        pipeline = queue.add_pipeline("a" * 64)
        while queue.status(pipeline).tasks[0].state is not TaskState.RETRYING:
            assert not queue.status(pipeline).is_over
        for _ in range(20):  # ticks and hand-outs that find nobody
            queue.dismiss("nobody")
        queue.hear(container("second", "oven"), "active")
        assert end_of(queue, pipeline).state is PipelineState.DONE
        queue.dismiss("second")
        assert queue.model_of("oven") is None
    assert [line["server"] for line in runner.lines()] == ["dead", "second"]


def test_a_queue_without_a_runner_adds_and_reads_and_says_what_is_not_there(url):
    queue = Queue(BREAD, url)
    with pytest.raises(UserError, match="nowhere"):
        queue.status("nowhere")
    pipeline = queue.add_pipeline("a" * 64)
    with pytest.raises(UserError, match="not a task"):
        queue.retry(pipeline, "fry")
    assert queue.cached("key") is None
    queue.cache("key", "memory://pages", made_by=pipeline)
    assert queue.cached("key") == "memory://pages"
    assert queue.uncache("key")
    queue.close()


def test_a_process_carries_out_one_queue_at_a_time(url, runner, tmp_path):
    with queue_of(url, runner), Queue(BREAD, sqlite_database(tmp_path)) as reader:
        assert reader.latest() == []  # others may be read
        with pytest.raises(RuntimeError, match="one queue at a time"), queue_of(url, runner):
            pass


def test_the_guide_does_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    guide = (Path(__file__).parents[2] / "docs" / "flow.md").read_text()
    exec(guide.split("```python\n")[1].split("```")[0], {})
    assert "'from': ['read']" in capsys.readouterr().out


def test_importing_flow_is_light():
    light = "pagemill.flow, pagemill.flow.spec, pagemill.flow.states, pagemill.flow.progress, pagemill.flow.runner"
    ask = f"import sys, {light}; print([name for name in ('dbos', 'sqlalchemy', 'alembic') if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
