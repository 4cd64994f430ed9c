"""One task of one deck, as a batch runs it: a deck that cannot be reviewed is told of, a model out of reach raises."""

import dataclasses
import time
from collections.abc import Callable, Sequence

from pydantic import ValidationError

from pagemill.decks.asking import BadAnswer, Context, ModelUnavailable
from pagemill.decks.batch.items import deck_of
from pagemill.decks.batch.outcomes import TaskOutcome
from pagemill.decks.batch.servers import ModelServers
from pagemill.decks.deck_text import MAX_CHARACTERS
from pagemill.decks.keeping import ResultLost
from pagemill.decks.records import Deck
from pagemill.decks.review import Trouble
from pagemill.decks.slides import SlideParameters
from pagemill.decks.specialized import When
from pagemill.decks.tasks import BY_NAME, TASKS, DeckTask, Parameters, TaskInput, run_task
from pagemill.decks.template import load_template
from pagemill.errors import UserError
from pagemill.storage import Store


class TimeLimit(RuntimeError):
    """A task took too long; what was answered is kept, and another attempt goes on from there."""


def review_deck(
    task: str,
    deck: str,
    store: Store,
    needs: Sequence[TaskOutcome] = (),
    *,
    vision_url: str,
    vision_model: str,
    text_url: str = "",
    text_model: str = "",
    model_key: str = "",
    template: str = "healthcare",
    specialists: str = "healthcare",
    dpi: int = 150,
    max_slides: int = 100,
    slide_ocr: bool = True,
    max_characters: int = 60_000,
    parallel: int = 2,
) -> TaskOutcome:
    """Run a task of a deck against model servers, or find its result in the store.

    Args:
        task: One of `pagemill.decks.tasks.TASKS`.
        deck: As `deck_items` gives it.
        store: Has the deck.
        needs: What became of the tasks that this one needs.
        vision_url: OpenAI routes of the server whose model looks at slides.
        vision_model: Its name there.
        text_url: The same of the model that reads; not needed by tasks that look.
        text_model: Its name there.
        model_key: Name of the secret that both servers want; "" for none.
        template: What is asked: the name of a shipped template, or a YAML by path or URI.
        specialists: Which decks the specialists see: `healthcare` or `always`.
        dpi: Of the pictures of slides, 96 to 150.
        max_slides: A deck of more is refused.
        slide_ocr: Whether slides without a text layer are read by RapidOCR.
        max_characters: Of the deck's text in one question.
        parallel: Questions at a time.

    Returns:
        The output, or the trouble of a deck that cannot be reviewed, of a model whose answers stay bad, or of a task
        whose needs failed.

    Raises:
        UserError: A parameter means nothing, or a model's server lets nobody in or does not have the model.
        ModelUnavailable: A model is out of reach.
        TimeLimit: See there.
    """
    parameters = review_parameters(template, specialists, dpi, max_slides, slide_ocr, max_characters)
    if slide_ocr and BY_NAME[task].capability == "vision":
        from pagemill.ocr.rapid import check_installed

        check_installed()
    servers = ModelServers({"vision": (vision_url, vision_model), "text": (text_url, text_model)}, model_key)
    context = Context(store, servers, parallel=parallel)
    return BatchDeck(deck_of(deck), parameters, context, servers.answers).outcome(task, needs)


def review_parameters(
    template: str = "healthcare",
    specialists: str = "healthcare",
    dpi: int = 150,
    max_slides: int = 100,
    slide_ocr: bool = True,
    max_characters: int = MAX_CHARACTERS,
) -> Parameters:
    """Return what is asked of a deck; raises UserError for a value that means nothing."""
    asked = load_template(template)
    try:
        return Parameters(
            slides=SlideParameters(dpi=dpi, max_slides=max_slides, ocr=slide_ocr),
            template=asked,
            specialists=When(specialists),
            max_characters=max_characters,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UserError(f"{first['loc'][-1]} {first['input']}", first["msg"], "see docs/decks.md") from None
    except ValueError:
        raise UserError(f"specialists {specialists}", "is not known", f"give one of {', '.join(When)}") from None


@dataclasses.dataclass(frozen=True, slots=True)
class BatchDeck:
    """A deck of a batch, and with what its tasks run."""

    deck: Deck
    parameters: Parameters
    context: Context
    answers: Callable[[str], bool]  # whether the model for a capability answers anything; raises UserError

    def outcome(self, task: str, needs: Sequence[TaskOutcome]) -> TaskOutcome:
        """Run a task; see `review_deck`.

        What it needs may have left the store since an orchestrator's cache learnt of it: then it is made again here,
        for the orchestrator will not.
        """
        try:
            return self._run(BY_NAME[task], needs)
        except ResultLost:
            made: dict[str, TaskOutcome] = {}
            for each in _with_needs(task):
                made[each.name] = self._run(each, [made[need] for need in each.needs])
            return made[task]

    def _run(self, task: DeckTask, needs: Sequence[TaskOutcome]) -> TaskOutcome:
        """Run a task; raises ResultLost."""
        if lacking := [need.task for need in needs if need.output is None]:
            return TaskOutcome(deck=self.deck, trouble=Trouble.without_need(task.name, lacking))
        names = {need.task: need.output.result for need in needs if need.output}
        order = TaskInput(task=task.name, deck=self.deck, parameters=self.parameters, needs=names)
        try:
            return self._attempt(task, order)
        except ModelUnavailable as silent:
            if not self.answers(task.capability):
                raise
            with_gaps = self._with_gaps(task, order.model_copy(update={"accept_missing": True}))
            return with_gaps.model_copy(update={"in_vain": silent.calls})

    def _with_gaps(self, task: DeckTask, order: TaskInput) -> TaskOutcome:
        try:
            return self._attempt(task, order)
        except ModelUnavailable as silent:
            return TaskOutcome(deck=self.deck, trouble=Trouble.of(task.name, silent))

    def _attempt(self, task: DeckTask, order: TaskInput) -> TaskOutcome:
        """Run a task and return what is the deck's own; raises UserError for what is not."""
        context = dataclasses.replace(self.context, progress=_within(task))
        try:
            return TaskOutcome(deck=self.deck, output=run_task(order, context))
        except BadAnswer as bad:
            return TaskOutcome(deck=self.deck, trouble=Trouble.of(task.name, bad))
        except UserError as mistake:
            self.answers(task.capability)
            return TaskOutcome(deck=self.deck, trouble=Trouble.of(task.name, mistake))


def _with_needs(task: str) -> list[DeckTask]:
    """Return a task behind all that it rests on, in the order in which they run."""
    wanted = {task}
    for each in reversed(TASKS):
        if each.name in wanted:
            wanted.update(each.needs)
    return [each for each in TASKS if each.name in wanted]


def _within(task: DeckTask) -> Callable[[float], None]:
    """Return a progress that ends a task which takes longer than a queue gives to all of its attempts."""
    limit_seconds = task.time_limit_seconds * task.attempts
    end = time.monotonic() + limit_seconds

    def progress(share: float) -> None:
        if time.monotonic() > end:
            raise TimeLimit(f"{task.name}: {share:.0%} done in {limit_seconds:.0f} s; the next attempt goes on there")

    return progress
