"""Kubeflow Pipelines as a backend: its real client against a local server that refuses what the real one refuses."""

import dataclasses
import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from pagemill.cloud.backend import State, Timetable
from pagemill.cloud.kubeflow import KfpBackend
from pagemill.cloud.spec import read_documents
from pagemill.errors import UserError
from tests.kfp_service import Kfp
from tests.specs import caching_of
from tests.unit.kubeflow.conftest import BOOKS, ORDER, PARAMETERS, ended, settings

NIGHTLY = Timetable("30 3 * * 1-5", "nightly")


def sent(kfp: Kfp, path: str) -> dict[str, Any]:
    """What was created last under a path."""
    body: dict[str, Any] = next(
        each.body for each in reversed(kfp.requests) if each.method == "POST" and each.path.endswith(path)
    )
    return body


def states(run: Any) -> dict[tuple[str, int | None], State]:
    return {(task.name, task.iteration): task.state for task in run.tasks}


class TestSubmitting:
    def test_a_run_begins_under_an_experiment_that_is_made_once(self, kfp: Kfp, backend: KfpBackend) -> None:
        first, second = backend.submit(ORDER), backend.submit(ORDER)
        assert first.state is State.PENDING
        assert (first.name, first.pipeline, first.parameters) == ("books of May", "book-dataset", PARAMETERS)
        assert [each["display_name"] for each in kfp.experiments.values()] == ["pagemill"]
        assert sent(kfp, "/experiments")["namespace"] == "kubeflow"
        assert [run["experiment_id"] for run in kfp.runs.values()] == list(kfp.experiments) * 2
        assert first.id != second.id

    def test_an_experiment_that_somebody_else_makes_meanwhile_is_used(self, kfp: Kfp, backend: KfpBackend) -> None:
        kfp.fail_next(409, method="POST", path="/experiments", done_first=True)
        backend.submit(ORDER)
        assert len(kfp.experiments) == 1

    def test_the_console_link_leads_to_the_run(self, kfp: Kfp) -> None:
        run = KfpBackend(settings(kfp, host=f"{kfp.endpoint}/")).submit(ORDER)
        assert run.console == f"{kfp.endpoint}/#/runs/details/{run.id}"

    def test_where_artifacts_go_and_as_whom_tasks_run_is_told(self, kfp: Kfp) -> None:
        backend = KfpBackend(settings(kfp, service_account="from-settings"))
        backend.submit(ORDER)
        body = sent(kfp, "/runs")
        assert (body["service_account"], "pipeline_root" in body["runtime_config"]) == ("from-settings", False)
        backend.submit(dataclasses.replace(ORDER, service_account="runner", pipeline_root="gs://b/runs"))
        body = sent(kfp, "/runs")
        assert (body["service_account"], body["runtime_config"]["pipeline_root"]) == ("runner", "gs://b/runs")

    def test_labels_stand_in_the_description(self, kfp: Kfp, backend: KfpBackend) -> None:
        labels = {"team": "books", "cost-center": "42"}
        run = backend.submit(dataclasses.replace(ORDER, labels=labels))
        assert sent(kfp, "/runs")["description"] == "labels: team=books, cost-center=42"
        assert backend.run(run.id).labels == backend.runs()[0].labels == labels
        backend.submit(ORDER)
        assert "description" not in sent(kfp, "/runs")

    def test_a_network_is_refused(self, backend: KfpBackend) -> None:
        with pytest.raises(UserError, match="the cluster has its own"):
            backend.submit(dataclasses.replace(ORDER, network="projects/1/global/networks/n"))

    def test_a_failure_policy_is_refused(self, kfp: Kfp, backend: KfpBackend) -> None:
        with pytest.raises(UserError, match="--failure-policy fast: Kubeflow Pipelines has none; leave it out"):
            backend.submit(dataclasses.replace(ORDER, failure_policy="fast"))
        assert kfp.requests == []

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({}, "is not optional, yet has neither default value"),
            (PARAMETERS | {"pages": 1}, "not required by pipeline: pages"),
            (PARAMETERS | {"batch_size": "4"}, "batch_size requires type NUMBER_INTEGER"),
        ],
    )
    def test_faulty_parameters_are_told_in_one_line(
        self, backend: KfpBackend, parameters: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(UserError, match=message) as caught:
            backend.submit(dataclasses.replace(ORDER, parameters=parameters))
        assert str(caught.value).startswith("run books of May: is refused (")
        assert "\n" not in str(caught.value)


class TestTemplates:
    def test_what_was_compiled_is_what_runs(self, kfp: Kfp, backend: KfpBackend) -> None:
        backend.submit(ORDER)
        told = sent(kfp, "/runs")["pipeline_spec"]
        assert [told["pipeline_spec"], told["platform_spec"]] == read_documents(BOOKS)

    def test_a_pipeline_may_have_nothing_of_kubernetes(self, kfp: Kfp, backend: KfpBackend, tmp_path: Path) -> None:
        spec = read_documents(BOOKS)[0]
        template = tmp_path / "plain.yaml"
        template.write_text(yaml.safe_dump(spec))
        run = backend.submit(dataclasses.replace(ORDER, template=template))
        assert sent(kfp, "/runs")["pipeline_spec"] == spec
        kfp.finish(run.id)
        told = backend.run(run.id)
        assert (told.pipeline, told.state) == ("book-dataset", State.SUCCEEDED)
        assert ("report-run", None) in states(told)

    def test_caching_is_set_in_loops_too_and_never_for_an_exit_task(self, kfp: Kfp, backend: KfpBackend) -> None:
        backend.submit(dataclasses.replace(ORDER, caching=False))
        assert set(caching_of(sent(kfp, "/runs")["pipeline_spec"]["pipeline_spec"]).values()) == {False}
        backend.submit(dataclasses.replace(ORDER, caching=True))
        caching = caching_of(sent(kfp, "/runs")["pipeline_spec"]["pipeline_spec"])
        assert caching["recognize-pages"]
        assert [name for name, cached in caching.items() if not cached] == ["report-run"]


class TestWatching:
    def test_a_run_goes_on_task_by_task(self, kfp: Kfp, backend: KfpBackend) -> None:
        run = backend.submit(ORDER)
        assert backend.run(run.id).tasks == ()
        begun = backend.run(run.id)
        assert begun.state is State.RUNNING
        assert states(begun) == {("discover-archives", None): State.RUNNING}
        assert begun.tasks[0].started is not None
        assert (begun.tasks[0].ended, begun.ended) == (None, None)
        assert states(backend.run(run.id)) == {
            ("discover-archives", None): State.SUCCEEDED,
            ("plan-shards", None): State.RUNNING,
        }

    def test_every_iteration_of_a_loop_is_told_of(self, kfp: Kfp, backend: KfpBackend) -> None:
        run = ended(kfp, backend, iterations=11)
        assert run.state is State.SUCCEEDED
        assert run.error == ""
        found = sorted(task.iteration for task in run.tasks if task.name == "recognize-pages")
        assert found == list(range(11))
        assert {task.iteration for task in run.tasks if task.name == "build-dataset"} == {None}
        assert len(run.tasks) == len(kfp.players[run.id].executed)
        assert all(task.started and task.ended and task.started <= task.ended for task in run.tasks)

    def test_cached_tasks_are_told_from_those_that_ran(self, kfp: Kfp, backend: KfpBackend) -> None:
        cached = ["discover-archives", "plan-shards", "recognize-pages#1", "chunk-documents"]
        run = ended(kfp, backend, cached=cached, iterations=3)
        found = sorted((name, index) for (name, index), state in states(run).items() if state is State.CACHED)
        loop = [("chunk-documents", index) for index in range(3)]
        assert found == [*loop, ("discover-archives", None), ("plan-shards", None), ("recognize-pages", 1)]

    def test_a_failure_names_the_task_and_what_it_kept_from_running(self, kfp: Kfp, backend: KfpBackend) -> None:
        run = ended(kfp, backend, failures=["recognize-pages#1"])
        assert run.state is State.FAILED
        assert run.error == "failed in recognize-pages; the console has the log"
        found = states(run)
        assert found["recognize-pages", 0] is State.SUCCEEDED
        assert found["recognize-pages", 1] is State.FAILED
        assert found["build-dataset", None] is State.SKIPPED
        assert found["report-run", None] is State.SUCCEEDED

    def test_a_task_whose_driver_fails_has_failed(self, kfp: Kfp, backend: KfpBackend) -> None:
        run_id = ended(kfp, backend, failures=["plan-shards"]).id
        for each in kfp.runs[run_id]["run_details"]["task_details"]:
            if each["display_name"] == "plan-shards-driver":
                each |= {"state": "FAILED", "error": {"code": 13, "message": "no such\n  parameter"}}
            if each["display_name"] == "plan-shards":
                each |= {"state": "RUNTIME_STATE_UNSPECIFIED", "child_tasks": []}
        failed = [task for task in backend.run(run_id).tasks if task.name == "plan-shards"]
        assert [(task.state, task.error) for task in failed] == [(State.FAILED, "no such parameter")]

    def test_runs_are_listed_newest_first_over_pages(
        self, kfp: Kfp, backend: KfpBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert backend.runs() == []
        monkeypatch.setattr("pagemill.cloud.kubeflow.service.LARGEST_PAGE", 2)
        names = [backend.submit(dataclasses.replace(ORDER, run=f"run {number}")).name for number in range(5)]
        assert [run.name for run in backend.runs(3)] == names[:1:-1]
        assert [run.name for run in backend.runs()] == names[::-1]
        sizes = [each.query["page_size"] for each in kfp.requests if "page_size" in each.query]
        assert sizes == ["20", "2", "1", "2", "2", "2"]

    def test_a_run_of_an_uploaded_pipeline_has_no_tasks_to_tell(self, kfp: Kfp, backend: KfpBackend) -> None:
        run = ended(kfp, backend)
        del kfp.runs[run.id]["pipeline_spec"]
        assert (backend.run(run.id).pipeline, backend.run(run.id).tasks) == ("", ())


class TestEndingAndRetrying:
    def test_a_cancelled_run_is_told_from_one_that_failed(self, kfp: Kfp, backend: KfpBackend) -> None:
        run = backend.submit(ORDER)
        backend.run(run.id)
        backend.cancel(run.id)
        assert backend.run(run.id).state is State.CANCELLING
        told = backend.run(run.id)
        assert kfp.runs[run.id]["state"] == "FAILED"
        assert (told.state, told.error) == (State.CANCELLED, "")

    def test_cancelling_what_has_ended_does_nothing(self, kfp: Kfp, backend: KfpBackend) -> None:
        run = ended(kfp, backend)
        backend.cancel(run.id)
        assert kfp.count("POST", ":terminate") == 0
        assert backend.run(run.id).state is State.SUCCEEDED

    def test_a_retry_runs_only_what_did_not_succeed(self, kfp: Kfp, backend: KfpBackend) -> None:
        run = ended(kfp, backend, failures=["recognize-pages#1"])
        done = list(kfp.players[run.id].executed)
        again = backend.retry(run.id)
        assert (again.id, again.state, again.ended) == (run.id, State.PENDING, None)
        kfp.finish(run.id)
        assert backend.run(run.id).state is State.SUCCEEDED
        executed = [(name, index) for name, index, _ in kfp.players[run.id].executed[len(done) :]]
        assert executed[0] == ("recognize-pages", 1)
        assert not {(name, index) for name, index, state in done if state == "SUCCEEDED"} & set(executed)

    def test_a_failure_after_a_retry_of_a_cancelled_run_is_a_failure(self, kfp: Kfp, backend: KfpBackend) -> None:
        kfp.script(failures=["plan-shards"])
        run = backend.submit(ORDER)
        backend.cancel(run.id)
        kfp.finish(run.id)
        backend.retry(run.id)
        kfp.finish(run.id)
        assert backend.run(run.id).state is State.FAILED

    def test_only_a_run_that_failed_is_retried(self, kfp: Kfp, backend: KfpBackend) -> None:
        with pytest.raises(UserError, match=r"has not ended \(pending\); wait, or cancel it first"):
            backend.retry(backend.submit(ORDER).id)
        with pytest.raises(UserError, match=r"has succeeded; submit it anew"):
            backend.retry(ended(kfp, backend).id)


class TestSchedules:
    def test_one_is_made_listed_paused_resumed_and_deleted(self, kfp: Kfp, backend: KfpBackend) -> None:
        made = backend.create_schedule(ORDER, NIGHTLY)
        assert (made.name, made.cron, made.active, made.state) == ("nightly", "30 3 * * 1-5", True, "ENABLED")
        assert made.console == f"{kfp.endpoint}/#/recurringrun/details/{made.id}"
        assert backend.schedules() == [made]
        backend.pause(made.id)
        assert [(each.active, each.state) for each in backend.schedules()] == [(False, "DISABLED")]
        backend.resume(made.id)
        assert backend.schedules() == [made]
        run_id = kfp.start_scheduled(made.id)["run_id"]
        assert backend.run(run_id).parameters == PARAMETERS
        backend.delete_schedule(made.id)
        assert backend.schedules() == []

    def test_what_a_timetable_says_is_sent(self, kfp: Kfp, backend: KfpBackend) -> None:
        begin = datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
        end = begin + datetime.timedelta(days=30)
        backend.create_schedule(
            ORDER, dataclasses.replace(NIGHTLY, max_concurrent_runs=3, start=begin, end=end, catch_up=True)
        )
        body = sent(kfp, "/recurringruns")
        assert (body["max_concurrency"], body["no_catchup"], body["mode"]) == ("3", False, "ENABLE")
        assert body["trigger"]["cron_schedule"] == {
            "cron": "0 30 3 * * 1-5",
            "start_time": "2030-01-01T00:00:00+02:00",
            "end_time": "2030-01-31T00:00:00+02:00",
        }

    def test_one_that_is_over_is_not_active(self, backend: KfpBackend) -> None:
        past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        made = backend.create_schedule(ORDER, dataclasses.replace(NIGHTLY, end=past))
        assert (made.active, made.state) == (False, "ENABLED")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"cron": "0 0 3 * * *"}, "has 6 fields"),
            ({"cron": "0 25 * * *"}, r"not within 0-23"),
            ({"cron": "TZ=Europe/Berlin 0 3 * * *"}, "takes no time zone; give the times in UTC"),
            ({"max_runs": 3}, "leave --max-runs out"),
            ({"max_concurrent_runs": 11}, "at least 1 and at most 10"),
        ],
    )
    def test_what_cannot_be_kept_is_refused(self, backend: KfpBackend, change: dict[str, Any], message: str) -> None:
        with pytest.raises(UserError, match=message):
            backend.create_schedule(ORDER, dataclasses.replace(NIGHTLY, **change))
