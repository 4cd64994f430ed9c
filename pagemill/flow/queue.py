"""The queue: pipelines are added to it, its processes carry their tasks out, and everything can be read from it."""

import os
import socket
import time
import uuid
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from pagemill.errors import UserError
from pagemill.flow import changes, durable, reading, repairing, servers, visual_cache, watchdog
from pagemill.flow.database import Database
from pagemill.flow.dispatch import Dispatcher
from pagemill.flow.durable import Durable
from pagemill.flow.reading import Event, PipelineStatus
from pagemill.flow.runner import Runner, Server
from pagemill.flow.servers import ServerStatus
from pagemill.flow.spec import PipelineSpec
from pagemill.flow.worker import Worker

HEARTBEAT_TIMEOUT_SECONDS = 4.0
TICK_SECONDS = 0.5
AT_ONCE = 64
WAIT_SECONDS = 0.05
PATIENCE_SECONDS = 600.0  # with the database, of a process that may have results to keep
CLIENT_PATIENCE_SECONDS = 30.0  # of one that has none


def migrate(database_url: str) -> None:
    """Bring all tables to what this version needs; several processes may do so at once."""
    database = Database(database_url)
    try:
        database.migrate()
    finally:
        database.close()
    durable.migrate(database_url)


class Queue:
    """A durable queue of pipelines of one spec, in a database that several processes may share.

    Without a runner it adds, reads and changes pipelines. With one, and as a context, it carries them out as well:

        with Queue(spec, "sqlite:///flow.sqlite", runner) as queue:
            pipeline = queue.add_pipeline(sha256)
            queue.wait(pipeline)
            queue.results(pipeline)

    Args:
        spec: Of the pipelines.
        database_url: `sqlite:///file` or `postgresql://…`.
        runner: Carries out tasks; None if this process shall not.
        capabilities: What the runner does here, in this process: capabilities, or names of tasks, with True or how
            many at a time. None for all that the spec needs. Everything else waits for containers.
        at_once: Tasks that this process carries out or waits for at a time.
        max_pipelines: Whose tasks this process itself does at a time.
        heartbeat_timeout_seconds: A server that is not heard of for so long loses its tasks to others.
        tick_seconds: How often the watch looks around.
    """

    def __init__(
        self,
        spec: PipelineSpec,
        database_url: str,
        runner: Runner | None = None,
        *,
        capabilities: Mapping[str, bool | int] | None = None,
        at_once: int = AT_ONCE,
        max_pipelines: int = AT_ONCE,
        heartbeat_timeout_seconds: float = HEARTBEAT_TIMEOUT_SECONDS,
        tick_seconds: float = TICK_SECONDS,
    ) -> None:
        self.spec = spec
        self.executor_id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        migrate(database_url)
        self._database = Database(database_url, CLIENT_PATIENCE_SECONDS if runner is None else PATIENCE_SECONDS)
        self._durable = Durable(database_url, spec.name)
        self._dispatch = Dispatcher(self._database, spec.name, heartbeat_timeout_seconds, self._durable.enqueue)
        self._at_once = at_once
        self._worker: Worker | None = None
        self._started = False
        if runner is not None:
            able = {task.capability: True for task in spec.tasks} if capabilities is None else dict(capabilities)
            own = Server(
                id=self.executor_id,
                server_type=servers.BACKEND,
                capabilities={"": True, **able},
                max_pipelines=max_pipelines,
                max_tasks=at_once,
                spec_name=spec.name,
            )
            self._worker = Worker(
                self._database, self._durable, self._dispatch, runner, own, heartbeat_timeout_seconds, tick_seconds
            )

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Carry out tasks from now on, if there is a runner."""
        if self._worker is not None:
            self._worker.start(self._at_once)
            self._started = True

    def close(self, grace_seconds: int = 0) -> None:
        """Stop, and hand to others what still runs after a while."""
        if self._worker is not None and self._started:
            self._worker.stop(grace_seconds)
            self._started = False
        self._durable.close()
        self._database.close()

    def add_pipeline(
        self,
        document_sha256: str,
        parameters: Mapping[str, Any] | None = None,
        priority: int = 0,
        *,
        document_name: str = "",
        known: Mapping[str, dict[str, Any]] | None = None,
    ) -> str:
        """Add a pipeline with its tasks; if there is one for document and parameters already, nothing changes.

        Args:
            document_sha256: Digest of what it is about.
            parameters: Of what JSON knows.
            priority: Lower comes first; among equals the older pipeline does.
            document_name: What people call the document.
            known: Results that there are already, by task: these tasks are done from the start.

        Returns:
            Its id, which document and parameters alone determine.

        Raises:
            KeyError: What is known is of no task of the spec.
        """
        what = document_sha256, dict(parameters or {}), priority, document_name, known
        pipeline_id = self._database.write(changes.create, self.spec, *what)
        self._dispatch()
        return pipeline_id

    def cancel(self, pipeline_id: str) -> bool:
        """Cancel what has not ended; returns whether there was anything to cancel."""
        self._known(pipeline_id)
        return self._database.write(changes.cancel, pipeline_id)

    def retry(self, pipeline_id: str, task: str | None = None) -> tuple[str, ...]:
        """Queue anew what failed or was cancelled, and what was skipped because of it; what is done stays.

        Args:
            pipeline_id: The pipeline.
            task: Only this one and what needs it; None for all.

        Returns:
            The tasks that are queued anew.

        Raises:
            UserError: The task is not in the pipeline, or did not fail.
        """
        self._known(pipeline_id)
        again = self._database.write(repairing.repair, pipeline_id, task)
        self._dispatch()
        return again

    def redo(self, pipeline_id: str, tasks: Sequence[str], reason: str) -> tuple[str, ...]:
        """Queue anew tasks that are done or skipped, those only; a pipeline that was over goes on with that.

        Until they are through, tasks that wait and need them wait; what is done stays.

        Args:
            pipeline_id: The pipeline.
            tasks: By name.
            reason: Why; told by their events of kind `anew`.

        Returns:
            The tasks that are queued anew.

        Raises:
            UserError: A task is not in the pipeline, is neither done nor skipped, or needs one that has no result
                and is not among them.
        """
        self._known(pipeline_id)
        again = self._database.write(repairing.redo, pipeline_id, tasks, reason)
        self._dispatch()
        return again

    def status(self, pipeline_id: str) -> PipelineStatus:
        """Return where a pipeline stands."""
        self._known(pipeline_id)
        return self._database.read(reading.status, pipeline_id)

    def results(self, pipeline_id: str) -> dict[str, dict[str, Any]]:
        """Return the results that there are so far, by task, also of a pipeline that failed."""
        self._known(pipeline_id)
        return self._database.read(reading.results_of, pipeline_id)

    def events(self, pipeline_id: str | None = None, after: int = 0) -> list[Event]:
        """Return what happened to a pipeline, or to all and to the servers, after the event of an id."""
        return self._database.read(reading.events_of, pipeline_id, after)

    def hand_offs(self, pipeline_id: str) -> dict[str, float]:
        """Return how many seconds tasks took to begin once the last of what they need was done, by task."""
        self._known(pipeline_id)
        return self._database.read(reading.hand_offs, pipeline_id)

    def latest(self, limit: int = 100) -> list[str]:
        """Return the ids of the pipelines that were last added, newest first."""
        return self._database.read(reading.latest, self.spec.name, limit)

    def wait(self, pipeline_id: str, timeout_seconds: float | None = None) -> PipelineStatus:
        """Wait until a pipeline is over.

        Raises:
            TimeoutError: It was not within that time.
        """
        end = time.monotonic() + timeout_seconds if timeout_seconds is not None else None
        while not (now := self.status(pipeline_id)).is_over:
            if end is not None and time.monotonic() > end:
                raise TimeoutError(f"pipeline {pipeline_id} is {now.state} after {timeout_seconds} s")
            time.sleep(WAIT_SECONDS)
        return now

    def hear(self, server: Server, state: Literal["warming", "active", "draining"], current_pipelines: int = 0) -> None:
        """Note that a container lives, and what it says of itself; more often than `heartbeat_timeout_seconds`.

        The same call registers it, be it for the first time or after it was given up, is its heartbeat, and tells
        what has changed since the last one.

        Args:
            server: The container.
            state: It gets tasks when it is active; when it is draining it ends what it has.
            current_pipelines: How many it works for, as it says.
        """
        if watchdog.hear(self._database, server, state, current_pipelines):
            self._dispatch()

    def dismiss(self, server_id: str) -> None:
        """Note that a container has ended; what it still had goes to others at once."""
        watchdog.give_up(self._database, self._durable, server_id, "its server ended")
        self._dispatch()

    def servers(self) -> list[ServerStatus]:
        """Return the servers that there are and what they have to do, the processes of the queue among them."""
        return self._database.read(servers.statuses, self.spec.name)

    def model_of(self, capability: str) -> str | None:
        """Return the identity of the model that a capability had last, also if its servers are gone by now."""
        return self._database.read(servers.model_of, self.spec.name, capability)

    def cache(self, key: str, uri: str, made_by: str) -> None:
        """Note where what has this key lies in the store; a later note replaces it."""
        self._database.write(visual_cache.put, key, uri, made_by)

    def cached(self, key: str) -> str | None:
        """Return the URI of what has this key; None when there is none."""
        return self._database.read(visual_cache.find, key)

    def uncache(self, key: str) -> bool:
        """Forget a key whose content is lost; returns whether it was known."""
        return self._database.write(visual_cache.forget, key)

    def _known(self, pipeline_id: str) -> None:
        if not self._database.read(reading.exists, pipeline_id):
            raise UserError(f"pipeline {pipeline_id}", "is not in this database", "look at the id and the database URL")
