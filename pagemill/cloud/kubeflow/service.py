"""Kubeflow Pipelines as a backend: runs, and schedules, which it calls recurring runs.

It has no labels on a run, so they stand in its description, which runs that a schedule starts do not have; labels of
pods are compiled in. It has one failure policy: in a group of tasks (the pipeline, an iteration of a loop) nothing
new starts once one has failed, what runs goes on to its end, and exit tasks run.
"""

import datetime
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pagemill.cloud.backend import (
    DEFAULT_FAILURE_POLICY,
    Run,
    Schedule,
    State,
    Submission,
    Task,
    Timetable,
    check_can_be_retried,
)
from pagemill.cloud.kubeflow.calls import Calls
from pagemill.cloud.kubeflow.cron import five_fields, six_fields
from pagemill.cloud.kubeflow.nodes import STATES, line_of, tasks_of, time_of
from pagemill.cloud.spec import read_documents, set_caching, tasks_in
from pagemill.errors import UserError
from pagemill.settings import KfpSettings

LABELS = "labels: "
LARGEST_PAGE = 200
NEWEST_FIRST = "created_at desc"


class KfpBackend:
    """Kubeflow Pipelines, as `pagemill.cloud.backend.Backend` asks for it."""

    name = "kfp"

    def __init__(self, settings: KfpSettings) -> None:
        self._settings = settings
        self._calls = Calls(settings)

    def submit(self, submission: Submission) -> Run:
        """Start a run; the experiment is made when it is not there."""
        import kfp_server_api

        body = kfp_server_api.V2beta1Run(display_name=submission.run, **self._order(submission))
        subject = f"run {submission.run}"
        return self._run(self._calls.ask(subject, "runs", "run_service_create_run", repeatable=False, run=body))

    def run(self, run_id: str) -> Run:
        """Return a run with its tasks."""
        told = self._ask_run(run_id, "run_service_get_run")
        details = told.run_details.task_details if told.run_details else None
        spec = _spec(told)
        return self._run(told, tasks_of(details, spec) if details and spec else ())

    def runs(self, limit: int = 20) -> list[Run]:
        """Return the latest runs of the namespace, newest first, without their tasks."""
        return [self._run(each) for each in self._listed("runs", "runs", "run_service_list_runs", limit)]

    def cancel(self, run_id: str) -> None:
        """Ask a run to end; nothing happens to one that has ended."""
        if self.run(run_id).state.ended:
            return
        try:
            self._ask_run(run_id, "run_service_terminate_run")
        except UserError:
            if not self.run(run_id).state.ended:  # else it was over before it could be told
                raise

    def retry(self, run_id: str) -> Run:
        """Run again what failed of a run, in the same run."""
        check_can_be_retried(self.run(run_id))
        self._ask_run(run_id, "run_service_retry_run", repeatable=False)
        return self.run(run_id)

    def create_schedule(self, submission: Submission, timetable: Timetable) -> Schedule:
        """Have a pipeline run at set times."""
        import kfp_server_api

        if timetable.max_runs:
            mend = "leave --max-runs out, and delete the schedule after them"
            raise UserError(f"schedule {timetable.name}", "cannot end after so many runs on Kubeflow Pipelines", mend)
        cron = kfp_server_api.V2beta1CronSchedule(
            cron=six_fields(timetable.cron), start_time=timetable.start, end_time=timetable.end
        )
        body = kfp_server_api.V2beta1RecurringRun(
            display_name=timetable.name,
            mode=kfp_server_api.RecurringRunMode.ENABLE,
            trigger=kfp_server_api.V2beta1Trigger(cron_schedule=cron),
            max_concurrency=str(timetable.max_concurrent_runs),
            no_catchup=not timetable.catch_up,
            **self._order(submission),
        )
        method = "recurring_run_service_create_recurring_run"
        subject = f"schedule {timetable.name}"
        return self._schedule(self._calls.ask(subject, "recurring_runs", method, repeatable=False, recurring_run=body))

    def schedules(self) -> list[Schedule]:
        """Return all schedules of the namespace."""
        listed = self._listed("schedules", "recurring_runs", "recurring_run_service_list_recurring_runs")
        return [self._schedule(each) for each in listed]

    def pause(self, schedule_id: str) -> None:
        """Start no more runs by a schedule until it is resumed."""
        self._ask_schedule(schedule_id, "disable")

    def resume(self, schedule_id: str) -> None:
        """Go on with a schedule that was paused."""
        self._ask_schedule(schedule_id, "enable")

    def delete_schedule(self, schedule_id: str) -> None:
        """Remove a schedule; runs that it has started go on."""
        self._ask_schedule(schedule_id, "delete")

    def _ask_run(self, run_id: str, method: str, *, repeatable: bool = True) -> Any:
        return self._calls.ask(f"run {run_id}", "runs", method, repeatable=repeatable, run_id=run_id)

    def _ask_schedule(self, schedule_id: str, verb: str) -> None:
        method = f"recurring_run_service_{verb}_recurring_run"
        self._calls.ask(f"schedule {schedule_id}", "recurring_runs", method, recurring_run_id=schedule_id)

    def _listed(self, subject: str, service: str, method: str, limit: int | None = None) -> Iterator[Any]:
        """Yield what a service lists of the namespace, newest first, over all pages and up to a limit."""
        token, left = "", LARGEST_PAGE if limit is None else limit
        while left > 0:
            listed = self._calls.ask(
                subject,
                service,
                method,
                namespace=self._settings.namespace,
                page_token=token,
                page_size=min(left, LARGEST_PAGE),
                sort_by=NEWEST_FIRST,
            )
            found = (getattr(listed, service) or [])[:left]
            yield from found
            token, left = listed.next_page_token, left if limit is None else left - len(found)
            if not token:
                return

    def _order(self, submission: Submission) -> dict[str, Any]:
        """Return what a run and a recurring run are asked for with alike."""
        import kfp_server_api

        if submission.failure_policy != DEFAULT_FAILURE_POLICY:
            subject = f"--failure-policy {submission.failure_policy}"
            raise UserError(subject, "Kubeflow Pipelines has none", "leave it out")
        if submission.network:
            raise UserError(
                f"network {submission.network}",
                "means nothing to Kubeflow Pipelines",
                "leave it out: the cluster has its own",
            )
        return {
            "experiment_id": self._experiment(),
            "description": _description(submission.labels),
            "pipeline_spec": _template(submission.template, submission.caching),
            "runtime_config": kfp_server_api.V2beta1RuntimeConfig(
                parameters=dict(submission.parameters), pipeline_root=submission.pipeline_root or None
            ),
            "service_account": submission.service_account or self._settings.service_account or None,
        }

    def _experiment(self) -> str:
        """Return the id of the experiment that runs are filed under; make it when it is not there."""
        import kfp_server_api

        name, namespace = self._settings.experiment, self._settings.namespace
        if found := self._find_experiment(name):
            return found
        body = kfp_server_api.V2beta1Experiment(display_name=name, namespace=namespace)
        try:
            made = self._calls.ask(
                f"experiment {name}", "experiments", "experiment_service_create_experiment", experiment=body
            )
        except UserError:
            if found := self._find_experiment(name):  # made by somebody else meanwhile
                return found
            raise
        return str(made.experiment_id)

    def _find_experiment(self, name: str) -> str:
        predicate = {"operation": "EQUALS", "key": "display_name", "string_value": name}
        listed = self._calls.ask(
            f"experiment {name}",
            "experiments",
            "experiment_service_list_experiments",
            namespace=self._settings.namespace,
            filter=json.dumps({"predicates": [predicate]}),
        )
        return str(listed.experiments[0].experiment_id) if listed.experiments else ""

    def _console(self, page: str, each: str) -> str:
        return f"{self._settings.url}/#/{page}/details/{each}"

    def _run(self, told: Any, tasks: tuple[Task, ...] = ()) -> Run:
        config = told.runtime_config
        state = _state(told)
        return Run(
            id=told.run_id,
            name=told.display_name,
            pipeline=_spec(told).get("pipelineInfo", {}).get("name", ""),
            state=state,
            console=self._console("runs", told.run_id),
            parameters=(config.parameters if config else None) or {},
            labels=_labels(told.description or ""),
            created=time_of(told.created_at),
            started=time_of(told.scheduled_at),
            ended=time_of(told.finished_at) if state.ended else None,
            error=line_of(told.error) or (_failures(tasks) if state is State.FAILED else ""),
            tasks=tasks,
        )

    def _schedule(self, told: Any) -> Schedule:
        cron = told.trigger.cron_schedule if told.trigger else None
        end = time_of(cron.end_time) if cron else None
        is_over = end is not None and end <= datetime.datetime.now(datetime.UTC)
        return Schedule(
            id=told.recurring_run_id,
            name=told.display_name,
            cron=five_fields(cron.cron) if cron else "",
            active=told.status == "ENABLED" and not is_over,
            state=told.status or "",
            console=self._console("recurringrun", told.recurring_run_id),
        )


