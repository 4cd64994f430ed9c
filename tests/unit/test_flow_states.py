"""States and progress: whatever the pipeline and whatever happens, nothing starts early and nothing goes back."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pagemill.flow.progress import advanced, pipeline_progress, seconds_left
from pagemill.flow.spec import PipelineSpec, TaskSpec
from pagemill.flow.states import (
    ENDED,
    FOLLOWS,
    OVER,
    PipelineState,
    TaskState,
    blocked,
    pipeline_state,
    startable,
    to_repair,
)
from tests.flow_specs import BREAD, specs

DONE, FAILED, QUEUED, RUNNING, SKIPPED = (
    TaskState.DONE,
    TaskState.FAILED,
    TaskState.QUEUED,
    TaskState.RUNNING,
    TaskState.SKIPPED,
)


def standing(**changed: TaskState) -> dict[str, TaskState]:
    return {task.name: changed.get(task.name, QUEUED) for task in BREAD.tasks}


def test_a_task_may_start_when_all_that_it_needs_is_done():
    assert startable(BREAD, standing()) == ("grind", "heat")
    assert startable(BREAD, standing(grind=DONE, heat=RUNNING)) == ("knead", "count")
    assert startable(BREAD, standing(grind=DONE, heat=RUNNING, knead=DONE, count=DONE)) == ()
    assert startable(BREAD, standing(grind=DONE, heat=DONE, knead=DONE, count=DONE)) == ("bake",)


def test_a_task_waits_while_what_it_needs_through_others_is_made_anew():
    assert startable(BREAD, standing(heat=DONE, knead=DONE, count=DONE)) == ("grind",)
    assert blocked(BREAD, standing(grind=FAILED, heat=DONE, knead=DONE, count=DONE)) == ("bake",)


def test_what_needs_a_failed_task_is_blocked_and_so_is_what_needs_that():
    assert set(blocked(BREAD, standing(grind=FAILED))) == {"knead", "bake", "count"}
    assert blocked(BREAD, standing(heat=SKIPPED)) == ("bake",)
    assert blocked(BREAD, standing(grind=RUNNING)) == ()


def test_a_repair_takes_what_failed_and_what_was_skipped_for_it():
    ended = {"grind": DONE, "heat": FAILED, "knead": FAILED, "bake": SKIPPED, "count": DONE}
    assert to_repair(BREAD, ended) == ("heat", "knead", "bake")
    assert to_repair(BREAD, ended, "knead") == ("knead", "bake")
    assert to_repair(BREAD, ended, "grind") == ()


@pytest.mark.parametrize(
    ("states", "end"),
    [
        ((DONE, DONE), PipelineState.DONE),
        ((DONE, SKIPPED), PipelineState.DONE),
        ((DONE, FAILED), PipelineState.PARTIAL),
        ((SKIPPED, FAILED), PipelineState.FAILED),
        ((DONE, TaskState.CANCELLED), PipelineState.CANCELLED),
        ((QUEUED, QUEUED), PipelineState.QUEUED),
        ((TaskState.WARMING, QUEUED), PipelineState.QUEUED),
        ((FAILED, QUEUED), PipelineState.RUNNING),
        ((TaskState.RETRYING,), PipelineState.RUNNING),
    ],
)
def test_a_pipeline_stands_where_its_tasks_do(states, end):
    assert pipeline_state({str(number): state for number, state in enumerate(states)}) is end


def test_what_is_done_may_only_be_made_anew():
    assert FOLLOWS[DONE] == {QUEUED}
    assert set(FOLLOWS) == set(TaskState)


def test_progress_weighs_tasks():
    shares = dict.fromkeys(("grind", "heat", "knead", "bake", "count"), 0.0)
    assert pipeline_progress(BREAD, shares) == 0
    assert pipeline_progress(BREAD, {**shares, "grind": 1.0, "knead": 0.5}) == 35
    assert pipeline_progress(BREAD, dict.fromkeys(shares, 1.0)) == 100


@given(st.floats(0, 1), st.floats())
def test_a_share_never_goes_back_nor_beyond_the_whole(before, share):
    assert before <= advanced(before, share) <= 1
    assert advanced(before, math.nan) == before


def test_time_left_is_the_longest_way_through_what_is_left():
    took = {"grind": [10, 20, 90], "heat": [70], "knead": [30, 30], "bake": [40], "count": [1]}
    shares = dict.fromkeys(took, 0.0)
    assert seconds_left(BREAD, standing(), shares, took) == 110  # heat, bake; grind, knead, bake takes 90
    half = standing(heat=DONE, grind=RUNNING)
    assert seconds_left(BREAD, half, {**shares, "heat": 1, "grind": 0.5}, took) == 80
    assert seconds_left(BREAD, dict.fromkeys(took, DONE), dict.fromkeys(took, 1.0), took) == 0


def test_time_left_is_not_told_without_a_history():
    assert seconds_left(BREAD, standing(), dict.fromkeys(standing(), 0.0), {"grind": [1.0]}) is None


class AnyPipeline(RuleBasedStateMachine):
    """A pipeline in memory, driven by the pure rules as the queue drives one in its tables."""

    @initialize(spec=specs())
    def create(self, spec: PipelineSpec) -> None:
        self.spec = spec
        self.states = {task.name: QUEUED for task in spec.tasks}
        self.shares = dict.fromkeys(self.states, 0.0)
        self.attempts = dict.fromkeys(self.states, 0)
        self.highest = 0.0

    def become(self, name: str, state: TaskState) -> None:
        assert state in FOLLOWS[self.states[name]]
        self.states[name] = state
        self.settle()

    def settle(self) -> None:
        for each in blocked(self.spec, self.states):
            assert SKIPPED in FOLLOWS[self.states[each]]
            self.states[each] = SKIPPED

    def running(self) -> list[str]:
        return [name for name, state in self.states.items() if state is RUNNING]

    @precondition(lambda self: startable(self.spec, self.states))
    @rule(data=st.data())
    def start(self, data) -> None:
        name = data.draw(st.sampled_from(startable(self.spec, self.states)))
        assert all(self.states[need] is DONE for need in self.spec.all_needs()[name])
        self.become(name, RUNNING)

    @precondition(lambda self: self.running())
    @rule(data=st.data(), share=st.floats())
    def report(self, data, share) -> None:
        name = data.draw(st.sampled_from(self.running()))
        self.shares[name] = advanced(self.shares[name], share)

    @precondition(lambda self: self.running())
    @rule(data=st.data())
    def finish(self, data) -> None:
        name = data.draw(st.sampled_from(self.running()))
        self.shares[name] = 1.0
        self.become(name, DONE)

    @precondition(lambda self: self.running())
    @rule(data=st.data())
    def skip(self, data) -> None:
        self.become(data.draw(st.sampled_from(self.running())), SKIPPED)

    @precondition(lambda self: self.running())
    @rule(data=st.data())
    def fail(self, data) -> None:
        name = data.draw(st.sampled_from(self.running()))
        self.attempts[name] += 1
        last = self.attempts[name] >= self.spec.task(name).attempts
        self.become(name, FAILED if last else TaskState.RETRYING)

    @precondition(lambda self: DONE in self.states.values())
    @rule(data=st.data())
    def lose(self, data) -> None:
        self.become(data.draw(st.sampled_from([name for name, state in self.states.items() if state is DONE])), QUEUED)

    @precondition(lambda self: self.running())
    @rule()
    def cancel(self) -> None:
        for name in self.states:
            if self.states[name] not in ENDED:
                self.states[name] = TaskState.CANCELLED

    @rule()
    def repair(self) -> None:
        for name in to_repair(self.spec, self.states):
            assert QUEUED in FOLLOWS[self.states[name]]
            assert self.states[name] is not DONE
            self.states[name] = QUEUED
            self.attempts[name] = 0
        self.settle()

    @invariant()
    def progress_is_monotone_and_within_its_bounds(self) -> None:
        if hasattr(self, "spec"):
            progress = pipeline_progress(self.spec, self.shares)
            assert self.highest <= progress * (1 + 1e-12)
            assert 0 <= progress <= 100
            self.highest = progress

    @invariant()
    def a_pipeline_that_can_go_no_further_is_over(self) -> None:
        if hasattr(self, "spec"):
            over = pipeline_state(self.states) in OVER
            assert over == (not self.running() and not startable(self.spec, self.states))
            assert over == (set(self.states.values()) <= ENDED)


TestAnyPipeline = AnyPipeline.TestCase
TestAnyPipeline.settings = settings(max_examples=40, stateful_step_count=30, derandomize=True, deadline=None)


def test_a_spec_says_what_is_wrong_with_it():
    with pytest.raises(ValueError, match="circle"):
        PipelineSpec("round", (TaskSpec("a", ("b",)), TaskSpec("b", ("a",))))
