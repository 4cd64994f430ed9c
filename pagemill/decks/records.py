"""What the deck stages hand to one another: decks, slides, and the results that lie in the store."""

import enum
from collections.abc import Sequence
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from pagemill.decks.asking import Call
from pagemill.storage import digest


class Record(BaseModel):
    """A value that does not change once it is made, and knows all of its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Status(enum.StrEnum):
    """What became of a slide, a section or a stage."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


class Reason(enum.StrEnum):
    """Why something of a deck is not `ok`: the closed list."""

    # slides that have no picture
    RENDER_FAILED = "render_failed"
    TIME_LIMIT = "time_limit"
    CRASHED = "crashed"
    # questions without an answer
    NO_PICTURE = "no_picture"
    BAD_ANSWER = "bad_answer"
    MODEL_UNAVAILABLE = "model_unavailable"
    # stages that were not run
    NOT_HEALTHCARE = "not_healthcare"
    HEALTHCARE_UNKNOWN = "healthcare_unknown"
    NEED_FAILED = "need_failed"
    STAGE_FAILED = "stage_failed"


class TextSource(enum.StrEnum):
    """Where the text of a slide comes from."""

    LAYER = "text layer"
    OCR = "ocr"
    DESCRIPTION = "description"  # what the vision model says is on it
    NONE = "none"


class Deck(Record):
    """A pitch deck whose PDF lies in the store."""

    pdf_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    name: Annotated[str, Field(pattern=r"^[^\x00]*$")]  # of the file, for people; a text that databases take

    @property
    def pdf(self) -> str:
        """Where its PDF lies in the store."""
        return f"pdf/{self.pdf_sha256}.pdf"


class Slide(Record):
    """A page of a deck, ready for a vision model; one that could not be rendered has no picture but a reason."""

    number: int  # from 1
    picture_sha256: str = ""
    width: int = 0  # pixels
    height: int = 0
    text: str = ""
    source: TextSource = TextSource.NONE
    reason: Reason | None = None
    detail: str = ""

    @property
    def picture(self) -> str:
        """Where its picture lies in the store."""
        return f"decks/pictures/{self.picture_sha256}.jpg"


class Part(Protocol):
    """A slide or section of a result: what became of it, and why."""

    @property
    def status(self) -> Status:
        """What became of it."""

    @property
    def reason(self) -> Reason | None:
        """Why it is not `ok`."""


class Result(Record):
    """What a stage made: a file in the store under the digest of everything that decided it.

    `calls` and `seconds` are measured, so they alone may differ between two runs of the same work.
    """

    key: str
    deck: Deck
    calls: tuple[Call, ...] = ()
    seconds: float = 0.0

    @property
    def content_digest(self) -> str:
        """Digest of what was found; equal for equal findings, however long they took and whatever the file's name."""
        values: dict[str, Any] = self.model_dump(mode="json", exclude={"calls", "seconds", "deck"})
        return digest(values | {"pdf_sha256": self.deck.pdf_sha256})

    @property
    def judged(self) -> Sequence[Part]:
        """Its slides or sections, where each has a status of its own."""
        return ()

    @property
    def is_final(self) -> bool:
        """Say whether a later run could find no more: nothing is missing because the model did not answer."""
        return all(part.reason is not Reason.MODEL_UNAVAILABLE for part in self.judged)

    @property
    def parts(self) -> tuple[Status, ...]:
        """What became of each slide or section."""
        return tuple(part.status for part in self.judged)
