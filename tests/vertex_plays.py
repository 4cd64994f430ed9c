"""How a pipeline job goes on the local Vertex AI: its real graph, step by step, with the failures that a test chose."""

import collections
import dataclasses
import datetime
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.vertex_checks import invalid

ENDED = {"SUCCEEDED", "SKIPPED", "FAILED", "CANCELLED", "NOT_TRIGGERED"}
GOOD = {"SUCCEEDED", "SKIPPED"}
EXECUTION_STATES = {"SUCCEEDED": "COMPLETE", "SKIPPED": "CACHED", "FAILED": "FAILED", "CANCELLED": "CANCELLED"}
ALWAYS = "ALL_UPSTREAM_TASKS_COMPLETED"
FAIL_FAST = "PIPELINE_FAILURE_POLICY_FAIL_FAST"


@dataclasses.dataclass
class Script:
    """How jobs go; a task is named as in the pipeline, `recognize-pages#1` is the one in a loop's second iteration."""

    iterations: int = 2  # of loops over what a task has told
    failures: Mapping[str, str] = dataclasses.field(default_factory=dict)  # message by task
    untriggered: frozenset[str] = frozenset()  # tasks whose condition does not hold
    held: set[str] = dataclasses.field(default_factory=set)  # tasks that run as long as they are in here
    steps: int = 1  # that a job goes on each time it is looked at


@dataclasses.dataclass(eq=False)
class Node:
    """A task: of a container, of a loop, of one iteration of it, or of a group."""

    id: int
    name: str
    task: Mapping[str, Any]
    parent: "Node | None"
    iteration: int | None
    scope: Mapping[str, str]  # what the inputs stand for, inside of a task that holds tasks
    created: datetime.datetime
    key: str = ""  # the same for tasks that do the same with the same inputs
    state: str = "PENDING"
    started: datetime.datetime | None = None
    ended: datetime.datetime | None = None
    error: str = ""
    children: "list[Node]" = dataclasses.field(default_factory=list)


