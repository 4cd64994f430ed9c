"""The pipelines that deploy the server and take it off, and the ways of OCR that use it, compiled for Vertex AI."""

import json
import re

import pytest
from google.cloud.aiplatform_v1.types import BatchPredictionJob, DeployModelRequest, Model
from google.protobuf import json_format
from google_cloud_pipeline_components.container.v1.gcp_launcher.utils.json_util import recursive_remove_empty
from google_cloud_pipeline_components.container.v1.model.upload_model import remote_runner
from kfp import compiler

from pagemill.cloud.spec import read_documents
from pagemill.components import images
from pagemill.errors import UserError
from pagemill.ocr.serving.settings import Settings
from pagemill.pipelines.book_dataset import book_dataset
from pagemill.pipelines.deploy_nougat import deploy_nougat, undeploy_nougat
from pagemill.pipelines.remote_ways import INSTANCES_PER_REQUEST
from pagemill.presets import PRESETS

TWO_A100 = PRESETS["vertex-2xa100"]
MACHINE = {"machine_type": "a2-highgpu-2g", "accelerator_type": "NVIDIA_TESLA_A100", "accelerator_count": 2}

# pipeline: {task: (tasks it waits for, cached)}
TASKS = {
    "deploy": {
        "importer": (set(), True),
        "model-upload": ({"importer"}, False),
        "endpoint-create": (set(), False),
        "model-deploy": ({"endpoint-create", "model-upload"}, False),
        "check-endpoint": ({"endpoint-create", "model-deploy"}, False),
    },
    "undeploy": {
        "locate-model": (set(), True),
        "importer": ({"locate-model"}, True),
        "importer-2": ({"locate-model"}, True),
        "model-undeploy": ({"importer", "importer-2"}, False),
        "endpoint-delete": ({"importer-2", "model-undeploy"}, False),
        "condition-1": ({"importer", "model-undeploy"}, False),
    },
    "batch-prediction": {
        "write-instances": ({"inspect-pdfs"}, True),
        "importer": ({"write-instances"}, True),
        "model-batch-predict": ({"importer", "write-instances"}, True),
        "collect-predictions": ({"inspect-pdfs", "model-batch-predict"}, True),
        "clean-documents": ({"collect-predictions"}, True),
    },
    "endpoint": {"predict-pages": ({"inspect-pdfs"}, True), "clean-documents": ({"predict-pages"}, True)},
}


@pytest.fixture(scope="module")
def specs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compiled")
    pipelines = {
        "deploy": deploy_nougat(TWO_A100),
        "undeploy": undeploy_nougat(TWO_A100),
        "batch-prediction": book_dataset(TWO_A100, "batch-prediction"),
        "endpoint": book_dataset(TWO_A100, "endpoint"),
    }
    found = {}
    for name, pipeline in pipelines.items():
        compiler.Compiler().compile(pipeline, str(folder / f"{name}.yaml"))
        (found[name],) = read_documents(folder / f"{name}.yaml")  # one document: Vertex takes no more
    return found


def tasks(spec) -> dict:
    """The tasks of a pipeline, or of its loop over shards where it has one."""
    where = spec["components"].get("comp-for-loop-2", spec["root"])
    return where["dag"]["tasks"]


def constants(task) -> dict:
    inputs = task["inputs"]["parameters"].items()
    return {name: each["runtimeValue"]["constant"] for name, each in inputs if "runtimeValue" in each}


def importers(spec) -> list[dict]:
    return [each["importer"] for each in spec["deploymentSpec"]["executors"].values() if "importer" in each]


@pytest.mark.parametrize("pipeline", TASKS)
def test_each_task_waits_for_what_it_needs_and_is_cached_where_that_is_right(specs, pipeline):
    found = tasks(specs[pipeline])
    for name, (waits_for, cached) in TASKS[pipeline].items():
        assert set(found[name].get("dependentTasks", [])) == waits_for, name
        if not name.startswith("condition"):
            assert found[name]["cachingOptions"].get("enableCache", False) is cached, name


def test_no_task_is_missing_from_the_table(specs):
    for pipeline in ("deploy", "undeploy"):
        assert tasks(specs[pipeline]).keys() == TASKS[pipeline].keys()


