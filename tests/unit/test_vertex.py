"""Runs and schedules on Vertex AI Pipelines: Google's real client against a local server of the real protocol."""

import datetime
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pagemill.cloud.backend import Backend, Run, State, Submission, Timetable, Unreachable
from pagemill.cloud.vertex import VertexBackend
from pagemill.cloud.vertex.jobs import new_job_id
from pagemill.errors import UserError
from pagemill.settings import VertexSettings
from tests.small_pipeline import PARAMETERS, small_pipeline, write_small_pipeline
from tests.specs import caching_of
from tests.vertex_faults import FAULTS
from tests.vertex_server import running_vertex
from tests.vertex_service import BILLING_LABEL, Vertex

ACCOUNT = "runner@project.iam.gserviceaccount.com"
NETWORK = "projects/123/global/networks/default"
NIGHTLY = Timetable(cron="TZ=Europe/Berlin 0 3 * * *", name="nightly")


@pytest.fixture
def vertex(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vertex]:
    """A local Vertex AI, and a backend that waits no time worth speaking of before it tries again."""
    monkeypatch.setattr("pagemill.cloud.vertex.calls.FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr("pagemill.cloud.vertex.calls.LONGEST_WAIT_SECONDS", 0.002)
    with running_vertex() as server:
        yield server


@pytest.fixture
def backend(vertex: Vertex) -> VertexBackend:
    return VertexBackend(VertexSettings(project="project", endpoint=vertex.endpoint))


@pytest.fixture
def submission(tmp_path: Path) -> Submission:
    return Submission(
        write_small_pipeline(tmp_path),
        "small",
        PARAMETERS,
        "Books of 2026",
        "gs://bucket/runs",
        labels={"team": "data"},
    )


def changed(submission: Submission, **fields: object) -> Submission:
    return Submission(**{name: fields.get(name, getattr(submission, name)) for name in Submission.__slots__})


def ended(backend: Backend, run: Run) -> Run:
    """Look at a run until it has ended."""
    while not run.state.ended:
        run = backend.run(run.id)
    return run


def states(run: Run) -> dict[str, str]:
    """Return the state of each task; one of a loop is `read#0`."""
    return {task.name + ("" if task.iteration is None else f"#{task.iteration}"): task.state for task in run.tasks}


def sent(vertex: Vertex) -> dict:
    """Return the body of the last request to create something."""
    return next(each for each in reversed(vertex.requests) if each.method == "POST").body


def caching(body: dict) -> dict[str, bool]:
    """Return which tasks of a job that was sent may be taken from the cache."""
    return caching_of(body["pipelineSpec"])


class TestSubmission:
    def test_a_run_begins_pending_with_its_page_in_the_console(self, backend, submission) -> None:
        run = backend.submit(submission)
        assert (run.name, run.pipeline, run.state) == ("Books of 2026", "small", State.PENDING)
        assert run.console == (
            f"https://console.cloud.google.com/vertex-ai/locations/us-central1/pipelines/runs/{run.id}?project=project"
        )
        assert run.created is not None
        assert run.created.tzinfo is not None

    def test_it_takes_parameters_labels_and_root_along(self, vertex, backend, submission) -> None:
        run = backend.submit(submission)
        assert sent(vertex)["runtimeConfig"]["parameterValues"] == PARAMETERS
        assert sent(vertex)["runtimeConfig"]["gcsOutputDirectory"] == "gs://bucket/runs"
        assert sent(vertex)["labels"] == {"team": "data"}
        assert run.parameters == PARAMETERS
        assert isinstance(run.parameters["limit"], int)

    def test_caching_is_set_in_loops_too_and_never_for_an_exit_task(self, vertex, backend, submission) -> None:
        backend.submit(changed(submission, caching=False))
        assert set(caching(sent(vertex)).values()) == {False}
        backend.submit(changed(submission, caching=True))
        assert caching(sent(vertex))["read"]
        assert [name for name, cached in caching(sent(vertex)).items() if not cached] == ["report"]

    def test_without_a_choice_each_task_keeps_its_own(self, vertex, backend, submission) -> None:
        backend.submit(submission)
        assert caching(sent(vertex)) == caching_of(small_pipeline())

    @pytest.mark.parametrize(("policy", "number"), [("slow", 1), ("fast", 2)])
    def test_the_failure_policy_is_told(self, vertex, backend, submission, policy, number) -> None:
        backend.submit(changed(submission, failure_policy=policy))
        assert sent(vertex)["runtimeConfig"]["failurePolicy"] == number

    def test_account_and_network_are_the_settings_unless_the_submission_has_its_own(self, vertex, submission) -> None:
        settings = VertexSettings(project="project", endpoint=vertex.endpoint, service_account=ACCOUNT, network=NETWORK)
        VertexBackend(settings).submit(submission)
        assert (sent(vertex)["serviceAccount"], sent(vertex)["network"]) == (ACCOUNT, NETWORK)
        VertexBackend(settings).submit(changed(submission, service_account=f"other-{ACCOUNT}"))
        assert sent(vertex)["serviceAccount"] == f"other-{ACCOUNT}"

    def test_nothing_but_the_job_is_sent(self, vertex, backend, submission) -> None:
        backend.submit(submission)
        assert [each.path for each in vertex.requests] == ["/v1/projects/project/locations/us-central1/pipelineJobs"]

    def test_a_run_without_a_bucket_is_refused(self, vertex, backend, submission) -> None:
        with pytest.raises(UserError, match="no bucket for its artifacts; set bucket"):
            backend.submit(changed(submission, pipeline_root=""))
        assert vertex.requests == []

    def test_a_template_for_kubernetes_is_refused(self, backend, submission) -> None:
        submission.template.write_text(submission.template.read_text() + "---\nplatforms: {}\n")
        with pytest.raises(UserError, match="Kubernetes settings"):
            backend.submit(submission)

    def test_what_the_service_finds_wrong_is_told_in_a_line(self, backend, submission) -> None:
        with pytest.raises(UserError, match=r"run Books of 2026: Vertex AI refuses it \(Label 'Team'") as told:
            backend.submit(changed(submission, labels={"Team": "data"}))
        assert "http" not in str(told.value)

    @pytest.mark.parametrize("run", ["Books of 2026", "2026", "ÄÖÜ", "a" * 300, "x_y/z "])
    def test_ids_of_jobs_are_valid_and_unique(self, run) -> None:
        ids = {new_job_id(run) for _ in range(20)}
        assert len(ids) == 20
        assert all(re.fullmatch(r"[a-z][-a-z0-9]{0,62}", each) and "--" not in each for each in ids)


class TestRuns:
    def test_one_goes_on_to_its_end(self, vertex, backend, submission) -> None:
        vertex.script(iterations=3)
        run = ended(backend, backend.submit(submission))
        loop = {f"{name}#{number}": "succeeded" for name in ("read", "clean") for number in range(3)}
        assert states(run) == dict.fromkeys(("plan", "gather", "publish", "report"), "succeeded") | loop
        assert (run.state, run.error) == (State.SUCCEEDED, "")
        assert all(task.started <= task.ended for task in run.tasks)

    def test_loops_and_groups_are_no_tasks_of_it(self, vertex, backend, submission) -> None:
        run = ended(backend, backend.submit(submission))
        assert not {"for-loop-1", "condition-1", "exit-handler-1"} & {task.name for task in run.tasks}

    def test_it_tells_of_tasks_while_they_run(self, vertex, backend, submission) -> None:
        script = vertex.script(held={"read#1"})
        run = backend.submit(submission)
        for _ in range(9):
            run = backend.run(run.id)
        assert (run.state, run.ended) == (State.RUNNING, None)
        assert {name: state for name, state in states(run).items() if state != "succeeded"} == {"read#1": "running"}
        script.held.clear()
        assert ended(backend, run).state is State.SUCCEEDED

    def test_what_failed_and_what_it_kept_from_running(self, vertex, backend, submission) -> None:
        vertex.script(failures={"read#1": "The replica exited\n  with status 137."})
        run = ended(backend, backend.submit(submission))
        failed = next(task for task in run.tasks if task.state is State.FAILED)
        assert (failed.name, failed.iteration, failed.error) == ("read", 1, "The replica exited with status 137.")
        assert states(run)["clean#0"] == "succeeded"
        assert states(run)["clean#1"] == states(run)["gather"] == "skipped"
        assert states(run)["report"] == "succeeded"
        assert run.state is State.FAILED
        assert "failed tasks are: [exit-handler-1]" in run.error

    def test_a_condition_that_does_not_hold_skips_its_tasks(self, vertex, backend, submission) -> None:
        vertex.script(untriggered=frozenset({"condition-1"}))
        run = ended(backend, backend.submit(submission))
        assert "publish" not in states(run)
        assert run.state is State.SUCCEEDED

    def test_what_the_cache_has_is_not_run(self, vertex, backend, submission) -> None:
        ended(backend, backend.submit(submission))
        run = ended(backend, backend.submit(submission))
        assert {name for name, state in states(run).items() if state == "succeeded"} == {"gather", "report"}
        assert {state for name, state in states(run).items() if name not in ("gather", "report")} == {"cached"}

    def test_the_latest_are_listed_first(self, backend, submission) -> None:
        runs = [backend.submit(changed(submission, run=f"run {number}")) for number in range(4)]
        listed = backend.runs(3)
        assert [run.name for run in listed] == ["run 3", "run 2", "run 1"]
        assert listed[0].id == runs[3].id
        assert listed[0].pipeline == "small"
        assert listed[0].tasks == ()

    def test_lists_are_read_page_by_page(self, monkeypatch, backend, submission) -> None:
        monkeypatch.setattr("pagemill.cloud.vertex.backend.LARGEST_PAGE", 2)
        for _ in range(5):
            backend.submit(submission)
        assert len(backend.runs(4)) == 4
        assert len(backend.runs()) == 5

    def test_one_that_is_not_there_is_said_to_be_missing(self, backend) -> None:
        with pytest.raises(UserError, match="run nowhere: is not in project project, region us-central1; check its id"):
            backend.run("nowhere")

    def test_one_is_found_by_its_full_name_too(self, backend, submission) -> None:
        run = backend.submit(submission)
        assert backend.run(f"projects/project/locations/us-central1/pipelineJobs/{run.id}").id == run.id

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "books?x=1",
            "books/../other",
            "Books of May",
            "projects/p",
            "projects/p/locations/r/schedules/7",
            "books\n",
        ],
    )
    def test_what_can_be_no_id_is_not_asked_for(self, vertex, backend, name) -> None:
        for ask in (backend.run, backend.cancel, backend.retry):
            with pytest.raises(UserError, match=r"run '.*': is no id; `pagemill status` lists the runs"):
                ask(name)
        assert vertex.requests == []


