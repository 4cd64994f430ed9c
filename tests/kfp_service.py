"""What the local Kubeflow Pipelines keeps: experiments, runs that go on, recurring runs, and what was asked."""

import dataclasses
import datetime
import itertools
import json
import re
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from tests.kfp_nodes import Node, Player, Script, node_id
from tests.kfp_shapes import Refused, check_cron, check_message, check_parameters, pipeline_of
from tests.servers import Fault, Request

PREFIX = "/apis/v2beta1"
NOT_YET = "0001-01-01T00:00:00Z"  # how a node's time is told that has not come
EPOCH = "1970-01-01T00:00:00Z"  # the same of a run
PAGE, LARGEST_PAGE = 20, 200
ALL_STEPS = 1_000_000
QUERIES = {"namespace", "experiment_id", "page_token", "page_size", "sort_by", "filter"}
UNSET = {"run_id", "recurring_run_id", "state", "created_at", "finished_at", "run_details", "error", "state_history"}


@dataclasses.dataclass(kw_only=True)
class Failure(Fault):
    """An answer in place of what a request is for."""

    status: int  # 0: the connection is closed without an answer
    headers: Mapping[str, str]
    page: str | None  # HTML in place of what the API would say


class Kfp:
    """A Kubeflow Pipelines for tests: what is in it, what goes wrong next, and what was asked of it."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.token = ""  # that requests must bear; "" lets all in
        self.namespace = "kubeflow"  # the one that may be used
        self.requests: list[Request] = []
        self.failures: list[Failure] = []
        self.experiments: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.recurring_runs: dict[str, dict[str, Any]] = {}
        self.players: dict[str, Player] = {}
        self.next_script = Script()
        self.now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC)
        self.lock = threading.RLock()
        self._ids = itertools.count(1)

    def script(self, **choices: Any) -> Script:
        """Choose how the runs go that are created from now on; see `Script`."""
        self.next_script = Script(**choices)
        return self.next_script

    def fail_next(
        self,
        status: int,
        times: int = 1,
        *,
        method: str = "",
        path: str = "",
        done_first: bool = False,
        headers: Mapping[str, str] | None = None,
        page: str | None = None,
    ) -> None:
        """Have the next requests fail.

        Args:
            status: What they are answered with; 0 closes the connection without an answer.
            times: How many requests fail.
            method: Only of this method.
            path: Only with this in their path.
            done_first: Whether the request is carried out before its answer gets lost.
            headers: Of the answer.
            page: HTML in place of what the API would say.
        """
        shown = {"status": status, "headers": headers or {}, "page": page}
        self.failures.append(Failure(method=method, path=path, times=times, is_done_first=done_first, **shown))

    def finish(self, run_id: str) -> None:
        """Let a run go on to its end."""
        self.go_on(run_id, steps=ALL_STEPS)

    def start_scheduled(self, recurring_run_id: str) -> dict[str, Any]:
        """Let a schedule start its next run."""
        schedule = self.recurring_runs[recurring_run_id]
        if schedule["status"] != "ENABLED":
            raise Refused(400, "The recurring run is disabled.")
        copied = {"experiment_id", "pipeline_spec", "runtime_config", "service_account"}
        body = {key: value for key, value in schedule.items() if key in copied}
        name = f"{schedule['display_name']}-{len(self.runs) + 1}"
        return self._begin(body | {"display_name": name, "recurring_run_id": recurring_run_id})

    def count(self, method: str, path: str) -> int:
        """Return how many requests had this method and this part in their path."""
        return sum(each.method == method and path in each.path for each in self.requests)

    def answer(self, request: Request) -> Any:
        """Carry out a request; raises Refused."""
        if self.token and request.authorization != f"Bearer {self.token}":
            raise Refused(401, "Request header error: there is no user identity header.")
        for method, pattern, action in ROUTES:
            found = re.fullmatch(PREFIX + pattern, request.path)
            if found and method == request.method:
                return action(self, request, *found.groups())
        raise Refused(404, "Not Found")

    def _allowed(self, namespace: str | None) -> None:
        if namespace and namespace != self.namespace:
            raise Refused(403, f"User is not authorized to do this in namespace {namespace}")

    def _id(self) -> str:
        return str(uuid.UUID(int=next(self._ids) << 96))

    def _now(self) -> str:
        return _stamp(self.now())

    def _list(self, request: Request, key: str, every: dict[str, dict[str, Any]]) -> dict[str, Any]:
        self._allowed(request.query.get("namespace"))
        if unknown := set(request.query) - QUERIES:
            raise Refused(400, f"unknown query parameter {sorted(unknown)[0]}")
        if request.query.get("sort_by", "") not in ("", "created_at desc"):
            raise Refused(400, f"Invalid sorting field: {request.query['sort_by']}")
        found = [each for each in reversed(every.values()) if _passes(each, request.query.get("filter", ""))]
        size = min(int(request.query.get("page_size", PAGE)), LARGEST_PAGE)
        start = int(request.query.get("page_token") or 0)
        if not found:
            return {}
        page = {key: found[start : start + size], "total_size": len(found)}
        return page | ({"next_page_token": str(start + size)} if start + size < len(found) else {})

    def list_experiments(self, request: Request) -> Any:
        return self._list(request, "experiments", self.experiments)

    def list_runs(self, request: Request) -> Any:
        return self._list(request, "runs", self.runs)

    def list_recurring_runs(self, request: Request) -> Any:
        return self._list(request, "recurringRuns", self.recurring_runs)

    def create_experiment(self, request: Request) -> Any:
        check_message(request.body, "V2beta1Experiment")
        name = request.body.get("display_name")
        self._allowed(request.body.get("namespace"))
        if not name:
            raise Refused(400, "The experiment name is empty. Please specify a valid name")
        if any(each["display_name"] == name for each in self.experiments.values()):
            raise Refused(409, f"Failed to create experiment. The name {name} already exists")
        made = {"experiment_id": self._id(), "created_at": self._now(), "storage_state": "AVAILABLE"}
        self.experiments[made["experiment_id"]] = made | request.body
        return self.experiments[made["experiment_id"]]

    def create_run(self, request: Request) -> Any:
        self._check_order(request.body, "V2beta1Run")
        return self._begin(request.body)

    def _check_order(self, body: Any, kind: str) -> None:
        check_message(body, kind)
        if given := sorted(UNSET & set(body)):
            raise Refused(400, f"{given[0]} is set by the server")
        if not body.get("display_name"):
            raise Refused(400, "The run name is empty. Please specify a valid name")
        if body.get("experiment_id") not in self.experiments:
            raise Refused(404, f"Experiment {body.get('experiment_id')} not found.")
        spec = pipeline_of(body.get("pipeline_spec"))
        check_parameters(spec, body.get("runtime_config", {}).get("parameters", {}))

    def _begin(self, body: dict[str, Any]) -> dict[str, Any]:
        run_id = self._id()
        spec = pipeline_of(body["pipeline_spec"])
        workflow = f"{spec['pipelineInfo']['name']}-{run_id[:8]}"
        self.players[run_id] = Player(workflow, spec, self.next_script)
        run = body | {"run_id": run_id, "created_at": self._now(), "scheduled_at": self._now(), "finished_at": EPOCH}
        run |= {"storage_state": "AVAILABLE", "state_history": []}
        run.setdefault("service_account", "pipeline-runner")
        self.runs[run_id] = run
        self._enter(run, "PENDING")
        return run

    def _enter(self, run: dict[str, Any], state: str) -> None:
        if run.get("state") != state:
            run["state_history"].append({"update_time": run["created_at"], "state": state})
        run["state"] = state

    def _find(self, every: dict[str, dict[str, Any]], what: str, wanted: str) -> dict[str, Any]:
        if wanted not in every:
            raise Refused(404, f"{what} {wanted} not found.")
        return every[wanted]

    def get_run(self, request: Request, run_id: str) -> Any:
        run = self._find(self.runs, "Run", run_id)
        told = json.loads(json.dumps(run))  # as it is now; what becomes of it, the next look tells
        self.go_on(run_id)
        return told

    def go_on(self, run_id: str, steps: int | None = None) -> None:
        """Let some more of a run happen: so many containers end, or as many as its script says."""
        run, player = self.runs[run_id], self.players[run_id]
        if run["state"] == "CANCELING":
            player.cancel()
        elif run["state"] not in ("PENDING", "RUNNING"):
            return
        elif steps is not None:
            player.advance(steps)
        else:
            player.advance(player.script.steps if player.nodes else 0)
        self._enter(run, player.state)
        if run["state"] != "RUNNING":
            run["finished_at"] = _shifted(run["created_at"], player.clock)
        run["run_details"] = {"task_details": [_detail(run, player, each) for each in _by_id(player)]}

    def terminate_run(self, request: Request, run_id: str) -> Any:
        run = self._find(self.runs, "Run", run_id)
        if run["state"] not in ("PENDING", "RUNNING"):
            raise Refused(400, f"Failed to terminate a run {run_id}. Row not found")
        self._enter(run, "CANCELING")
        return {}

    def retry_run(self, request: Request, run_id: str) -> Any:
        run = self._find(self.runs, "Run", run_id)
        if run["state"] != "FAILED":
            raise Refused(400, f"Cannot claim run {run_id} for retry: not in a terminal state")
        self.players[run_id].retry()
        run["finished_at"] = EPOCH
        self._enter(run, "PENDING")
        return {}

    def create_recurring_run(self, request: Request) -> Any:
        body = request.body
        self._check_order(body, "V2beta1RecurringRun")
        if not 1 <= int(body.get("max_concurrency", 0)) <= 10:
            raise Refused(400, "Max concurrency of a recurring run must be at least 1 and at most 10.")
        trigger = body.get("trigger", {})
        if len(trigger) != 1:
            raise Refused(400, "a recurring run needs one trigger")
        check_cron(trigger["cron_schedule"]["cron"])
        made = {"recurring_run_id": self._id(), "created_at": self._now(), "namespace": self.namespace}
        self.recurring_runs[made["recurring_run_id"]] = made | body
        mode = "enable" if body.get("mode") == "ENABLE" else "disable"
        self.switch(request, made["recurring_run_id"], mode)
        return self.recurring_runs[made["recurring_run_id"]]

    def get_recurring_run(self, request: Request, each: str) -> Any:
        return self._find(self.recurring_runs, "RecurringRun", each)

    def switch(self, request: Request, each: str, mode: str) -> Any:
        self._find(self.recurring_runs, "RecurringRun", each).update(mode=mode.upper(), status=f"{mode.upper()}D")
        return {}

    def delete_recurring_run(self, request: Request, each: str) -> Any:
        self._find(self.recurring_runs, "RecurringRun", each)
        del self.recurring_runs[each]
        return {}

    def healthz(self, request: Request) -> Any:
        return {"multi_user": False, "pipeline_store": "database"}


ROUTES: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("GET", "/healthz", Kfp.healthz),
    ("GET", "/experiments", Kfp.list_experiments),
    ("POST", "/experiments", Kfp.create_experiment),
    ("GET", "/runs", Kfp.list_runs),
    ("POST", "/runs", Kfp.create_run),
    ("GET", "/runs/([^/:]+)", Kfp.get_run),
    ("POST", "/runs/([^/:]+):terminate", Kfp.terminate_run),
    ("POST", "/runs/([^/:]+):retry", Kfp.retry_run),
    ("GET", "/recurringruns", Kfp.list_recurring_runs),
    ("POST", "/recurringruns", Kfp.create_recurring_run),
    ("GET", "/recurringruns/([^/:]+)", Kfp.get_recurring_run),
    ("DELETE", "/recurringruns/([^/:]+)", Kfp.delete_recurring_run),
    ("POST", "/recurringruns/([^/:]+):(enable|disable)", Kfp.switch),
)


def _passes(each: dict[str, Any], filters: str) -> bool:
    if not filters:
        return True
    told = json.loads(filters)
    for predicate in told["predicates"]:  # Protocol Buffers read enumerations by number, and names in both spellings
        predicate["operation"] = "EQUALS" if predicate["operation"] == 1 else predicate["operation"]
        predicate["string_value"] = predicate.pop("stringValue", None) or predicate.get("string_value")
    check_message(told, "V2beta1Filter", "filter")
    if any(predicate["operation"] != "EQUALS" for predicate in told["predicates"]):
        raise Refused(400, "this server knows no other operation than EQUALS")
    return all(each[predicate["key"]] == predicate["string_value"] for predicate in told["predicates"])


def _stamp(moment: datetime.datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _shifted(stamp: str, seconds: int | None) -> str:
    if seconds is None:
        return NOT_YET
    return _stamp(datetime.datetime.fromisoformat(stamp) + datetime.timedelta(seconds=seconds))


def _by_id(player: Player) -> list[Node]:
    return sorted(player.nodes, key=lambda node: node_id(player.workflow, node.path))


def _detail(run: dict[str, Any], player: Player, node: Node) -> dict[str, Any]:
    """Return a node as the API tells of it: without its own id, and without why it failed."""
    children = [{"pod_name": node_id(player.workflow, each)} for each in node.children]
    return {
        "run_id": run["run_id"],
        "task_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{run['run_id']}/{node.path}")),
        "display_name": node.display_name,
        "create_time": run["created_at"],
        "start_time": _shifted(run["created_at"], node.start),
        "end_time": _shifted(run["created_at"], node.end),
        "state": node.state,
        **({"child_tasks": children} if children else {}),
    }
