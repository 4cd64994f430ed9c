"""The deck review as the queue knows it: made of the same table as everything else."""

from pagemill.decks.tasks import PIPELINE, TASKS
from pagemill.flow.spec import RETRY_DELAY_SECONDS, PipelineSpec, TaskSpec


def deck_review_spec(retry_delay_seconds: float = RETRY_DELAY_SECONDS) -> PipelineSpec:
    """Return the spec; a task's second attempt comes after `retry_delay_seconds`."""
    tasks = (TaskSpec(retry_delay_seconds=retry_delay_seconds, **task.spec()) for task in TASKS)
    return PipelineSpec(PIPELINE, tuple(tasks))
