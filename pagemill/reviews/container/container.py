"""A container without its web framework: what it runs, how it is, and what it says of itself."""

import asyncio
import dataclasses
import time
import uuid
from collections.abc import Callable
from typing import Literal

from pagemill import __version__
from pagemill.decks.asking import Context
from pagemill.decks.records import Record
from pagemill.decks.tasks import BY_NAME, TaskInput, TaskOutput, run_task
from pagemill.reviews.container.kinds import Kind
from pagemill.reviews.container.readiness import Readiness
from pagemill.reviews.container.work import Limits, Work, Works, digest_of
from pagemill.reviews.http import refused
from pagemill.reviews.wire import ErrorKind, Problem, ServerReport
from pagemill.storage import Store

State = Literal["warming", "active", "draining"]
WARMING_RETRY_SECONDS = 10
LOST_SECONDS = 600.0  # for which a lost result is told of


class RunningTask(Record):
    """A task as the health route tells of it."""

    task: str
    key: str
    pipeline: str
    share: float  # 0 to 1
    seconds: float


class QueueStatus(Record):
    """What a container is doing, and how many tasks more it could do now."""

    running: tuple[RunningTask, ...] = ()
    room: int


class Health(Record):
    """How a container is."""

    kind: str
    state: State
    id: str
    version: str = __version__
    queue: QueueStatus
    waits_for: tuple[str, ...] = ()
    trouble: str = ""  # why it is not healthy
    models: dict[str, str]  # the identity of the model that answered last, by capability


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a container is reached and by which name its host knows it."""

    url: str = "http://127.0.0.1:8000"
    container_id: str = ""


class Container:
    """Runs the tasks of its kind on a store.

    Args:
        kind: Of which kind it is.
        store: Where decks and results lie.
        readiness: Of the model; it is started here.
        place: Where it is reached.
        limits: How much at a time; that of its kind if none is given.
    """

    def __init__(
        self,
        kind: Kind,
        store: Store,
        readiness: Readiness,
        place: Place | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.kind, self.store, self.readiness, self.place = kind, store, readiness, place or Place()
        self.id = f"{kind.server_type}-{uuid.uuid4().hex[:12]}"
        self.works = Works(self._run, limits or Limits(kind.max_tasks, kind.max_pipelines), self._learn)
        self._lost: dict[str, tuple[str, float]] = {}  # results that tasks missed: what is told of them, and since when
        readiness.start()

    @property
    def state(self) -> State:
        """Of its life."""
        if self.works.draining:
            return "draining"
        return "active" if self.readiness.is_ready else "warming"

    async def take(self, order: TaskInput, key: str, pipeline: str) -> Work:
        """Take a task on, join the one that has this key already, or find its answer.

        Raises:
            Refused: The request is not understood, or cannot be taken on now.
        """
        self._check(order)
        work = await self._known(order, key)
        if work is not None:
            return work
        if not self.readiness.is_ready and not self.works.draining:
            message = self.readiness.waits_for
            raise refused(ErrorKind.MODEL_UNAVAILABLE, message, WARMING_RETRY_SECONDS)
        return self.works.begin(order, key or digest_of(order), pipeline or order.deck.pdf_sha256)

    def health(self) -> Health:
        """Return how it is."""
        running = tuple(
            RunningTask(
                task=work.order.task,
                key=work.key,
                pipeline=work.pipeline,
                share=work.share,
                seconds=round(time.monotonic() - work.started, 3),
            )
            for work in self.works.running
        )
        room = 0 if self.state != "active" else max(0, self.works.limits.tasks - len(running))
        return Health(
            kind=self.kind.name,
            state=self.state,
            id=self.id,
            queue=QueueStatus(running=running, room=room),
            waits_for=self._waits_for(),
            trouble="the server is ending" if self.works.draining else self.readiness.trouble,
            models=self._models(),
        )

    def report(self) -> ServerReport:
        """Return what a backend is told."""
        return ServerReport(
            server_type=self.kind.server_type,
            url=self.place.url,
            state=self.state,
            capabilities={self.kind.capability: self.works.limits.tasks},
            container_id=self.place.container_id,
            max_pipelines=self.works.limits.pipelines,
            max_tasks=self.works.limits.tasks,
            current_pipelines=len(self.works.pipelines),
            models=self._models(),
        )

    def _check(self, order: TaskInput) -> None:
        missing = [name for name in BY_NAME[order.task].needs if name not in order.needs]
        if missing:
            raise refused(ErrorKind.INVALID, f"`needs` lacks the result of {', '.join(missing)}.")

    async def _known(self, order: TaskInput, key: str) -> Work | None:
        """Return the task of a key, unless its answer is of no use any more.

        A failure is remembered for its key alone; a request without one is another attempt.
        """
        work = self.works.find(order, key or digest_of(order))
        if work is None or work.outcome is None:
            return work
        if isinstance(work.outcome, Problem):
            is_of_use = bool(key)
        else:
            is_of_use = await asyncio.to_thread(self.store.exists, work.outcome.result)
        if not is_of_use:
            self.works.forget(work)
        return self.works.find(order, work.key)  # another request may have been quicker

    def _run(self, order: TaskInput, progress: Callable[[float], None]) -> TaskOutput:
        model = self.readiness.model()  # the same for the whole task, whatever becomes of the server's
        return run_task(order, Context(self.store, lambda capability: model, progress))

    def _learn(self, work: Work) -> None:
        """Take down what the end of a task says of model and store."""
        needs = {name: task for task, name in work.order.needs.items()}
        if not isinstance(work.outcome, Problem):
            for name in needs:
                self._lost.pop(name, None)
        elif work.outcome.error is ErrorKind.RESULT_LOST:
            name = work.outcome.lost
            self._lost[name] = (f"{needs.get(name, 'a result')}: {work.outcome.message}", time.monotonic())
        elif work.outcome.error is ErrorKind.MODEL_UNAVAILABLE:
            self.readiness.doubt(work.outcome.message)

    def _waits_for(self) -> tuple[str, ...]:
        oldest = time.monotonic() - LOST_SECONDS
        self._lost = {name: (told, at) for name, (told, at) in self._lost.items() if at > oldest}
        lost = tuple(told for told, _ in self._lost.values())
        return (self.readiness.waits_for, *lost) if self.readiness.waits_for else lost

    def _models(self) -> dict[str, str]:
        return {self.kind.capability: self.readiness.identity} if self.readiness.identity else {}