class TestCancelling:
    def test_what_runs_is_ended(self, vertex, backend, submission) -> None:
        vertex.script(held={"plan"})
        run = backend.submit(submission)
        backend.run(run.id)
        backend.cancel(run.id)
        run = ended(backend, run)
        assert (run.state, states(run)) == (State.CANCELLED, {"plan": "cancelled"})

    def test_nothing_happens_to_a_run_that_has_ended(self, vertex, backend, submission) -> None:
        run = ended(backend, backend.submit(submission))
        backend.cancel(run.id)
        assert vertex.requests[-1].method == "GET"


class TestRetrying:
    def test_only_what_failed_and_what_depends_on_it_runs_again(self, vertex, backend, submission) -> None:
        vertex.script(failures={"read#1": "out of memory"})
        failed = ended(backend, backend.submit(submission))
        vertex.script()
        run = ended(backend, backend.retry(failed.id))
        assert {name for name, state in states(run).items() if state == "cached"} == {"plan", "read#0", "clean#0"}
        assert {name for name, state in states(run).items() if state == "succeeded"} == {
            "read#1",
            "clean#1",
            "gather",
            "publish",
            "report",
        }

    def test_what_succeeded_is_taken_from_the_cache_though_the_run_had_none(self, vertex, backend, submission) -> None:
        vertex.script(failures={"publish": "no permission"})
        failed = ended(backend, backend.submit(changed(submission, caching=False)))
        vertex.script()
        run = ended(backend, backend.retry(failed.id))
        assert {name for name, state in states(run).items() if state == "succeeded"} == {"publish", "report"}

    def test_the_new_run_is_as_the_old_and_says_whose_retry_it_is(self, vertex, backend, submission) -> None:
        vertex.script(failures={"plan": "broken"})
        failed = ended(backend, backend.submit(changed(submission, service_account=ACCOUNT, failure_policy="fast")))
        run = backend.retry(failed.id)
        assert (run.name, run.parameters) == (failed.name, failed.parameters)
        assert run.labels["team"] == "data"
        assert run.labels["pagemill-retry-of"] == failed.id
        assert BILLING_LABEL not in sent(vertex)["labels"]
        assert sent(vertex)["serviceAccount"] == ACCOUNT
        assert sent(vertex)["runtimeConfig"]["failurePolicy"] == 2

    def test_a_run_that_goes_on_is_not_retried(self, backend, submission) -> None:
        run = backend.submit(submission)
        with pytest.raises(UserError, match=r"has not ended \(running\); wait, or cancel it first"):
            backend.retry(run.id)

    def test_a_run_that_succeeded_is_not_retried(self, vertex, backend, submission) -> None:
        run = ended(backend, backend.submit(submission))
        with pytest.raises(UserError, match="has succeeded"):
            backend.retry(run.id)


