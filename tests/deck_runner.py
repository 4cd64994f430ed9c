"""Carries the tasks of deck review out in the queue's own process, with a scripted model, as containers would."""

from collections.abc import Callable, Mapping
from typing import Any

from pagemill.decks.tasks import run_task
from pagemill.errors import UserError
from pagemill.flow.runner import PipelineRun, TaskRun
from pagemill.reviews.backend.outcomes import failure_of
from pagemill.reviews.backend.runner import result_of, task_input
from pagemill.reviews.container.troubles import problem_of
from pagemill.storage import Store
from tests.decks import ScriptedModel, context_of


class ModelRunner:
    """A runner whose model is in this process."""

    def __init__(self, store: Store, model: ScriptedModel) -> None:
        self.store, self.model = store, model

    def run(
        self,
        task: TaskRun,
        pipeline: PipelineRun,
        inputs: Mapping[str, Mapping[str, Any]],
        report_progress: Callable[[float], None],
    ) -> dict[str, Any]:
        context = context_of(self.store, self.model, progress=report_progress)
        try:
            output = run_task(task_input(task, pipeline, inputs), context)
        except (RuntimeError, UserError) as error:
            raise failure_of(problem_of(error)) from error
        return result_of(output)
