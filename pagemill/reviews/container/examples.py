"""Requests and answers as OpenAPI shows them."""

from typing import Any

from pagemill.decks.records import Deck, Status
from pagemill.decks.tasks import BY_NAME, TaskInput, TaskOutput

_DECK = Deck(pdf_sha256="3f" * 32, name="orrivane.pdf")


def _name(task: str) -> str:
    return BY_NAME[task].keeper.name("9c" * 16)


def task_input(task: str) -> dict[str, Any]:
    """Return a request that runs a task with the usual parameters."""
    order = TaskInput(task=task, deck=_DECK, needs={need: _name(need) for need in BY_NAME[task].needs})
    return order.model_dump(mode="json", exclude={"parameters"})


def task_output(task: str) -> dict[str, Any]:
    """Return its answer."""
    output = TaskOutput(
        task=task,
        result=_name(task),
        content_digest="5b" * 32,
        status=Status.OK,
        parts=10,
        calls=10,
        tokens_in=7_000,
        tokens_out=900,
        model_seconds=41.5,
    )
    return output.model_dump(mode="json")
