"""The table of machines is whole: each preset can be compiled for, and each backend has a default."""

import dataclasses

import pytest

from pagemill.errors import UserError
from pagemill.presets import DEFAULTS, PRESETS, Preset, preset_named

GPUS = {"a2-highgpu-1g": 1, "a2-highgpu-2g": 2, "a2-ultragpu-1g": 1}  # of Google Cloud's machine types
MEMORY_GIB = {"a2-highgpu-1g": 85, "a2-highgpu-2g": 170, "a2-ultragpu-1g": 170}
CPUS = {"a2-highgpu-1g": 12, "a2-highgpu-2g": 24, "a2-ultragpu-1g": 12}
CLOUDS = [preset for preset in PRESETS.values() if preset.backend != "local"]


@pytest.mark.parametrize("backend", DEFAULTS)
def test_each_backend_has_a_default_of_its_own(backend: str) -> None:
    assert PRESETS[DEFAULTS[backend]].backend == backend


@pytest.mark.parametrize("preset", PRESETS.values(), ids=str)
def test_a_preset_asks_for_no_more_shards_than_vertex_collects(preset: Preset) -> None:
    assert 1 <= preset.max_shards <= 100
    assert 0 <= preset.parallelism <= preset.max_shards


@pytest.mark.parametrize("preset", CLOUDS, ids=lambda preset: preset.name)
def test_a_machine_has_what_a_task_asks_of_it(preset: Preset) -> None:
    assert preset.accelerators == GPUS[preset.machine]
    assert 0 < preset.cpus <= CPUS[preset.machine]
    assert 0 < preset.memory_gib <= MEMORY_GIB[preset.machine]
    assert preset.machine.startswith("a2-ultragpu") == (preset.accelerator == "nvidia-a100-80gb")
    assert preset.disk_gb > 0
    assert preset.cpu_task_cpus > 0
    assert preset.cpu_task_memory_gib > 0


def test_on_gke_a_pod_leaves_room_for_what_every_node_runs() -> None:
    preset = PRESETS["gke-a100"]
    assert preset.cpus < CPUS[preset.machine]
    assert preset.memory_gib < MEMORY_GIB[preset.machine]
    assert 0 < preset.shared_memory_gib < preset.memory_gib


def test_a_preset_without_cloud_asks_for_nothing() -> None:
    assert dataclasses.asdict(PRESETS["local"]) == dataclasses.asdict(Preset("local", "local"))


def test_an_unknown_preset_is_a_mistake_that_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="preset h100: is not known; give one of local, vertex-a100-40"):
        preset_named("h100")
