"""The tasks of a deck review as data, and one function that runs any of them: what a queue needs to know."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import Field

from pagemill.decks.asking import Context
from pagemill.decks.deck_text import MAX_CHARACTERS
from pagemill.decks.extractions import KEEPER as EXTRACTIONS
from pagemill.decks.extractions import DeckExtractions, extractions_and_template
from pagemill.decks.feedback import KEEPER as FEEDBACK
from pagemill.decks.feedback import feedback_key, slide_feedback
from pagemill.decks.keeping import Keeper, load
from pagemill.decks.records import Deck, Reason, Record, Result, Status
from pagemill.decks.slides import SlideParameters
from pagemill.decks.specialized import KEEPER as SPECIALIZED
from pagemill.decks.specialized import SpecializedAnalysis, Specialty, When, specialized_analysis
from pagemill.decks.template import Template, load_template
from pagemill.decks.visual import KEEPER as VISUAL
from pagemill.decks.visual import VisualAnalysis, visual_analysis, visual_key
from pagemill.storage import Store

ResultT = TypeVar("ResultT", bound=Result)

PIPELINE = "deck_review"


class Parameters(Record):
    """What decides a review besides the deck, the models and the prompts."""

    slides: SlideParameters = SlideParameters()
    template: Template = Field(default_factory=load_template)  # whole, so that it travels with the task
    specialists: When = When.HEALTHCARE
    max_characters: int = Field(default=MAX_CHARACTERS, ge=1_000)  # of the deck's text in a question


ResultName = Annotated[str, Field(pattern=r"^decks/[a-z]+/[0-9a-f]{32}\.json$")]  # in the store


class TaskInput(Record):
    """A task to run; as JSON it is what a queue sends to a container."""

    task: str
    deck: Deck
    parameters: Parameters = Field(default_factory=Parameters)
    needs: dict[str, ResultName] = Field(default_factory=dict)  # by task
    accept_missing: bool = False  # on the last attempt: rather a result with gaps than none


class TaskOutput(Record):
    """What became of a task; as JSON it is what a container answers."""

    task: str
    result: str  # its name in the store
    content_digest: str  # equal for equal findings
    status: Status  # ok or skipped: a task that fails raises
    reason: Reason | None = None  # why it was skipped
    parts: int = 1  # slides or sections
    failed_parts: int = 0  # of them, those that have no answer
    is_final: bool = True  # false: run it again, and it asks for what the model did not answer
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    model_seconds: float = 0.0


Run = Callable[[TaskInput, Context], Result]
VisualKey = Callable[[Deck, SlideParameters, str], str]  # of deck, parameters and the identity of the model


@dataclasses.dataclass(frozen=True, slots=True)
class DeckTask:
    """A task of the review, and how to run it."""

    name: str
    needs: tuple[str, ...]
    weight: float
    capability: str
    time_limit_seconds: float
    attempts: int
    keeper: Keeper[Any]
    run: Run
    visual_key: VisualKey | None = None  # where deck and vision model alone decide the result

    def spec(self) -> dict[str, Any]:
        """Return what a queue has to know of it."""
        return {
            "name": self.name,
            "needs": self.needs,
            "weight": self.weight,
            "capability": self.capability,
            "time_limit_seconds": self.time_limit_seconds,
            "attempts": self.attempts,
        }


def run_task(order: TaskInput, context: Context) -> TaskOutput:
    """Run a task, or find its result in the store.

    Raises:
        KeyError: There is no such task, or `needs` lacks a result that it takes.
        ValueError: A result that it takes is of another deck.
        ResultLost: A result that it takes is not in the store: that task has to run again.
        UserError: The deck cannot be reviewed; another attempt will not help.
        BadAnswer: The model's answer is of no use.
        ModelUnavailable: The model does not answer.
    """
    task = BY_NAME[order.task]
    return _output(task, task.run(order, context))


def kept_output(task: DeckTask, key: str, store: Store) -> TaskOutput | None:
    """Return what a task would answer that finds its result in the store; None when it has none that is final."""
    result = task.keeper.final(store, key)
    return _output(task, result) if result else None


def _output(task: DeckTask, result: Result) -> TaskOutput:
    status, reason = Status.OK, None
    if isinstance(result, SpecializedAnalysis):
        status, reason = result.status, result.reason
    return TaskOutput(
        task=task.name,
        result=task.keeper.name(result.key),
        content_digest=result.content_digest,
        status=status,
        reason=reason,
        parts=len(result.parts),
        failed_parts=result.parts.count(Status.FAILED),
        is_final=result.is_final,
        calls=len(result.calls),
        tokens_in=sum(call.tokens_in for call in result.calls),
        tokens_out=sum(call.tokens_out for call in result.calls),
        model_seconds=round(sum(call.seconds for call in result.calls), 3),
    )


def _visual(order: TaskInput, context: Context) -> Result:
    return visual_analysis(order.deck, context, order.parameters.slides, accept_missing=order.accept_missing)


def _feedback(order: TaskInput, context: Context) -> Result:
    return slide_feedback(order.deck, context, order.parameters.slides, accept_missing=order.accept_missing)


def _extractions(order: TaskInput, context: Context) -> Result:
    return extractions_and_template(
        _needed(order, context, order.needs["visual_analysis"], VisualAnalysis),
        context,
        order.parameters.template,
        max_characters=order.parameters.max_characters,
        accept_missing=order.accept_missing,
    )


def _needed(order: TaskInput, context: Context, name: str, kind: type[ResultT]) -> ResultT:
    result = load(context.store, name, kind)
    if result.deck.pdf_sha256 != order.deck.pdf_sha256:
        raise ValueError(f"{order.task}: {name} is of another deck")
    return result


def _specialist(specialty: Specialty) -> Run:
    def run(order: TaskInput, context: Context) -> Result:
        extractions = _needed(order, context, order.needs["extractions_and_template"], DeckExtractions)
        return specialized_analysis(
            specialty,
            _needed(order, context, extractions.visual, VisualAnalysis),
            extractions,
            context,
            when=order.parameters.specialists,
            max_characters=order.parameters.max_characters,
        )

    return run


_MAIN = ("extractions_and_template",)
TASKS = (
    DeckTask("visual_analysis", (), 20, "vision", 900.0, 3, VISUAL, _visual, visual_key),
    DeckTask("slide_feedback", (), 20, "vision", 900.0, 3, FEEDBACK, _feedback, feedback_key),
    DeckTask("extractions_and_template", ("visual_analysis",), 30, "text", 900.0, 3, EXTRACTIONS, _extractions),
    *(
        DeckTask(f"specialized_{each}", _MAIN, 10, "text", 600.0, 3, SPECIALIZED, _specialist(each))
        for each in Specialty
    ),
)
BY_NAME = {task.name: task for task in TASKS}
