"""Doing again: what failed or was cancelled, what it kept from being done, and what is done but lost."""

from collections.abc import Sequence

import sqlalchemy as sa

from pagemill.errors import UserError
from pagemill.flow.changes import OpenPipeline, queue_anew
from pagemill.flow.states import BLOCKING, TaskState, to_repair

REPAIRED, ANEW = "repaired", "anew"  # kinds of events: of what had no result, and of what had one


def repair(connection: sa.Connection, pipeline_id: str, task: str | None) -> tuple[str, ...]:
    """Queue anew what failed or was cancelled and what was skipped because of it; returns these tasks.

    Raises:
        UserError: The task that is named is not in the pipeline, or did not fail.
    """
    with OpenPipeline(connection, pipeline_id) as pipeline:
        if task is not None:
            _check_name(pipeline, task)
        again = to_repair(pipeline.spec, pipeline.states, task)
        if task is not None and not again:
            raise UserError(task, f"is {pipeline.states[task]}", "only what failed or was cancelled is done again")
        queue_anew(pipeline, again, REPAIRED, {})
    return again


def redo(connection: sa.Connection, pipeline_id: str, names: Sequence[str], reason: str) -> tuple[str, ...]:
    """Queue tasks anew that are done or skipped, and no others; returns them in the order of the spec.

    Raises:
        UserError: One is not in the pipeline, is neither done nor skipped, or needs what has no result.
    """
    with OpenPipeline(connection, pipeline_id) as pipeline:
        for name in names:
            _check_name(pipeline, name)
            _check_redo(pipeline, name, names)
        again = tuple(task.name for task in pipeline.spec.tasks if task.name in names)
        queue_anew(pipeline, again, ANEW, {"reason": reason})
    return again


def _check_name(pipeline: OpenPipeline, name: str) -> None:
    if name not in pipeline.tasks:
        known = ", ".join(each.name for each in pipeline.spec.tasks)
        raise UserError(name, "is not a task of the pipeline", f"name one of {known}")


def _check_redo(pipeline: OpenPipeline, name: str, names: Sequence[str]) -> None:
    states = pipeline.states
    if states[name] not in (TaskState.DONE, TaskState.SKIPPED):
        raise UserError(name, f"is {states[name]}", "only what is done or skipped can be made anew")
    for need in sorted(pipeline.spec.all_needs()[name] - set(names)):
        if states[need] in BLOCKING:
            raise UserError(name, f"needs {need}, which is {states[need]}", f"do {need} again first")