class TestSchedules:
    def test_one_is_created_with_its_timetable(self, vertex, backend, submission) -> None:
        start = datetime.datetime(2050, 1, 1, tzinfo=datetime.UTC)
        end = start + datetime.timedelta(days=9)
        timetable = Timetable(NIGHTLY.cron, "nightly", max_concurrent_runs=2, max_runs=7, start=start, end=end)
        schedule = backend.create_schedule(submission, timetable)
        body = sent(vertex)
        assert (body["cron"], body["maxRunCount"]) == (NIGHTLY.cron, "7")
        assert (body["startTime"], body["endTime"]) == ("2050-01-01T00:00:00Z", "2050-01-10T00:00:00Z")
        assert body["maxConcurrentRunCount"] == body["maxConcurrentActiveRunCount"] == "2"
        assert body["createPipelineJobRequest"]["pipelineJob"]["labels"] == {"team": "data"}
        assert (schedule.name, schedule.active, schedule.state, schedule.runs_started) == ("nightly", True, "ACTIVE", 0)
        assert schedule.next_run == datetime.datetime(2050, 1, 1, 2, tzinfo=datetime.UTC)
        assert schedule.console.endswith(f"/pipelines/schedules/{schedule.id}?project=project")

    def test_one_is_paused_and_goes_on(self, backend, submission) -> None:
        schedule = backend.create_schedule(submission, NIGHTLY)
        backend.pause(schedule.id)
        assert [(each.active, each.state) for each in backend.schedules()] == [(False, "PAUSED")]
        backend.pause(schedule.id)
        backend.resume(schedule.id)
        backend.resume(schedule.id)
        assert backend.schedules()[0].active

    @pytest.mark.parametrize("catch_up", [True, False])
    def test_missed_times_are_made_up_for_where_the_timetable_says_so(
        self, vertex, backend, submission, catch_up
    ) -> None:
        schedule = backend.create_schedule(submission, Timetable(NIGHTLY.cron, "nightly", catch_up=catch_up))
        assert sent(vertex).get("allowQueueing", False) is catch_up
        backend.pause(schedule.id)
        backend.resume(schedule.id)
        assert sent(vertex).get("catchUp", False) is catch_up

    def test_the_runs_that_it_starts_are_runs_as_any(self, vertex, backend, submission) -> None:
        schedule = backend.create_schedule(submission, Timetable(NIGHTLY.cron, "nightly", max_runs=1))
        vertex.start_scheduled(schedule.id)
        assert ended(backend, backend.runs()[0]).state is State.SUCCEEDED
        over = backend.schedules()[0]
        assert (over.active, over.state, over.runs_started) == (False, "COMPLETED", 1)
        with pytest.raises(UserError, match="is over; create a new one"):
            backend.resume(schedule.id)

    def test_what_can_be_no_id_is_not_asked_for(self, vertex, backend) -> None:
        for ask in (backend.pause, backend.resume, backend.delete_schedule):
            with pytest.raises(
                UserError, match=r"schedule '7/8': is no id; `pagemill schedule list` lists the schedules"
            ):
                ask("7/8")
        assert vertex.requests == []

    def test_one_is_deleted(self, backend, submission) -> None:
        schedule = backend.create_schedule(submission, NIGHTLY)
        backend.delete_schedule(schedule.id)
        assert backend.schedules() == []
        with pytest.raises(UserError, match=f"schedule {schedule.id}: is not in project"):
            backend.delete_schedule(schedule.id)

    @pytest.mark.parametrize("cron", ["often", "0 3 * *", "61 3 * * *", "TZ=Middle/Earth 0 3 * * *"])
    def test_a_wrong_cron_expression_is_told(self, backend, submission, cron) -> None:
        with pytest.raises(UserError, match="schedule nightly: Vertex AI refuses it"):
            backend.create_schedule(submission, Timetable(cron, "nightly"))


