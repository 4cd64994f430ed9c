"""Where each task runs and what it has there: machine, memory, secrets and labels, as a preset says."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from kfp import dsl

from pagemill.presets import SECRET, Preset

RETRIES = 2

VERTEX_ACCELERATORS = {"nvidia-tesla-a100": "NVIDIA_TESLA_A100", "nvidia-a100-80gb": "NVIDIA_A100_80GB"}
_GKE_NODES = {  # the label of nodes that are provisioned so; those of SPOT have a taint of the same name
    "STANDARD": {},
    "SPOT": {"cloud.google.com/gke-spot": "true"},
    "FLEX_START": {"cloud.google.com/gke-flex-start": "true"},
}


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    """A preset, as it is applied to the tasks of a pipeline."""

    preset: Preset
    pipeline: str

    def gpu_component(self, component: Any) -> Any:
        """Return the component to make a GPU task of.

        On Vertex AI it is a custom job, for a mere task can have neither a disk of a size nor Spot machines. Inputs,
        outputs and metadata are the component's own: the job writes them under /gcs, as a task does.
        """
        return _custom_job(component, self) if self.preset.backend == "vertex" else component

    def gpu_task(self, task: dsl.PipelineTask) -> dsl.PipelineTask:
        """Have a task, of a component that `gpu_component` returned, run on the preset's machine."""
        if self.preset.backend == "kfp":
            _use_pod(task, self, self.preset.cpus, self.preset.memory_gib)
            _use_gpu_node(task, self.preset)
        return self._retried(task)

    def cpu_task(
        self, task: dsl.PipelineTask, *, secrets: Iterable[str] = (), retries: int = RETRIES
    ) -> dsl.PipelineTask:
        """Have a task run on a machine without GPUs.

        Args:
            task: The task.
            secrets: Variables that hold secrets, which it may need. On GKE they come from a secret of the cluster;
                elsewhere parameters name them.
            retries: How often the task is tried again.
        """
        if self.preset.backend == "vertex":
            task.set_cpu_limit(str(self.preset.cpu_task_cpus)).set_memory_limit(f"{self.preset.cpu_task_memory_gib}Gi")
        elif self.preset.backend == "kfp":
            _use_pod(task, self, self.preset.cpu_task_cpus, self.preset.cpu_task_memory_gib)
            _use_secrets(task, list(secrets))
        return self._retried(task, retries)

    def _retried(self, task: dsl.PipelineTask, retries: int = RETRIES) -> dsl.PipelineTask:
        if not retries:
            return task
        if self.preset.backend == "local":
            return task.set_retry(retries)
        return task.set_retry(retries, backoff_duration="60s", backoff_factor=2.0, backoff_max_duration="600s")


def _custom_job(component: Any, placement: Placement) -> Any:
    from google_cloud_pipeline_components.v1.custom_job import create_custom_training_job_from_component

    preset = placement.preset
    return create_custom_training_job_from_component(
        component,
        machine_type=preset.machine,
        accelerator_type=VERTEX_ACCELERATORS[preset.accelerator],
        accelerator_count=preset.accelerators,
        boot_disk_size_gb=preset.disk_gb,
        strategy=preset.provisioning,
        restart_job_on_worker_restart=preset.provisioning == "SPOT",
        timeout=f"{preset.timeout_seconds}s",
        max_wait_duration=f"{preset.max_wait_seconds}s",  # the launcher leaves it out where it does not apply
        service_account="{{$.pipeline_service_account}}",
        network="{{$.pipeline_network}}",
        labels={"pagemill-pipeline": placement.pipeline, "pagemill-preset": preset.name},
    )


def _use_pod(task: dsl.PipelineTask, placement: Placement, cpus: int, memory_gib: int) -> None:
    """Ask for as much as may be used, so that a pod is neither throttled nor evicted for its neighbours."""
    from kfp import kubernetes

    task.set_cpu_request(str(cpus)).set_cpu_limit(str(cpus))
    task.set_memory_request(f"{memory_gib}Gi").set_memory_limit(f"{memory_gib}Gi")
    kubernetes.set_image_pull_policy(task, "IfNotPresent")
    kubernetes.add_pod_label(task, "pagemill/pipeline", placement.pipeline)
    kubernetes.add_pod_label(task, "pagemill/preset", placement.preset.name)


def _use_secrets(task: dsl.PipelineTask, names: list[str]) -> None:
    from kfp import kubernetes

    if names:
        kubernetes.use_secret_as_env(task, SECRET, {name: name for name in names}, optional=True)


def _use_gpu_node(task: dsl.PipelineTask, preset: Preset) -> None:
    from kfp import kubernetes

    task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(preset.accelerators)
    labels = {"cloud.google.com/gke-accelerator": preset.accelerator, **_GKE_NODES[preset.provisioning]}
    for key, value in labels.items():
        kubernetes.add_node_selector(task, key, value)
    kubernetes.add_toleration(task, key="nvidia.com/gpu", operator="Exists", effect="NoSchedule")
    for key, value in _GKE_NODES[preset.provisioning].items():
        kubernetes.add_toleration(task, key=key, operator="Equal", value=value, effect="NoSchedule")
    size = f"{preset.shared_memory_gib}Gi"
    kubernetes.empty_dir_mount(task, "shm", "/dev/shm", medium="Memory", size_limit=size)  # noqa: S108
    if preset.queue:
        kubernetes.add_pod_label(task, "kueue.x-k8s.io/queue-name", preset.queue)
