"""The two kinds of container as data: what each can do, and how much of it at a time."""

import dataclasses

from pagemill.decks.tasks import TASKS


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A kind of container."""

    name: str
    capability: str
    title: str
    max_tasks: int
    max_pipelines: int = 3

    @property
    def server_type(self) -> str:
        """As the queue calls it."""
        return f"{self.name}_container"

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks that it runs."""
        return tuple(task.name for task in TASKS if task.capability == self.capability)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("vision", "vision", "Deck review: a container that looks at slides", max_tasks=2),
        Kind("text", "text", "Deck review: a container that reads what was seen", max_tasks=3),
    )
}
