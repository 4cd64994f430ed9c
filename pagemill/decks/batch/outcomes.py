"""What a task of a batch hands on: its output, or why it has none, as a file with figures beside it."""

from pathlib import Path
from typing import Self

from pydantic import model_validator

from pagemill.decks.asking import Call
from pagemill.decks.records import Deck, Record
from pagemill.decks.review import Trouble
from pagemill.decks.tasks import TaskOutput


class HandedOn(Record):
    """What a task leaves for others in a local file, as KFP artifacts are."""

    @classmethod
    def read(cls, path: str) -> Self:
        """Read what a task left."""
        return cls.model_validate_json(Path(path).read_bytes())

    def write(self, path: str) -> None:
        """Write the file."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(self.model_dump_json(indent=1) + "\n")


class TaskOutcome(HandedOn):
    """What became of a task: one of output and trouble."""

    deck: Deck
    output: TaskOutput | None = None
    trouble: Trouble | None = None
    in_vain: tuple[Call, ...] = ()  # of an attempt before this one

    @model_validator(mode="after")
    def _has_one_of_both(self) -> Self:
        if (self.output is None) is (self.trouble is None):
            raise ValueError("an outcome is either an output or a trouble")
        return self

    @property
    def task(self) -> str:
        """The task's name."""
        return self.output.task if self.output else self._trouble.task

    @property
    def metadata(self) -> dict[str, str | int | float]:
        """What an artifact of the outcome carries: the same keys, whatever became of the task."""
        told = self.output or _without_result(self._trouble)
        vain = (*self.in_vain, *(self.trouble.calls if self.trouble else ()))
        values = told.model_dump(mode="json") | {
            "reason": told.reason or "",
            "is_final": int(told.is_final),
            "calls": told.calls + len(vain),
            "tokens_in": told.tokens_in + sum(call.tokens_in for call in vain),
            "tokens_out": told.tokens_out + sum(call.tokens_out for call in vain),
            "model_seconds": round(told.model_seconds + sum(call.seconds for call in vain), 3),
        }
        return {"deck": self.deck.name, "pdf_sha256": self.deck.pdf_sha256, **values}

    @property
    def _trouble(self) -> Trouble:
        assert self.trouble is not None, "checked as it was made"
        return self.trouble


def _without_result(trouble: Trouble) -> TaskOutput:
    return TaskOutput(
        task=trouble.task,
        result="",
        content_digest="",
        status=trouble.status,
        reason=trouble.reason,
        parts=0,
        is_final=False,
    )
