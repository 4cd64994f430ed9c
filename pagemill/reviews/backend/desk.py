"""The desk: decks are handed in here, and what is known of them is asked for; a queue and a store stand behind it."""

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pagemill.decks.asking import Call
from pagemill.decks.keeping import ResultLost, load
from pagemill.decks.records import Deck, Reason, Result, Status
from pagemill.decks.review import Review, Trouble, assemble_review
from pagemill.decks.slides import add_deck
from pagemill.decks.tasks import BY_NAME, TASKS, Parameters, TaskOutput
from pagemill.errors import UserError
from pagemill.flow.queue import Queue
from pagemill.flow.reading import Event, PipelineStatus, TaskStatus
from pagemill.flow.runner import Runner
from pagemill.flow.states import TaskState
from pagemill.reviews.backend.index import INDEXED, IndexingRunner, forget, known_results
from pagemill.reviews.spec import deck_review_spec
from pagemill.reviews.wire import ErrorKind
from pagemill.settings import DecksSettings
from pagemill.storage import Store, open_store

DATABASE_FILE = "queue.sqlite"
DATABASES = ("postgresql://", "sqlite:///")
REDONE = "its result is lost, or has gaps"
WITHOUT_RESULT = (TaskState.FAILED, TaskState.SKIPPED, TaskState.CANCELLED)
REASONS: Mapping[str, Reason] = {
    ErrorKind.BAD_ANSWER: Reason.BAD_ANSWER,
    ErrorKind.MODEL_UNAVAILABLE: Reason.MODEL_UNAVAILABLE,
}


