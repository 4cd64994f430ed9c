"""How far a pipeline is, from 0 to 100, and how long it will take, from how long tasks took before."""

import statistics
from collections.abc import Mapping, Sequence

from pagemill.flow.spec import PipelineSpec
from pagemill.flow.states import ENDED, TaskState

WHOLE = 100.0


def advanced(before: float, share: float) -> float:
    """Return a task's share after a report: from 0 to 1, and never less than it was, also when it starts anew."""
    return max(before, min(share, 1.0)) if share == share else before  # NaN says nothing


def pipeline_progress(spec: PipelineSpec, shares: Mapping[str, float]) -> float:
    """Return the sum of weight x share, from 0 to 100.

    Args:
        spec: The pipeline's spec.
        shares: How much of each task is done, from 0 to 1.
    """
    if all(shares[task.name] >= 1 for task in spec.tasks):
        return WHOLE  # exactly, whatever weights sum up to
    weights = sum(task.weight for task in spec.tasks)
    return min(WHOLE * sum(task.weight * shares[task.name] for task in spec.tasks) / weights, WHOLE)


def seconds_left(
    spec: PipelineSpec,
    states: Mapping[str, TaskState],
    shares: Mapping[str, float],
    durations: Mapping[str, Sequence[float]],
) -> float | None:
    """Return how long a pipeline will take from now, if there is room for its tasks; None when it cannot be told.

    It is the longest way through the tasks that are left, each with the median of how long it took before.

    Args:
        spec: The pipeline's spec.
        states: Where its tasks stand.
        shares: How much of each task is done, from 0 to 1.
        durations: Seconds that tasks took before, by task.
    """
    ends: dict[str, float] = {}
    for task in spec.tasks:
        begin = max((ends[need] for need in task.needs), default=0.0)
        if states[task.name] in ENDED:
            ends[task.name] = begin
        elif not durations.get(task.name):
            return None
        else:
            left = 1 - shares[task.name] if states[task.name] is TaskState.RUNNING else 1.0
            ends[task.name] = begin + left * statistics.median(durations[task.name])
    return max(ends.values())
