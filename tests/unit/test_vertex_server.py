"""The Vertex AI that other tests run pipelines on: it takes what the published protos have, and refuses the rest."""

import copy
import datetime
import itertools
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import BadRequest, NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform_v1 as v1

from tests.small_pipeline import PARAMETERS, small_pipeline
from tests.vertex_checks import Refusal, next_time
from tests.vertex_server import running_vertex
from tests.vertex_service import Vertex

PARENT = "projects/p/locations/us-central1"
COMPILED = sorted((Path(__file__).parents[2] / "compiled" / "vertex").glob("*.yaml"))
EXAMPLES = {
    "STRING": "gs://bucket/x",
    "NUMBER_INTEGER": 1,
    "NUMBER_DOUBLE": 0.5,
    "BOOLEAN": True,
    "LIST": ["x"],
    "STRUCT": {},
}


@pytest.fixture
def vertex() -> Iterator[Vertex]:
    with running_vertex() as server:
        yield server


@pytest.fixture
def client(vertex: Vertex) -> Callable[[Any], Any]:
    """Makes Google's own client of a service."""
    options = ClientOptions(api_endpoint=vertex.endpoint)
    return lambda kind: kind(credentials=AnonymousCredentials(), transport="rest", client_options=options)


def ask(vertex: Vertex, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Make a plain request; give status and answer."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{vertex.endpoint}/v1/{PARENT}/{path}", content, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def job_body() -> dict[str, Any]:
    return {
        "displayName": "books",
        "pipelineSpec": small_pipeline(),
        "runtimeConfig": {"gcsOutputDirectory": "gs://bucket/runs", "parameterValues": dict(PARAMETERS)},
        "labels": {"team": "data"},
    }


def schedule_body() -> dict[str, Any]:
    request = {"parent": PARENT, "pipelineJob": job_body()}
    return {
        "displayName": "nightly",
        "cron": "0 3 * * *",
        "maxConcurrentRunCount": "1",
        "createPipelineJobRequest": request,
    }


def with_change(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a body with another value at a path; None takes it out."""
    *above, last = path.split("/")
    place = changed = copy.deepcopy(body)
    for key in above:
        place = place[key]
    place.pop(last, None)
    if value is not None:
        place[last] = value
    return changed


class TestPipelineJobs:
    @pytest.mark.parametrize("path", COMPILED, ids=lambda path: path.stem)
    def test_what_the_project_compiles_is_taken_and_runs_to_its_end(self, vertex, path) -> None:
        spec = yaml.load(path.read_text(), yaml.CSafeLoader)
        inputs = spec["root"].get("inputDefinitions", {}).get("parameters", {})
        needed = {name: EXAMPLES[each["parameterType"]] for name, each in inputs.items() if "defaultValue" not in each}
        body = with_change(job_body(), "pipelineSpec", spec)
        body["runtimeConfig"]["parameterValues"] = needed
        status, job = ask(vertex, "POST", "pipelineJobs?pipelineJobId=books", body)
        assert (status, job["state"]) == (200, "PIPELINE_STATE_PENDING")
        vertex.finish("books")
        assert ask(vertex, "GET", "pipelineJobs/books")[1]["state"] == "PIPELINE_STATE_SUCCEEDED"

    @pytest.mark.parametrize(
        ("path", "value", "message"),
        [
            ("colour", "red", 'no field named "colour"'),
            ("labels", {"team": 1}, "labels"),
            ("labels", {"Team": "data"}, "label requirements"),
            ("labels", {"team": "Data"}, "label requirements"),
            ("labels", {"t" * 64: "data"}, "label requirements"),
            ("labels", {"team": "d" * 64}, "label requirements"),
            ("labels", {f"label-{number}": "" for number in range(65)}, "65 labels"),
            ("displayName", "n" * 129, "display_name"),
            ("serviceAccount", "someone", "someone is malformed"),
            ("network", "default", "default is malformed"),
            ("pipelineSpec", None, "pipeline_spec is required"),
            ("pipelineSpec/colour", "red", "pipeline_spec"),
            ("pipelineSpec/pipelineInfo/name", "Small", "pipeline_info.name"),
            ("pipelineSpec/components/comp-read/executorLabel", "exec-none", "exec-none of task read is not there"),
            ("pipelineSpec/root/dag/tasks/report/dependentTasks", ["nothing"], "depends on"),
            ("pipelineSpec/root/dag/tasks/report/componentRef/name", "comp-none", "not there"),
            ("pipelineSpec/deploymentSpec/executors/exec-read/container/image", "", "no image"),
            ("runtimeConfig/gcsOutputDirectory", "/tmp", "gcs_output_directory"),
            ("runtimeConfig/parameterValues/source", None, "Parameter source is required"),
            ("runtimeConfig/parameterValues/colour", "red", "Unknown input parameter colour"),
            ("runtimeConfig/parameterValues/source", 1, "source is expected to be of type STRING"),
            ("runtimeConfig/parameterValues/limit", 1.5, "limit is expected to be of type NUMBER_INTEGER"),
            ("runtimeConfig/parameterValues/limit", True, "limit is expected to be of type NUMBER_INTEGER"),
            ("runtimeConfig/parameterValues/publish", "yes", "publish is expected to be of type BOOLEAN"),
            ("runtimeConfig/failurePolicy", "sometimes", "failurePolicy"),
        ],
    )
    def test_what_is_wrong_is_refused(self, vertex, path, value, message) -> None:
        status, answer = ask(vertex, "POST", "pipelineJobs?pipelineJobId=books", with_change(job_body(), path, value))
        assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
        assert message in answer["error"]["message"]
        assert vertex.jobs == {}

    @pytest.mark.parametrize("job_id", ["Books", "1books", "b" * 129, "books_1"])
    def test_ids_have_a_pattern(self, vertex, job_id) -> None:
        assert ask(vertex, "POST", f"pipelineJobs?pipelineJobId={job_id}", job_body())[0] == 400

    def test_an_id_is_taken_once(self, vertex) -> None:
        answers = [ask(vertex, "POST", "pipelineJobs?pipelineJobId=books", job_body()) for _ in range(2)]
        assert [status for status, _ in answers] == [200, 409]

    def test_what_only_the_service_sets_is_not_taken_over(self, vertex) -> None:
        body = job_body() | {"state": "PIPELINE_STATE_SUCCEEDED", "name": "mine"}
        job = ask(vertex, "POST", "pipelineJobs?pipelineJobId=books", body)[1]
        assert (job["state"], job["name"]) == ("PIPELINE_STATE_PENDING", f"{PARENT}/pipelineJobs/books")

    def test_details_follow_the_graph(self, vertex) -> None:
        ask(vertex, "POST", "pipelineJobs?pipelineJobId=books", job_body())
        vertex.finish("books")
        details = ask(vertex, "GET", "pipelineJobs/books")[1]["jobDetail"]["taskDetails"]
        names = {each["taskId"]: each["taskName"] for each in details}
        assert {(names.get(each.get("parentTaskId")), each["taskName"]) for each in details} == {
            (None, "exit-handler-1"),
            (None, "report"),
            ("exit-handler-1", "plan"),
            ("exit-handler-1", "for-loop-1"),
            ("for-loop-1", "for-loop-1-0"),
            ("for-loop-1", "for-loop-1-1"),
            ("for-loop-1-0", "read"),
            ("for-loop-1-0", "clean"),
            ("for-loop-1-1", "read"),
            ("for-loop-1-1", "clean"),
            ("exit-handler-1", "gather"),
            ("exit-handler-1", "condition-1"),
            ("condition-1", "publish"),
        }
        assert {each["state"] for each in details} == {"SUCCEEDED"}

    def test_a_loop_over_a_parameter_has_an_iteration_an_item(self, vertex) -> None:
        body = job_body()
        body["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]["source"]["parameterType"] = "LIST"
        body["runtimeConfig"]["parameterValues"]["source"] = ["a", "b", "c"]
        loop = body["pipelineSpec"]["components"]["comp-exit-handler-1"]["dag"]["tasks"]["for-loop-1"]
        loop["parameterIterator"]["items"]["inputParameter"] = "store"
        ask(vertex, "POST", "pipelineJobs?pipelineJobId=books", body)
        vertex.finish("books")
        details = ask(vertex, "GET", "pipelineJobs/books")[1]["jobDetail"]["taskDetails"]
        assert [each["taskName"] for each in details].count("read") == 3

    @pytest.mark.parametrize(("policy", "cleaned"), [("SLOW", 3), ("FAST", 0)])
    def test_failing_fast_starts_nothing_after_a_failure(self, vertex, policy, cleaned) -> None:
        vertex.script(iterations=4, failures={"read#0": "broken"}, held={"read#1", "read#2", "read#3"})
        body = with_change(job_body(), "runtimeConfig/failurePolicy", f"PIPELINE_FAILURE_POLICY_FAIL_{policy}")
        ask(vertex, "POST", "pipelineJobs?pipelineJobId=books", body)
        for _ in range(6):
            ask(vertex, "GET", "pipelineJobs/books")
        vertex.next_script.held.clear()
        vertex.finish("books")
        details = ask(vertex, "GET", "pipelineJobs/books")[1]["jobDetail"]["taskDetails"]
        assert [each["state"] for each in details if each["taskName"] == "clean"].count("SUCCEEDED") == cleaned
        assert [each["state"] for each in details if each["taskName"] == "report"] == ["SUCCEEDED"]

    def test_lists_have_no_tasks_and_know_pages_and_masks(self, vertex) -> None:
        for number in range(3):
            ask(vertex, "POST", f"pipelineJobs?pipelineJobId=books-{number}", job_body())
        first = ask(vertex, "GET", "pipelineJobs?pageSize=2&readMask=name,pipelineSpec.pipelineInfo")[1]
        assert [sorted(job) for job in first["pipelineJobs"]] == [["name", "pipelineSpec"]] * 2
        assert first["pipelineJobs"][0]["pipelineSpec"] == {"pipelineInfo": {"name": "small"}}
        rest = ask(vertex, "GET", f"pipelineJobs?pageSize=2&pageToken={first['nextPageToken']}")[1]
        assert len(rest["pipelineJobs"]) == 1
        assert "jobDetail" not in rest["pipelineJobs"][0]

    @pytest.mark.parametrize("query", ["filter=state%3D1", "orderBy=colour", "pageSize=-1"])
    def test_lists_refuse_what_they_do_not_know(self, vertex, query) -> None:
        assert ask(vertex, "GET", f"pipelineJobs?{query}")[0] == 400

    def test_one_that_has_ended_is_not_cancelled(self, vertex) -> None:
        ask(vertex, "POST", "pipelineJobs?pipelineJobId=books", job_body())
        vertex.finish("books")
        assert ask(vertex, "POST", "pipelineJobs/books:cancel", {})[0] == 400

    def test_one_is_deleted(self, vertex, client) -> None:
        ask(vertex, "POST", "pipelineJobs?pipelineJobId=books", job_body())
        client(v1.PipelineServiceClient).delete_pipeline_job(name=f"{PARENT}/pipelineJobs/books").result()
        assert ask(vertex, "GET", "pipelineJobs/books")[0] == 404


class TestSchedules:
    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("displayName", None),
            ("cron", None),
            ("maxConcurrentRunCount", None),
            ("createPipelineJobRequest", None),
            ("createPipelineJobRequest/parent", "projects/other/locations/us-central1"),
            ("createPipelineJobRequest/pipelineJob/labels", {"Team": "data"}),
            ("colour", "red"),
        ],
    )
    def test_what_is_wrong_is_refused(self, vertex, path, value) -> None:
        assert ask(vertex, "POST", "schedules", with_change(schedule_body(), path, value))[0] == 400
        assert vertex.schedules == {}

    def test_only_one_that_runs_is_paused_and_only_a_paused_one_goes_on(self, vertex) -> None:
        schedule = ask(vertex, "POST", "schedules", schedule_body())[1]["name"].rpartition("/")[2]
        calls = ("resume", "pause", "pause", "resume")
        assert [ask(vertex, "POST", f"schedules/{schedule}:{call}", {})[0] for call in calls] == [400, 200, 400, 200]

    @pytest.mark.parametrize(
        ("cron", "expected"),
        [
            ("0 3 * * *", "2026-03-02T03:00"),
            ("*/20 * * * *", "2026-03-01T12:40"),
            ("30 9-17/4 * * 1-5", "2026-03-02T09:30"),
            ("0 0 29 2 *", "2028-02-29T00:00"),
            ("0 0 13 * 5", "2026-03-06T00:00"),  # the 13th, or a Friday
            ("0 0 * * 7", "2026-03-08T00:00"),
            ("TZ=America/New_York 0 3 * * *", "2026-03-02T08:00"),
            ("CRON_TZ=Asia/Tokyo 0 3 * * *", "2026-03-01T18:00"),
        ],
    )
    def test_cron_expressions_have_a_next_time(self, cron, expected) -> None:
        now = datetime.datetime(2026, 3, 1, 12, 20, tzinfo=datetime.UTC)  # a Sunday
        assert next_time(cron, now) == datetime.datetime.fromisoformat(f"{expected}+00:00")

    @pytest.mark.parametrize(
        "cron", ["", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "0 0 30 2 *", "a * * * *"]
    )
    def test_other_expressions_are_refused(self, cron) -> None:
        with pytest.raises(Refusal):
            next_time(cron, datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC))


class TestOtherServices:
    def test_a_custom_job_goes_on_to_its_end(self, client) -> None:
        jobs = client(v1.JobServiceClient)
        pool = {
            "machine_spec": {"machine_type": "a2-highgpu-1g", "accelerator_type": "NVIDIA_TESLA_A100"},
            "replica_count": 1,
            "container_spec": {"image_uri": "example/nougat:1"},
        }
        job = jobs.create_custom_job(
            parent=PARENT, custom_job={"display_name": "pages", "job_spec": {"worker_pool_specs": [pool]}}
        )
        states = [job.state.name, *(jobs.get_custom_job(name=job.name).state.name for _ in range(3))]
        assert [name for name, _ in itertools.groupby(states)] == [
            "JOB_STATE_PENDING",
            "JOB_STATE_RUNNING",
            "JOB_STATE_SUCCEEDED",
        ]
        assert [each.name for each in jobs.list_custom_jobs(parent=PARENT)] == [job.name]

    @pytest.mark.parametrize(
        "job",
        [
            {"display_name": "pages"},
            {"display_name": "pages", "job_spec": {"worker_pool_specs": [{"machine_spec": {"machine_type": "n1"}}]}},
            {"display_name": "pages", "job_spec": {"worker_pool_specs": [{"container_spec": {"image_uri": "x"}}]}},
        ],
    )
    def test_a_custom_job_needs_workers_machines_and_images(self, client, job) -> None:
        with pytest.raises(BadRequest):
            client(v1.JobServiceClient).create_custom_job(parent=PARENT, custom_job=job)

    def test_a_model_is_uploaded_deployed_and_taken_down(self, client) -> None:
        models, endpoints = client(v1.ModelServiceClient), client(v1.EndpointServiceClient)
        uploaded = models.upload_model(
            parent=PARENT, model={"display_name": "nougat", "container_spec": {"image_uri": "example/nougat:1"}}
        ).result()
        endpoint = endpoints.create_endpoint(parent=PARENT, endpoint={"display_name": "nougat"}).result()
        resources = {"machine_spec": {"machine_type": "a2-highgpu-2g"}, "min_replica_count": 1}
        deployed = endpoints.deploy_model(
            endpoint=endpoint.name, deployed_model={"model": uploaded.model, "dedicated_resources": resources}
        ).result()
        with pytest.raises(BadRequest, match="has deployed"):
            endpoints.delete_endpoint(name=endpoint.name)
        endpoints.undeploy_model(endpoint=endpoint.name, deployed_model_id=deployed.deployed_model.id).result()
        endpoints.delete_endpoint(name=endpoint.name).result()
        models.delete_model(name=uploaded.model).result()
        assert list(endpoints.list_endpoints(parent=PARENT)) == list(models.list_models(parent=PARENT)) == []

    def test_a_model_has_to_be_there_to_be_deployed(self, client) -> None:
        endpoints = client(v1.EndpointServiceClient)
        endpoint = endpoints.create_endpoint(parent=PARENT, endpoint={"display_name": "nougat"}).result()
        model = {"model": f"{PARENT}/models/1", "dedicated_resources": {"min_replica_count": 1}}
        with pytest.raises(NotFound):
            endpoints.deploy_model(endpoint=endpoint.name, deployed_model=model)


class TestFaults:
    def test_they_meet_the_requests_that_they_are_for(self, vertex) -> None:
        vertex.fail_next("unavailable", 2, method="GET", path="schedules")
        paths = ["pipelineJobs", "schedules", "schedules", "schedules"]
        assert [ask(vertex, "GET", path)[0] for path in paths] == [200, 503, 503, 200]

    def test_they_have_the_body_that_google_has(self, vertex) -> None:
        vertex.fail_next("disabled")
        error = ask(vertex, "GET", "pipelineJobs")[1]["error"]
        assert (error["code"], error["status"]) == (403, "PERMISSION_DENIED")
        assert error["details"][0]["reason"] == "SERVICE_DISABLED"

    def test_what_is_unknown_is_said_to_be(self, vertex) -> None:
        assert ask(vertex, "GET", "tensorboards")[0] == 404
