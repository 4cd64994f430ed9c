"""What Kubeflow Pipelines' API server refuses: fields and types that are not in its API, and faulty pipelines."""

import datetime
import re
from collections.abc import Callable, Mapping
from typing import Any

CRON_FIELDS = (
    (0, 59, ()),
    (0, 59, ()),
    (0, 23, ()),
    (1, 31, ()),
    (1, 12, ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")),
    (0, 6, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")),
)


class Refused(Exception):
    """An answer of the API that is no success."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


def check_message(value: Any, kind: str, path: str = "body") -> None:
    """Refuse what is not of a type of the published API, by the models that are generated from it."""
    if kind.startswith("list["):
        _require(isinstance(value, list), path, kind)
        for index, each in enumerate(value):
            check_message(each, kind[5:-1], f"{path}[{index}]")
    elif kind.startswith("dict("):
        _require(isinstance(value, dict), path, kind)
        for key, each in value.items():
            check_message(each, kind[5:-1].partition(", ")[2], f"{path}.{key}")
    elif kind in _SCALARS:
        _require(_SCALARS[kind](value), path, kind)
    else:
        _check_model(value, kind, path)


def _check_model(value: Any, kind: str, path: str) -> None:
    import kfp_server_api

    model = getattr(kfp_server_api, kind)
    if not model.openapi_types:  # an enumeration
        _require(value in {each for name, each in vars(model).items() if name.isupper()}, path, kind)
        return
    _require(isinstance(value, dict), path, kind)
    kinds = {key: model.openapi_types[name] for name, key in model.attribute_map.items()}
    for key, each in value.items():
        if key not in kinds:
            raise Refused(400, f'proto: unknown field "{key}" in {path}')
        kind_of_field = "int64" if key == "max_concurrency" else kinds[key]
        check_message(each, kind_of_field, f"{path}.{key}")


def _require(holds: bool, path: str, kind: str) -> None:
    if not holds:
        raise Refused(400, f"proto: invalid value for {path}: not of type {kind}")


def _is_time(value: Any) -> bool:
    """Say whether this is a time with its zone (RFC 3339)."""
    try:
        return isinstance(value, str) and datetime.datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


_SCALARS: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "int64": lambda value: isinstance(value, str | int) and re.fullmatch(r"-?\d+", str(value)) is not None,
    "bool": lambda value: isinstance(value, bool),
    "datetime": _is_time,
    "object": lambda value: True,
}


def pipeline_of(told: Any) -> dict[str, Any]:
    """Return the pipeline spec of a run or recurring run; refuse one that its protos do not have."""
    if not isinstance(told, dict) or not told:
        raise Refused(400, "Failed to fetch a template: the pipeline spec is empty")
    wrapped = set(told) == {"pipeline_spec", "platform_spec"}
    spec: dict[str, Any] = told["pipeline_spec"] if wrapped else told
    _parse(spec, "PipelineSpec")
    for name in {each["componentRef"]["name"] for each in _tasks(spec)}:
        if name not in spec["components"]:
            raise Refused(400, f'component spec for "{name}" not found')
    if wrapped:
        _check_platform(told["platform_spec"])
    return spec


def _tasks(spec: dict[str, Any]) -> list[dict[str, Any]]:
    dags = [spec["root"]["dag"], *(each["dag"] for each in spec["components"].values() if "dag" in each)]
    return [task for dag in dags for task in dag["tasks"].values()]


def _check_platform(platform: Any) -> None:
    from google.protobuf import json_format
    from kfp.kubernetes import kubernetes_executor_config_pb2

    _parse(platform, "PlatformSpec")
    for name, each in platform["platforms"].items():
        if name != "kubernetes":
            raise Refused(400, f"unknown platform {name}")
        for config in each.get("deploymentSpec", {}).get("executors", {}).values():
            try:
                json_format.ParseDict(config, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
            except json_format.ParseError as error:
                raise Refused(400, f"invalid Kubernetes config: {error}") from None


def _parse(told: Any, message: str) -> None:
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    try:
        json_format.ParseDict(told, getattr(pipeline_spec_pb2, message)())
    except json_format.ParseError as error:
        raise Refused(400, f"invalid {message}: {error}") from None


def check_parameters(spec: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse parameters that the pipeline has not, lacks, or has of another type."""
    wanted = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, parameter in wanted.items():
        if name not in given:
            if not parameter.get("isOptional") and "defaultValue" not in parameter:
                raise Refused(
                    400, f"parameter {name} is not optional, yet has neither default value nor user provided value"
                )
        elif not _TYPES[parameter["parameterType"]](given[name]):
            raise Refused(400, f"input parameter {name} requires type {parameter['parameterType']}")
    if extra := sorted(set(given) - set(wanted)):
        raise Refused(400, f"parameter(s) provided are not required by pipeline: {', '.join(extra)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "STRING": lambda value: isinstance(value, str),
    "BOOLEAN": lambda value: isinstance(value, bool),
    "NUMBER_INTEGER": lambda value: _is_number(value) and value == int(value),
    "NUMBER_DOUBLE": _is_number,
    "LIST": lambda value: isinstance(value, list),
    "STRUCT": lambda value: isinstance(value, dict),
}


def check_cron(cron: str) -> None:
    """Refuse what robfig/cron 1.2 does not take, by which the API server reads a schedule; it has no time zones."""
    words = cron.split()
    if not 5 <= len(words) <= 6:
        raise _bad_cron(f"Expected 5 to 6 fields, found {len(words)}: {cron}")
    words += ["*"] * (6 - len(words))  # the first is seconds, and the days of the week may be left out
    for word, (low, high, names) in zip(words, CRON_FIELDS, strict=True):
        for part in word.split(","):
            _check_part(part, low, high, names)


def _check_part(part: str, low: int, high: int, names: tuple[str, ...]) -> None:
    span, _, step = part.partition("/")
    if step and not (step.isdecimal() and int(step)):
        raise _bad_cron(f"Step of range should be a positive number: {part}")
    if span in ("*", "?"):
        return
    ends = [str(names.index(each.upper()) + low) if each.upper() in names else each for each in span.split("-")]
    if len(ends) > 2 or not all(each.isdecimal() for each in ends):
        raise _bad_cron(f"Failed to parse int from {part}")
    if not low <= int(ends[0]) <= int(ends[-1]) <= high:
        raise _bad_cron(f"Range ({part}) is not within {low}-{high}")


def _bad_cron(why: str) -> Refused:
    text = "Schedule cron is not a supported format(https://godoc.org/github.com/robfig/cron). Error"
    return Refused(400, f"{text}: {why}")