class Desk:
    """Takes decks in and tells what became of them.

    Args:
        store: Has decks and results.
        queue: Of pipelines of `deck_review_spec`; as a context the desk starts and closes it.
    """

    def __init__(self, store: Store, queue: Queue) -> None:
        self.store = store
        self.queue = queue

    def __enter__(self) -> Self:
        try:
            self.queue.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the queue; what this process had in hand goes to others."""
        self.queue.close()

    def add_document_processing_pipeline(
        self, document: Path | Deck, parameters: Parameters | None = None, *, priority: int = 0
    ) -> str:
        """Hand in a deck; if it was handed in with these parameters before, nothing changes.

        What the vision model said of it before, for whatever pipeline, is not asked again.

        Args:
            document: A PDF, or one that the store has.
            parameters: What is asked.
            priority: Lower comes first.

        Returns:
            The pipeline's id.

        Raises:
            UserError: It is no PDF, or not in the store.
        """
        deck = document if isinstance(document, Deck) else add_deck(document, self.store)
        if not self.store.exists(deck.pdf):
            raise UserError(deck.name, f"{deck.pdf} is not in the store", "hand in the PDF itself")
        asked = parameters or Parameters()
        return self.queue.add_pipeline(
            deck.pdf_sha256,
            asked.model_dump(mode="json"),
            priority,
            document_name=deck.name,
            known=known_results(self.queue, self.store, deck, asked),
        )

    def status(self, pipeline_id: str) -> PipelineStatus:
        """Return where a pipeline stands."""
        return self.queue.status(pipeline_id)

    def outputs(self, pipeline_id: str) -> dict[str, TaskOutput]:
        """Return what tasks have answered so far."""
        results = self.queue.results(pipeline_id)
        return {task.name: TaskOutput.model_validate(results[task.name]) for task in TASKS if task.name in results}

    def review(self, pipeline_id: str) -> Review:
        """Return what is known so far, and of what failed, why; what has not ended yet is in neither."""
        status = self.status(pipeline_id)
        outputs = self.outputs(pipeline_id)
        lacking = [task for task in status.tasks if task.name not in outputs and task.state in WITHOUT_RESULT]
        failed = {task.name for task in lacking if task.state is TaskState.FAILED}
        events = self.queue.events(pipeline_id)
        last = {event.task: event for event in events if event.task in failed and event.after == TaskState.FAILED}
        return assemble_review(
            Deck(pdf_sha256=status.document_sha256, name=status.document_name),
            {name: output.result for name, output in outputs.items()},
            self.store,
            [_trouble(task, last.get(task.name)) for task in lacking],
            _calls_in_vain(event for event in events if event not in last.values()),
        )

    def spent_calls(self, pipeline_id: str) -> tuple[Call, ...]:
        """Return every call of a model that a pipeline took: those of its results, and those made in vain.

        What it knew from the start took none; what is lost is not counted.
        """
        events = self.queue.events(pipeline_id)
        known = {event.task: event.detail.get("known", False) for event in events if event.kind == TaskState.DONE}
        results = (
            self._result(name, output) for name, output in self.outputs(pipeline_id).items() if not known.get(name)
        )
        made = (result.calls for result in results if result)
        return tuple(itertools.chain(*map(_calls, events), *made))

    def retry(self, pipeline_id: str, task: str | None = None) -> tuple[str, ...]:
        """Have done again what failed, what is lost, and what has gaps because the model did not answer.

        What failed or has gaps takes with it what needs it; what is lost is made again alone.

        Args:
            pipeline_id: The pipeline.
            task: Only this one and what needs it; None for all.

        Returns:
            The tasks that are queued anew.

        Raises:
            UserError: The task is not in the pipeline, or nothing is the matter with it.
        """
        outputs = self.outputs(pipeline_id)
        lost = {name for name, output in outputs.items() if self._result(name, output) is None}
        gaps = {name for name, output in outputs.items() if not output.is_final}
        again = lost | gaps | (outputs.keys() & self.queue.spec.dependents(gaps))
        if task is not None:
            again &= {task, *self.queue.spec.dependents([task])}
        for name in lost & again & INDEXED:
            forget(self.queue, outputs[name].result)
        names = [name for name in BY_NAME if name in again]
        redone = self.queue.redo(pipeline_id, names, REDONE) if names else ()
        return redone if task and redone else (*redone, *self.queue.retry(pipeline_id, task))

    def cancel(self, pipeline_id: str) -> bool:
        """Cancel what has not ended; returns whether there was anything to cancel."""
        return self.queue.cancel(pipeline_id)

    def _result(self, name: str, output: TaskOutput) -> Result | None:
        """Return what a task made; None when it is lost."""
        try:
            result: Result = load(self.store, output.result, BY_NAME[name].keeper.result)
        except ResultLost:
            return None
        return result


def open_desk(settings: DecksSettings, runner: Runner | None = None, **queue_options: Any) -> Desk:
    """Return the desk that the settings name: SQLite in the store's folder, unless a database is named.

    Args:
        settings: Store, database, and how long after a failure a task is tried again.
        runner: Carries out tasks; None if this process shall not.
        queue_options: Of `Queue`.

    Raises:
        UserError: The store is no local folder and no database is named, or it is of neither kind.
    """
    store = open_store(settings.store)
    indexing = IndexingRunner(runner) if runner else None
    queue = Queue(deck_review_spec(settings.retry_delay_seconds), database_url(settings), indexing, **queue_options)
    if indexing:
        indexing.queue = queue
    return Desk(store, queue)


def database_url(settings: DecksSettings) -> str:
    """Return the URL of the queue's database.

    Raises:
        UserError: The settings name none, or none that is known, or the folder for one cannot be made.
    """
    if url := settings.database.get_secret_value().strip():
        if not url.startswith(DATABASES):  # it may hold a password, so it is not quoted
            raise UserError("decks.database", "is of no kind that is known", f"begin it with {' or '.join(DATABASES)}")
        return url
    store = open_store(settings.store)
    if not store.is_local:
        raise UserError(settings.store, "is no folder that could hold the queue", "name a database: decks.database")
    folder = Path(store.root)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(settings.store, f"is no folder ({error.strerror})", "name another store") from None
    return f"sqlite:///{folder / DATABASE_FILE}"


def _calls(event: Event) -> tuple[Call, ...]:
    """Return the calls of a model that an attempt made in vain."""
    return tuple(Call(**call) for call in event.detail.get("calls", ()))


def _calls_in_vain(events: Iterable[Event]) -> dict[str, tuple[Call, ...]]:
    found: dict[str, tuple[Call, ...]] = {}
    for event in events:
        if event.task and (calls := _calls(event)):
            found[event.task] = (*found.get(event.task, ()), *calls)
    return found


def _trouble(task: TaskStatus, failure: Event | None) -> Trouble:
    if task.state is TaskState.SKIPPED:
        return Trouble(task=task.name, status=Status.SKIPPED, reason=Reason.NEED_FAILED, detail=task.reason)
    if task.state is TaskState.CANCELLED or failure is None:
        return Trouble(task=task.name, status=Status.FAILED, reason=Reason.STAGE_FAILED, detail=task.reason)
    told = failure.detail
    return Trouble(
        task=task.name,
        status=Status.FAILED,
        reason=REASONS.get(told.get("error", ""), Reason.STAGE_FAILED),
        detail=task.reason,
        raw=tuple(told.get("raw", ())),
        calls=_calls(failure),
    )