def _template(path: Path, caching: bool | None) -> dict[str, Any]:
    """Return a compiled pipeline as the API takes it: the spec, or the spec and what is Kubernetes' of it."""
    spec, *platform = read_documents(path)
    if caching is not None:
        for _, task in tasks_in(spec):
            set_caching(task, caching)
    return {"pipeline_spec": spec, "platform_spec": platform[0]} if platform else spec


def _spec(told: Any) -> dict[str, Any]:
    """Return the pipeline spec of a run; {} when the run names an uploaded pipeline in its place."""
    told_spec = told.pipeline_spec or {}
    spec: dict[str, Any] = told_spec.get("pipeline_spec", told_spec)
    return spec


def _description(labels: Mapping[str, str]) -> str | None:
    return LABELS + ", ".join(f"{key}={value}" for key, value in labels.items()) if labels else None


def _labels(description: str) -> dict[str, str]:
    line = next((each for each in description.splitlines() if each.startswith(LABELS)), LABELS)
    pairs = (each.partition("=") for each in line.removeprefix(LABELS).split(", ") if each)
    return {key: value for key, _, value in pairs}


def _state(told: Any) -> State:
    """Return a run's state; one that was cancelled ends as failed, and its history alone tells."""
    state = STATES.get(told.state, State.PENDING)
    history = [each.state for each in told.state_history or ()]
    if state is State.FAILED and "CANCELING" in history[-2:]:
        return State.CANCELLED
    return state


def _failures(tasks: tuple[Task, ...]) -> str:
    failed = list(dict.fromkeys(task.name for task in tasks if task.state is State.FAILED))
    return f"failed in {', '.join(failed)}; the console has the log" if failed else ""
