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
    _R: frozenset({_R, _A, _Q, _D, _F, _S, _C}),  # again: another process took it over; queued: a need is lost
    _A: frozenset({_R, _S, _C}),
    _D: frozenset({_Q}),  # only if its result is lost, or is to be made anew
    _F: frozenset({_Q}),  # by a repair
    _S: frozenset({_Q}),
    _C: frozenset({_Q}),
}
WAITING = frozenset({_Q, _W, _A})
ENDED = frozenset({_D, _F, _S, _C})
BLOCKING = frozenset({_F, _S, _C})
REPAIRABLE = frozenset({_F, _C})
OVER = frozenset({PipelineState.DONE, PipelineState.PARTIAL, PipelineState.FAILED, PipelineState.CANCELLED})


def startable(spec: PipelineSpec, states: Mapping[str, TaskState]) -> tuple[str, ...]:
    """Return the tasks that wait for nothing but room: all that they need is done.

    That is also what they need through others: it may be done anew after its result was lost, and they wait for it.
    """
    return tuple(
        name
        for name, needs in spec.all_needs().items()
        if states[name] in WAITING and all(states[need] is TaskState.DONE for need in needs)
    )


def blocked(spec: PipelineSpec, states: Mapping[str, TaskState]) -> tuple[str, ...]:
    """Return the waiting tasks that will never start, as something they need, be it through others, has no result."""
    return tuple(
        name
        for name, needs in spec.all_needs().items()
        if states[name] in WAITING and any(states[need] in BLOCKING for need in needs)
    )


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
