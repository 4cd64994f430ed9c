"""The tasks of a deck review as data, and one function that runs any of them: what a queue needs to know."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import Field

from pagemill.decks.asking import Context
from pagemill.decks.deck_text import MAX_CHARACTERS
from pagemill.decks.extractions import KEEPER as EXTRACTIONS
from pagemill.decks.extractions import DeckExtractions, extractions_and_template
from pagemill.decks.feedback import KEEPER as FEEDBACK
from pagemill.decks.feedback import slide_feedback
from pagemill.decks.keeping import Keeper, load
from pagemill.decks.records import Deck, Reason, Record, Result, Status
from pagemill.decks.slides import SlideParameters
from pagemill.decks.specialized import KEEPER as SPECIALIZED
from pagemill.decks.specialized import SpecializedAnalysis, Specialty, When, specialized_analysis
from pagemill.decks.template import Template, load_template
from pagemill.decks.visual import KEEPER as VISUAL
from pagemill.decks.visual import VisualAnalysis, visual_analysis

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


Run = Callable[[TaskInput, Context], tuple[Result, Sequence[Status]]]  # the status of each slide or section


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
    result, parts = task.run(order, context)
    status, reason = Status.OK, None
    if isinstance(result, SpecializedAnalysis):
        status, reason = result.status, result.reason
    return TaskOutput(
        task=order.task,
        result=task.keeper.name(result.key),
        content_digest=result.content_digest,
        status=status,
        reason=reason,
        parts=len(parts),
        failed_parts=sum(part is Status.FAILED for part in parts),
        is_final=result.is_final,
        calls=len(result.calls),
        tokens_in=sum(call.tokens_in for call in result.calls),
        tokens_out=sum(call.tokens_out for call in result.calls),
        model_seconds=round(sum(call.seconds for call in result.calls), 3),
    )


def _visual(order: TaskInput, context: Context) -> tuple[Result, Sequence[Status]]:
    result = visual_analysis(order.deck, context, order.parameters.slides, accept_missing=order.accept_missing)
    return result, [row.status for row in result.rows]


def _feedback(order: TaskInput, context: Context) -> tuple[Result, Sequence[Status]]:
    result = slide_feedback(order.deck, context, order.parameters.slides, accept_missing=order.accept_missing)
    return result, [row.status for row in result.rows]


def _extractions(order: TaskInput, context: Context) -> tuple[Result, Sequence[Status]]:
    result = extractions_and_template(
        _needed(order, context, order.needs["visual_analysis"], VisualAnalysis),
        context,
        order.parameters.template,
        max_characters=order.parameters.max_characters,
        accept_missing=order.accept_missing,
    )
    return result, [row.status for row in result.sections]


def _needed(order: TaskInput, context: Context, name: str, kind: type[ResultT]) -> ResultT:
    result = load(context.store, name, kind)
    if result.deck.pdf_sha256 != order.deck.pdf_sha256:
        raise ValueError(f"{order.task}: {name} is of another deck")
    return result


def _specialist(specialty: Specialty) -> Run:
    def run(order: TaskInput, context: Context) -> tuple[Result, Sequence[Status]]:
        extractions = _needed(order, context, order.needs["extractions_and_template"], DeckExtractions)
        result = specialized_analysis(
            specialty,
            _needed(order, context, extractions.visual, VisualAnalysis),
            extractions,
            context,
            when=order.parameters.specialists,
            max_characters=order.parameters.max_characters,
        )
        return result, [result.status]

    return run


_MAIN = ("extractions_and_template",)
TASKS = (
    DeckTask("visual_analysis", (), 20, "vision", 900.0, 3, VISUAL, _visual),
    DeckTask("slide_feedback", (), 20, "vision", 900.0, 3, FEEDBACK, _feedback),
    DeckTask("extractions_and_template", ("visual_analysis",), 30, "text", 900.0, 3, EXTRACTIONS, _extractions),
    *(
        DeckTask(f"specialized_{each}", _MAIN, 10, "text", 600.0, 3, SPECIALIZED, _specialist(each))
        for each in Specialty
    ),
)
BY_NAME = {task.name: task for task in TASKS}
