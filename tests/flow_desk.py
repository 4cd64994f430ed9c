"""A queue's tables with nobody at work: a test itself hands out tasks, begins and ends them, in the order it likes."""

import datetime
from typing import Any

import sqlalchemy as sa

from pagemill.flow import attempts, changes, reading, servers
from pagemill.flow.attempts import Attempt
from pagemill.flow.database import Database
from pagemill.flow.dispatch import HandedOut, dispatch
from pagemill.flow.reading import PipelineStatus, TaskStatus
from pagemill.flow.runner import Server
from pagemill.flow.spec import PipelineSpec
from pagemill.flow.states import to_repair
from pagemill.flow.tables import processing_servers, tasks

TIMEOUT_SECONDS = 60.0


def container(name: str, *capabilities: str, **others: Any) -> Server:
    able = others.pop("able", dict.fromkeys(capabilities, True))
    return Server(id=name, server_type="container", capabilities=able, url=f"http://{name}", **others)


BAKER = container("baker", "mill", "oven", "", max_pipelines=50, max_tasks=50)


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

    def add(self, document: str, priority: int = 0, **parameters: Any) -> str:
        return self.database.write(changes.create, self.spec, document, parameters, priority)

    def hand_out(self) -> list[HandedOut]:
        given: list[HandedOut] = []
        self.database.write(dispatch, self.spec.name, TIMEOUT_SECONDS, lambda connection, each: given.append(each))
        self.given.update({(each.pipeline_id, each.name): each for each in given})
        return given

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

    def fail(self, attempt: Attempt, reason: str = "it broke") -> bool:
        return self.database.write(attempts.fail, attempt, reason)

    def lose(self, attempt: Attempt) -> bool:
        return self.database.write(attempts.lose, attempt, "gone")

    def skip(self, attempt: Attempt) -> bool:
        return self.database.write(attempts.skip, attempt, "nothing to do")

    def report(self, attempt: Attempt, share: float) -> bool:
        return self.database.write(attempts.report, attempt, share)

    def cancel(self, pipeline_id: str) -> bool:
        return self.database.write(changes.cancel, pipeline_id)

    def repair(self, pipeline_id: str) -> tuple[str, ...]:
        def queue_anew(connection: sa.Connection) -> tuple[str, ...]:
            with changes.OpenPipeline(connection, pipeline_id) as pipeline:
                again = to_repair(pipeline.spec, pipeline.states)
                changes.queue_anew(pipeline, again)
                return again

        return self.database.write(queue_anew)

    def status(self, pipeline_id: str) -> PipelineStatus:
        return self.database.read(reading.status, pipeline_id)

    def task(self, pipeline_id: str, name: str) -> TaskStatus:
        return next(task for task in self.status(pipeline_id).tasks if task.name == name)

    def work_off(self) -> list[str]:
        """Finish all that can be; returns the tasks in the order in which they were."""
        done = []
        while given := self.hand_out():
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

    def pass_deadline(self, pipeline_id: str, name: str) -> None:
        """Make a task's time limit one that has passed."""
        past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1)
        this = tasks.update().where(tasks.c.pipeline_id == pipeline_id, tasks.c.name == name)
        self.database.write(lambda connection: connection.execute(this.values(deadline_at=past)))

    def events(self, pipeline_id: str | None = None) -> list[reading.Event]:
        return self.database.read(reading.events_of, pipeline_id, 0)
