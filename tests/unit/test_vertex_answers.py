"""What the details of Vertex AI's jobs say: the states of tasks, and which iteration of a loop each belongs to."""

import datetime

import pytest
from google.cloud.aiplatform_v1 import PipelineJob
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill.cloud.backend import LONGEST_LINE, State
from pagemill.cloud.vertex.answers import run_of, tasks_of
from tests.small_pipeline import small_pipeline

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
LOOP_ID = 7
ITERATION_NAMES = {
    "the loop's name and a number": "for-loop-1-{}",
    "the word iteration": "for-loop-1-iteration-{}",
    "the word alone": "iteration-{}",
    "a number": "{}",
    "the loop's name each": "for-loop-1",
    "something else each": "run",
}


def job_with(*details: dict, **fields: object) -> PipelineJob:
    name = "projects/p/locations/us-central1/pipelineJobs/j"
    return PipelineJob(name=name, pipeline_spec=small_pipeline(), job_detail={"task_details": list(details)}, **fields)


def detail(task_id: int, name: str, parent: int = 0, state: str = "SUCCEEDED", **fields: object) -> dict:
    """Return the detail of a task that came up `task_id` seconds after the start."""
    created = START + datetime.timedelta(seconds=task_id)
    identity = {"task_id": task_id, "task_name": name, "parent_task_id": parent}
    return identity | {"state": state, "create_time": created} | fields


def iterations_of(job: PipelineJob) -> list[tuple[str, int | None]]:
    return [(task.name, task.iteration) for task in tasks_of(job)]


class TestStates:
    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [
            ("PENDING", State.PENDING),
            ("RUNNING", State.RUNNING),
            ("SUCCEEDED", State.SUCCEEDED),
            ("CANCEL_PENDING", State.CANCELLING),
            ("CANCELLING", State.CANCELLING),
            ("CANCELLED", State.CANCELLED),
            ("FAILED", State.FAILED),
            ("SKIPPED", State.CACHED),
            ("NOT_TRIGGERED", State.SKIPPED),
            ("STATE_UNSPECIFIED", State.PENDING),
        ],
    )
    def test_of_tasks(self, theirs, ours) -> None:
        assert [task.state for task in tasks_of(job_with(detail(1, "plan", state=theirs)))] == [ours]

    def test_of_a_task_whose_execution_was_cached(self) -> None:
        cached = detail(1, "plan", execution={"state": "CACHED"})
        assert tasks_of(job_with(cached))[0].state is State.CACHED

    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [
            ("QUEUED", State.PENDING),
            ("PENDING", State.PENDING),
            ("PAUSED", State.PENDING),
            ("RUNNING", State.RUNNING),
            ("SUCCEEDED", State.SUCCEEDED),
            ("FAILED", State.FAILED),
            ("CANCELLING", State.CANCELLING),
            ("CANCELLED", State.CANCELLED),
        ],
    )
    def test_of_runs(self, theirs, ours) -> None:
        assert run_of(job_with(state=f"PIPELINE_STATE_{theirs}")).state is ours

    def test_errors_are_one_line_of_bearable_length(self) -> None:
        message = "first\n\tsecond  " + "x" * 10_000
        job = job_with(detail(1, "plan", state="FAILED", error={"message": message}), error={"message": message})
        for error in (tasks_of(job)[0].error, run_of(job).error):
            assert error.startswith("first second xxx")
            assert len(error) == LONGEST_LINE + len(" ...")

    def test_a_run_before_its_first_task_has_none(self) -> None:
        assert tasks_of(job_with()) == ()


class TestIterations:
    @pytest.mark.parametrize("name", ITERATION_NAMES.values(), ids=ITERATION_NAMES)
    @settings(max_examples=12)
    @given(count=st.integers(1, 12), data=st.data())
    def test_a_task_has_that_of_the_loop_in_whatever_order_the_details_come(self, name, count, data) -> None:
        details = [detail(1, "plan"), detail(LOOP_ID, "for-loop-1")]
        for number in range(count):
            details.append(detail(100 + number, name.format(number), LOOP_ID))
            details.append(detail(200 + number, "read", 100 + number))
            details.append(detail(300 + number, "clean", 100 + number))
        job = job_with(*data.draw(st.permutations(details)))
        expected = [("read", number) for number in range(count)] + [("clean", number) for number in range(count)]
        assert iterations_of(job) == [("plan", None), *expected]

    @settings(max_examples=12)
    @given(order=st.permutations(range(12)))
    def test_numbers_in_names_count_and_not_when_an_iteration_came_up(self, order) -> None:
        details = [detail(LOOP_ID, "for-loop-1")]
        for place, number in enumerate(order):
            details.append(detail(100 + place, f"for-loop-1-{number}", LOOP_ID))
            details.append(detail(200 + place, "read", 100 + place))
        assert iterations_of(job_with(*details)) == [("read", number) for number in order]

    def test_tasks_that_lie_in_the_loop_itself_are_counted_by_name(self) -> None:
        tasks = [detail(100 + place, name, LOOP_ID) for place, name in enumerate(["read", "read", "clean", "clean"])]
        job = job_with(detail(LOOP_ID, "for-loop-1"), *tasks)
        assert iterations_of(job) == [("read", 0), ("read", 1), ("clean", 0), ("clean", 1)]

    def test_tasks_in_groups_within_an_iteration_have_its_number(self) -> None:
        job = job_with(
            detail(LOOP_ID, "for-loop-1"),
            detail(100, "for-loop-1-3", LOOP_ID),
            detail(200, "condition-1", 100),
            detail(300, "publish", 200),
        )
        assert iterations_of(job) == [("publish", 3)]

    def test_tasks_outside_of_loops_have_none(self) -> None:
        job = job_with(detail(1, "exit-handler-1"), detail(2, "plan", 1), detail(3, "report"))
        assert iterations_of(job) == [("plan", None), ("report", None)]
