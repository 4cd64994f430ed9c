"""Any pipeline through the real tables: whatever becomes of its attempts, it can be brought to the right end."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pagemill.flow import watchdog
from pagemill.flow.spec import PipelineSpec
from pagemill.flow.states import FOLLOWS, OVER, PipelineState, TaskState
from tests.flow_databases import sqlite_database
from tests.flow_desk import BAKER, Desk
from tests.flow_specs import specs


class AnyCourse(RuleBasedStateMachine):
    """Any pipelines through the real tables, with processes that die, answer late and take over from one another."""

    @initialize(spec=specs())
    def open(self, spec: PipelineSpec) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.desk = Desk(sqlite_database(Path(self.folder.name)), spec, BAKER)
        self.pipeline = self.desk.add("document")
        self.given, self.begun, self.late = [], [], []
        self.finished: dict[str, int] = {}
        self.progress = 0.0

    @rule()
    def hand_out(self) -> None:
        states = {task.name: task.state for task in self.desk.status(self.pipeline).tasks}
        for each in self.desk.hand_out():
            assert all(states[need] is TaskState.DONE for need in self.desk.spec.task(each.name).needs)
            self.given.append(each)

    @precondition(lambda self: self.given)
    @rule(data=st.data(), again=st.booleans())
    def begin(self, data, again) -> None:
        given = data.draw(st.sampled_from(self.given))
        if not again:
            self.given.remove(given)
        if attempt := self.desk.begin(given):
            self.begun.append(attempt)

    @precondition(lambda self: self.begun)
    @rule(data=st.data(), how=st.sampled_from(["finish", "fail", "lose", "skip", "report"]), share=st.floats(0, 1))
    def go_on(self, data, how, share) -> None:
        attempt = data.draw(st.sampled_from(self.begun))  # it may have answered before, and be a zombie
        name = attempt.task.name
        others = {"share": share} if how == "report" else {}
        if getattr(self.desk, how)(attempt, **others) and how == "finish":
            self.finished[name] = self.finished.get(name, 0) + 1

    @rule()
    def cancel_or_repair(self) -> None:
        if self.desk.status(self.pipeline).state in OVER:
            assert not set(self.desk.repair(self.pipeline)) & set(self.finished)
        elif len(self.begun) > 12:
            self.desk.cancel(self.pipeline)

    @invariant()
    def all_is_in_order(self) -> None:
        if not hasattr(self, "desk"):
            return
        status = self.desk.status(self.pipeline)
        assert self.progress <= status.progress <= 100
        self.progress = status.progress
        assert all(count == 1 for count in self.finished.values())
        done = {task.name for task in status.tasks if task.state is TaskState.DONE}
        assert done == set(self.finished)
        for event in self.desk.events(self.pipeline):
            if event.task and event.before != event.after:
                assert TaskState(event.after) in FOLLOWS[TaskState(event.before)]

    def teardown(self) -> None:
        """Whatever happened, the pipeline can be brought to its end."""
        if hasattr(self, "desk"):
            watchdog.hand_all_back(self.desk.database, "baker", "so that all is handed out anew")
            self.desk.work_off()
            status = self.desk.status(self.pipeline)
            assert status.is_over
            assert status.progress == 100 or status.state is not PipelineState.DONE
            self.desk.database.close()
            self.folder.cleanup()


TestAnyCourse = AnyCourse.TestCase
TestAnyCourse.settings = settings(max_examples=8, stateful_step_count=25, derandomize=True, deadline=None)