class TestPassingFailures:
    @pytest.mark.parametrize("fault", ["rate", "unavailable", "internal", "lost"])
    def test_a_call_is_made_again(self, vertex, backend, submission, fault, caplog) -> None:
        vertex.fail_next(fault, times=2)
        assert backend.submit(submission).state is State.PENDING
        assert len(vertex.jobs) == 1
        assert [record.message for record in caplog.records if record.name == "pagemill"] == [
            f"Vertex AI: {FAULTS[fault].code if fault in FAULTS else 'ConnectionError'}; trying again"
        ] * 2

    def test_a_run_is_started_once_though_the_answer_was_lost(self, vertex, backend, submission) -> None:
        vertex.fail_next("lost", method="POST", done_first=True)
        run = backend.submit(submission)
        assert [name.rpartition("/")[2] for name in vertex.jobs] == [run.id]

    @pytest.mark.parametrize("fault", ["lost", "internal"])
    def test_a_schedule_is_created_once_though_the_answer_was_lost(self, vertex, backend, submission, fault) -> None:
        vertex.fail_next(fault, method="POST", done_first=True)
        with pytest.raises(UserError, match=r"not known whether it was created .*; look at `pagemill schedule list`"):
            backend.create_schedule(submission, NIGHTLY)
        assert len(vertex.schedules) == 1

    def test_a_schedule_is_asked_for_again_when_surely_nothing_was_done(self, vertex, backend, submission) -> None:
        vertex.fail_next("unavailable", times=2)
        assert backend.create_schedule(submission, NIGHTLY).active
        assert len(vertex.schedules) == 1

    @pytest.mark.parametrize(
        ("fault", "line"),
        [
            ("rate", "Vertex AI is asked too often .*; try again in a few minutes"),
            ("unavailable", r"Vertex AI has failed \(503: The service is .*\); try again later; https://status.cloud"),
            ("lost", "http://127.0.0.1.* cannot be reached .*; check the network and vertex.region"),
        ],
    )
    def test_patience_ends(self, vertex, backend, submission, fault, line, monkeypatch) -> None:
        monkeypatch.setattr("pagemill.cloud.vertex.calls.PATIENCE_SECONDS", 0.01)
        vertex.fail_next(fault, times=10_000)
        with pytest.raises(Unreachable, match=line):
            backend.submit(submission)
        assert vertex.jobs == {}


