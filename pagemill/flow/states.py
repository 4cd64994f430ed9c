"""In which states tasks and pipelines can be, what follows what, and what may start."""

import enum
from collections.abc import Mapping

from pagemill.flow.spec import PipelineSpec


class TaskState(enum.StrEnum):
    """Where a task stands."""

    QUEUED = "queued"  # waits for what it needs, or for room
    WARMING = "warming"  # could start, but no container that can do it is there yet
    RUNNING = "running"
    RETRYING = "retrying"  # an attempt failed or its container was lost; another one comes
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"  # there was nothing to do, or what it needs failed
    CANCELLED = "cancelled"


class PipelineState(enum.StrEnum):
    """Where a pipeline stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    PARTIAL = "partial"  # some tasks failed, others have results
    FAILED = "failed"  # tasks failed and there is no result
    CANCELLED = "cancelled"


_Q, _W, _R, _A = TaskState.QUEUED, TaskState.WARMING, TaskState.RUNNING, TaskState.RETRYING
_D, _F, _S, _C = TaskState.DONE, TaskState.FAILED, TaskState.SKIPPED, TaskState.CANCELLED

FOLLOWS: Mapping[TaskState, frozenset[TaskState]] = {
    _Q: frozenset({_W, _R, _S, _C}),
    _W: frozenset({_R, _S, _C}),
    _R: frozenset({_R, _A, _D, _F, _S, _C}),  # running again: another process took the task over
    _A: frozenset({_R, _C}),
    _D: frozenset(),
    _F: frozenset({_Q}),  # by a repair
    _S: frozenset({_Q}),
    _C: frozenset({_Q}),
}
WAITING = frozenset({_Q, _W, _A})
ENDED = frozenset({_D, _F, _S, _C})
REPAIRABLE = frozenset({_F, _C})
OVER = frozenset({PipelineState.DONE, PipelineState.PARTIAL, PipelineState.FAILED, PipelineState.CANCELLED})


def startable(spec: PipelineSpec, states: Mapping[str, TaskState]) -> tuple[str, ...]:
    """Return the tasks that wait for nothing but room: all that they need is done."""
    return tuple(
        task.name
        for task in spec.tasks
        if states[task.name] in WAITING and all(states[need] is TaskState.DONE for need in task.needs)
    )


def blocked(spec: PipelineSpec, states: Mapping[str, TaskState]) -> tuple[str, ...]:
    """Return the waiting tasks that will never start, since something that they need failed or was skipped."""
    now = dict(states)
    for task in spec.tasks:  # each comes after what it needs
        if now[task.name] in WAITING and any(now[need] in (_F, _S) for need in task.needs):
            now[task.name] = TaskState.SKIPPED
    return tuple(task.name for task in spec.tasks if now[task.name] is not states[task.name])


def to_repair(spec: PipelineSpec, states: Mapping[str, TaskState], task: str | None = None) -> tuple[str, ...]:
    """Return the tasks that a repair queues anew: what failed or was cancelled, and what was skipped because of it.

    Args:
        spec: The pipeline's spec.
        states: Where its tasks stand.
        task: Only this one and what needs it; None for all.
    """
    broken = [name for name in ([task] if task else states) if states[name] in REPAIRABLE]
    after = {name for name in spec.dependents(broken) if states[name] is TaskState.SKIPPED}
    return tuple(each.name for each in spec.tasks if each.name in after.union(broken))


def pipeline_state(states: Mapping[str, TaskState]) -> PipelineState:
    """Return where a pipeline stands whose tasks stand so."""
    found = set(states.values())
    if not found <= ENDED:
        return PipelineState.QUEUED if found <= {_Q, _W} else PipelineState.RUNNING
    if _C in found:
        return PipelineState.CANCELLED
    if _F in found:
        return PipelineState.PARTIAL if _D in found else PipelineState.FAILED
    return PipelineState.DONE
