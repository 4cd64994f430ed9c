"""What DBOS does here: it keeps tasks that were handed out until a process is through with them, or another is."""

import logging
import threading
from collections.abc import Callable

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer, EnqueueOptions

from pagemill.flow.database import IDLE_SECONDS
from pagemill.flow.dispatch import HandedOut

WORKFLOW = "carry_out"
VERSION = "1"  # of what a workflow's arguments mean; processes take up only those of their own version
POLLING_SECONDS = 0.1

_busy = threading.Lock()  # there is one DBOS in a process
CarryOut = Callable[[str, str, int], None]


def migrate(url: str) -> None:
    """Bring DBOS' own tables to what its version needs."""
    DBOS.migrate(url)


class Durable:
    """The queues of a spec's tasks: one for those that containers do, one for each process that does some itself."""

    def __init__(self, url: str, spec_name: str) -> None:
        self.url = url
        self.spec_name = spec_name
        self._client = DBOSClient(
            system_database_url=url,
            application_name=spec_name,
            serializer=DBOSPortableJSONSerializer(),
            sys_db_idle_transaction_timeout_sec=IDLE_SECONDS,
        )

    def enqueue(self, connection: sa.Connection, given: HandedOut) -> None:
        """Enqueue a task for the process that is to see to it, or for any, in the transaction that hands it out."""
        options = EnqueueOptions(
            workflow_name=WORKFLOW,
            queue_name=self._own(given.executor_id) if given.executor_id else self.spec_name,
            workflow_id=given.key,
            app_version=self._version,
        )
        self._client.enqueue_in_transaction(connection, options, given.pipeline_id, given.name, given.run)

    def launch(self, executor_id: str, carry_out: CarryOut, at_once: int) -> None:
        """Take up tasks in this process from now on; a process can do that once at a time.

        Args:
            executor_id: This process, by a name that it alone ever has.
            carry_out: Called with pipeline, task and number of the run, from several threads.
            at_once: How many at a time.

        Raises:
            RuntimeError: This process takes up tasks already.
        """
        if not _busy.acquire(blocking=False):
            raise RuntimeError("a process carries out the tasks of one queue at a time; close the other one first")
        try:
            self._launch(executor_id, carry_out, at_once)
        except BaseException:
            DBOS.destroy(destroy_registry=True)
            _busy.release()
            raise

    def _launch(self, executor_id: str, carry_out: CarryOut, at_once: int) -> None:
        names = (self.spec_name, self._own(executor_id))
        for name in names:  # before the launch: queues that come later are looked for once a second only
            self._client.register_queue(name, worker_concurrency=at_once, polling_interval_sec=POLLING_SECONDS)
        DBOS(
            config={
                "name": self.spec_name,
                "system_database_url": self.url,
                "executor_id": executor_id,
                "application_version": self._version,
                "serializer": DBOSPortableJSONSerializer(),
                "sys_db_idle_transaction_timeout_sec": IDLE_SECONDS,
                "run_migrations": False,
                "log_level": "ERROR",
            }
        )

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)
        def workflow(pipeline_id: str, name: str, run: int) -> None:
            carry_out(pipeline_id, name, run)

        DBOS.listen_queues(names)
        DBOS.launch()

    def stop(self, executor_id: str, grace_seconds: int) -> None:
        """Take up nothing more, and wait for what runs, but not forever."""
        logging.getLogger("dbos").setLevel(logging.CRITICAL)  # what it takes up while it ends, others get
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=grace_seconds)
        _busy.release()
        self._client.delete_queue(self._own(executor_id))

    def adopt(self, executor_id: str) -> int:
        """Give what a dead process had taken up, or was about to, to the others; returns how many tasks that were."""
        begun = self._client.list_workflows(
            status=["PENDING"], executor_id=executor_id, load_input=False, load_output=False
        )
        ahead = self._client.list_workflows(
            status=["ENQUEUED"], queue_name=self._own(executor_id), load_input=False, load_output=False
        )
        ids = sorted({each.workflow_id for each in begun + ahead})
        if ids:
            self._client.resume_workflows(ids, queue_name=self.spec_name)
        return len(ids)

    def is_with(self, executor_id: str, key: str) -> bool:
        """Whether a process, and no other, has taken up a task that was handed out."""
        taken_up = self._client.list_workflows(
            workflow_ids=[key], status=["PENDING"], executor_id=executor_id, load_input=False, load_output=False
        )
        return bool(taken_up)

    def close(self) -> None:
        """Close the connections."""
        self._client.destroy()

    @property
    def _version(self) -> str:
        return f"{self.spec_name}-{VERSION}"

    def _own(self, executor_id: str) -> str:
        return f"{self.spec_name}@{executor_id}"
