"""What the local Vertex AI keeps: pipeline jobs that go on, schedules, custom jobs, models, endpoints, operations."""

import dataclasses
import datetime
import itertools
import threading
from collections.abc import Callable, Mapping
from typing import Any

from google.cloud import aiplatform_v1 as v1
from google.protobuf import json_format

from tests.servers import Request
from tests.vertex_checks import JOB_ID, Refusal, check_job, check_labels, check_schedule, invalid, next_time, parsed
from tests.vertex_faults import FAULTS, Refused
from tests.vertex_plays import Play, Script, stamp

BILLING_LABEL = "vertex-ai-pipelines-run-billing-id"
MOST_ON_A_PAGE = 100
OUTPUT_ONLY = frozenset(
    {"name", "state", "jobDetail", "error", "createTime", "startTime", "endTime", "updateTime", "scheduleName"}
)
JOB_STATES = ("JOB_STATE_PENDING", "JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED")


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of resource that is kept as it was sent."""

    message: Any
    required: tuple[str, ...]
    wrapper: str = ""  # the field of the request that holds it; "" when it is the body
    is_long: bool = False  # whether an operation answers its creation


KINDS = {
    "customJobs": Kind(v1.CustomJob, ("displayName", "jobSpec.workerPoolSpecs")),
    "models": Kind(v1.Model, ("displayName",), wrapper="model", is_long=True),
    "endpoints": Kind(v1.Endpoint, ("displayName",), is_long=True),
}


class Vertex:
    """A Vertex AI for tests: what is in it, what goes wrong next, and what was asked of it."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.requests: list[Request] = []
        self.faults: list[Refused] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.plays: dict[str, Play] = {}
        self.schedules: dict[str, dict[str, Any]] = {}
        self.resources: dict[str, dict[str, Any]] = {}  # of all KINDS
        self.operations: dict[str, dict[str, Any]] = {}
        self.cache: set[str] = set()
        self.next_script = Script()
        self.now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC)
        self.lock = threading.RLock()
        self._ids = itertools.count(4_100_000_000_000_000_001)

    def script(self, **choices: Any) -> Script:
        """Choose how the jobs go that are created from now on; see `Script`."""
        self.next_script = Script(**choices)
        return self.next_script

    def fail_next(
        self, what: str | Refusal, times: int = 1, *, method: str = "", path: str = "", done_first: bool = False
    ) -> None:
        """Have the next requests fail.

        Args:
            what: One of FAULTS, "lost" for a connection that is closed without an answer, or a refusal of one's own.
            times: How many requests fail.
            method: Only of this method.
            path: Only with this in their path.
            done_first: Whether the request is carried out before its answer gets lost.
        """
        refusal = what if isinstance(what, Refusal) else None if what == "lost" else FAULTS[what]
        fault = Refused(method=method, path=path, times=times, is_done_first=done_first, refusal=refusal)
        self.faults.append(fault)

    def finish(self, job_id: str) -> None:
        """Let a job go on to its end."""
        play = next(play for name, play in self.plays.items() if name.endswith(f"/{job_id}"))
        while play.ended is None:
            play.step()

    def start_scheduled(self, schedule_id: str) -> dict[str, Any]:
        """Let a schedule start its next run."""
        schedule = next(each for name, each in self.schedules.items() if name.endswith(f"/{schedule_id}"))
        if schedule["state"] != "ACTIVE":
            raise invalid("The schedule is not active.")
        request = schedule["createPipelineJobRequest"]
        number = int(schedule.get("startedRunCount", 0)) + 1
        job = self._keep_job(request["parent"], f"run-{schedule_id}-{number}", request["pipelineJob"])
        job["scheduleName"] = schedule["name"]
        schedule["startedRunCount"] = str(number)
        if number == int(schedule.get("maxRunCount", 0)):
            schedule["state"] = "COMPLETED"
            schedule.pop("nextRunTime", None)
        return self._seen_job(job["name"])

    def create_job(self, parent: str, query: Mapping[str, str], body: dict[str, Any]) -> dict[str, Any]:
        job_id = query.get("pipelineJobId") or f"job-{next(self._ids)}"
        if not JOB_ID.fullmatch(job_id):
            raise invalid(f"The pipeline_job_id {job_id} is malformed.")
        check_job(body)
        if f"{parent}/pipelineJobs/{job_id}" in self.jobs:
            raise Refusal(409, "ALREADY_EXISTS", f"The PipelineJob {parent}/pipelineJobs/{job_id} already exists.")
        return self._seen_job(self._keep_job(parent, job_id, body)["name"])

    def get_job(self, name: str) -> dict[str, Any]:
        job = found(self.jobs, name)
        play = self.plays[name]
        for _ in range(play.script.steps):
            play.step()
        return self._seen_job(job["name"])

    def list_jobs(self, parent: str, query: Mapping[str, str]) -> dict[str, Any]:
        seen = [self._seen_job(name, in_list=True) for name in self.jobs if name.startswith(f"{parent}/")]
        return page_of("pipelineJobs", seen, query)

    def cancel_job(self, name: str) -> dict[str, Any]:
        found(self.jobs, name)
        self.plays[name].cancel()
        return {}

    def delete_job(self, name: str) -> dict[str, Any]:
        found(self.jobs, name)
        del self.jobs[name], self.plays[name]
        return self._operation(name, {"@type": "type.googleapis.com/google.protobuf.Empty"})

    def create_schedule(self, parent: str, query: Mapping[str, str], body: dict[str, Any]) -> dict[str, Any]:
        check_schedule(body, parent)
        name = f"{parent}/schedules/{next(self._ids)}"
        start = max(self.now(), _moment(body["startTime"])) if "startTime" in body else self.now()
        self.schedules[name] = _clean(v1.Schedule, body) | {
            "name": name,
            "state": "ACTIVE",
            "createTime": stamp(self.now()),
            "nextRunTime": stamp(next_time(body["cron"], start)),
        }
        return self.schedules[name]

    def get_schedule(self, name: str) -> dict[str, Any]:
        return found(self.schedules, name)

    def list_schedules(self, parent: str, query: Mapping[str, str]) -> dict[str, Any]:
        return page_of("schedules", [each for name, each in self.schedules.items() if name.startswith(parent)], query)

    def pause_schedule(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        schedule = self._in_state(name, "ACTIVE")
        schedule |= {"state": "PAUSED", "lastPauseTime": stamp(self.now())}
        schedule.pop("nextRunTime")
        return {}

    def resume_schedule(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        parsed(v1.ResumeScheduleRequest, body)
        schedule = self._in_state(name, "PAUSED")
        schedule |= {"state": "ACTIVE", "lastResumeTime": stamp(self.now()), "catchUp": body.get("catchUp", False)}
        schedule["nextRunTime"] = stamp(next_time(schedule["cron"], self.now()))
        return {}

    def delete_schedule(self, name: str) -> dict[str, Any]:
        found(self.schedules, name)
        del self.schedules[name]
        return self._operation(name, {"@type": "type.googleapis.com/google.protobuf.Empty"})

    def create_resource(self, parent: str, collection: str, body: dict[str, Any]) -> dict[str, Any]:
        kind = KINDS[collection]
        content = body.get(kind.wrapper) or {} if kind.wrapper else body
        message = parsed(kind.message, content)
        check_labels(message.labels)
        for path in kind.required:
            if not _at(content, path):
                raise invalid(f"{path} is required.")
        name = f"{parent}/{collection}/{next(self._ids)}"
        kept = _clean(kind.message, content) | {"name": name, "createTime": stamp(self.now())}
        if collection == "customJobs":
            _check_workers(content)
            kept["state"] = JOB_STATES[0]
        self.resources[name] = kept
        if not kind.is_long:
            return kept
        answer = v1.UploadModelResponse if collection == "models" else v1.Endpoint
        result = {"model": name} if collection == "models" else kept
        return self._operation(name, {"@type": _type_url(answer), **result})

    def get_resource(self, name: str) -> dict[str, Any]:
        resource = found(self.resources, name)
        if resource.get("state") in JOB_STATES[:-1]:
            resource["state"] = JOB_STATES[JOB_STATES.index(resource["state"]) + 1]
        return resource

    def list_resources(self, parent: str, collection: str, query: Mapping[str, str]) -> dict[str, Any]:
        listed = [each for name, each in self.resources.items() if name.startswith(f"{parent}/{collection}/")]
        return page_of(collection, listed, query)

    def delete_resource(self, name: str) -> dict[str, Any]:
        if found(self.resources, name).get("deployedModels"):
            raise Refusal(400, "FAILED_PRECONDITION", f"The Endpoint {name} has deployed or being-deployed models.")
        del self.resources[name]
        return self._operation(name, {"@type": "type.googleapis.com/google.protobuf.Empty"})

    def cancel_custom_job(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        found(self.resources, name)["state"] = "JOB_STATE_CANCELLED"
        return {}

    def deploy_model(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        endpoint = found(self.resources, name)
        request = parsed(v1.DeployModelRequest, {"endpoint": name, **body})
        if not request.deployed_model.HasField("dedicated_resources"):
            raise invalid("deployed_model.dedicated_resources is required.")
        found(self.resources, request.deployed_model.model)
        model = _json(request.deployed_model) | {"id": str(next(self._ids))}
        endpoint.setdefault("deployedModels", []).append(model)
        endpoint["trafficSplit"] = body.get("trafficSplit", {})
        return self._operation(name, {"@type": _type_url(v1.DeployModelResponse), "deployedModel": model})

    def undeploy_model(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        endpoint = found(self.resources, name)
        kept = [each for each in endpoint.get("deployedModels", []) if each["id"] != body.get("deployedModelId")]
        if len(kept) == len(endpoint.get("deployedModels", [])):
            raise Refusal(404, "NOT_FOUND", f"Deployed model {body.get('deployedModelId')} is not on this Endpoint.")
        endpoint["deployedModels"] = kept
        return self._operation(name, {"@type": _type_url(v1.UndeployModelResponse)})

    def get_operation(self, name: str) -> dict[str, Any]:
        return found(self.operations, name)

    def _keep_job(self, parent: str, job_id: str, body: dict[str, Any]) -> dict[str, Any]:
        name = f"{parent}/pipelineJobs/{job_id}"
        job = _clean(v1.PipelineJob, body) | {"name": name, "createTime": stamp(self.now())}
        job.setdefault("displayName", job_id)
        job["labels"] = job.get("labels", {}) | {BILLING_LABEL: str(next(self._ids))}
        self.jobs[name] = job
        self.plays[name] = Play(job, self.next_script, self.cache, self.now, self._ids)
        return job

    def _seen_job(self, name: str, *, in_list: bool = False) -> dict[str, Any]:
        """Return a job as it stands; lists go without the tasks."""
        play = self.plays[name]
        seen = self.jobs[name] | {"state": play.state, "updateTime": stamp(self.now())}
        for field, moment in (("startTime", play.started), ("endTime", play.ended)):
            if moment is not None:
                seen[field] = stamp(moment)
        if play.error:
            project = name.split("/")[1]
            number = seen["labels"][BILLING_LABEL]
            job = f"; Job (project_id = {project}, job_id = {number}) is failed due to the above error."
            seen["error"] = {"code": 9, "message": play.error + job}
        if not in_list:
            seen["jobDetail"] = {"taskDetails": play.details(name.partition("/pipelineJobs/")[0])}
        return seen

    def _in_state(self, name: str, state: str) -> dict[str, Any]:
        schedule = found(self.schedules, name)
        if schedule["state"] != state:
            raise Refusal(400, "FAILED_PRECONDITION", f"The Schedule is {schedule['state']}, not {state}.")
        return schedule

    def _operation(self, name: str, response: dict[str, Any]) -> dict[str, Any]:
        operation = {"name": f"{name}/operations/{next(self._ids)}", "done": True, "response": response}
        self.operations[str(operation["name"])] = operation
        return operation


def found(kept: Mapping[str, dict[str, Any]], name: str) -> dict[str, Any]:
    if name not in kept:
        raise Refusal(404, "NOT_FOUND", f"The resource {name} is not found.")
    return kept[name]


def page_of(collection: str, resources: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """Return a page of a list, ordered and masked as it was asked for."""
    if "filter" in query:
        raise invalid("This server knows no filters.")
    order = query.get("orderBy", "")
    if order not in ("", "create_time", "create_time desc"):
        raise invalid(f"Ordering by {order} is not supported.")
    if order:
        resources = sorted(resources, key=lambda each: each["createTime"], reverse=order.endswith("desc"))
    size = int(query.get("pageSize", 0)) or MOST_ON_A_PAGE
    if size < 0:
        raise invalid("page_size must not be negative.")
    start = int(query.get("pageToken", 0))
    stop = start + min(size, MOST_ON_A_PAGE)
    paths = [path.split(".") for path in query["readMask"].split(",")] if "readMask" in query else []
    answer: dict[str, Any] = {collection: [_masked(each, paths) for each in resources[start:stop]]}
    return answer | ({"nextPageToken": str(stop)} if stop < len(resources) else {})


def _masked(resource: dict[str, Any], paths: list[list[str]]) -> dict[str, Any]:
    if not paths:
        return resource
    kept: dict[str, Any] = {}
    for path in paths:
        source, target = resource, kept
        for key in path[:-1]:
            source, target = source.get(key, {}), target.setdefault(key, {})
        if path[-1] in source:
            target[path[-1]] = source[path[-1]]
    return kept


def _clean(kind: Any, body: dict[str, Any]) -> dict[str, Any]:
    """Return a body without the fields that only the service sets, its fields named in one way."""
    message = _json(parsed(kind, body))
    return {key: value for key, value in message.items() if key not in OUTPUT_ONLY}


def _json(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(message)


def _at(content: Any, path: str) -> Any:
    for key in path.split("."):
        content = (content or {}).get(key)
    return content


def _check_workers(job: Mapping[str, Any]) -> None:
    for pool in job["jobSpec"]["workerPoolSpecs"]:
        if not pool.get("machineSpec", {}).get("machineType"):
            raise invalid("job_spec.worker_pool_specs.machine_spec.machine_type is required.")
        if not pool.get("containerSpec", {}).get("imageUri") and "pythonPackageSpec" not in pool:
            raise invalid("A worker pool needs a container_spec or a python_package_spec.")


def _moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def _type_url(kind: Any) -> str:
    return f"type.googleapis.com/{kind.pb(kind()).DESCRIPTOR.full_name}"