def test_the_model_is_deployed_on_two_a100_and_gets_all_requests(specs):
    task = tasks(specs["deploy"])["model-deploy"]
    assert constants(task) == {
        **{f"dedicated_resources_{name}": value for name, value in MACHINE.items()},
        "traffic_split": {"0": "100"},
    }
    given = {name: each.get("componentInputParameter") for name, each in task["inputs"]["parameters"].items()}
    assert given["dedicated_resources_min_replica_count"] == "min_replicas"
    assert given["dedicated_resources_max_replica_count"] == "max_replicas"


def test_the_model_that_vertex_is_given_is_the_server_with_its_checkpoint(specs):
    (container,) = importers(specs["deploy"])
    metadata = json.loads(json.dumps(container["metadata"]).replace("{{$.inputs.parameters['metadata']}}", "en,"))
    artifact = {"uri": "gs://mill/nougat", "metadata": metadata}
    executor_input = {"inputs": {"artifacts": {"unmanaged_container_model": {"artifacts": [artifact]}}}}

    payload = remote_runner.append_unmanaged_model_artifact_into_payload(json.dumps(executor_input), {})
    model = json_format.ParseDict(recursive_remove_empty(payload), Model.pb(Model()))

    spec = model.container_spec
    assert (spec.image_uri, model.artifact_uri) == (images.NOUGAT, "gs://mill/nougat")
    assert (spec.predict_route, spec.health_route) == ("/predict", "/health")
    assert [port.container_port for port in spec.ports] == [8080]
    assert spec.deployment_timeout.seconds == 1800
    variables = {each.name: each.value for each in spec.env}
    settings = Settings.from_environment({**variables, "AIP_STORAGE_URI": model.artifact_uri})
    assert (settings.instances_per_gpu, settings.languages) == (TWO_A100.instances_per_gpu, ("en",))
    assert container["artifactUri"] == {"runtimeParameter": "uri"}
    assert container["reimport"] is True


def test_any_language_is_what_a_lone_comma_stands_for(specs):
    default = specs["deploy"]["root"]["inputDefinitions"]["parameters"]["languages"]["defaultValue"]
    assert Settings.from_environment({"PAGEMILL_LANGUAGES": default, "PAGEMILL_CHECKPOINT": "x"}).languages == ()


def test_the_model_itself_is_deleted_only_where_that_is_asked_for(specs):
    spec = specs["undeploy"]
    condition = tasks(spec)["condition-1"]
    assert condition["triggerPolicy"]["condition"] == (
        "inputs.parameter_values['pipelinechannel--delete_model'] == true"
    )
    inside = spec["components"]["comp-condition-1"]["dag"]["tasks"]
    assert inside.keys() == {"model-delete"}
    assert spec["root"]["inputDefinitions"]["parameters"]["delete_model"]["defaultValue"] is False


def test_a_job_of_batch_prediction_is_made_of_what_write_instances_returns(specs):
    task = tasks(specs["batch-prediction"])["model-batch-predict"]
    returned = {
        name: each["taskOutputParameter"]["outputParameterKey"]
        for name, each in task["inputs"]["parameters"].items()
        if "taskOutputParameter" in each
    }
    assert returned == {
        "gcs_source_uris": "uris",
        "gcs_destination_output_uri_prefix": "destination",
        "location": "location",
    }
    known = constants(task)
    assert known.items() >= MACHINE.items()
    assert (known["instances_format"], known["predictions_format"]) == ("jsonl", "jsonl")
    assert known["manual_batch_tuning_parameters_batch_size"] == INSTANCES_PER_REQUEST
    assert task["inputs"]["artifacts"]["model"]["taskOutputArtifact"]["producerTask"].startswith("importer")


def test_a_request_of_a_job_is_never_more_than_the_server_takes():
    from pagemill.components.write_instances import write_instances

    pages = write_instances.component_spec.inputs["pages_per_instance"].default * INSTANCES_PER_REQUEST
    assert pages <= Settings().max_request_pages // 4


def test_no_importer_has_an_address_with_a_name_that_was_not_replaced(specs):
    for spec in specs.values():
        for importer in importers(spec):
            assert "runtimeParameter" in importer["artifactUri"]
            assert "channel:" not in json.dumps(importer)


def test_what_a_way_needs_is_a_parameter_of_the_pipeline(specs):
    for way, names in {
        "batch-prediction": {"model", "max_replicas"},
        "endpoint": {"endpoint", "pages_per_request", "concurrency"},
    }.items():
        known = specs[way]["root"]["inputDefinitions"]["parameters"]
        assert known.keys() >= names
        assert all(known[name]["description"] for name in names)


