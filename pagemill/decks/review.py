"""All stages of a review in one process, in the order in which they need one another: for a laptop and for tests."""

import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Self, TypeVar

from pydantic import Field

from pagemill.decks.asking import AskingFailed, BadAnswer, Call, Context, ModelUnavailable
from pagemill.decks.extractions import DeckExtractions
from pagemill.decks.feedback import DeckFeedback
from pagemill.decks.keeping import ResultLost, load
from pagemill.decks.records import Deck, Reason, Record, Result, Status
from pagemill.decks.specialized import SpecializedAnalysis
from pagemill.decks.tasks import BY_NAME, TASKS, Parameters, TaskInput, TaskOutput, run_task
from pagemill.decks.visual import VisualAnalysis
from pagemill.errors import UserError
from pagemill.storage import Store, digest

ResultT = TypeVar("ResultT", bound=Result)

REASONS: Mapping[type[Exception], Reason] = {
    BadAnswer: Reason.BAD_ANSWER,
    ModelUnavailable: Reason.MODEL_UNAVAILABLE,
}


class Trouble(Record):
    """A task without a result, and why."""

    task: str
    status: Status
    reason: Reason
    detail: str = ""
    raw: tuple[str, ...] = ()  # what the model said instead of an answer
    calls: tuple[Call, ...] = ()

    @classmethod
    def of(cls, task: str, error: AskingFailed | ResultLost | UserError) -> Self:
        """Return why a task has no result, from what it raised."""
        raw, calls = (error.raw, error.calls) if isinstance(error, AskingFailed) else ((), ())
        reason = REASONS.get(type(error), Reason.STAGE_FAILED)
        return cls(task=task, status=Status.FAILED, reason=reason, detail=str(error), raw=raw, calls=calls)

    @classmethod
    def without_need(cls, task: str, lacking: Iterable[str]) -> Self:
        """Return the trouble of a task that was not begun, since what it needs has no result."""
        return cls(task=task, status=Status.SKIPPED, reason=Reason.NEED_FAILED, detail=", ".join(lacking))


class Review(Record):
    """All that is known of a deck; a part that is None has its `troubles`."""

    deck: Deck
    visual: VisualAnalysis | None = None
    feedback: DeckFeedback | None = None
    extractions: DeckExtractions | None = None
    specialists: tuple[SpecializedAnalysis, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    in_vain: dict[str, tuple[Call, ...]] = Field(default_factory=dict)  # of attempts before the last, by task

    @property
    def results(self) -> tuple[Result, ...]:
        """The parts that there are."""
        parts = (self.visual, self.feedback, self.extractions, *self.specialists)
        return tuple(part for part in parts if part is not None)

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every call of a model that it took, also in vain."""
        made, failed = (each.calls for each in self.results), (each.calls for each in self.troubles)
        return tuple(itertools.chain(*made, *failed, *self.in_vain.values()))

    @property
    def content_digest(self) -> str:
        """Digest of all findings; equal for equal findings, however they were run."""
        return digest([result.content_digest for result in self.results])


def review(deck: Deck, context: Context, parameters: Parameters | None = None) -> Review:
    """Run the six tasks, those that do not need one another at the same time.

    A task that fails costs those that need it; the others are finished. What the store has is not done again.

    Args:
        deck: Its PDF is in the store.
        context: With models for "vision" and "text"; its progress is that of the whole review.
        parameters: What is asked.

    Raises:
        UserError: The deck cannot be reviewed.
    """
    run = _Run(deck, context, parameters or Parameters())
    with ThreadPoolExecutor(max_workers=len(TASKS), thread_name_prefix="task") as pool:
        running: dict[Future[TaskOutput], str] = {}
        while run.start_ready(pool, running) or running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                run.settle(running.pop(future), future)
    return assemble_review(deck, run.outputs, context.store, run.troubles)


def assemble_review(
    deck: Deck,
    outputs: Mapping[str, str],
    store: Store,
    troubles: Iterable[Trouble] = (),
    in_vain: Mapping[str, tuple[Call, ...]] | None = None,
) -> Review:
    """Return a review from what its tasks left in the store.

    Args:
        deck: What was reviewed.
        outputs: Names in the store of results, by task; as many as there are.
        store: Where they lie.
        troubles: Of the tasks that have none.
        in_vain: Calls of attempts before the last, by task.

    A result that is not in the store any more is one more trouble.
    """
    found = list(troubles)

    def take(task: str, kind: type[ResultT]) -> ResultT | None:
        if task not in outputs:
            return None
        try:
            return load(store, outputs[task], kind)
        except ResultLost as lost:
            found.append(Trouble.of(task, lost))
            return None

    visual = take("visual_analysis", VisualAnalysis)
    feedback = take("slide_feedback", DeckFeedback)
    extractions = take("extractions_and_template", DeckExtractions)
    specialists = [take(task.name, SpecializedAnalysis) for task in TASKS if task.name.startswith("specialized_")]
    return Review(
        deck=deck,
        visual=visual,
        feedback=feedback,
        extractions=extractions,
        specialists=tuple(each for each in specialists if each is not None),
        troubles=tuple(found),
        in_vain=dict(in_vain or {}),
    )


class _Run:
    """The tasks of a review in progress."""

    def __init__(self, deck: Deck, context: Context, parameters: Parameters) -> None:
        self.deck = deck
        self.context = context
        self.parameters = parameters
        self.waiting = list(BY_NAME)
        self.outputs: dict[str, str] = {}  # by task
        self.troubles: list[Trouble] = []
        self.shares = dict.fromkeys(BY_NAME, 0.0)
        self.lock = threading.Lock()

    def start_ready(self, pool: ThreadPoolExecutor, running: dict[Future[TaskOutput], str]) -> int:
        """Start the tasks that have what they need; return how many that were. Those that never will are skipped."""
        started = 0
        lacking = {trouble.task for trouble in self.troubles}
        for name in list(self.waiting):
            needs = BY_NAME[name].needs
            if lacking.intersection(needs):
                self.waiting.remove(name)
                lacking.add(name)
                self.troubles.append(Trouble.without_need(name, [need for need in needs if need in lacking]))
                self._progress(name, 1.0)
            elif all(need in self.outputs for need in needs):
                self.waiting.remove(name)
                running[pool.submit(self._work, name)] = name
                started += 1
        return started

    def settle(self, name: str, future: Future[TaskOutput]) -> None:
        """Take what a task gave; raises UserError and what is nobody's fault but ours."""
        try:
            self.outputs[name] = future.result().result
        except (AskingFailed, ResultLost) as failure:
            self.troubles.append(Trouble.of(name, failure))
        self._progress(name, 1.0)

    def _work(self, name: str) -> TaskOutput:
        needs = {need: self.outputs[need] for need in BY_NAME[name].needs}
        order = TaskInput(task=name, deck=self.deck, parameters=self.parameters, needs=needs, accept_missing=True)
        return run_task(order, dataclasses.replace(self.context, progress=self._progress_of(name)))

    def _progress_of(self, name: str) -> Callable[[float], None]:
        return lambda share: self._progress(name, share)

    def _progress(self, name: str, share: float) -> None:
        with self.lock:
            self.shares[name] = max(share, self.shares[name])
            whole = sum(task.weight for task in TASKS)
            self.context.progress(sum(BY_NAME[each].weight * done for each, done in self.shares.items()) / whole)
