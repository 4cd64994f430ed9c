"""From what a user asks for to what a backend is given: parameters merged and checked, template pinned, labels set."""

import dataclasses
import difflib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pagemill.cloud.arguments import settle
from pagemill.cloud.backend import Backend, Run, Schedule, Submission, Timetable
from pagemill.cloud.checks import CHECKS, check_elsewhere
from pagemill.cloud.compiled import PIPELINES, Parameter, parameters_of_template, template_for
from pagemill.errors import UserError
from pagemill.presets import DEFAULTS, Preset, preset_named
from pagemill.settings import Settings

LISTING = "discover-archives"  # the task that looks at the world outside of the store
STORE, RUNS = "store", "runs"  # folders of the bucket
FAILURE_POLICIES = ("slow", "fast")


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """What a user asks for; what is left out follows from the settings."""

    pipeline: str
    parameters: Mapping[str, Any]
    ocr: str = "worker"
    caching: bool | None = None
    run: str = ""
    failure_policy: str = "slow"


def backend_for(settings: Settings) -> Backend:
    """Return the service that the settings name, without asking it anything."""
    if settings.to == "vertex":
        from pagemill.cloud.vertex import VertexBackend

        return VertexBackend(settings.vertex)
    from pagemill.cloud.kubeflow import KfpBackend

    return KfpBackend(settings.kfp)


def preset_of(settings: Settings, pipeline: str = "") -> Preset:
    """Return the machines that the settings name, else those that the pipeline is compiled for.

    Raises:
        UserError: They are another backend's.
    """
    default = PIPELINES[pipeline].default_preset(settings.to).name if pipeline in PIPELINES else DEFAULTS[settings.to]
    preset = preset_named(settings.preset or default)
    if preset.backend != settings.to:
        mend = f"give --to {preset.backend}, or a preset of {settings.to}"
        raise UserError(f"preset {preset.name}", f"is not for {settings.to}", mend)
    return preset


def prepare(order: Order, settings: Settings, folder: Path) -> Submission:
    """Make of an order what a backend is given; nothing is started yet.

    Args:
        order: What is asked for.
        settings: Where it runs, on what, and from which images.
        folder: Receives the template.

    Raises:
        UserError: A parameter is missing, unknown or not of its type, or a task would refuse it later.
    """
    if order.failure_policy not in FAILURE_POLICIES:
        raise UserError(f"failure policy {order.failure_policy}", "is not known", "give slow or fast")
    preset = preset_of(settings, order.pipeline)
    template = template_for(order.pipeline, preset, order.ocr, settings.images, folder)
    expected = parameters_of_template(template)
    values = _checked(expected, _defaults(expected, settings) | dict(order.parameters))
    return Submission(
        template=template,
        pipeline=order.pipeline,
        parameters=_settled(order.pipeline, values),
        run=order.run or order.pipeline,
        pipeline_root=f"{settings.bucket.rstrip('/')}/{RUNS}" if settings.bucket else "",
        caching=order.caching,
        labels=_labels(order, preset, settings),
        service_account=getattr(settings, settings.to).service_account,
        network=settings.vertex.network if settings.to == "vertex" else "",
        failure_policy=order.failure_policy,
    )


def prepare_schedule(order: Order, settings: Settings, folder: Path) -> Submission:
    """Make of an order what a backend is given to run again and again: each run looks at the source anew.

    Raises:
        UserError: As `prepare`; or caching is asked for, which would have every run find the first one's listing.
    """
    if order.caching:
        raise UserError("--caching", "would have each run take the first one's listing", "leave it out")
    submission = prepare(order, settings, folder)
    if "source_fingerprint" not in submission.parameters:
        return submission
    _never_cache(submission.template, LISTING)
    parameters = dict(submission.parameters) | {"source_fingerprint": "as each run finds it"}
    return dataclasses.replace(submission, parameters=parameters)


def submit(order: Order, settings: Settings) -> Run:
    """Start a run of what is ordered, where the settings say, and return it as it begins; raises as `prepare`."""
    with tempfile.TemporaryDirectory(prefix="pagemill-") as folder:
        return backend_for(settings).submit(prepare(order, settings, Path(folder)))


def create_schedule(order: Order, timetable: Timetable, settings: Settings) -> Schedule:
    """Have what is ordered run at set times, where the settings say; raises as `prepare_schedule`."""
    with tempfile.TemporaryDirectory(prefix="pagemill-") as folder:
        return backend_for(settings).create_schedule(prepare_schedule(order, settings, Path(folder)), timetable)


def read_parameters(path: Path) -> dict[str, Any]:
    """Read a YAML of parameters; raises UserError."""
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(str(path), f"cannot be read ({type(error).__name__})", "check the path") from None
    except yaml.YAMLError as error:
        reason = str(error).replace("\n", " ")
        raise UserError(str(path), f"is no YAML ({reason})", "write `name: value` on each line") from None
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise UserError(str(path), "holds no table of parameters", "write `name: value` on each line")
    return values


def _defaults(expected: Mapping[str, Parameter], settings: Settings) -> dict[str, Any]:
    """Return the parameters that the settings say."""
    said = {"hf_token": settings.hf_token}
    if settings.bucket:
        said["store"] = f"{settings.bucket.rstrip('/')}/{STORE}"
    return {name: value for name, value in said.items() if name in expected}


def _checked(expected: Mapping[str, Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return values for all parameters, each of its type."""
    for name in given:
        if name not in expected:
            near = difflib.get_close_matches(name, expected, 1)
            mend = f"did you mean {near[0]}?" if near else f"give some of {', '.join(sorted(expected))}"
            raise UserError(f"parameter {name}", "is not the pipeline's", mend)
    defaults = {name: each.default for name, each in expected.items()}
    values = {name: given.get(name, default) for name, default in defaults.items()}
    missing = [name for name, value in values.items() if value is None and name != "source_fingerprint"]
    if missing:
        raise UserError(
            f"parameter {missing[0]}", "has no value", f"give --{missing[0].replace('_', '-')}, or a file of parameters"
        )
    return {name: _typed(expected[name], value) for name, value in values.items() if value is not None}


def _typed(parameter: Parameter, value: Any) -> Any:
    fits = isinstance(value, parameter.type) and not (isinstance(value, bool) and parameter.type is not bool)
    if fits:
        return value
    if parameter.type is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    kind = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}[parameter.type]
    raise UserError(f"parameter {parameter.name}", f"is not {kind}", f"give {kind} in place of {value!r}")


def _settled(pipeline: str, values: dict[str, Any]) -> dict[str, Any]:
    check_elsewhere(values)
    if pipeline in CHECKS:
        CHECKS[pipeline](values, False)
    return settle(values)


def _labels(order: Order, preset: Preset, settings: Settings) -> dict[str, str]:
    from pagemill.cloud.labels import labels_for

    return labels_for(order.pipeline, preset.name, order.run, settings.labels)


def _never_cache(template: Path, task: str) -> None:
    """Have a task of a template run whenever the pipeline does."""
    documents = list(yaml.safe_load_all(template.read_text()))
    spec = documents[0]
    dags = [spec["root"]["dag"], *(each["dag"] for each in spec["components"].values() if "dag" in each)]
    for dag in dags:
        if task in dag["tasks"]:
            dag["tasks"][task]["cachingOptions"] = {}
    template.write_text(yaml.safe_dump_all(documents, sort_keys=True))
