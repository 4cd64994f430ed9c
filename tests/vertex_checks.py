"""What Vertex AI takes and refuses: bodies by the published protos, ids, labels, parameters, cron expressions."""

import dataclasses
import datetime
import re
import zoneinfo
from collections.abc import Iterator, Mapping
from typing import Any

from google.cloud import aiplatform_v1 as v1
from google.protobuf import json_format

JOB_ID = re.compile(r"[a-z][-a-z0-9]{0,127}")
LABEL_KEY = re.compile(r"[a-z][-_a-z0-9]{0,62}")
LABEL_VALUE = re.compile(r"[-_a-z0-9]{0,63}")
ACCOUNT = re.compile(r"[-\w.]+@[-\w.]+\.gserviceaccount\.com")
NETWORK = re.compile(r"projects/\d+/global/networks/[-a-z0-9]+")
MOST_LABELS = 64
TYPES: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "NUMBER_INTEGER": (int, float),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
}
CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


@dataclasses.dataclass
class Refusal(Exception):
    """An answer other than 200."""

    code: int
    status: str
    message: str
    reason: str = ""  # as google.rpc.ErrorInfo has it

    def body(self) -> dict[str, Any]:
        error: dict[str, Any] = {"code": self.code, "message": self.message, "status": self.status}
        if self.reason:
            info = {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": self.reason,
                "domain": "googleapis.com",
            }
            error["details"] = [info]
        return {"error": error}


def invalid(message: str) -> Refusal:
    return Refusal(400, "INVALID_ARGUMENT", message)


def parsed(kind: Any, body: Any) -> Any:
    """Return a body as a message of this kind; whatever the published proto does not have is refused."""
    try:
        return json_format.ParseDict(body, kind.pb(kind()))
    except json_format.ParseError as error:
        raise invalid(f"Invalid JSON payload received. {error}") from None


def check_labels(labels: Mapping[str, str]) -> None:
    if len(labels) > MOST_LABELS:
        raise invalid(f"There are {len(labels)} labels, at most {MOST_LABELS} are allowed.")
    for key, value in labels.items():
        if not LABEL_KEY.fullmatch(key) or not LABEL_VALUE.fullmatch(value):
            raise invalid(f"Label {key!r}: {value!r} does not conform to the label requirements.")


def check_job(body: Mapping[str, Any]) -> None:
    """Refuse a pipeline job as the service does, before anything of it is kept."""
    job = parsed(v1.PipelineJob, body)
    if len(job.display_name) > 128:
        raise invalid("The display_name is longer than 128 characters.")
    check_labels(job.labels)
    if not job.HasField("pipeline_spec"):
        raise invalid("pipeline_spec is required.")
    if not job.runtime_config.gcs_output_directory.startswith("gs://"):
        raise invalid("runtime_config.gcs_output_directory must be a Cloud Storage path.")
    if job.service_account and not ACCOUNT.fullmatch(job.service_account):
        raise invalid(f"Service account {job.service_account} is malformed.")
    if job.network and not NETWORK.fullmatch(job.network):
        raise invalid(f"Network {job.network} is malformed.")
    check_spec(body["pipelineSpec"])
    check_parameters(body["pipelineSpec"], body["runtimeConfig"].get("parameterValues", {}))


def check_spec(spec: Mapping[str, Any]) -> None:
    """Refuse what is no pipeline: by its proto, and names that lead nowhere."""
    from kfp.pipeline_spec import pipeline_spec_pb2

    try:
        json_format.ParseDict(_whole_numbers(spec), pipeline_spec_pb2.PipelineSpec())
    except json_format.ParseError as error:
        raise invalid(f"Invalid pipeline_spec. {error}") from None
    if not JOB_ID.fullmatch(spec.get("pipelineInfo", {}).get("name", "")):
        raise invalid("pipeline_spec.pipeline_info.name is malformed.")
    for tasks in _dags(spec):
        for name, task in tasks.items():
            _check_task(spec, tasks, name, task)


