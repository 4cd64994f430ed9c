"""What a stage asks of a model, and what it gets: a question with pictures, an answer of a type, the calls it took."""

import dataclasses
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel

from pagemill.storage import Store

AnswerT = TypeVar("AnswerT", bound=BaseModel)


@dataclasses.dataclass(frozen=True, slots=True)
class Question(Generic[AnswerT]):
    """What is asked of a model; `answer` says of which form the answer has to be."""

    system: str
    text: str
    answer: type[AnswerT]
    images: tuple[bytes, ...] = ()  # PNG or JPEG
    max_tokens: int = 2048


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """A call of a model, also one that failed: these are what a pipeline's cost is made of."""

    model: str
    seconds: float
    tokens_in: int
    tokens_out: int
    error: str = ""  # one line


@dataclasses.dataclass(frozen=True, slots=True)
class Answer(Generic[AnswerT]):
    """An answer that has the form that was asked for."""

    value: AnswerT
    calls: tuple[Call, ...]


class AskingFailed(RuntimeError):
    """A question that got no usable answer; `calls` is what it cost all the same, `raw` what was answered."""

    def __init__(self, message: str, calls: tuple[Call, ...] = (), raw: tuple[str, ...] = ()) -> None:
        super().__init__(message, calls, raw)  # so that it travels between processes
        self.message = message
        self.calls = calls
        self.raw = raw

    def __str__(self) -> str:
        return self.message


class BadAnswer(AskingFailed):
    """The model answered, and not in the form that was asked for, even when asked again."""


class ModelUnavailable(AskingFailed):
    """The model did not answer: another attempt later may succeed."""


class Model(Protocol):
    """A model behind a server.

    `identity` names it and all that its answers depend on, for cache keys: two models of one identity answer alike.
    """

    @property
    def identity(self) -> str:
        """Its name, and what else decides its answers."""

    def ask(self, question: Question[AnswerT]) -> Answer[AnswerT]:
        """Ask, check the answer against its schema, and ask once more if it is not of that form.

        Raises:
            BadAnswer: The second answer was not of that form either; it has the raw answers.
            ModelUnavailable: No answer within the time limit, however often it was tried.
        """


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """What a stage works with, besides its inputs."""

    store: Store
    model: Callable[[str], Model]  # by capability: "vision" or "text"
    progress: Callable[[float], None] = lambda share: None  # from 0 to 1; called from any thread
    parallel: int = 2  # questions that may be asked at a time