def test_batch_prediction_runs_on_vertex_alone():
    with pytest.raises(UserError, match="OCR batch-prediction: does not run on kfp"):
        book_dataset(PRESETS["gke-a100"], "batch-prediction")


@pytest.mark.parametrize("component", ["predict_pages", "write_instances", "collect_predictions"])
def test_a_components_defaults_are_those_of_the_library(component):
    import importlib
    import inspect

    from pagemill.ocr import remote

    declared = getattr(importlib.import_module(f"pagemill.components.{component}"), component).component_spec.inputs
    for name, parameter in inspect.signature(getattr(remote, component)).parameters.items():
        if parameter.default is not parameter.empty and name in declared:
            assert declared[name].default == parameter.default, name


PARAMETER = re.compile(r"\{\{\$\.inputs\.parameters\['(\w+)'\]\}\}")
RESOURCE = re.compile(r"\{\{\$\.inputs\.artifacts\['(\w+)'\]\.metadata\['resourceName'\]\}\}")


def payload_of(spec, task, given: dict, resources: dict[str, str]) -> dict:
    """The request that a task of Google's components makes, of what the pipeline hands it."""
    component = spec["components"][task["componentRef"]["name"]]
    inputs = component["inputDefinitions"]["parameters"].items()
    values = {name: each["defaultValue"] for name, each in inputs if "defaultValue" in each} | constants(task) | given
    arguments = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]["args"]
    payload = json.loads(arguments[arguments.index("--payload") + 1])
    text = _filled_in(payload, values, given.keys() | constants(task).keys() | resources.keys())
    return recursive_remove_empty(json.loads(RESOURCE.sub(lambda found: resources[found[1]], text)))


def _filled_in(part, values: dict, present: set) -> str:
    if isinstance(part, str):
        return PARAMETER.sub(lambda found: _as_text(values[found[1]]), part)
    if "Concat" in part:
        return "".join(_filled_in(each, values, present) for each in part["Concat"])
    condition = part["IfPresent"]
    return _filled_in(condition["Then"], values, present) if condition["InputName"] in present else ""


def _as_text(value) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)


def test_the_job_that_vertex_is_given_reads_jsonl_on_two_a100(specs):
    spec, model = specs["batch-prediction"], "projects/p/locations/europe-west4/models/3@1"
    uris, destination = ["gs://mill/predictions/a/instances.jsonl"], "gs://mill/predictions/a"
    given = {"gcs_source_uris": uris, "gcs_destination_output_uri_prefix": destination, "max_replica_count": 2}

    payload = payload_of(spec, tasks(spec)["model-batch-predict"], given, {"model": model})
    job = json_format.ParseDict(payload, BatchPredictionJob.pb(BatchPredictionJob()))

    assert job.model == model
    assert (job.input_config.instances_format, job.output_config.predictions_format) == ("jsonl", "jsonl")
    assert list(job.input_config.gcs_source.uris) == uris
    assert job.output_config.gcs_destination.output_uri_prefix == destination
    machines = job.dedicated_resources
    assert json_format.MessageToDict(machines.machine_spec, preserving_proto_field_name=True) == MACHINE
    assert (machines.starting_replica_count, machines.max_replica_count) == (1, 2)
    assert job.manual_batch_tuning_parameters.batch_size == INSTANCES_PER_REQUEST
    assert job.labels["pagemill-preset"] == TWO_A100.name


def test_the_deployment_that_vertex_is_given_has_replicas_of_two_a100(specs):
    spec, endpoint = specs["deploy"], "projects/p/locations/europe-west4/endpoints/7"
    given = {
        "deployed_model_display_name": "nougat",
        "dedicated_resources_min_replica_count": 1,
        "dedicated_resources_max_replica_count": 3,
        "service_account": "mill@p.iam.gserviceaccount.com",
    }
    resources = {"endpoint": endpoint, "model": "projects/p/locations/europe-west4/models/3@1"}

    payload = payload_of(spec, tasks(spec)["model-deploy"], given, resources)
    request = json_format.ParseDict(payload, DeployModelRequest.pb(DeployModelRequest()))

    deployed = request.deployed_model
    assert (request.endpoint, deployed.model) == (endpoint, resources["model"])
    assert dict(request.traffic_split) == {"0": 100}
    machines = json_format.MessageToDict(deployed.dedicated_resources, preserving_proto_field_name=True)
    assert machines == {"machine_spec": MACHINE, "min_replica_count": 1, "max_replica_count": 3}
    assert deployed.service_account == given["service_account"]
