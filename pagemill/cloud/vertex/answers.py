"""What Vertex AI tells of jobs, tasks and schedules, as the project has it."""

import collections
import re
from collections.abc import Mapping
from typing import Any

from pagemill.cloud.backend import Run, Schedule, State, Task, one_line
from pagemill.cloud.spec import component_of, parameters_in, tasks_in

CONSOLE = "https://console.cloud.google.com/vertex-ai/locations/{region}/pipelines/{kind}/{id}?project={project}"

_NAME = re.compile(r"projects/(?P<project>[^/]+)/locations/(?P<region>[^/]+)/(?P<collection>\w+)/(?P<id>[^/]+)")
_KINDS = {"pipelineJobs": "runs", "schedules": "schedules"}
_RUN_STATES = {
    "PIPELINE_STATE_RUNNING": State.RUNNING,
    "PIPELINE_STATE_SUCCEEDED": State.SUCCEEDED,
    "PIPELINE_STATE_FAILED": State.FAILED,
    "PIPELINE_STATE_CANCELLING": State.CANCELLING,
    "PIPELINE_STATE_CANCELLED": State.CANCELLED,
}  # all others wait: queued, pending, paused
_TASK_STATES = {
    "RUNNING": State.RUNNING,
    "SUCCEEDED": State.SUCCEEDED,
    "CANCEL_PENDING": State.CANCELLING,
    "CANCELLING": State.CANCELLING,
    "CANCELLED": State.CANCELLED,
    "FAILED": State.FAILED,
    "SKIPPED": State.CACHED,  # so the service calls what it found in its cache
    "NOT_TRIGGERED": State.SKIPPED,  # and so what a failure or a condition has kept from running
}


def run_of(job: Any, *, with_tasks: bool = True) -> Run:
    """Return a pipeline job as a run."""
    spec = job.pipeline_spec or {}
    return Run(
        id=job.name.rpartition("/")[2],
        name=job.display_name,
        pipeline=spec.get("pipelineInfo", {}).get("name", ""),
        state=_RUN_STATES.get(job.state.name, State.PENDING),
        console=_console(job.name),
        parameters=_parameters(job),
        labels=dict(job.labels),
        created=job.create_time,
        started=job.start_time,
        ended=job.end_time,
        error=one_line(job.error.message),
        tasks=tasks_of(job) if with_tasks else (),
    )


def schedule_of_answer(schedule: Any) -> Schedule:
    """Return a schedule as the project has it."""
    return Schedule(
        id=schedule.name.rpartition("/")[2],
        name=schedule.display_name,
        cron=schedule.cron,
        active=schedule.state.name == "ACTIVE",
        state=schedule.state.name,
        next_run=schedule.next_run_time,
        runs_started=schedule.started_run_count,
        console=_console(schedule.name),
    )


def tasks_of(job: Any) -> tuple[Task, ...]:
    """Return the tasks of a job in the order in which they came up.

    Loops, groups and the run itself are among the service's details too, and are left out here.
    """
    names = _executed(job.pipeline_spec or {})
    details = list(job.job_detail.task_details)
    iterations = _iterations(details, _loops(job.pipeline_spec or {}))
    return tuple(
        Task(
            name=each.task_name,
            state=_task_state(each),
            iteration=iterations.get(each.task_id),
            started=each.start_time,
            ended=each.end_time,
            error=one_line(each.error.message),
        )
        for each in sorted(details, key=_age)
        if each.task_name in names
    )


def _task_state(detail: Any) -> State:
    if detail.execution.state.name == "CACHED":
        return State.CACHED
    return _TASK_STATES.get(detail.state.name, State.PENDING)


def _iterations(details: list[Any], loops: set[str]) -> dict[int, int]:
    """Return, by the id of a task, which iteration of a loop it belongs to.

    The service has no field for it, and does not document how iterations are named. Each is a child of its loop; its
    number is what its name ends in, else its place among its siblings.
    """
    by_id = {each.task_id: each for each in details if each.task_id}  # 0 is no id: as a parent's, it says none
    numbers = _numbers(details, by_id, loops)
    found = {}
    for each in details:
        ancestor = each
        while ancestor is not None and ancestor.task_id not in numbers:
            ancestor = by_id.get(ancestor.parent_task_id)
        if ancestor is not None:
            found[each.task_id] = numbers[ancestor.task_id]
    return found


def _numbers(details: list[Any], by_id: Mapping[int, Any], loops: set[str]) -> dict[int, int]:
    """Return the numbers of the children of loops: of iterations, or of tasks where these lie in the loop itself."""
    families = collections.defaultdict(list)
    for each in sorted(details, key=_age):
        parent = by_id.get(each.parent_task_id)
        if parent is not None and parent.task_name in loops and not _repeats_parent(parent, by_id):
            stem, number = _split(each.task_name, parent.task_name)
            families[parent.task_id, stem].append((each, number))
    numbers = {}
    for children in families.values():
        for place, (child, number) in enumerate(children):
            numbers[child.task_id] = place if number is None else number
    return numbers


def _repeats_parent(detail: Any, by_id: Mapping[int, Any]) -> bool:
    """Say whether a task has its parent's name: then it is an iteration of that loop, and no loop itself."""
    parent = by_id.get(detail.parent_task_id)
    return parent is not None and parent.task_name == detail.task_name


def _split(name: str, loop: str) -> tuple[str, int | None]:
    """Split the number of an iteration from its name: `for-loop-2-0` and `iteration-0` have one, the loop has none."""
    found = re.fullmatch(r"(?:(?P<stem>.*)-)?(?P<number>\d+)", name)
    if name == loop or found is None or found["stem"] not in (loop, f"{loop}-iteration", "iteration", None):
        return name, None
    return loop, int(found["number"])


def _executed(spec: Mapping[str, Any]) -> set[str]:
    """Return the names of the tasks that execute something."""
    return {name for name, task in tasks_in(spec) if "dag" not in component_of(spec, task)}


def _loops(spec: Mapping[str, Any]) -> set[str]:
    return {name for name, task in tasks_in(spec) if "parameterIterator" in task or "artifactIterator" in task}


def _age(detail: Any) -> tuple[float, int]:
    return (detail.create_time.timestamp() if detail.create_time else 0.0, detail.task_id)


def _parameters(job: Any) -> dict[str, Any]:
    """Return the parameters that a run was given; numbers travel as floats."""
    declared = parameters_in(job.pipeline_spec or {})
    whole = {name for name, each in declared.items() if each.get("parameterType") == "NUMBER_INTEGER"}
    given = type(job.runtime_config).to_dict(job.runtime_config)["parameter_values"]
    return {name: int(value) if name in whole else value for name, value in given.items()}


def _console(name: str) -> str:
    found = _NAME.fullmatch(name)
    if found is None:
        return ""
    words = found.groupdict()
    return CONSOLE.format(kind=_KINDS[words.pop("collection")], **words)
