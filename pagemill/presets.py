"""What a pipeline runs on: one table of machines, from which pipelines are compiled and costs are estimated."""

import dataclasses

from pagemill.errors import UserError

SECRET = "pagemill"  # the Kubernetes secret whose keys become variables of the same names in the tasks that need them
GPU_TASKS = ("recognize-pages", "model-batch-predict")  # run on the preset's machine; the others need a CPU only


@dataclasses.dataclass(frozen=True, slots=True)
class Preset:
    """A row of the table.

    Machines and accelerators have Google Cloud's names: a machine type brings its GPUs and memory along. `provisioning`
    is what they are called on Vertex AI: STANDARD, SPOT (may be taken away, then the task goes on elsewhere) or
    FLEX_START (waits for machines).
    """

    name: str
    backend: str  # local, vertex, kfp
    machine: str = ""  # of the task that reads pages
    accelerator: str = ""  # as Compute Engine names it
    accelerators: int = 0  # on one machine
    cpus: int = 0  # that the task asks for; a little less than the machine has, on GKE
    memory_gib: int = 0
    disk_gb: int = 0
    shared_memory_gib: int = 0  # /dev/shm, for workers that hand pages to one another; on GKE a part of memory_gib
    provisioning: str = "STANDARD"
    timeout_seconds: int = 7 * 86_400  # on Vertex AI: of one shard, restarts included
    max_wait_seconds: int = 86_400  # on Vertex AI with FLEX_START: until there is a machine
    queue: str = ""  # on GKE: the Kueue queue that GPUs are asked of
    parallelism: int = 0  # shards at a time; 0 for no limit
    max_shards: int = 100
    batch_size: int = 0  # pages; 0 chooses by device and memory
    instances_per_gpu: int = 1
    cpu_task_cpus: int = 0  # of each other task; 0 leaves it to the backend
    cpu_task_memory_gib: int = 0


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("local", "local"),
        Preset(
            "vertex-a100-40",
            "vertex",
            machine="a2-highgpu-1g",
            accelerator="nvidia-tesla-a100",
            accelerators=1,
            cpus=12,
            memory_gib=85,
            disk_gb=500,
            provisioning="SPOT",
            parallelism=8,
            instances_per_gpu=2,
            cpu_task_cpus=4,
            cpu_task_memory_gib=16,
        ),
        Preset(
            "vertex-a100-80",
            "vertex",
            machine="a2-ultragpu-1g",
            accelerator="nvidia-a100-80gb",
            accelerators=1,
            cpus=12,
            memory_gib=170,
            disk_gb=500,
            provisioning="SPOT",
            parallelism=8,
            instances_per_gpu=4,
            cpu_task_cpus=4,
            cpu_task_memory_gib=16,
        ),
        Preset(
            "vertex-2xa100",
            "vertex",
            machine="a2-highgpu-2g",
            accelerator="nvidia-tesla-a100",
            accelerators=2,
            cpus=24,
            memory_gib=170,
            disk_gb=1000,
            parallelism=4,
            instances_per_gpu=2,
            cpu_task_cpus=4,
            cpu_task_memory_gib=16,
        ),
        Preset(
            "gke-a100",
            "kfp",
            machine="a2-highgpu-1g",
            accelerator="nvidia-tesla-a100",
            accelerators=1,
            cpus=11,
            memory_gib=72,
            disk_gb=500,
            shared_memory_gib=16,
            provisioning="SPOT",
            queue="pagemill",
            parallelism=8,
            instances_per_gpu=2,
            cpu_task_cpus=4,
            cpu_task_memory_gib=16,
        ),
    )
}

DEFAULTS = {"local": "local", "vertex": "vertex-a100-40", "kfp": "gke-a100"}  # what compiled/ holds, by backend


def preset_named(name: str) -> Preset:
    """Return a row of the table; raises UserError when there is none of that name."""
    if name not in PRESETS:
        raise UserError(f"preset {name}", "is not known", f"give one of {', '.join(PRESETS)}")
    return PRESETS[name]
