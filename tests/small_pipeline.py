"""A small compiled pipeline with everything that has a shape of its own: exit handler, loop, condition, caching."""

from pathlib import Path
from typing import Any

import yaml

PARAMETERS = {"source": "gs://bucket/books", "limit": 4}


def small_pipeline() -> dict[str, Any]:
    """Return its specification: plan, read and clean in a loop, gather, publish on a condition, then report."""
    loop = {
        "read": _task("read", shard="item", store="store"),
        "clean": _task("clean", after=["read"], text="read.text"),
    }
    group = {
        "plan": _task("plan", source="source", limit="limit"),
        "for-loop-1": _task("for-loop-1", after=["plan"], shards="plan.Output", store="source")
        | {"parameterIterator": {"itemInput": "item", "items": {"inputParameter": "shards"}}},
        "gather": _task("gather", after=["for-loop-1"], texts="for-loop-1.texts"),
        "condition-1": _task("condition-1", after=["gather"], publish="publish")
        | {"triggerPolicy": {"condition": "inputs.parameter_values['publish'] == true"}},
    }
    last = _task("report", after=["exit-handler-1"], source="source") | {
        "cachingOptions": {},
        "triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"},
    }
    last["inputs"]["parameters"]["status"] = {"taskFinalStatus": {"producerTask": "exit-handler-1"}}
    outer = {"source": "source", "limit": "limit", "publish": "publish"}
    inputs = {
        "source": {"parameterType": "STRING"},
        "limit": {"parameterType": "NUMBER_INTEGER"},
        "fraction": {"parameterType": "NUMBER_DOUBLE", "defaultValue": 0.5},
        "publish": {"parameterType": "BOOLEAN", "defaultValue": True},
    }
    executed = ("plan", "read", "clean", "gather", "publish", "report")
    dags = {
        "for-loop-1": loop,
        "condition-1": {"publish": _task("publish", publish="publish")},
        "exit-handler-1": group,
    }
    return {
        "pipelineInfo": {"name": "small"},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
        "root": {
            "dag": {"tasks": {"exit-handler-1": _task("exit-handler-1", **outer), "report": last}},
            "inputDefinitions": {"parameters": inputs},
        },
        "components": {f"comp-{name}": {"executorLabel": f"exec-{name}"} for name in executed}
        | {f"comp-{name}": {"dag": {"tasks": tasks}} for name, tasks in dags.items()},
        "deploymentSpec": {
            "executors": {f"exec-{name}": {"container": {"image": f"example/{name}:1"}} for name in executed}
        },
    }


def write_small_pipeline(folder: Path) -> Path:
    """Write it where a submission can name it."""
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(small_pipeline()))
    return path


def _task(name: str, *, after: list[str] | None = None, **inputs: str) -> dict[str, Any]:
    """Return a task; an input is a parameter of what holds it, or `task.output`."""
    parameters: dict[str, Any] = {}
    for key, source in inputs.items():
        producer, _, output = source.rpartition(".")
        outside = {"componentInputParameter": source}
        inside = {"taskOutputParameter": {"producerTask": producer, "outputParameterKey": output}}
        parameters[key] = inside if producer else outside
    return {
        "componentRef": {"name": f"comp-{name}"},
        "cachingOptions": {"enableCache": name != "gather"},
        "dependentTasks": after or [],
        "inputs": {"parameters": parameters},
        "taskInfo": {"name": name},
    }
