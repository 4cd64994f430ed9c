"""What a pipeline is made of: tasks that need one another, each with a weight, a capability and its limits."""

import dataclasses
import graphlib
from collections.abc import Iterable

RETRY_DELAY_SECONDS = 120.0


@dataclasses.dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task of a pipeline."""

    name: str
    needs: tuple[str, ...] = ()  # tasks whose results it takes
    weight: float = 1.0  # its part of the pipeline's progress
    capability: str = ""  # what a container must be able to do; "" for none: it runs where the queue runs
    attempts: int = 3
    retry_delay_seconds: float = RETRY_DELAY_SECONDS  # before the second attempt; doubled before each further one
    time_limit_seconds: float = 900.0  # of one attempt


@dataclasses.dataclass(frozen=True, slots=True)
class PipelineSpec:
    """A pipeline: its tasks in an order in which each comes after those that it needs.

    Raises:
        ValueError: There is no task, a name comes twice, a need is not a task, needs go in a circle, or a weight or
            limit is not positive.
    """

    name: str
    tasks: tuple[TaskSpec, ...]

    def __post_init__(self) -> None:
        names = [task.name for task in self.tasks]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"{self.name}: tasks need names of their own, at least one")
        if unknown := {need for task in self.tasks for need in task.needs} - set(names):
            raise ValueError(f"{self.name}: no task is called {', '.join(sorted(unknown))}")
        for task in self.tasks:
            if min(task.weight, task.attempts, task.time_limit_seconds) <= 0 or task.retry_delay_seconds < 0:
                raise ValueError(f"{self.name}: {task.name} has a weight or limit that is not positive")
        try:
            order = list(graphlib.TopologicalSorter({task.name: task.needs for task in self.tasks}).static_order())
        except graphlib.CycleError as error:
            raise ValueError(f"{self.name}: tasks need one another in a circle: {error.args[1]}") from None
        object.__setattr__(self, "tasks", tuple(sorted(self.tasks, key=lambda task: order.index(task.name))))

    def task(self, name: str) -> TaskSpec:
        """Return a task; raises KeyError when there is none of that name."""
        return {task.name: task for task in self.tasks}[name]

    def all_needs(self) -> dict[str, frozenset[str]]:
        """Return by task all that it needs, directly or through others."""
        found: dict[str, frozenset[str]] = {}
        for task in self.tasks:
            found[task.name] = frozenset(task.needs).union(*(found[need] for need in task.needs))
        return found

    def dependents(self, names: Iterable[str]) -> frozenset[str]:
        """Return the tasks that need one of these, directly or through others; not the tasks themselves."""
        found = frozenset(names)
        reached: set[str] = set()
        for task in self.tasks:
            if reached.union(found) & set(task.needs):
                reached.add(task.name)
        return frozenset(reached) - found
