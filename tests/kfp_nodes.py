"""How a run goes on the local Kubeflow Pipelines: the Argo nodes that its spec becomes, step by step."""

import dataclasses
from collections.abc import Collection
from typing import Any

CONTAINER_SECONDS = 60
LAST = "ALL_UPSTREAM_TASKS_COMPLETED"
OMITTED = "RUNTIME_STATE_UNSPECIFIED"  # what the API makes of Argo's Omitted


@dataclasses.dataclass
class Script:
    """How runs go; a task is named as in the pipeline, `recognize-pages#1` is the one in a loop's second iteration."""

    iterations: int = 2  # of every loop
    failures: Collection[str] = ()  # tasks that fail the first time
    cached: Collection[str] = ()  # tasks that are found in the cache, where they may be
    untriggered: Collection[str] = ()  # tasks whose condition does not hold
    steps: int = 1  # containers that end each time a run is looked at


@dataclasses.dataclass
class Node:
    """A node of the workflow; times are seconds since the run began."""

    path: str
    display_name: str
    state: str
    start: int
    end: int | None
    children: list[str] = dataclasses.field(default_factory=list)  # paths


@dataclasses.dataclass
class Player:
    """Plays one run: each advance lets some more containers end."""

    workflow: str
    spec: dict[str, Any]
    script: Script
    ended: dict[str, tuple[str, int, int]] = dataclasses.field(default_factory=dict)  # by path: state, start, end
    executed: list[tuple[str, int | None, str]] = dataclasses.field(
        default_factory=list
    )  # each container: how it ended
    clock: int = 0
    nodes: list[Node] = dataclasses.field(default_factory=list)
    state: str = "PENDING"

    def advance(self, steps: int) -> None:
        """Let so many containers end."""
        self.nodes, self._steps, self._index = [], steps, None
        root = self._node(self.workflow, self.workflow, "RUNNING")
        driver = self._node(f"{self.workflow}.root-driver", "root-driver", "SUCCEEDED", 0)
        dag = self._node(f"{self.workflow}.root", "root", "RUNNING")
        root.children, driver.children = [driver.path], [dag.path]
        self._dag(self.spec["root"], dag)
        self._close(root, dag.state)
        self.state = dag.state

    def retry(self) -> None:
        """Forget what failed, so that it runs again."""
        self.ended = {path: told for path, told in self.ended.items() if told[0] == "SUCCEEDED"}
        self.state = "PENDING"

    def cancel(self) -> None:
        """End what runs; a workflow that is terminated has failed."""
        for each in self.nodes:
            if each.end is None:
                each.state, each.end = "FAILED", self.clock
        self.state = "FAILED"

    def _node(self, path: str, display_name: str, state: str, seconds: int | None = None) -> Node:
        end = self.clock + seconds if seconds is not None else None
        self.nodes.append(Node(path, display_name, state, self.clock, end))
        return self.nodes[-1]

    def _close(self, node: Node, state: str) -> None:
        within = [each for each in self.nodes if each.path.startswith(f"{node.path}.")]
        node.state = state
        node.start = min((each.start for each in within), default=node.start)
        ends = [each.end for each in within if each.end is not None]
        node.end = None if state == "RUNNING" else max(ends, default=node.start)

    def _dag(self, component: dict[str, Any], node: Node) -> list[Node]:
        """Play the tasks of a DAG, close its node, and return the nodes that end it."""
        tasks = {name: task for name, task in component["dag"]["tasks"].items() if not _is_last(task)}
        states: dict[str, str] = {}
        ends: dict[str, list[Node]] = {}
        for name in _in_order(tasks):
            before = tasks[name].get("dependentTasks", [])
            if any(states.get(each, "RUNNING") == "RUNNING" for each in before):
                continue
            parents = [each for other in before for each in ends[other]] or [node]
            if any(states[each] in ("FAILED", OMITTED) for each in before):
                states[name], ends[name] = self._omitted(name, node.path, parents)
            elif "FAILED" not in states.values() and "RUNNING" not in states.values():
                states[name], ends[name] = self._task(name, tasks[name], node.path, parents)
                states[name] = self._exit_task(component, name, node.path, states[name])
        told = set(states.values())
        over = "FAILED" if "FAILED" in told else "SUCCEEDED"
        self._close(node, "RUNNING" if "RUNNING" in told else over)
        return [each for name in ends for each in ends[name]] or [node]

    def _exit_task(self, component: dict[str, Any], name: str, above: str, state: str) -> str:
        """Play what runs after a task however it ended; its failure is the run's."""
        hooks = {
            each: task
            for each, task in component["dag"]["tasks"].items()
            if _is_last(task) and name in task["dependentTasks"]
        }
        if not hooks or state == "RUNNING":
            return state
        hook = self._node(f"{above}.{name}.onExit", f"{name}.onExit", "RUNNING")
        _link([each for each in self.nodes if each.path == f"{above}.{name}"], hook)
        outcomes = {self._task(each, task, hook.path, [hook])[0] for each, task in hooks.items()}
        outcome = next((each for each in ("RUNNING", "FAILED") if each in outcomes), "SUCCEEDED")
        self._close(hook, outcome)
        return outcome if outcome != "SUCCEEDED" else state

    def _omitted(self, name: str, above: str, parents: list[Node]) -> tuple[str, list[Node]]:
        driver = self._node(f"{above}.{name}-driver", f"{name}-driver", OMITTED, 0)
        node = self._node(f"{above}.{name}", name, OMITTED, 0)
        _link(parents, driver)
        _link([driver], node)
        return OMITTED, [node]

    def _task(self, name: str, task: dict[str, Any], above: str, parents: list[Node]) -> tuple[str, list[Node]]:
        component = self.spec["components"][task["componentRef"]["name"]]
        path = f"{above}.{name}"
        if "parameterIterator" in task:
            node = self._node(path, name, "RUNNING")
            _link(parents, node)
            return self._loop(component, node)
        driver = self._node(f"{path}-driver", f"{name}-driver", "SUCCEEDED", 0)
        _link(parents, driver)
        node = self._node(path, name, "RUNNING")
        _link([driver], node)
        if self._is_in(name, self.script.untriggered):
            node.state, node.end = "SKIPPED", self.clock
            return "SUCCEEDED", [node]
        if "dag" in component:
            ends = self._dag(component, node)
            return node.state, ends
        return self._container(name, task, node)

    def _loop(self, component: dict[str, Any], node: Node) -> tuple[str, list[Node]]:
        driver = self._node(f"{node.path}.iteration-driver", "iteration-driver", "SUCCEEDED", 0)
        group = self._node(f"{node.path}.iteration-iterations", "iteration-iterations", "RUNNING")
        _link([node], driver)
        _link([driver], group)
        outside, ends, states = self._index, [], []
        for index in range(self.script.iterations):
            self._index = index
            title = f"iteration-iterations({index}:{index})"
            item = self._node(f"{node.path}.{title}", title, "RUNNING")
            inner_driver = self._node(f"{item.path}.iteration-item-driver", "iteration-item-driver", "SUCCEEDED", 0)
            inner = self._node(f"{item.path}.iteration-item", "iteration-item", "RUNNING")
            for parent, child in ((group, item), (item, inner_driver), (inner_driver, inner)):
                _link([parent], child)
            ends += self._dag(component, inner)
            self._close(item, inner.state)
            states.append(inner.state)
        self._index = outside
        state = next((each for each in ("RUNNING", "FAILED") if each in states), "SUCCEEDED")
        for each in (group, node):
            self._close(each, state)
        return state, ends

    def _container(self, name: str, task: dict[str, Any], node: Node) -> tuple[str, list[Node]]:
        executor = self._node(f"{node.path}.executor", "executor", "RUNNING")
        _link([node], executor)
        if self._is_in(name, self.script.cached) and task.get("cachingOptions", {}).get("enableCache"):
            executor.state, executor.end = "SKIPPED", self.clock
            self._close(node, "SUCCEEDED")
            return "SUCCEEDED", [executor]
        if node.path not in self.ended and self._steps > 0:
            self._steps -= 1
            self.ended[node.path] = (self._outcome(name), self.clock, self.clock + CONTAINER_SECONDS)
            self.clock += CONTAINER_SECONDS
        if node.path in self.ended:
            executor.state, executor.start, executor.end = self.ended[node.path]
        if "retryPolicy" in task:
            attempt = dataclasses.replace(executor, path=f"{executor.path}(0)", display_name="executor(0)", children=[])
            self.nodes.append(attempt)
            _link([executor], attempt)
        self._close(node, executor.state)
        return executor.state, [executor]

    def _outcome(self, name: str) -> str:
        is_first = all(each[:2] != (name, self._index) for each in self.executed)
        state = "FAILED" if is_first and self._is_in(name, self.script.failures) else "SUCCEEDED"
        self.executed.append((name, self._index, state))
        return state

    def _is_in(self, name: str, names: Collection[str]) -> bool:
        return name in names or f"{name}#{self._index}" in names


def node_id(workflow: str, path: str) -> str:
    """Return the id that Argo gives a node: the workflow's name, and the FNV-1a hash of the node's."""
    if path == workflow:
        return workflow
    value = 2166136261
    for byte in path.encode():
        value = ((value ^ byte) * 16777619) % 2**32
    return f"{workflow}-{value}"


def _is_last(task: dict[str, Any]) -> bool:
    return task.get("triggerPolicy", {}).get("strategy") == LAST


def _link(parents: list[Node], child: Node) -> None:
    for each in parents:
        each.children.append(child.path)


def _in_order(tasks: dict[str, Any]) -> list[str]:
    """Return the tasks so that each comes after those that it depends on."""
    ordered: list[str] = []
    while len(ordered) < len(tasks):
        ready = [
            name
            for name, task in tasks.items()
            if name not in ordered and set(task.get("dependentTasks", [])) <= set(ordered)
        ]
        if not ready:
            raise ValueError("tasks depend on each other in a circle")
        ordered += ready
    return ordered
