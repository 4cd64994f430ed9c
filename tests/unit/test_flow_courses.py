"""Any pipeline through the real tables: whatever becomes of its attempts, it can be brought to the right end."""

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pagemill.errors import UserError
from pagemill.flow import watchdog
from pagemill.flow.spec import PipelineSpec
from pagemill.flow.states import FOLLOWS, OVER, PipelineState, TaskState
from tests.flow_databases import sqlite_database
from tests.flow_desk import BAKER, Desk
from tests.flow_specs import specs


class AnyCourse(RuleBasedStateMachine):
    """Any pipelines through the real tables: processes die, answer late and take over from one another, results go."""

    @initialize(spec=specs(), data=st.data())
    def open(self, spec: PipelineSpec, data) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.desk = Desk(sqlite_database(Path(self.folder.name)), spec, BAKER)
        known = data.draw(st.sets(st.sampled_from([task.name for task in spec.tasks]), max_size=2))
        self.pipeline = self.desk.add("document", known={name: {"of": name} for name in known})
        self.needs = spec.all_needs()
        self.given, self.begun = [], []
        self.finished = Counter(known)
        self.anew: Counter[str] = Counter()  # how often a result was lost or not wanted any more
        self.progress = 0.0

    def states(self) -> dict[str, TaskState]:
        return {task.name: task.state for task in self.desk.status(self.pipeline).tasks}

    @rule()
    def hand_out(self) -> None:
        self.desk.hear(BAKER)
        states = self.states()
        for each in self.desk.hand_out_all():
            assert all(states[need] is TaskState.DONE for need in self.needs[each.name])
            self.given.append(each)

    @precondition(lambda self: self.given)
    @rule(data=st.data(), again=st.booleans())
    def begin(self, data, again) -> None:
        given = data.draw(st.sampled_from(self.given))
        if not again:
            self.given.remove(given)
        if attempt := self.desk.begin(given):
            assert set(attempt.inputs) == set(self.desk.spec.task(given.name).needs)
            self.begun.append(attempt)

    @rule(number=st.integers(1, 3))
    def go_through(self, number) -> None:
        """Do some tasks undisturbed, so that courses get far."""
        self.hand_out()
        for given in self.given[:number]:
            if attempt := self.desk.begin(given):
                self.begun.append(attempt)
                self.finished[given.name] += self.desk.finish(attempt)
        del self.given[:number]

    @precondition(lambda self: self.begun)
    @rule(data=st.data(), how=st.sampled_from(["finish", "fail", "lose", "skip", "report"]), share=st.floats(0, 1))
    def go_on(self, data, how, share) -> None:
        attempt = data.draw(st.sampled_from(self.begun))  # it may have answered before, and be a zombie
        name = attempt.task.name
        others = {"share": share} if how == "report" else {}
        if getattr(self.desk, how)(attempt, **others) and how == "finish":
            self.finished[name] += 1

    @precondition(lambda self: any(self.needs[attempt.task.name] for attempt in self.begun))
    @rule(data=st.data())
    def lose_a_result(self, data) -> None:
        attempt = data.draw(st.sampled_from([each for each in self.begun if self.needs[each.task.name]]))
        need = data.draw(st.sampled_from(sorted(self.needs[attempt.task.name])))
        before = self.states()
        if self.desk.lose_need(attempt, need) and before[need] is TaskState.DONE:
            self.anew[need] += self.states()[need] is not TaskState.DONE  # it was made anew already otherwise

    @precondition(lambda self: self.finished)
    @rule(data=st.data())
    def redo(self, data) -> None:
        name = data.draw(st.sampled_from(sorted(self.finished)))
        if self.states()[name] is TaskState.DONE:
            self.anew[name] += 1
            try:
                self.desk.redo(self.pipeline, name)
            except UserError:
                self.anew[name] -= 1  # what it needs was lost before, and could not be made anew

    @rule()
    def cancel_or_repair(self) -> None:
        done = {name for name, state in self.states().items() if state is TaskState.DONE}
        if self.desk.status(self.pipeline).state in OVER:
            assert not set(self.desk.repair(self.pipeline)) & done
        elif len(self.begun) > 12:
            self.desk.cancel(self.pipeline)

    @invariant()
    def all_is_in_order(self) -> None:
        if not hasattr(self, "desk"):
            return
        status = self.desk.status(self.pipeline)
        assert self.progress <= status.progress <= 100
        self.progress = status.progress
        done = {task.name for task in status.tasks if task.state is TaskState.DONE}
        assert done == set(self.desk.results(self.pipeline))
        assert done == set(self.finished - self.anew)
        assert max((self.finished - self.anew).values(), default=1) == 1
        for event in self.desk.events(self.pipeline):
            if event.task and event.before and event.before != event.after:
                assert TaskState(event.after) in FOLLOWS[TaskState(event.before)]

    def teardown(self) -> None:
        """Whatever happened, the pipeline can be brought to its end."""
        if hasattr(self, "desk"):
            watchdog.hand_all_back(self.desk.database, "baker", "so that all is handed out anew")
            self.desk.hear(BAKER)
            self.finished.update(self.desk.work_off())
            self.all_is_in_order()
            status = self.desk.status(self.pipeline)
            assert status.is_over
            assert status.progress == 100 or status.state is not PipelineState.DONE
            self.desk.repair(self.pipeline)
            self.finished.update(self.desk.work_off())
            self.all_is_in_order()
            assert self.desk.status(self.pipeline).state is PipelineState.DONE
            self.desk.database.close()
            self.folder.cleanup()


TestAnyCourse = AnyCourse.TestCase
TestAnyCourse.settings = settings(max_examples=10, stateful_step_count=25, derandomize=True, deadline=None)
