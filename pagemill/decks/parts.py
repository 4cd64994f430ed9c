"""The questions of a stage, asked some at a time; each answer is kept by itself, so that none is asked for twice."""

import hashlib
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pagemill.decks.asking import AnswerT, BadAnswer, Call, Context, Model, ModelUnavailable, Question
from pagemill.decks.records import Reason
from pagemill.storage import Store, digest

KEY_CHARACTERS = 32
MAX_RAW_CHARACTERS = 4_000

ValueT = TypeVar("ValueT", bound=BaseModel)


class Asked(BaseModel, Generic[ValueT]):
    """What came of a question: an answer, or the reason why there is none and what the model said instead."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    value: ValueT | None = None
    reason: Reason | None = None
    raw: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()


def question_key(model: Model, question: Question[Any]) -> str:
    """Digest of what decides an answer: the model, all that it is told, and the form that is asked for."""
    return digest(
        {
            "model": model.identity,
            "system": question.system,
            "text": question.text,
            "schema": question.answer.model_json_schema(),
            "max_tokens": question.max_tokens,
            "images": [hashlib.sha256(image).hexdigest() for image in question.images],
        }
    )[:KEY_CHARACTERS]


def ask_all(
    questions: Sequence[Question[AnswerT] | None], capability: str, context: Context, *, accept_missing: bool = False
) -> list[Asked[AnswerT]]:
    """Ask questions, `context.parallel` at a time, and return what came of each, in order.

    An answer that stays bad is the end of its own question alone. A question that is None is not asked. What
    `context.progress` raises ends the stage: no question begins after it, and those that were answered are kept.

    Args:
        questions: Of one stage.
        capability: What the model must be able to do.
        context: Model, store, progress; progress advances with every question.
        accept_missing: Go on when the model does not answer, and leave those questions without an answer.

    Raises:
        ModelUnavailable: The model did not answer, and `accept_missing` is false: questions that had not begun are
            not asked. It did not answer a single question, and `accept_missing` is true. Its calls are those of the
            questions without an answer; those of the others come with the answers, whenever these are used.
    """
    asking = _Asking(context, context.model(capability), len(questions), accept_missing)
    with ThreadPoolExecutor(max_workers=max(1, context.parallel), thread_name_prefix="deck") as pool:
        futures = [pool.submit(asking.ask, question) for question in questions]
    answers = [future.result() for future in futures]
    silent = asking.silence
    if silent is not None and not (accept_missing and any(answer.value is not None for answer in answers)):
        raise ModelUnavailable(silent.message, calls=calls_of([answer for answer in answers if answer.value is None]))
    return answers


def calls_of(answers: Sequence[Asked[Any]]) -> tuple[Call, ...]:
    """Return the calls that it took to get these answers."""
    return tuple(call for answer in answers for call in answer.calls)


def ask_one(question: Question[AnswerT], capability: str, context: Context) -> Asked[AnswerT]:
    """Ask one question whose answer a stage cannot do without.

    Raises:
        BadAnswer: The answer stayed bad.
        ModelUnavailable: The model did not answer.
    """
    (asked,) = ask_all([question], capability, context)
    if asked.value is None:
        raise BadAnswer("the model's answer is not of the form that was asked for", asked.calls, asked.raw)
    return asked


class _Asking:
    """The questions of a stage in progress."""

    def __init__(self, context: Context, model: Model, total: int, accept_missing: bool) -> None:
        self.context = context
        self.model = model
        self.total = total
        self.accept_missing = accept_missing
        self.done = 0
        self.silence: ModelUnavailable | None = None
        self.stopped = False  # what has not begun is not asked
        self.lock = threading.Lock()

    def ask(self, question: Question[AnswerT] | None) -> Asked[AnswerT]:
        if self.stopped:
            return Asked(reason=Reason.MODEL_UNAVAILABLE)
        try:
            asked = Asked[AnswerT](reason=Reason.NO_PICTURE) if question is None else self._answer(question)
            with self.lock:
                self.done += 1
                self.context.progress(self.done / self.total)
        except BaseException:
            self.stopped = True
            raise
        return asked

    def _answer(self, question: Question[AnswerT]) -> Asked[AnswerT]:
        name = f"decks/answers/{question_key(self.model, question)}.json"
        if (kept := _kept(self.context.store, name, question)) is not None:
            return kept
        try:
            answer = self.model.ask(question)
        except BadAnswer as bad:
            raw = tuple(text[:MAX_RAW_CHARACTERS] for text in bad.raw)
            return Asked(reason=Reason.BAD_ANSWER, raw=raw, calls=bad.calls)
        except ModelUnavailable as silent:
            self.silence = silent
            self.stopped = not self.accept_missing
            return Asked(reason=Reason.MODEL_UNAVAILABLE, calls=silent.calls)
        asked = Asked[AnswerT](value=answer.value, calls=answer.calls)
        self.context.store.write_json(name, asked.model_dump(mode="json"))
        return asked


def _kept(store: Store, name: str, question: Question[AnswerT]) -> Asked[AnswerT] | None:
    try:
        values = store.read_json(name)
        value = question.answer.model_validate(values["value"])
        return Asked(value=value, calls=tuple(Call(**call) for call in values["calls"]))
    except (FileNotFoundError, ValidationError, ValueError, KeyError, TypeError):
        return None  # never asked, or the entry is damaged