class TestRefusals:
    @pytest.mark.parametrize(
        ("fault", "line"),
        [
            (
                "quota",
                "the quota aiplatform.googleapis.com/custom_model_training_preemptible_nvidia_a100_gpus of region "
                "us-central1 is used up; wait for other runs, or ask for more at "
                "https://console.cloud.google.com/iam-admin/quotas?project=project",
            ),
            (
                "forbidden",
                "aiplatform.pipelineJobs.create is not permitted; "
                "ask for the role roles/aiplatform.user in project project",
            ),
            (
                "disabled",
                "the Vertex AI API is off in project project; "
                "gcloud services enable aiplatform.googleapis.com --project project",
            ),
            (
                "act-as",
                "you may not have tasks run as runner@p.iam.gserviceaccount.com; "
                "ask for the role roles/iam.serviceAccountUser on that account",
            ),
            ("bucket", "grant the tasks' service account roles/storage.objectAdmin on the bucket"),
            (
                "unauthenticated",
                "the Google account is not signed in any more; log in again: gcloud auth application-default login",
            ),
        ],
    )
    def test_one_is_told_at_once_with_its_mend(self, vertex, backend, submission, fault, line) -> None:
        vertex.fail_next(fault)
        with pytest.raises(UserError) as told:
            backend.submit(submission)
        assert line in str(told.value)
        assert str(told.value).startswith("run Books of 2026: ")
        assert "\n" not in str(told.value)
        assert not isinstance(told.value, Unreachable)
        assert len(vertex.requests) == 1

    def test_a_project_has_to_be_named(self) -> None:
        with pytest.raises(UserError, match=r"vertex\.project: is not set; give --project"):
            VertexBackend(VertexSettings()).runs()

    def test_without_an_account_it_says_how_to_sign_in(self, monkeypatch, tmp_path) -> None:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
        with pytest.raises(UserError, match="nobody is signed in; gcloud auth application-default login"):
            VertexBackend(VertexSettings(project="project")).runs()


class TestQuiet:
    def test_nothing_is_printed_or_logged_when_all_goes_well(self, backend, submission, caplog, capfd) -> None:
        caplog.set_level(logging.INFO)
        ended(backend, backend.submit(submission))
        backend.delete_schedule(backend.create_schedule(submission, NIGHTLY).id)
        assert caplog.records == []
        assert capfd.readouterr() == ("", "")

    def test_google_is_loaded_with_the_first_call_only(self) -> None:
        code = (
            "import sys; from pagemill.cloud.vertex import VertexBackend; from pagemill.settings import VertexSettings;"
            "VertexBackend(VertexSettings(project='p'));"
            "heavy = ('google.api_core', 'google.auth', 'google.cloud.', 'requests', 'kfp');"
            "print([each for each in sys.modules if each.startswith(heavy)])"
        )
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert told.stdout.strip() == "[]"