def check_parameters(spec: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    definitions = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, value in given.items():
        if name not in definitions:
            raise invalid(f"Unknown input parameter {name} is specified in the pipeline job's runtime config.")
        kind = definitions[name]["parameterType"]
        fits = isinstance(value, TYPES[kind]) and (kind == "BOOLEAN" or not isinstance(value, bool))
        if not fits or (kind == "NUMBER_INTEGER" and value != int(value)):
            raise invalid(f"Input parameter {name} is expected to be of type {kind}.")
    for name, definition in definitions.items():
        if name not in given and "defaultValue" not in definition and not definition.get("isOptional"):
            raise invalid(f"Parameter {name} is required by the pipeline but is not specified in the runtime config.")


def check_schedule(body: Mapping[str, Any], parent: str) -> None:
    schedule = parsed(v1.Schedule, body)
    if not schedule.display_name or len(schedule.display_name) > 128:
        raise invalid("display_name is required and may have 128 characters.")
    if schedule.max_concurrent_run_count < 1:
        raise invalid("max_concurrent_run_count is required and must be positive.")
    if schedule.create_pipeline_job_request.parent != parent:
        raise invalid("create_pipeline_job_request.parent must be the parent of the schedule.")
    check_job(body["createPipelineJobRequest"]["pipelineJob"])
    next_time(schedule.cron, datetime.datetime.now(datetime.UTC))


def next_time(cron: str, after: datetime.datetime) -> datetime.datetime:
    """Return the next time of a cron expression, which may begin with `TZ=Area/City` or `CRON_TZ=Area/City`."""
    found = re.fullmatch(r"(?:(?:CRON_)?TZ=(?P<zone>\S+)\s+)?(?P<fields>\S+(?:\s+\S+){4})", cron)
    if found is None:
        raise invalid(f"The cron expression {cron!r} is malformed.")
    try:
        zone = zoneinfo.ZoneInfo(found["zone"] or "UTC")
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        raise invalid(f"The time zone {found['zone']} is unknown.") from None
    fields = found["fields"].split()
    minutes, hours, days, months, weekdays = (
        _values(field, *span, cron) for field, span in zip(fields, CRON_RANGES, strict=True)
    )
    start = after.astimezone(zone)
    for offset in range(366 * 4):
        day = start.date() + datetime.timedelta(days=offset)
        # With both restricted, either may hold: that is how cron has it.
        holds = [day.day in days, day.isoweekday() % 7 in {each % 7 for each in weekdays}]
        restricted = [field != "*" for field in (fields[2], fields[4])]
        if day.month not in months or not (any(holds) if all(restricted) else all(holds)):
            continue
        for hour in sorted(hours):
            for minute in sorted(minutes):
                moment = datetime.datetime.combine(day, datetime.time(hour, minute), zone)
                if moment > start:
                    return moment.astimezone(datetime.UTC)
    raise invalid(f"The cron expression {cron!r} never holds.")


def _values(field: str, low: int, high: int, cron: str) -> set[int]:
    values: set[int] = set()
    for part in field.split(","):
        found = re.fullmatch(r"(?:\*|(?P<first>\d+)(?:-(?P<last>\d+))?)(?:/(?P<step>\d+))?", part)
        if found is None:
            raise invalid(f"The cron expression {cron!r} is malformed.")
        first = int(found["first"]) if found["first"] else low
        last = int(found["last"]) if found["last"] else first if found["first"] and not found["step"] else high
        values |= set(range(first, last + 1, int(found["step"] or 1)))
    if not values or min(values) < low or max(values) > high:
        raise invalid(f"The cron expression {cron!r} is out of range.")
    return values


def _dags(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for component in (spec["root"], *spec.get("components", {}).values()):
        if "dag" in component:
            yield component["dag"]["tasks"]


def _check_task(spec: Mapping[str, Any], siblings: Mapping[str, Any], name: str, task: Mapping[str, Any]) -> None:
    component = spec["components"].get(task["componentRef"]["name"])
    if component is None:
        raise invalid(f"Task {name} refers to a component that is not there.")
    if missing := set(task.get("dependentTasks", ())) - set(siblings):
        raise invalid(f"Task {name} depends on {sorted(missing)}, which are not there.")
    if "dag" in component:
        return
    executor = spec["deploymentSpec"]["executors"].get(component["executorLabel"])
    if executor is None:
        raise invalid(f"The executor {component['executorLabel']} of task {name} is not there.")
    if "container" in executor and not executor["container"].get("image"):
        raise invalid(f"The executor {component['executorLabel']} has no image.")


def _whole_numbers(value: Any) -> Any:
    """Return a Struct's JSON with its whole numbers as such, for in itself it has floats only."""
    if isinstance(value, dict):
        return {key: _whole_numbers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
