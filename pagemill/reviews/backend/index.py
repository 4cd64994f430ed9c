"""The index of visual results: what deck and vision model alone decide is made once for all pipelines."""

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from pagemill.decks.records import Deck
from pagemill.decks.tasks import TASKS, Parameters, TaskOutput, kept_output
from pagemill.flow.queue import Queue
from pagemill.flow.runner import NeedLost, PipelineRun, Runner, TaskRun
from pagemill.storage import Store

INDEXED = frozenset(task.name for task in TASKS if task.visual_key)


def known_results(queue: Queue, store: Store, deck: Deck, parameters: Parameters) -> dict[str, dict[str, Any]]:
    """Return the results of a deck's visual tasks that there are already, by task.

    What the index names and the store has lost is forgotten.
    """
    found = {}
    for task in TASKS:
        identity = queue.model_of(task.capability) if task.visual_key else None
        if task.visual_key is None or identity is None:
            continue
        key = task.visual_key(deck, parameters.slides, identity)
        if queue.cached(key) is None:
            continue
        if output := kept_output(task, key, store):
            found[task.name] = output.model_dump(mode="json")
        else:
            queue.uncache(key)
    return found


def forget(queue: Queue, name: str) -> None:
    """Take a result, by its name in the store, from the index."""
    queue.uncache(_key(name))


class IndexingRunner:
    """Has another runner carry out tasks, and keeps the index: what it makes comes in, what it misses goes out.

    `queue` is the queue whose runner this is, which is there only after the runner.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.queue: Queue | None = None

    def run(
        self,
        task: TaskRun,
        pipeline: PipelineRun,
        inputs: Mapping[str, Mapping[str, Any]],
        report_progress: Callable[[float], None],
    ) -> dict[str, Any]:
        """Carry out a task; see `pagemill.flow.runner.Runner`."""
        assert self.queue is not None, "the queue is named before it starts"
        try:
            result = self._runner.run(task, pipeline, inputs, report_progress)
        except NeedLost as lost:
            for name in _names(self.queue.results(pipeline.id), lost.task_name):
                forget(self.queue, name)
            raise
        output = TaskOutput.model_validate(result)
        if task.name in INDEXED and output.is_final:
            self.queue.cache(_key(output.result), output.result, task.server.id)
        return result


def _names(results: Mapping[str, Mapping[str, Any]], task: str) -> list[str]:
    """Return the name of a task's result, if it is one that the index may have."""
    return [results[task]["result"]] if task in INDEXED and task in results else []


def _key(name: str) -> str:
    """Return the key of a result, by which the index and the store alike know it."""
    return PurePosixPath(name).stem
