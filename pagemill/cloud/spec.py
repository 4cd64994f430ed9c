"""The specification of a compiled pipeline: read from its YAML, and walked from task to task."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, ten times as fast, where it is
_AFTER_ALL = "ALL_UPSTREAM_TASKS_COMPLETED"


def read_documents(template: Path) -> list[dict[str, Any]]:
    """Return what a template holds: the specification, and behind it what only Kubernetes needs, if there is any."""
    return list(yaml.load_all(template.read_text(encoding="utf-8"), _LOADER))


def parameters_in(spec: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the declarations of a pipeline's parameters, by name."""
    found: dict[str, dict[str, Any]] = spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    return found


def tasks_in(spec: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and declaration of every task, also of loops and other tasks that hold tasks."""
    for component in (spec.get("root", {}), *spec.get("components", {}).values()):
        yield from component.get("dag", {}).get("tasks", {}).items()


def component_of(spec: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a task executes: a component with an executor, or one with a dag of further tasks."""
    found: dict[str, Any] = spec.get("components", {}).get(task.get("componentRef", {}).get("name"), {})
    return found


def is_exit_task(task: Mapping[str, Any]) -> bool:
    """Say whether a task comes last however the run has ended, and reports on it."""
    return bool(task.get("triggerPolicy", {}).get("strategy") == _AFTER_ALL)


def set_caching(task: dict[str, Any], caching: bool) -> None:
    """Let a task be taken from the cache, or not; an exit task never is, for it would report on another run."""
    task["cachingOptions"] = {"enableCache": True} if caching and not is_exit_task(task) else {}
