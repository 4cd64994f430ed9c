"""What Vertex AI is asked to run: pipeline jobs from compiled YAML, jobs that finish failed ones, schedules."""

import datetime
import re
import secrets
from typing import Any

from pagemill.cloud.backend import Submission, Timetable
from pagemill.cloud.spec import read_documents, set_caching, tasks_in
from pagemill.cloud.vertex.answers import tasks_of
from pagemill.errors import UserError
from pagemill.settings import VertexSettings

LONGEST_ID = 63  # jobs may have 128 characters; the values of labels, which name jobs, may not
RETRY_LABEL = "pagemill-retry-of"
CATCH_UP_LABEL = "pagemill-catch-up"  # Vertex AI asks for it when a schedule goes on, and keeps it nowhere before
FOREIGN_LABELS = ("vertex-ai-", "aiplatform.googleapis.com/", "goog-")  # that the service sets by itself

_POLICIES = {"slow": "PIPELINE_FAILURE_POLICY_FAIL_SLOW", "fast": "PIPELINE_FAILURE_POLICY_FAIL_FAST"}


def job_of(submission: Submission, settings: VertexSettings) -> Any:
    """Return the pipeline job of a submission."""
    from google.cloud.aiplatform_v1 import PipelineJob

    spec = _spec_of(submission)
    root = submission.pipeline_root or spec.get("defaultPipelineRoot", "")
    if not root:
        raise UserError(f"run {submission.run}", "has no bucket for its artifacts", "set bucket in pagemill.toml")
    if submission.caching is not None:
        for _, task in tasks_in(spec):
            set_caching(task, submission.caching)
    return PipelineJob(
        display_name=submission.run,
        pipeline_spec=spec,
        labels=dict(submission.labels),
        service_account=submission.service_account or settings.service_account,
        network=submission.network or settings.network,
        runtime_config={
            "gcs_output_directory": root,
            "parameter_values": dict(submission.parameters),
            "failure_policy": _POLICIES[submission.failure_policy],
        },
    )


def retry_of(job: Any) -> Any:
    """Return a job that does what another has not done.

    It is the same job again, with the cache on for tasks that have succeeded, so that they are not run again. Those
    that report how a run has ended always are.
    """
    from google.cloud.aiplatform_v1 import PipelineJob

    spec = PipelineJob.to_dict(job)["pipeline_spec"]
    done = {task.name for task in tasks_of(job) if task.state in ("succeeded", "cached")}
    for name, task in tasks_in(spec):
        if name in done:
            set_caching(task, True)
    own = {key: value for key, value in job.labels.items() if not key.startswith(FOREIGN_LABELS)}
    return PipelineJob(
        display_name=job.display_name,
        pipeline_spec=spec,
        labels=own | {RETRY_LABEL: job.name.rpartition("/")[2].lower()[:LONGEST_ID]},
        service_account=job.service_account,
        network=job.network,
        runtime_config=job.runtime_config,
    )


def new_job_id(run: str) -> str:
    """Return a valid id that no other job has, made of a run's name and the time."""
    slug = re.sub(r"[^a-z0-9]+", "-", run.lower()).strip("-")
    slug = slug if slug[:1].isalpha() else f"run-{slug}".rstrip("-")
    now = datetime.datetime.now(datetime.UTC)
    tail = f"-{now:%Y%m%d%H%M%S}-{secrets.token_hex(3)}"
    return slug[: LONGEST_ID - len(tail)].rstrip("-") + tail


def schedule_of(submission: Submission, timetable: Timetable, parent: str, settings: VertexSettings) -> Any:
    """Return the schedule that starts a submission's job at the times of a timetable."""
    from google.cloud.aiplatform_v1 import CreatePipelineJobRequest, Schedule

    job = job_of(submission, settings)
    if timetable.catch_up:
        job.labels[CATCH_UP_LABEL] = "true"
    return Schedule(
        display_name=timetable.name,
        cron=timetable.cron,
        start_time=timetable.start,
        end_time=timetable.end,
        max_run_count=timetable.max_runs,
        max_concurrent_run_count=timetable.max_concurrent_runs,  # how many are being started at a time
        max_concurrent_active_run_count=timetable.max_concurrent_runs,  # how many run at a time
        allow_queueing=timetable.catch_up,
        create_pipeline_job_request=CreatePipelineJobRequest(parent=parent, pipeline_job=job),
    )


def catches_up(schedule: Any) -> bool:
    """Say whether a schedule's timetable was to make up for missed times."""
    return CATCH_UP_LABEL in schedule.create_pipeline_job_request.pipeline_job.labels


def _spec_of(submission: Submission) -> dict[str, Any]:
    documents = read_documents(submission.template)
    if len(documents) != 1:
        reason = "has Kubernetes settings, which Vertex AI does not take"
        raise UserError(str(submission.template), reason, "compile it for a preset of vertex")
    return documents[0]
