"""A queue's tables with nobody at work: a test itself hands out tasks, begins and ends them, in the order it likes."""

import datetime
import time
from collections.abc import Sequence
from typing import Any

from pagemill.flow import attempts, changes, reading, repairing, servers, watchdog
from pagemill.flow.attempts import Attempt
from pagemill.flow.database import Database
from pagemill.flow.dispatch import HandedOut, dispatch
from pagemill.flow.queue import Queue
from pagemill.flow.reading import PipelineStatus, TaskStatus
from pagemill.flow.runner import Server
from pagemill.flow.spec import PipelineSpec
from pagemill.flow.tables import events, processing_servers, tasks

TIMEOUT_SECONDS = 60.0
PATIENCE_SECONDS = 40.0


def container(name: str, *capabilities: str, **others: Any) -> Server:
    able = others.pop("able", dict.fromkeys(capabilities, True))
    return Server(id=name, server_type="container", capabilities=able, url=f"http://{name}", **others)


BAKER = container("baker", "mill", "oven", "", max_pipelines=50, max_tasks=50)


def wait_beside(queue: Queue, pipelines: Sequence[str], *containers_there: Server) -> None:
    """Wait until pipelines are over, while containers are heard of."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not all(queue.status(each).is_over for each in pipelines):
        assert time.monotonic() < end
        for each in containers_there:
            queue.hear(each, "active")
        time.sleep(0.02)


class Desk:
    """The tables, and what a test does with them."""

    def __init__(self, url: str, spec: PipelineSpec, *servers_there: Server) -> None:
        self.database = Database(url)
        self.spec = spec
        self.given: dict[tuple[str, str], HandedOut] = {}
        for server in servers_there:
            self.register(server)

    def register(self, server: Server) -> None:
        self.database.write(servers.register, server)

    def hear(self, server: Server, status: str = servers.ACTIVE) -> bool:
        return watchdog.hear(self.database, server, status)

    def add(self, document: str, priority: int = 0, known: dict[str, Any] | None = None, **parameters: Any) -> str:
        return self.database.write(changes.create, self.spec, document, parameters, priority, known=known)

    def hand_out(self) -> list[HandedOut]:
        given: list[HandedOut] = []
        self.database.write(dispatch, self.spec.name, TIMEOUT_SECONDS, lambda connection, each: given.append(each))
        self.given.update({(each.pipeline_id, each.name): each for each in given})
        return given

    def hand_out_all(self) -> list[HandedOut]:
        """Hand out also what is to be tried again only later."""
        self.let_delays_pass()
        return self.hand_out()

    def start(self, pipeline_id: str, name: str) -> Attempt:
        """Begin a task that was handed out, or is now."""
        self.hand_out()
        attempt = self.begin(self.given[pipeline_id, name])
        assert attempt is not None
        return attempt

    def begin(self, given: HandedOut, executor: str = "me") -> Attempt | None:
        return self.database.write(attempts.begin, given.pipeline_id, given.name, given.run, executor)

    def finish(self, attempt: Attempt, **result: Any) -> bool:
        return self.database.write(attempts.finish, attempt, result)

    def fail(self, attempt: Attempt, reason: str = "it broke", **others: Any) -> bool:
        return self.database.write(attempts.fail, attempt, reason, **others)

    def lose(self, attempt: Attempt, begun: bool = True) -> bool:
        return self.database.write(attempts.lose, attempt, "gone", begun)

    def lose_need(self, attempt: Attempt, need: str) -> bool:
        return self.database.write(attempts.lose_need, attempt, need)

    def skip(self, attempt: Attempt, **result: Any) -> bool:
        return self.database.write(attempts.skip, attempt, "nothing to do", result or None)

    def report(self, attempt: Attempt, share: float) -> bool:
        return self.database.write(attempts.report, attempt, share)

    def cancel(self, pipeline_id: str) -> bool:
        return self.database.write(changes.cancel, pipeline_id)

    def repair(self, pipeline_id: str, task: str | None = None) -> tuple[str, ...]:
        return self.database.write(repairing.repair, pipeline_id, task)

    def redo(self, pipeline_id: str, *names: str) -> tuple[str, ...]:
        return self.database.write(repairing.redo, pipeline_id, names, "it was wrong")

    def status(self, pipeline_id: str) -> PipelineStatus:
        return self.database.read(reading.status, pipeline_id)

    def task(self, pipeline_id: str, name: str) -> TaskStatus:
        return next(task for task in self.status(pipeline_id).tasks if task.name == name)

    def work_off(self) -> list[str]:
        """Finish all that can be; returns the tasks in the order in which they were."""
        done = []
        while given := self.hand_out_all():
            for each in given:
                attempt = self.begin(each)
                assert attempt is not None
                assert self.finish(attempt, of=each.name)
                done.append(each.name)
        return done

    def silence(self, server: str, seconds: float = TIMEOUT_SECONDS + 1) -> None:
        """Make it so long ago that a server was heard of."""
        past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds)
        this = processing_servers.update().where(processing_servers.c.id == server)
        self.database.write(lambda connection: connection.execute(this.values(last_heartbeat=past)))

    def let_delays_pass(self) -> None:
        """Make it the moment at which all tasks may be handed out again."""
        due = tasks.update().values(due_at=datetime.datetime.now(datetime.UTC))
        self.database.write(lambda connection: connection.execute(due))

    def pass_deadline(self, pipeline_id: str, name: str) -> None:
        """Make a task's time limit one that has passed."""
        past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1)
        this = tasks.update().where(tasks.c.pipeline_id == pipeline_id, tasks.c.name == name)
        self.database.write(lambda connection: connection.execute(this.values(deadline_at=past)))

    def put_a_minute_between_events(self) -> None:
        """Make everything happen slowly."""
        start = datetime.datetime.now(datetime.UTC)
        for number, event in enumerate(self.events()):
            at = start + datetime.timedelta(minutes=number)
            this = events.update().where(events.c.id == event.id).values(at=at)
            self.database.write(lambda connection, this=this: connection.execute(this))

    def results(self, pipeline_id: str) -> dict[str, dict[str, Any]]:
        return self.database.read(reading.results_of, pipeline_id)

    def servers(self) -> list[servers.ServerStatus]:
        return self.database.read(servers.statuses, self.spec.name)

    def model_of(self, capability: str) -> str | None:
        return self.database.read(servers.model_of, self.spec.name, capability)

    def events(self, pipeline_id: str | None = None) -> list[reading.Event]:
        return self.database.read(reading.events_of, pipeline_id, 0)
