"""Tasks of a run, read from the workflow's nodes that Kubeflow Pipelines tells of.

A task is several nodes: a driver that resolves its inputs and looks into the cache, the task itself, and in it an
`executor` that runs its container. The API gives of each node its display name, which iterations share, and the ids
of its children. An id is made of the node's full name, which follows from the pipeline: so a task's child tells
which task it is, of which iteration.
"""

import datetime
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pagemill.cloud.backend import State, Task, one_line
from pagemill.cloud.spec import component_of, is_exit_task

STATES = {
    "PENDING": State.PENDING,
    "RUNNING": State.RUNNING,
    "PAUSED": State.RUNNING,
    "SUCCEEDED": State.SUCCEEDED,
    "SKIPPED": State.SKIPPED,
    "FAILED": State.FAILED,
    "CANCELING": State.CANCELLING,
    "CANCELED": State.CANCELLED,
}
EXECUTOR = "executor"
DRIVER = "-driver"
EARLY = (State.PENDING, State.RUNNING, State.FAILED)  # of a driver: its task is not there yet, or never will be
EARLIEST = datetime.datetime(1971, 1, 1, tzinfo=datetime.UTC)  # what is not yet is told as 1970, or as year 1
_ITERATION = re.compile(r"iteration-iterations\((\d+):")


def tasks_of(details: list[Any], spec: Mapping[str, Any]) -> tuple[Task, ...]:
    """Return the tasks of a run in the order in which they began.

    Args:
        details: `run_details.task_details` of the run.
        spec: The pipeline spec that it runs.
    """
    workflow = next((child.pod_name.rpartition("-")[0] for each in details for child in each.child_tasks or ()), "")
    indices = [int(found[1]) for each in details if (found := _ITERATION.match(each.display_name))]
    places = list(_places(spec, spec["root"], f"{workflow}.root", max(indices, default=-1) + 1, None))
    by_child = {_node_id(workflow, f"{path}.{EXECUTOR}"): (name, index) for path, name, index in places}
    by_child |= {_node_id(workflow, path): (name + DRIVER, index) for path, name, index in places}

    def iteration_of(detail: Any) -> int | None:
        found = (by_child.get(child.pod_name, ("", None)) for child in detail.child_tasks or ())
        return next((index for name, index in found if name == detail.display_name), None)

    names = {name for _, name, _ in places}
    executors = [each for each in details if each.display_name == EXECUTOR]
    own = [_task(each, iteration_of(each), executors) for each in details if each.display_name in names]
    drivers = [each for each in details if each.display_name in {name + DRIVER for name in names}]
    early = [_early(each, iteration_of(each)) for each in drivers if _state(each) in EARLY]
    failed = [task.name for task in early if task.state is State.FAILED]
    own = [task for task in own if not (task.state is State.SKIPPED and task.name in failed)]
    return tuple(sorted([*own, *early], key=lambda task: (task.started is None, task.started, task.iteration or 0)))


def time_of(moment: datetime.datetime | None) -> datetime.datetime | None:
    """Return a time as the API tells it; None when it has not come."""
    return moment if moment and moment > EARLIEST else None


def line_of(error: Any) -> str:
    """Return an error of the API in one line, "" when there is none."""
    return one_line(error.message or "") if error else ""


def _places(
    spec: Mapping[str, Any], component: Mapping[str, Any], above: str, iterations: int, index: int | None
) -> Iterator[tuple[str, str, int | None]]:
    """Yield each task that runs a container: the full name of its node, its name, the iteration that it is in."""
    for name, task in component["dag"]["tasks"].items():
        ended = task.get("dependentTasks", [])[:1] if is_exit_task(task) else []
        path = ".".join([above, *(f"{each}.onExit" for each in ended), name])
        inner = component_of(spec, task)
        if "dag" not in inner:
            yield path, name, index
        elif "parameterIterator" in task:
            for each in range(iterations):
                item = f"{path}.iteration-iterations({each}:{each}).iteration-item"
                yield from _places(spec, inner, item, iterations, each)
        else:
            yield from _places(spec, inner, path, iterations, index)


def _node_id(workflow: str, path: str) -> str:
    """Return the id that Argo makes of a node's name: its 32-bit FNV-1a hash."""
    value = 0x811C9DC5
    for byte in path.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return f"{workflow}-{value}"


def _state(detail: Any) -> State:
    """Return a node's state; one that will never begin, as what it needs has failed, has an end and no state."""
    unknown = State.SKIPPED if time_of(detail.end_time) else State.PENDING
    return STATES.get(detail.state, unknown)


def _task(detail: Any, iteration: int | None, executors: list[Any]) -> Task:
    state = _state(detail)
    if state is State.SUCCEEDED and _is_cached(detail, executors):
        state = State.CACHED
    return Task(
        detail.display_name,
        state,
        iteration,
        time_of(detail.start_time),
        time_of(detail.end_time),
        line_of(detail.error),
    )


def _early(driver: Any, iteration: int | None) -> Task:
    """Return the task whose driver is at work, or has failed before there was a task."""
    name, state = driver.display_name.removesuffix(DRIVER), _state(driver)
    if state is not State.FAILED:
        return Task(name, State.PENDING, iteration)
    reason = line_of(driver.error) or "its inputs could not be resolved, see the log of its driver"
    return Task(name, state, iteration, time_of(driver.start_time), time_of(driver.end_time), reason)


def _is_cached(detail: Any, executors: list[Any]) -> bool:
    """Say whether a task's container was left out: in its time an executor was skipped, and none ran."""
    within = {
        each.state
        for each in executors
        if (end := time_of(each.end_time)) and detail.start_time <= each.start_time and end <= detail.end_time
    }
    return "SKIPPED" in within and not {"SUCCEEDED", "FAILED"} & within
