"""On GKE each task is a pod: what Kubernetes is asked for is valid, and what the preset says."""

import copy
import dataclasses
import re
from typing import Any

import kubernetes_validate
import pytest
from kfp.components import load_component_from_file

from pagemill.cloud.compiled import template_for
from pagemill.cloud.spec import read_documents
from pagemill.components import images
from pagemill.presets import PRESETS, SECRET
from pagemill.settings import ImageSettings

PRESET = PRESETS["gke-a100"]
GPU = "exec-recognize-pages"
SECRETS = {
    "exec-discover-archives": ["HF_TOKEN"],
    "exec-extract-pdfs": ["HF_TOKEN", "ARCHIVE_PASSWORDS"],
    "exec-publish-dataset": ["HF_TOKEN"],
}
LABEL = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?", re.ASCII)
QUANTITY = re.compile(r"\d+(Gi)?")


def pod_of(executor: str, documents: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the pod that Kubeflow Pipelines' driver makes of an executor; what this does not know is an error."""
    spec, platform = documents
    container = dict(spec["deploymentSpec"]["executors"][executor]["container"])
    wanted = dict(platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"][executor])
    mounts = wanted.pop("emptyDirMounts", [])
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": executor, "labels": wanted.pop("podMetadata")["labels"]},
        "spec": {
            "containers": [
                {
                    "name": "main",
                    "image": container.pop("image"),
                    "command": container.pop("command"),
                    "args": container.pop("args"),
                    "imagePullPolicy": wanted.pop("imagePullPolicy"),
                    "resources": _resources(container.pop("resources")),
                    "env": [variable for each in wanted.pop("secretAsEnv", []) for variable in _variables(each)],
                    "volumeMounts": [{"name": each["volumeName"], "mountPath": each["mountPath"]} for each in mounts],
                }
            ],
            "nodeSelector": wanted.pop("nodeSelector", {}).get("labels", {}),
            "tolerations": wanted.pop("tolerations", []),
            "volumes": [
                {
                    "name": each["volumeName"],
                    "emptyDir": {"medium": each["medium"], "sizeLimit": each["sizeLimit"]},
                }
                for each in mounts
            ],
        },
    }
    assert (container, wanted) == ({}, {})
    return pod


def _resources(resources: dict[str, Any]) -> dict[str, Any]:
    limits = {"cpu": resources["resourceCpuLimit"], "memory": resources["resourceMemoryLimit"]}
    if accelerator := resources.get("accelerator"):
        limits[accelerator["resourceType"]] = accelerator["resourceCount"]
    requests = {"cpu": resources["resourceCpuRequest"], "memory": resources["resourceMemoryRequest"]}
    return {"limits": limits, "requests": requests}


def _variables(secret: dict[str, Any]) -> list[dict[str, Any]]:
    name = secret["secretNameParameter"]["runtimeValue"]["constant"]
    return [
        {
            "name": each["envVar"],
            "valueFrom": {"secretKeyRef": {"name": name, "key": each["secretKey"], "optional": secret["optional"]}},
        }
        for each in secret["keyToEnv"]
    ]


@pytest.fixture(scope="module")
def pods(documents) -> dict[str, dict[str, Any]]:
    """The pod of each task, by executor."""
    executors = documents[PRESET.name][0]["deploymentSpec"]["executors"]
    return {each: pod_of(each, documents[PRESET.name]) for each in executors}


def main(pod: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod["spec"]["containers"]
    return container


@pytest.mark.parametrize("version", ["1.30", kubernetes_validate.latest_version()])
def test_every_pod_is_one_to_kubernetes(pods, version):
    assert len(pods) == 12
    for pod in pods.values():
        kubernetes_validate.validate(pod, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_would_be_found(pods):
    pod = copy.deepcopy(pods[GPU])
    pod["spec"]["tolerations"][0]["taint"] = "nvidia.com/gpu"
    with pytest.raises(kubernetes_validate.ValidationError, match="taint"):
        kubernetes_validate.validate(pod, "1.30", strict=True)


def test_labels_and_quantities_are_written_as_kubernetes_wants_them(pods):
    for pod in pods.values():
        for key, value in (pod["metadata"]["labels"] | pod["spec"]["nodeSelector"]).items():
            assert LABEL.fullmatch(key)
            assert LABEL.fullmatch(value)
        for quantities in main(pod)["resources"].values():
            assert all(QUANTITY.fullmatch(each) for each in quantities.values())


def test_pages_are_read_on_a_spot_node_with_the_gpus_of_the_preset(pods):
    pod = pods[GPU]
    assert main(pod)["image"] == images.NOUGAT
    assert main(pod)["resources"] == {
        "limits": {"cpu": "11", "memory": "72Gi", "nvidia.com/gpu": "1"},
        "requests": {"cpu": "11", "memory": "72Gi"},
    }
    assert pod["spec"]["nodeSelector"] == {
        "cloud.google.com/gke-accelerator": "nvidia-tesla-a100",
        "cloud.google.com/gke-spot": "true",
    }
    assert pod["spec"]["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"},
    ]


def test_workers_share_pages_in_memory_that_the_pod_pays_for(pods):
    (volume,) = pods[GPU]["spec"]["volumes"]
    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Gi"}
    assert main(pods[GPU])["volumeMounts"] == [{"name": volume["name"], "mountPath": "/dev/shm"}]


def test_the_other_tasks_ask_for_no_gpu_node(pods):
    for executor, pod in pods.items():
        if executor != GPU:
            assert main(pod)["resources"] == {
                "limits": {"cpu": "4", "memory": "16Gi"},
                "requests": {"cpu": "4", "memory": "16Gi"},
            }
            assert (pod["spec"]["nodeSelector"], pod["spec"]["tolerations"], pod["spec"]["volumes"]) == ({}, [], [])


def test_pods_are_labelled_for_the_bill_and_gpus_are_queued_for(pods):
    bill = {"pagemill/pipeline": "book-dataset", "pagemill/preset": "gke-a100"}
    queue = {"kueue.x-k8s.io/queue-name": "pagemill"}
    for executor, pod in pods.items():
        assert pod["metadata"]["labels"] == (bill | queue if executor == GPU else bill)
        assert main(pod)["imagePullPolicy"] == "IfNotPresent"


def test_secrets_come_from_the_cluster_where_there_are_some_and_only_to_tasks_that_need_them(pods):
    for executor, pod in pods.items():
        references = [each["valueFrom"]["secretKeyRef"] for each in main(pod)["env"]]
        assert [each["name"] for each in main(pod)["env"]] == SECRETS.get(executor, [])
        assert [each["key"] for each in references] == SECRETS.get(executor, [])
        assert all(each["name"] == SECRET and each["optional"] for each in references)


def test_flex_start_and_lasting_machines_have_other_nodes_and_no_queue_where_there_is_none(tmp_path):
    accelerator = {"cloud.google.com/gke-accelerator": PRESET.accelerator}
    for provisioning, more in (("STANDARD", {}), ("FLEX_START", {"cloud.google.com/gke-flex-start": "true"})):
        preset = dataclasses.replace(PRESET, provisioning=provisioning, queue="")
        path = template_for("book-dataset", preset, "worker", ImageSettings(), tmp_path)
        pod = pod_of(GPU, read_documents(path))
        assert pod["spec"]["nodeSelector"] == accelerator | more
        assert [each["key"] for each in pod["spec"]["tolerations"]] == ["nvidia.com/gpu", *more]
        assert "kueue.x-k8s.io/queue-name" not in pod["metadata"]["labels"]


def test_the_template_with_its_second_document_is_loaded_as_one_component(templates):
    pipeline = load_component_from_file(str(templates[PRESET.name]))
    assert pipeline.name == "book-dataset"
    assert set(pipeline.platform_spec.platforms) == {"kubernetes"}
