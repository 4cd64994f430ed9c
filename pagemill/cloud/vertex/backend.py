"""Vertex AI Pipelines: runs and schedules through Google's own client, over REST.

The client's lower layer is used: its upper one looks at the bucket before each run, for two minutes when it cannot be
reached, makes one unasked when there is none, and loads a great deal more.
"""

import functools
import itertools
import re
from contextlib import AbstractContextManager
from typing import Any

from pagemill.cloud.backend import Run, Schedule, Submission, Timetable, check_can_be_retried
from pagemill.cloud.vertex.answers import run_of, schedule_of_answer
from pagemill.cloud.vertex.calls import Clients, connect, explained, has_unknown_end, patiently
from pagemill.cloud.vertex.jobs import catches_up, job_of, new_job_id, retry_of, schedule_of
from pagemill.errors import UserError
from pagemill.settings import VertexSettings

LISTED = (  # of each job in a list; with everything, the service is slow to list even a few
    "name,displayName,state,pipelineSpec.pipelineInfo,createTime,startTime,endTime,labels,error"
)

LARGEST_PAGE = 100
ID = r"[a-z0-9][-a-z0-9]{0,127}"
KINDS = {  # by collection: what the user calls one of it, and what lists them
    "pipelineJobs": ("run", "`pagemill status` lists the runs"),
    "schedules": ("schedule", "`pagemill schedule list` lists the schedules"),
}


class VertexBackend:
    """Vertex AI Pipelines in a project's region; nothing is asked of it before the first call."""

    name = "vertex"

    def __init__(self, settings: VertexSettings) -> None:
        self.settings = settings

    def submit(self, submission: Submission) -> Run:
        """Start a run and return it as it begins."""
        return self._start(job_of(submission, self.settings))

    def run(self, run_id: str) -> Run:
        """Return a run with its tasks."""
        return run_of(self._job(run_id))

    def runs(self, limit: int = 20) -> list[Run]:
        """Return the latest runs, newest first, without their tasks."""
        with self._explained("runs"):
            request = {
                "parent": self._parent,
                "order_by": "create_time desc",
                "page_size": min(limit, LARGEST_PAGE),
                "read_mask": LISTED,
            }
            listed = self._clients.pipelines.list_pipeline_jobs(request, **patiently())
            return [run_of(job, with_tasks=False) for job in itertools.islice(listed, limit)]

    def cancel(self, run_id: str) -> None:
        """Ask a run to end; tasks that run are ended. Nothing happens to one that has ended."""
        job = self._job(run_id)
        if run_of(job, with_tasks=False).state.ended:
            return
        with self._explained(f"run {run_id}"):
            self._clients.pipelines.cancel_pipeline_job(name=job.name, **patiently())

    def retry(self, run_id: str) -> Run:
        """Start a new run that does what one has not done; what succeeded there is taken from the cache.

        Raises:
            UserError: The run goes on still, or nothing of it is left to do.
        """
        job = self._job(run_id)
        check_can_be_retried(run_of(job, with_tasks=False))
        return self._start(retry_of(job))

    def create_schedule(self, submission: Submission, timetable: Timetable) -> Schedule:
        """Have a pipeline run at set times."""
        schedule = schedule_of(submission, timetable, self._parent, self.settings)
        with self._explained(f"schedule {timetable.name}"):
            call = patiently(may_be_done=False)  # a schedule's id is the service's choice: a second one would be made
            try:
                made = self._clients.schedules.create_schedule(parent=self._parent, schedule=schedule, **call)
            except Exception as error:
                if not has_unknown_end(error):
                    raise
                reason = f"it is not known whether it was created ({type(error).__name__})"
                mend = "look at `pagemill schedule list` before trying again"
                raise UserError(f"schedule {timetable.name}", reason, mend) from error
        return schedule_of_answer(made)

    def schedules(self) -> list[Schedule]:
        """Return all schedules of the project's region, newest first."""
        with self._explained("schedules"):
            request = {"parent": self._parent, "order_by": "create_time desc"}
            return [schedule_of_answer(each) for each in self._clients.schedules.list_schedules(request, **patiently())]

    def pause(self, schedule_id: str) -> None:
        """Start no more runs by a schedule until it is resumed."""
        schedule = self._schedule(schedule_id)
        if schedule.state.name == "ACTIVE":
            with self._explained(f"schedule {schedule_id}"):
                self._clients.schedules.pause_schedule(name=schedule.name, **patiently())

    def resume(self, schedule_id: str) -> None:
        """Go on with a schedule that was paused; times missed are made up for where its timetable says so."""
        schedule = self._schedule(schedule_id)
        if schedule.state.name == "COMPLETED":
            raise UserError(f"schedule {schedule_id}", "is over", "create a new one")
        if schedule.state.name == "PAUSED":
            with self._explained(f"schedule {schedule_id}"):
                self._clients.schedules.resume_schedule(
                    name=schedule.name, catch_up=catches_up(schedule), **patiently()
                )

    def delete_schedule(self, schedule_id: str) -> None:
        """Remove a schedule; runs that it has started go on."""
        with self._explained(f"schedule {schedule_id}"):
            name = self._full_name("schedules", schedule_id)
            self._clients.schedules.delete_schedule(name=name, **patiently()).result()

    def _start(self, job: Any) -> Run:
        from google.api_core.exceptions import Conflict

        job_id = new_job_id(job.display_name)
        with self._explained(f"run {job.display_name}"):
            try:
                made = self._clients.pipelines.create_pipeline_job(
                    parent=self._parent, pipeline_job=job, pipeline_job_id=job_id, **patiently()
                )
            except Conflict:  # nobody else has this id: an attempt has made the job whose answer was lost
                return self.run(job_id)
        return run_of(made)

    def _job(self, run_id: str) -> Any:
        with self._explained(f"run {run_id}"):
            return self._clients.pipelines.get_pipeline_job(name=self._full_name("pipelineJobs", run_id), **patiently())

    def _schedule(self, schedule_id: str) -> Any:
        with self._explained(f"schedule {schedule_id}"):
            return self._clients.schedules.get_schedule(name=self._full_name("schedules", schedule_id), **patiently())

    def _check_project(self) -> None:
        if not self.settings.project:
            raise UserError("vertex.project", "is not set", "give --project, or set it in pagemill.toml")

    @property
    def _parent(self) -> str:
        return f"projects/{self.settings.project}/locations/{self.settings.region}"

    def _full_name(self, collection: str, name: str) -> str:
        """Return the name by which the service knows a resource, given its id or that name itself.

        Raises:
            UserError: It is neither; in an address, what it holds would lead elsewhere.
        """
        if re.fullmatch(rf"projects/[^/?#\s]+/locations/[^/?#\s]+/{collection}/{ID}", name):
            return name
        if not re.fullmatch(ID, name):
            kind, mend = KINDS[collection]
            raise UserError(f"{kind} {name!r}", "is no id", mend)
        return f"{self._parent}/{collection}/{name}"

    @functools.cached_property
    def _clients(self) -> Clients:
        self._check_project()
        return connect(self.settings)

    def _explained(self, subject: str) -> AbstractContextManager[None]:
        return explained(subject, self.settings)