class Play:
    """A pipeline job as it goes."""

    def __init__(
        self,
        job: Mapping[str, Any],
        script: Script,
        cache: set[str],
        now: Callable[[], datetime.datetime],
        ids: Iterator[int],
    ) -> None:
        self.spec = job["pipelineSpec"]
        self.is_fast = job["runtimeConfig"].get("failurePolicy") in (FAIL_FAST, 2)
        self.script, self.cache, self.now, self.ids = script, cache, now, ids
        definitions = self.spec["root"].get("inputDefinitions", {}).get("parameters", {})
        given = job["runtimeConfig"].get("parameterValues", {})
        values = {name: given.get(name, each.get("defaultValue")) for name, each in definitions.items()}
        self.values = values
        self.scope = {name: json.dumps(value) for name, value in values.items()}
        self.state = "PIPELINE_STATE_PENDING"
        self.started: datetime.datetime | None = None
        self.ended: datetime.datetime | None = None
        self.error = ""
        self.nodes: list[Node] = []

    def step(self) -> None:
        """Go on: what runs ends, what waited for it begins."""
        if self.state == "PIPELINE_STATE_PENDING":
            self.state, self.started = "PIPELINE_STATE_RUNNING", self.now()
            self.nodes = self._tasks_of(self.spec["root"], None, self.scope, None)
            self._start(self.nodes)
        elif self.state == "PIPELINE_STATE_RUNNING":
            self._go_on(self.nodes)
            if all(node.state in ENDED for node in self.nodes):
                self._end()
        elif self.state == "PIPELINE_STATE_CANCELLING":
            for node in self._all(self.nodes):
                if node.state == "RUNNING":
                    self._close(node, "CANCELLED", "The task was cancelled.")
            self.state, self.ended = "PIPELINE_STATE_CANCELLED", self.now()

    def cancel(self) -> None:
        if self.ended is not None:
            raise invalid("The PipelineJob has already finished.")
        self.state = "PIPELINE_STATE_CANCELLING"

    def details(self, parent: str) -> list[dict[str, Any]]:
        """Return the details of the tasks that have come up so far, as the service tells them."""
        shown = [node for node in self._all(self.nodes) if node.state != "PENDING"]
        return [self._detail(node, parent) for node in sorted(shown, key=lambda node: node.id)]

    def _tasks_of(
        self, component: Mapping[str, Any], parent: Node | None, scope: Mapping[str, str], iteration: int | None
    ) -> list[Node]:
        tasks = component["dag"]["tasks"]
        return [self._node(name, {"name": name, **task}, parent, scope, iteration) for name, task in tasks.items()]

    def _node(
        self, name: str, task: Mapping[str, Any], parent: Node | None, scope: Mapping[str, str], iteration: int | None
    ) -> Node:
        return Node(next(self.ids), name, task, parent, iteration, scope, self.now())

    def _component(self, node: Node) -> Mapping[str, Any]:
        component: Mapping[str, Any] = self.spec["components"][node.task["componentRef"]["name"]]
        return component

    def _go_on(self, siblings: list[Node]) -> None:
        for node in siblings:
            if node.state != "RUNNING":
                continue
            if node.children:
                self._go_on(node.children)
                self._close_group(node)
            elif not self._is(node, self.script.held):
                self._close_task(node)
        self._start(siblings)

    def _start(self, siblings: list[Node]) -> None:
        by_name = {node.name: node for node in siblings}
        for node in siblings:
            before = [by_name[name] for name in node.task.get("dependentTasks", ())]
            if node.state == "PENDING" and all(each.state in ENDED for each in before):
                trigger = node.task.get("triggerPolicy", {})
                is_last = trigger.get("strategy") == ALWAYS
                stops = self.is_fast and any(each.state == "FAILED" for each in self._all(self.nodes))
                may = is_last or (all(each.state in GOOD for each in before) and not stops)
                if not may or self._is(node, self.script.untriggered):
                    node.created = self.now()
                    self._close(node, "NOT_TRIGGERED")
                    continue
                self._begin(node, by_name)

    def _begin(self, node: Node, siblings: Mapping[str, Node]) -> None:
        node.created = node.started = self.now()
        node.state = "RUNNING"
        inputs = self._inputs(node, siblings)
        component = self._component(node)
        node.key = self._digest(node, component, inputs)
        if "dag" not in component:
            if node.task.get("cachingOptions", {}).get("enableCache") and node.key in self.cache:
                self._close(node, "SKIPPED")
        elif "parameterIterator" in node.task or "artifactIterator" in node.task:
            node.children = self._iterations(node, inputs)
        else:
            node.children = self._tasks_of(component, node, inputs, node.iteration)
            self._start(node.children)

    def _iterations(self, loop: Node, inputs: Mapping[str, str]) -> list[Node]:
        iterator = loop.task.get("parameterIterator") or loop.task["artifactIterator"]
        source = iterator["items"].get("raw") or inputs[iterator["items"]["inputParameter"]]
        task = {"componentRef": loop.task["componentRef"], "name": loop.name}
        nodes = []
        for number in range(self._length(source)):
            scope = {**inputs, iterator["itemInput"]: f"{source}[{number}]"}
            node = self._node(f"{loop.name}-{number}", task, loop, scope, number)
            node.state, node.started = "RUNNING", self.now()
            node.children = self._tasks_of(self._component(loop), node, scope, number)
            self._start(node.children)
            nodes.append(node)
        return nodes

    def _length(self, source: str) -> int:
        try:
            items = json.loads(source)
        except ValueError:
            return self.script.iterations
        return len(items) if isinstance(items, list) else self.script.iterations

    def _inputs(self, node: Node, siblings: Mapping[str, Node]) -> dict[str, str]:
        """Return what each input stands for: a value, or an output of a task with certain inputs of its own."""
        scope = node.scope
        inputs = {}
        given = node.task.get("inputs", {})
        for name, source in itertools.chain(given.get("parameters", {}).items(), given.get("artifacts", {}).items()):
            match source:
                case {"componentInputParameter": outer} | {"componentInputArtifact": outer}:
                    inputs[name] = scope[outer]
                case {"taskOutputParameter": {"producerTask": task, "outputParameterKey": key}}:
                    inputs[name] = f"{siblings[task].key}.{key}"
                case {"taskOutputArtifact": {"producerTask": task, "outputArtifactKey": key}}:
                    inputs[name] = f"{siblings[task].key}.{key}"
                case {"taskFinalStatus": _}:
                    inputs[name] = f"status {node.id}"
                case {"runtimeValue": value}:
                    inputs[name] = json.dumps(value, sort_keys=True)
                case _:
                    raise invalid(f"Input {name} of task {node.name} comes from nowhere.")
        return inputs

    def _digest(self, node: Node, component: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
        executor = self.spec["deploymentSpec"]["executors"].get(component.get("executorLabel"), {})
        what = [self.spec["pipelineInfo"]["name"], node.name, executor, inputs]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def _close_task(self, node: Node) -> None:
        names = (node.name, f"{node.name}#{node.iteration}")
        message = next((self.script.failures[name] for name in names if name in self.script.failures), "")
        if not message:
            self.cache.add(node.key)
        self._close(node, "FAILED" if message else "SUCCEEDED", message)

    def _close_group(self, node: Node) -> None:
        if all(child.state in ENDED for child in node.children):
            failed = [child.name for child in node.children if child.state == "FAILED"]
            self._close(node, "FAILED" if failed else "SUCCEEDED", _failure(failed) if failed else "")

    def _close(self, node: Node, state: str, error: str = "") -> None:
        node.state, node.error, node.ended = state, error, self.now()

    def _end(self) -> None:
        failed = [node.name for node in self.nodes if node.state == "FAILED"]
        self.ended = self.now()
        self.state = "PIPELINE_STATE_FAILED" if failed else "PIPELINE_STATE_SUCCEEDED"
        self.error = _failure(failed) if failed else ""

    def _is(self, node: Node, names: collections.abc.Set[str]) -> bool:
        return node.name in names or f"{node.name}#{node.iteration}" in names

    def _all(self, nodes: list[Node]) -> Iterator[Node]:
        for node in nodes:
            yield node
            yield from self._all(node.children)

    def _detail(self, node: Node, parent: str) -> dict[str, Any]:
        kind = "system.DagExecution" if node.children else "system.ContainerExecution"
        detail: dict[str, Any] = {
            "taskId": str(node.id),
            "taskName": node.name,
            "taskUniqueName": ".".join(reversed(list(_lineage(node)))),
            "createTime": stamp(node.created),
            "state": node.state,
            "execution": {
                "name": f"{parent}/metadataStores/default/executions/{node.id}",
                "displayName": node.name,
                "schemaTitle": kind,
                "state": EXECUTION_STATES.get(node.state, "RUNNING"),
            },
        }
        if node.parent is not None:
            detail["parentTaskId"] = str(node.parent.id)
        if node.state != "NOT_TRIGGERED" and node.started is not None:
            detail["startTime"] = stamp(node.started)
        if node.ended is not None:
            detail["endTime"] = stamp(node.ended)
        if node.error:
            detail["error"] = {"code": 9, "message": node.error}
        return detail


def stamp(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _failure(names: list[str]) -> str:
    return f"The DAG failed because some tasks failed. The failed tasks are: [{', '.join(names)}]."


def _lineage(node: Node | None) -> Iterator[str]:
    while node is not None:
        yield node.name
        node = node.parent
