"""Writes docs/components.md from the code: what each component takes, gives, records and runs on."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pagemill.cloud.compiled import PIPELINES, path_of
from pagemill.cloud.spec import component_of, read_documents, tasks_in
from pagemill.presets import DEFAULTS

PAGE = Path(__file__).parents[2] / "docs" / "components.md"
_INTRODUCTION = """# Components

What each component takes, gives, records and runs on. This page is made from the code by `make docs`.

Every output has its URI under the run's root in the bucket. What it records is metadata of the artifact: the console
shows it, and ML Metadata keeps it as the lineage. Large data is in the store; artifacts point to it.
"""
_FUNCTION = "--function_to_execute"
_METADATA = re.compile(r"\s*Metadata: (?P<keys>.*?)\.?$", re.S)


def main() -> None:
    """Write the page."""
    PAGE.write_text(reference())


def reference() -> str:
    """Return the page in Markdown."""
    used = {backend: _tasks(backend) for backend in DEFAULTS}
    sections = [_section(component, used) for component in _components()]
    return "\n".join([_INTRODUCTION, *sections])


def _components() -> Iterator[Any]:
    """Yield every component there is, by name."""
    from kfp.dsl.base_component import BaseComponent

    package = importlib.import_module("pagemill.components")
    for module in pkgutil.iter_modules(package.__path__):
        component = getattr(importlib.import_module(f"{package.__name__}.{module.name}"), module.name, None)
        if isinstance(component, BaseComponent):
            yield component


def _tasks(backend: str) -> dict[str, dict[str, Any]]:
    """Return the tasks of all pipelines of a backend by name, each with its executor."""
    found: dict[str, dict[str, Any]] = {}
    for pipeline, source in PIPELINES.items():
        if backend in source.backends:
            spec = read_documents(path_of(pipeline, backend))[0]
            found |= {_name_of(task): task | {"pipeline": pipeline} for task in _leaves(spec)}
    return found


def _name_of(task: dict[str, Any]) -> str:
    """Return the name of the component that a task is made of; the task may be called otherwise."""
    arguments = task["container"].get("args", [])
    if _FUNCTION in arguments:
        return str(arguments[arguments.index(_FUNCTION) + 1]).replace("_", "-")
    return str(task["taskInfo"]["name"])


def _leaves(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for _, task in tasks_in(spec):
        component = component_of(spec, task)
        if label := component.get("executorLabel"):
            executor = spec["deploymentSpec"]["executors"][label]
            given = component.get("inputDefinitions", {}).get("parameters", {})
            yield task | {"container": executor.get("container", {}), "given": given}


def _section(component: Any, used: dict[str, dict[str, dict[str, Any]]]) -> str:
    from docstring_parser import parse

    told = parse(component.python_func.__doc__)
    texts = {each.arg_name: each.description or "" for each in told.params}
    spec = component.component_spec
    task = spec.name
    lines = [f"## {task}", "", " ".join(filter(None, (told.short_description, _flat(told.long_description or ""))))]
    in_pipelines = sorted({tasks[task]["pipeline"] for tasks in used.values() if task in tasks})
    lines += ["", f"Pipelines: {', '.join(in_pipelines) or 'none by default'}. {_running(task, used)}", ""]
    if spec.inputs:
        lines += ["| input | type | default | |", "| --- | --- | --- | --- |"]
        lines += [_input(name, each, texts.get(name, "")) for name, each in spec.inputs.items()]
        lines.append("")
    if spec.outputs:
        lines += ["| output | type | what | metadata |", "| --- | --- | --- | --- |"]
        lines += [_output(name, each, texts.get(name, told.returns)) for name, each in spec.outputs.items()]
        lines.append("")
    return "\n".join(lines)


def _input(name: str, spec: Any, text: str) -> str:
    default = f"`{spec.default!r}`" if spec.optional and spec.default is not None else ""
    return f"| `{name}` | {_type(spec)} | {default} | {_flat(text)} |"


def _output(name: str, spec: Any, text: Any) -> str:
    text = text if isinstance(text, str) else getattr(text, "description", "") or ""
    metadata = _METADATA.search(_flat(text))
    keys = ", ".join(f"`{key}`" for key in metadata["keys"].split(", ")) if metadata else ""
    return f"| `{name}` | {_type(spec)} | {_METADATA.sub('', _flat(text))} | {keys} |"


def _type(spec: Any) -> str:
    name = str(spec.type).partition("@")[0].removeprefix("system.")
    return f"list of {name}" if getattr(spec, "is_artifact_list", False) else name


def _running(task: str, used: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Say how a task is cached, tried again, and what it runs on."""
    found = {backend: tasks[task] for backend, tasks in used.items() if task in tasks}
    if not found:
        return ""
    any_of_them = next(iter(found.values()))
    cached = "Cached" if any_of_them["cachingOptions"].get("enableCache") else "Never cached"
    retries = any_of_them.get("retryPolicy", {}).get("maxRetryCount", 0)
    words = [cached, f"tried again {retries} times" if retries else "not tried again"]
    places = [f"{backend}: {where}" for backend, each in found.items() if (where := _resources(each))]
    return f"{'; '.join(words)}. {'; '.join(places)}".rstrip(". ") + "."


def _resources(task: dict[str, Any]) -> str:
    """Say what a task gets of a machine."""
    if pools := task["given"].get("worker_pool_specs", {}).get("defaultValue"):
        machine = pools[0]["machine_spec"]
        gpus = f"{machine['accelerator_count']:g} x {machine['accelerator_type']}"
        return f"custom job on {machine['machine_type']} with {gpus}"
    resources = task["container"].get("resources", {})
    parts = []
    if cpus := resources.get("resourceCpuLimit"):
        parts.append(f"{cpus} CPUs")
    if memory := resources.get("resourceMemoryLimit"):
        parts.append(memory)
    if accelerator := resources.get("accelerator"):
        parts.append(f"{accelerator['resourceCount']} x {accelerator['resourceType']}")
    return ", ".join(parts)


def _flat(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
