"""Kubeflow Pipelines as a backend: its real client against a local server that refuses what the real one refuses."""

import contextlib
import dataclasses
import datetime
import json
import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from pagemill.cloud.backend import State, Submission, Timetable
from pagemill.cloud.kubeflow import KfpBackend
from pagemill.errors import UserError
from pagemill.settings import KfpSettings
from tests.kfp_server import running_kfp
from tests.kfp_service import Kfp

ROOT = Path(__file__).parents[2]
BOOKS = ROOT / "compiled" / "kfp" / "book_dataset.yaml"
PARAMETERS = {"source": "gs://b/rars", "store": "gs://b/store", "publish": "hf://u/d", "source_fingerprint": "f"}
ORDER = Submission(BOOKS, "book-dataset", PARAMETERS, "books of May")
NIGHTLY = Timetable("30 3 * * 1-5", "nightly")
TOKEN = "ya29.secret-of-the-cluster"


@pytest.fixture(scope="module")
def service() -> Iterator[Kfp]:
    with running_kfp() as service:
        yield service


@pytest.fixture
def kfp(service: Kfp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kfp:
    """An empty Kubeflow Pipelines that wants TOKEN, and a home without any sign-in."""
    endpoint = service.endpoint
    vars(service).update(vars(Kfp()), endpoint=endpoint, token=TOKEN)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("KF_PIPELINES")]:
        monkeypatch.delenv(name)
    return service


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited, without waiting them."""
    waited: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waited.append)
    return waited


def settings(kfp: Kfp, **parts: Any) -> KfpSettings:
    return KfpSettings(**{"host": kfp.endpoint, "token": SecretStr(TOKEN)} | parts)


@pytest.fixture
def backend(kfp: Kfp) -> KfpBackend:
    return KfpBackend(settings(kfp))


def sent(kfp: Kfp, path: str) -> dict[str, Any]:
    """What was created last under a path."""
    body: dict[str, Any] = next(
        each.body for each in reversed(kfp.requests) if each.method == "POST" and each.path.endswith(path)
    )
    return body


def ended(kfp: Kfp, backend: KfpBackend, **script: Any) -> Any:
    """A run of the book pipeline that has ended."""
    kfp.script(**script)
    run = backend.submit(ORDER)
    kfp.finish(run.id)
    return backend.run(run.id)


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
        assert [told["pipeline_spec"], told["platform_spec"]] == list(yaml.safe_load_all(BOOKS.read_text()))

    def test_a_pipeline_may_have_nothing_of_kubernetes(self, kfp: Kfp, backend: KfpBackend, tmp_path: Path) -> None:
        spec = next(iter(yaml.safe_load_all(BOOKS.read_text())))
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
        assert set(self.caching(kfp).values()) == {False}
        backend.submit(dataclasses.replace(ORDER, caching=True))
        caching = self.caching(kfp)
        assert caching["recognize-pages"]
        assert [name for name, cached in caching.items() if not cached] == ["report-run"]

    @staticmethod
    def caching(kfp: Kfp) -> dict[str, bool]:
        """Whether each task that runs a container is cached, as it was sent last."""
        spec = sent(kfp, "/runs")["pipeline_spec"]["pipeline_spec"]
        dags = [each["dag"] for each in (spec["root"], *spec["components"].values()) if "dag" in each]
        return {
            name: task.get("cachingOptions", {}).get("enableCache", False)
            for dag in dags
            for name, task in dag["tasks"].items()
            if "dag" not in spec["components"][task["componentRef"]["name"]]
        }


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
        run = ended(kfp, backend)
        with pytest.raises(UserError, match=r"is succeeded; only one that has failed"):
            backend.retry(run.id)


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
            ({"max_runs": 3}, "give an end"),
            ({"max_concurrent_runs": 11}, "at least 1 and at most 10"),
        ],
    )
    def test_what_cannot_be_kept_is_refused(self, backend: KfpBackend, change: dict[str, Any], message: str) -> None:
        with pytest.raises(UserError, match=message):
            backend.create_schedule(ORDER, dataclasses.replace(NIGHTLY, **change))


class TestTrouble:
    @pytest.mark.parametrize("status", [429, 503])
    def test_an_overloaded_service_is_asked_again(
        self, kfp: Kfp, backend: KfpBackend, waits: list[float], status: int
    ) -> None:
        kfp.fail_next(status, 2, method="POST", path="/runs", headers={"Retry-After": "7"})
        backend.submit(ORDER)
        assert len(kfp.runs) == 1
        assert waits == [7.0, 7.0]

    def test_waits_grow(self, kfp: Kfp, backend: KfpBackend, waits: list[float]) -> None:
        kfp.fail_next(502, 3, method="GET", path="/runs")
        assert backend.runs() == []
        assert 0.5 <= waits[0] <= 1.0 <= waits[1] <= 1.5 < 2.0 <= waits[2] <= 2.5

    def test_patience_ends(self, kfp: Kfp, backend: KfpBackend, waits: list[float]) -> None:
        kfp.fail_next(429, 99)
        with pytest.raises(UserError, match=r"gets too many requests \(injected\); wait a few minutes"):
            backend.runs()
        assert len(waits) == 4

    def test_a_lost_answer_is_asked_for_again(self, kfp: Kfp, backend: KfpBackend, waits: list[float]) -> None:
        kfp.fail_next(0, method="GET")
        assert backend.runs() == []
        assert len(waits) == 1

    def test_one_that_never_comes_is_told(self, kfp: Kfp, backend: KfpBackend, waits: list[float]) -> None:
        kfp.fail_next(0, 99)
        with pytest.raises(UserError, match="does not answer; set"):
            backend.runs()
        assert len(waits) == 4

    def test_a_run_is_never_started_twice_when_its_answer_is_lost(
        self, kfp: Kfp, backend: KfpBackend, waits: list[float]
    ) -> None:
        kfp.fail_next(0, method="POST", path="/runs", done_first=True)
        with pytest.raises(UserError, match="it may have taken place; look there before you ask again"):
            backend.submit(ORDER)
        assert len(kfp.runs) == 1
        assert waits == []

    @pytest.mark.parametrize(
        ("status", "message"),
        [
            (400, "is refused (injected); correct what it names"),
            (403, "is not allowed (injected); ask for the role kubeflow-edit"),
            (404, "is not there (injected); `pagemill status`"),
            (409, "conflicts with what is there (injected)"),
            (500, "cannot do it now (injected); ask again later"),
        ],
    )
    def test_a_refusal_is_one_line_with_the_mend(
        self, kfp: Kfp, backend: KfpBackend, status: int, message: str
    ) -> None:
        kfp.fail_next(status)
        with pytest.raises(UserError, match=re.escape(f"run abc: {message}")):
            backend.run("abc")

    def test_what_is_not_there_is_said_so(self, backend: KfpBackend) -> None:
        for ask in (backend.run, backend.cancel, backend.retry):
            with pytest.raises(UserError, match=r"run abc: is not there \(Run abc not found\.\)"):
                ask("abc")
        for change in (backend.pause, backend.resume, backend.delete_schedule):
            with pytest.raises(UserError, match="schedule abc: is not there"):
                change("abc")

    def test_another_namespace_is_refused(self, kfp: Kfp) -> None:
        with pytest.raises(UserError, match=r"runs: is not allowed .* namespace theirs"):
            KfpBackend(settings(kfp, namespace="theirs")).runs()

    def test_a_host_that_does_not_answer_is_named(self, kfp: Kfp, waits: list[float]) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            host = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(UserError, match=f"Kubeflow Pipelines at {host}: does not answer; set kfp.host"):
            KfpBackend(settings(kfp, host=host)).runs()
        assert len(waits) == 4

    def test_a_host_that_speaks_no_tls_is_named(self, kfp: Kfp) -> None:
        host = kfp.endpoint.replace("http:", "https:")
        with pytest.raises(UserError, match="cannot be spoken to"):
            KfpBackend(settings(kfp, host=host)).runs()

    def test_a_host_that_is_none_is_named(self, kfp: Kfp) -> None:
        with pytest.raises(UserError, match=r"cannot be spoken to .*; set kfp\.host"):
            KfpBackend(settings(kfp, host="http://[kfp")).runs()

    def test_a_host_without_a_scheme_is_one_of_https(self, kfp: Kfp, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []
        monkeypatch.setattr(
            "kfp_server_api.rest.urllib3.PoolManager.request", lambda pool, method, url, **rest: asked.append(url)
        )
        with contextlib.suppress(Exception):
            KfpBackend(settings(kfp, host="kfp.example")).runs()
        assert asked == ["https://kfp.example/apis/v2beta1/runs"]

    def test_a_host_has_to_be_set(self, kfp: Kfp) -> None:
        with pytest.raises(UserError, match=r"kfp\.host: is not set"):
            KfpBackend(settings(kfp, host="")).runs()

    @pytest.mark.parametrize("answer", [{"status": 200}, {"status": 302, "headers": {"Location": "/signin"}}])
    def test_a_page_to_sign_in_is_no_answer(self, kfp: Kfp, backend: KfpBackend, answer: dict[str, Any]) -> None:
        kfp.fail_next(page="<html>Sign in</html>", **answer)
        with pytest.raises(UserError, match=r"answers with a page, not as the API; .*if it asks to sign in"):
            backend.run("abc")

    def test_a_host_without_the_api_is_named(self, kfp: Kfp, backend: KfpBackend) -> None:
        kfp.fail_next(404, page="<html>nginx</html>")
        with pytest.raises(UserError, match=r"has no such API; set kfp\.host"):
            backend.runs()


class TestSigningIn:
    def test_the_token_is_borne(self, kfp: Kfp, backend: KfpBackend) -> None:
        backend.runs()
        assert {each.authorization for each in kfp.requests} == {f"Bearer {TOKEN}"}

    def test_a_wrong_token_is_told_without_telling_it(self, kfp: Kfp) -> None:
        with pytest.raises(UserError, match=r"does not take the sign-in .*; set PAGEMILL_KFP__TOKEN") as caught:
            KfpBackend(settings(kfp, token=SecretStr("wrong-secret"))).runs()
        assert "wrong-secret" not in str(caught.value)

    @pytest.mark.parametrize("token", ["two words", "line\nbreak", "naïve"])
    def test_what_can_be_no_token_is_refused_without_telling_it(self, kfp: Kfp, token: str) -> None:
        with pytest.raises(UserError, match=r"kfp\.token: is no token") as caught:
            KfpBackend(settings(kfp, token=SecretStr(token))).runs()
        assert token not in str(caught.value)

    def test_a_line_break_after_the_token_does_no_harm(self, kfp: Kfp) -> None:
        assert KfpBackend(settings(kfp, token=SecretStr(f"{TOKEN}\n"))).runs() == []

    @pytest.fixture
    def google(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """A Google account behind the inverse proxy that Google runs: the tokens that it gives next."""
        tokens: list[str] = []
        monkeypatch.setattr("kfp.client.auth.get_gcp_access_token", lambda: tokens.pop(0))
        monkeypatch.setattr("kfp.client.client.Client._is_inverse_proxy_host", lambda client, host: True)
        return tokens

    def test_without_a_token_the_google_account_signs_in(self, kfp: Kfp, google: list[str]) -> None:
        google.append(TOKEN)
        KfpBackend(settings(kfp, token=SecretStr(""))).runs()
        assert kfp.requests[-1].authorization == f"Bearer {TOKEN}"

    def test_a_sign_in_that_is_over_is_renewed(self, kfp: Kfp, google: list[str]) -> None:
        google += [TOKEN, "the-next"]
        backend = KfpBackend(settings(kfp, token=SecretStr("")))
        backend.runs()
        kfp.token = "the-next"
        backend.runs()
        assert google == []

    def test_no_google_account_is_told_in_one_line(
        self, kfp: Kfp, google: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        kfp.fail_next(302, headers={"Location": "https://accounts.google.com"})
        monkeypatch.setattr("kfp.client.auth.get_gcp_access_token", lambda: logging.warning("no account"))
        with pytest.raises(UserError, match="application-default login"):
            KfpBackend(settings(kfp, token=SecretStr(""))).runs()
        assert caplog.messages == []

    def test_iap_signs_in_by_the_client_id_of_the_environment(self, kfp: Kfp, monkeypatch: pytest.MonkeyPatch) -> None:
        from google.auth.exceptions import DefaultCredentialsError

        def sign_in(client_id: str, *others: str | None) -> tuple[str, bool]:
            if client_id == "none":
                raise DefaultCredentialsError("no account")
            return f"{TOKEN}" if client_id == "iap" else "", False

        monkeypatch.setattr("kfp.client.auth.get_auth_token", sign_in)
        monkeypatch.setenv("KF_PIPELINES_IAP_OAUTH2_CLIENT_ID", "iap")
        KfpBackend(settings(kfp, token=SecretStr(""))).runs()
        assert kfp.requests[-1].authorization == f"Bearer {TOKEN}"
        monkeypatch.setenv("KF_PIPELINES_IAP_OAUTH2_CLIENT_ID", "none")
        with pytest.raises(UserError, match="cannot be signed in to with a Google account; set PAGEMILL_KFP__TOKEN"):
            KfpBackend(settings(kfp, token=SecretStr(""))).runs()

    def test_one_that_never_was_is_not(self, kfp: Kfp, google: list[str]) -> None:
        google += ["wrong", TOKEN]
        with pytest.raises(UserError, match="does not take the sign-in"):
            KfpBackend(settings(kfp, token=SecretStr(""))).runs()
        assert google == [TOKEN]


class TestQuiet:
    def test_nothing_is_printed_logged_or_written_to_the_home(self, kfp: Kfp, tmp_path: Path) -> None:
        script = (
            "import json, sys; from pathlib import Path; from pagemill.cloud.backend import Submission\n"
            "from pagemill.cloud.kubeflow import KfpBackend; from pagemill.settings import KfpSettings\n"
            "backend = KfpBackend(KfpSettings(host=sys.argv[1], token=sys.argv[2]))\n"
            "order = Submission(Path(sys.argv[3]), 'book-dataset', json.loads(sys.argv[4]), 'quiet')\n"
            "backend.run(backend.submit(order).id)"
        )
        arguments = [kfp.endpoint, TOKEN, str(BOOKS), json.dumps(PARAMETERS)]
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments], capture_output=True, text=True, env=environment
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert list(tmp_path.rglob("*")) == []
        assert len(kfp.runs) == 1

    def test_the_context_of_another_client_does_not_count(self, kfp: Kfp, monkeypatch: pytest.MonkeyPatch) -> None:
        import kfp.client as library

        path = Path(os.environ["HOME"]) / "context.json"
        path.write_text(json.dumps({"namespace": "elsewhere", "client_authentication_cookie": "theirs"}))
        monkeypatch.setattr(library.Client, "_LOCAL_KFP_CONTEXT", str(path))
        KfpBackend(settings(kfp)).runs()
        assert kfp.requests[-1].query["namespace"] == "kubeflow"

    def test_what_is_waited_for_is_logged_without_secrets(
        self, kfp: Kfp, backend: KfpBackend, waits: list[float], caplog: pytest.LogCaptureFixture
    ) -> None:
        kfp.fail_next(503)
        with caplog.at_level(logging.INFO):
            backend.runs()
        assert caplog.messages == ["Kubeflow Pipelines: 503; trying again in 1 s"]

    def test_kfp_is_loaded_when_it_is_asked(self) -> None:
        script = "import sys, pagemill.cloud.kubeflow as room; from pagemill.settings import KfpSettings\n"
        script += (
            "room.KfpBackend(KfpSettings()); print([name for name in ('kfp', 'kfp_server_api') if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
        assert done.stdout == "[]\n"
