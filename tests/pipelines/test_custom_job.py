"""On Vertex AI pages are read by a custom job: on the preset's machine, with the component's own inputs and outputs."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from pagemill.cloud.compiled import template_for
from pagemill.cloud.spec import read_documents
from pagemill.components import images
from pagemill.manifest import Manifest
from pagemill.presets import PRESETS
from pagemill.records import BookRecord
from pagemill.settings import ImageSettings
from pagemill.storage import Store
from tests.light_books import LEAFLET, digest, inspected
from tests.light_engine import ENGINE, FILES

ROOT = Path(__file__).parents[2]
COMPONENT = "comp-recognize-pages"
RUN = {  # what Vertex AI puts in for placeholders of the run
    "{{$.pipeline_service_account}}": "runner@p.iam.gserviceaccount.com",
    "{{$.pipeline_network}}": "projects/1/global/networks/books",
    "{{$.pipeline_persistent_resource_id}}": "",
    "{{$.pipeline_google_cloud_project_id}}": "p",
    "{{$.pipeline_google_cloud_location}}": "us-central1",
}

# preset: (machine, accelerator, how many, disk in GB, provisioning, restarted when a worker is)
MACHINES = {
    "vertex-a100-40": ("a2-highgpu-1g", "NVIDIA_TESLA_A100", 1, 500, "SPOT", True),
    "vertex-a100-80": ("a2-ultragpu-1g", "NVIDIA_A100_80GB", 1, 500, "SPOT", True),
    "vertex-2xa100": ("a2-highgpu-2g", "NVIDIA_TESLA_A100", 2, 1000, "STANDARD", False),
}


def job_of(spec: dict[str, Any], executor_input: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the body that the launcher of the custom job sends, with what Vertex AI puts in for placeholders.

    Numbers are put in as JSON has them, and null for a parameter without a value.
    """
    component = spec["components"][COMPONENT]
    executor = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
    arguments = executor["args"]
    payload = arguments[arguments.index("--payload") + 1]
    for name, each in component["inputDefinitions"]["parameters"].items():
        payload = payload.replace(f"{{{{$.inputs.parameters['{name}']}}}}", _as_text(each.get("defaultValue")))
    for placeholder, value in RUN.items():
        payload = payload.replace(placeholder, value)
    payload = payload.replace("{{$.json_escape[1]}}", json.dumps(json.dumps(executor_input))[1:-1])
    assert "{{$" not in payload
    return json.loads(payload)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(_whole(value))


def _whole(value: Any) -> Any:
    """YAML of KFP writes whole numbers as 1.0, the JSON of protocol buffers as 1."""
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@pytest.mark.parametrize("name", MACHINES)
def test_the_job_has_the_machine_of_the_preset(name, documents):
    from google.cloud.aiplatform_v1.types.custom_job import CustomJob

    job = CustomJob(job_of(documents[name][0]))  # the published message: an unknown field is an error
    (pool,) = job.job_spec.worker_pool_specs
    scheduling = job.job_spec.scheduling
    assert (
        pool.machine_spec.machine_type,
        pool.machine_spec.accelerator_type.name,
        pool.machine_spec.accelerator_count,
        pool.disk_spec.boot_disk_size_gb,
        scheduling.strategy.name,
        scheduling.restart_job_on_worker_restart,
    ) == MACHINES[name]
    assert pool.replica_count == 1
    assert pool.container_spec.image_uri == images.NOUGAT


def test_every_vertex_preset_is_in_the_table():
    assert MACHINES.keys() == {name for name, preset in PRESETS.items() if preset.backend == "vertex"}


def test_the_job_runs_as_the_run_does_and_is_labelled_for_the_bill(documents):
    from google.cloud.aiplatform_v1.types.custom_job import CustomJob

    job = CustomJob(job_of(documents["vertex-a100-40"][0]))
    assert job.job_spec.service_account == RUN["{{$.pipeline_service_account}}"]
    assert job.job_spec.network == RUN["{{$.pipeline_network}}"]
    assert job.job_spec.scheduling.timeout.total_seconds() == PRESETS["vertex-a100-40"].timeout_seconds
    assert dict(job.labels) == {"pagemill-pipeline": "book-dataset", "pagemill-preset": "vertex-a100-40"}


def test_flex_start_waits_for_a_machine_as_long_as_the_preset_says(tmp_path):
    from google.cloud.aiplatform_v1.types.custom_job import CustomJob

    preset = dataclasses.replace(PRESETS["vertex-2xa100"], provisioning="FLEX_START", max_wait_seconds=7200)
    path = template_for("book-dataset", preset, "worker", ImageSettings(), tmp_path)
    scheduling = CustomJob(job_of(read_documents(path)[0])).job_spec.scheduling
    assert scheduling.strategy.name == "FLEX_START"
    assert scheduling.max_wait_duration.total_seconds() == 7200
    assert not scheduling.restart_job_on_worker_restart


def test_the_job_takes_and_gives_what_the_component_does(documents):
    wrapped, bare = (documents[name][0]["components"][COMPONENT] for name in ("vertex-a100-40", "local"))
    for ports, kind in (("inputDefinitions", "artifacts"), ("outputDefinitions", "artifacts")):
        assert _undescribed(wrapped[ports][kind]) == _undescribed(bare[ports][kind])
    parameters = _undescribed(wrapped["inputDefinitions"]["parameters"])
    assert parameters | _undescribed(bare["inputDefinitions"]["parameters"]) == parameters


def _undescribed(ports: dict[str, Any]) -> dict[str, Any]:
    return {name: {key: value for key, value in port.items() if key != "description"} for name, port in ports.items()}


def test_an_artifact_in_a_bucket_is_read_and_written_below_gcs():
    assert dsl.Dataset(uri="gs://books/runs/pdfs").path == "/gcs/books/runs/pdfs"


def test_what_the_job_runs_reads_pages_and_leaves_artifact_and_metadata(documents, tmp_path):
    store = Store(str(tmp_path / "store"))
    inspected(store, LEAFLET).write(tmp_path / "pdfs")
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    job = job_of(documents["vertex-a100-40"][0], _executor_input(tmp_path, store))
    (pool,) = job["job_spec"]["worker_pool_specs"]
    container = pool["container_spec"]
    worker = {"CLUSTER_SPEC": json.dumps({"task": {"type": "workerpool0", "index": 0}})}
    path = {"PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(
        [*container["command"], *container["args"]], check=True, env=os.environ | worker | path, capture_output=True
    )

    (book,) = Manifest.read(tmp_path / "pages", BookRecord).rows
    assert book.pdf_sha256 == digest(LEAFLET)
    told = json.loads((tmp_path / "executor_output.json").read_text())
    (pages,) = told["artifacts"]["pages"]["artifacts"]
    assert pages["metadata"]["stage"] == "recognize_pages"
    assert pages["metadata"]["pages_ok"] == 2


def _executor_input(folder: Path, store: Store) -> dict[str, Any]:
    """What Vertex AI tells a task of its inputs and outputs, with files in the place of gs:// URIs."""
    dataset = {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}

    def artifact(name: str) -> dict[str, Any]:
        return {"artifacts": [{"name": name, "uri": str(folder / name), "type": dataset, "metadata": {}}]}

    return {
        "inputs": {
            "parameterValues": {"store": store.uri, "checkpoint": str(folder), "engine": ENGINE, "workers": 1},
            "artifacts": {"pdfs": artifact("pdfs")},
        },
        "outputs": {
            "artifacts": {"pages": artifact("pages")},
            "outputFile": str(folder / "executor_output.json"),
        },
    }
