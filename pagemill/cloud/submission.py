"""From what a user asks for to what a backend is given: parameters merged and checked, template pinned, labels set."""

import dataclasses
import difflib
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from pagemill.cloud.arguments import settle
from pagemill.cloud.backend import DEFAULT_FAILURE_POLICY, Backend, Run, Schedule, Submission, Timetable
from pagemill.cloud.checks import CHECKS, check_elsewhere
from pagemill.cloud.compiled import PIPELINES, Parameter, parameters_of, parameters_of_template, template_for
from pagemill.cloud.labels import labels_for
from pagemill.cloud.prerequisites import Finding, check_prerequisites
from pagemill.cloud.spec import read_documents, set_caching, tasks_in
from pagemill.errors import UserError
from pagemill.presets import DEFAULTS, Preset, preset_named
from pagemill.settings import Settings

LISTINGS = ("discover-archives", "collect-decks")  # the tasks that look at the world outside of the store
STORE, RUNS = "store", "runs"  # folders of the bucket
FAILURE_POLICIES = (DEFAULT_FAILURE_POLICY, "fast")

Tell = Callable[[list[Finding]], object]


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """What a user asks for; what is left out follows from the settings."""

    pipeline: str
    parameters: Mapping[str, Any]
    ocr: str = "worker"
    caching: bool | None = None
    run: str = ""
    failure_policy: str = DEFAULT_FAILURE_POLICY


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
        UserError: The pipeline does not run there, or the machines are another backend's.
    """
    backends = PIPELINES[pipeline].backends if pipeline in PIPELINES else (settings.to,)
    if settings.to not in backends:
        mend = f"give --to {' or '.join(each for each in backends if each != 'local')}"
        raise UserError(f"pipeline {pipeline}", f"does not run on {settings.to}", mend)
    default = PIPELINES[pipeline].default_preset(settings.to).name if pipeline in PIPELINES else DEFAULTS[settings.to]
    preset = preset_named(settings.preset or default)
    if preset.backend != settings.to:
        mend = f"give --to {preset.backend}, or a preset of {settings.to}"
        if preset.backend == "local":
            mend = f"give a preset of {settings.to}, or run it here with `pagemill run`"
        raise UserError(f"preset {preset.name}", f"is not for {settings.to}", mend)
    return preset


def prepare(
    order: Order, settings: Settings, folder: Path, *, check: bool = False, tell: Tell | None = None
) -> Submission:
    """Make of an order what a backend is given; nothing is started yet.

    Args:
        order: What is asked for.
        settings: Where it runs, on what, and from which images.
        folder: Receives the template.
        check: Whether to look first whether all is there that the run needs; only then is anything written.
        tell: Is given what that has found.

    Raises:
        UserError: A parameter is missing, unknown or not of its type, or a task would refuse it later; or something
            is missing that the run needs.
    """
    if order.failure_policy not in FAILURE_POLICIES:
        raise UserError(f"failure policy {order.failure_policy}", "is not known", "give slow or fast")
    preset = preset_of(settings, order.pipeline)
    template = template_for(order.pipeline, preset, order.ocr, settings.images, folder)
    expected = parameters_of_template(template)
    values = _checked(order.pipeline, expected, _defaults(expected, settings) | dict(order.parameters))
    check_elsewhere(values)
    if order.pipeline in CHECKS:
        CHECKS[order.pipeline](values, False)
    if check:
        machines = preset if PIPELINES[order.pipeline].needs_gpus else dataclasses.replace(preset, accelerators=0)
        _stop_where_something_is_missing(settings, machines, values, order.ocr, tell)
    run = order.run or order.pipeline
    return Submission(
        template=template,
        pipeline=order.pipeline,
        parameters=settle(order.pipeline, values),
        run=run,
        pipeline_root=f"{settings.bucket.rstrip('/')}/{RUNS}" if settings.bucket else "",
        caching=order.caching,
        labels=labels_for(order.pipeline, preset.name, run, settings.labels),
        service_account=getattr(settings, settings.to).service_account,
        network=settings.vertex.network if settings.to == "vertex" else "",
        failure_policy=order.failure_policy,
    )


def prepare_schedule(
    order: Order, settings: Settings, folder: Path, *, check: bool = False, tell: Tell | None = None
) -> Submission:
    """Make of an order, as `prepare` does, what is run again and again: each run looks at the source anew.

    Raises:
        UserError: As `prepare`; or caching is asked for, which would have every run find the first one's listing.
    """
    if order.caching:
        raise UserError("--caching", "would have each run take the first one's listing", "leave it out")
    submission = prepare(order, settings, folder, check=check, tell=tell)
    if "source_fingerprint" not in submission.parameters:
        return submission
    _never_cache(submission.template, LISTINGS)
    parameters = dict(submission.parameters) | {"source_fingerprint": "as each run finds it"}
    return dataclasses.replace(submission, parameters=parameters)


def submit(order: Order, settings: Settings, *, check: bool = True, tell: Tell | None = None) -> Run:
    """Start a run of what is ordered, where the settings say, and return it as it begins.

    It takes `check` and `tell`, and raises, as `prepare` does.
    """
    with tempfile.TemporaryDirectory(prefix="pagemill-") as folder:
        return backend_for(settings).submit(prepare(order, settings, Path(folder), check=check, tell=tell))


def create_schedule(
    order: Order, timetable: Timetable, settings: Settings, *, check: bool = True, tell: Tell | None = None
) -> Schedule:
    """Have what is ordered run at set times, where the settings say.

    It takes `check` and `tell`, and raises, as `prepare` does. While a schedule of this name is active, it is refused.
    """
    backend = backend_for(settings)
    with tempfile.TemporaryDirectory(prefix="pagemill-") as folder:
        submission = prepare_schedule(order, settings, Path(folder), check=check, tell=tell)
        if any(each.active and each.name == timetable.name for each in backend.schedules()):
            mend = "delete it, or give another --schedule"
            raise UserError(f"schedule {timetable.name}", "is there already", mend)
        return backend.create_schedule(submission, timetable)


def read_parameters(path: Path) -> dict[str, Any]:
    """Read a YAML of parameters; raises UserError."""
    try:
        text = path.read_text()
        values = yaml.safe_load(text)
        twice = _named_twice(text)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(str(path), f"cannot be read ({type(error).__name__})", "check the path") from None
    except yaml.YAMLError as error:
        line = mark.line if (mark := getattr(error, "problem_mark", None)) else 0
        if "\t" in "".join(text.splitlines()[line : line + 1]):
            raise UserError(str(path), f"has a tab in line {line + 1}", "put spaces in its place") from None
        reason = str(error).replace("\n", " ")
        raise UserError(str(path), f"is no YAML ({reason})", "write `name: value` on each line") from None
    if values is None:
        return {}
    if twice:
        raise UserError(str(path), f"gives {twice} twice", "leave one of them")
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise UserError(str(path), "holds no table of parameters", "write `name: value` on each line")
    return values


def _named_twice(text: str) -> str:
    """Return the first key that a YAML's table has twice, of which a reader takes the last alone; "" for none."""
    node = yaml.compose(text, yaml.SafeLoader)
    keys = [key.value for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
    return next((str(key) for number, key in enumerate(keys) if key in keys[:number]), "")


def _defaults(expected: Mapping[str, Parameter], settings: Settings) -> dict[str, Any]:
    """Return the parameters that the settings say."""
    said = {"hf_token": settings.hf_token}
    if settings.bucket:
        said["store"] = f"{settings.bucket.rstrip('/')}/{STORE}"
    return {name: value for name, value in said.items() if name in expected}


def _checked(pipeline: str, expected: Mapping[str, Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
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
        options = {each.name: f"--{each.name.replace('_', '-')}" for each in parameters_of(pipeline)}
        option = options.get(missing[0], f"--set {missing[0]}=...")
        raise UserError(f"parameter {missing[0]}", "has no value", f"give {option}, or a file of parameters")
    return {name: _typed(expected[name], value) for name, value in values.items() if value is not None}


def _typed(parameter: Parameter, value: Any) -> Any:
    fits = isinstance(value, parameter.type) and not (isinstance(value, bool) and parameter.type is not bool)
    if fits:
        return value
    if parameter.type is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    kind = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}[parameter.type]
    raise UserError(f"parameter {parameter.name}", f"is not {kind}", f"give {kind} in place of {value!r}")


def _stop_where_something_is_missing(
    settings: Settings, preset: Preset, values: Mapping[str, Any], ocr: str, tell: Tell | None
) -> None:
    """Raise UserError for the first thing that the run needs and that is not there."""
    findings = check_prerequisites(settings, preset, values, ocr=ocr)
    if tell:
        tell(findings)
    for first in (each for each in findings if each.failed):
        raise UserError(first.subject, first.reason, f"{first.mend}; --no-check (check=False) goes on all the same")


def _never_cache(template: Path, names: Collection[str]) -> None:
    """Have tasks of a template run whenever the pipeline does."""
    documents = read_documents(template)
    for name, each in tasks_in(documents[0]):
        if name in names:
            set_caching(each, False)
    template.write_text(yaml.dump_all(documents, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)))
