"""The Nougat server onto an endpoint of Vertex AI, and off it again."""

from typing import Any

from kfp import dsl

from pagemill.components import images
from pagemill.components.check_endpoint import check_endpoint
from pagemill.components.locate_model import locate_model
from pagemill.pipelines.placing import VERTEX_ACCELERATORS, Placement
from pagemill.presets import Preset

DEPLOY, UNDEPLOY = "deploy-nougat", "undeploy-nougat"
PORT, PREDICT_ROUTE, HEALTH_ROUTE = 8080, "/predict", "/health"
START_LIMIT = "1800s"  # for the image, the checkpoint and the first page
SERVER = ["python3", "/opt/pagemill/app.py"]  # the other entry point of the image, whose own is the worker's


def deploy_nougat(preset: Preset, ocr: str = "") -> Any:
    """Make the pipeline that deploys.

    Args:
        preset: The machine of a replica; its provisioning does not apply to endpoints.
        ocr: Of no meaning here; every pipeline is made of a preset and a way of OCR.
    """
    from google_cloud_pipeline_components.v1.endpoint import EndpointCreateOp, ModelDeployOp
    from google_cloud_pipeline_components.v1.model import ModelUploadOp

    placement = Placement(preset, DEPLOY)
    labels = {"pagemill-pipeline": DEPLOY, "pagemill-preset": preset.name}

    @dsl.pipeline(name=DEPLOY, description="The Nougat server onto an endpoint of Vertex AI.")
    def pipeline(
        checkpoint: str,
        location: str = "us-central1",
        display_name: str = "pagemill-nougat",
        service_account: str = "",
        min_replicas: int = 1,
        max_replicas: int = 1,
        languages: str = ",",
        patience_seconds: float = 600.0,
    ) -> None:
        """Upload the model, create an endpoint, deploy the one on the other, and have it read a page.

        Args:
            checkpoint: `gs://` folder of the Nougat weights.
            location: Region of the model and the endpoint.
            display_name: Of both.
            service_account: What the server runs as: it fetches PDFs, so it has to be let into their bucket.
            min_replicas: Machines at any time, 1 at least; each costs until the model is undeployed.
            max_replicas: Machines when there is much to read.
            languages: Pages that are surely in no language of this list (`en,de`) are skipped; a lone comma for any.
            patience_seconds: How long the endpoint may be out of reach when it is checked.
        """
        uploaded = ModelUploadOp(
            display_name=display_name,
            location=location,
            unmanaged_container_model=_container(preset, checkpoint, languages),
            labels=labels,
        )
        created = EndpointCreateOp(display_name=display_name, location=location, labels=labels)
        deployed = ModelDeployOp(
            model=uploaded.outputs["model"],
            endpoint=created.outputs["endpoint"],
            deployed_model_display_name=display_name,
            traffic_split={"0": "100"},
            dedicated_resources_machine_type=preset.machine,
            dedicated_resources_accelerator_type=VERTEX_ACCELERATORS[preset.accelerator],
            dedicated_resources_accelerator_count=preset.accelerators,
            dedicated_resources_min_replica_count=min_replicas,
            dedicated_resources_max_replica_count=max_replicas,
            service_account=service_account,
        )
        check = check_endpoint(endpoint=created.outputs["endpoint"], patience_seconds=patience_seconds).after(deployed)
        placement.cpu_task(check, retries=1)
        for task in (uploaded, created, deployed, check):
            task.set_caching_options(False)  # what an earlier run made may have been taken down

    return pipeline


def undeploy_nougat(preset: Preset, ocr: str = "") -> Any:
    """Make the pipeline that takes the server off again.

    Args:
        preset: Where the task runs that looks at the names.
        ocr: Of no meaning here.
    """
    from google_cloud_pipeline_components.types.artifact_types import VertexEndpoint, VertexModel
    from google_cloud_pipeline_components.v1.endpoint import EndpointDeleteOp, ModelUndeployOp
    from google_cloud_pipeline_components.v1.model import ModelDeleteOp

    placement = Placement(preset, UNDEPLOY)

    @dsl.pipeline(name=UNDEPLOY, description="The Nougat server off its endpoint of Vertex AI.")
    def pipeline(endpoint: str, model: str, delete_model: bool = False) -> None:
        """Undeploy the model, delete the endpoint, and the model where that is asked for.

        Args:
            endpoint: `projects/<project>/locations/<region>/endpoints/<number>`.
            model: `projects/<project>/locations/<region>/models/<number>`, with `@<version>` if need be.
            delete_model: Whether the model is deleted with all its versions.
        """
        uris = placement.cpu_task(locate_model(endpoint=endpoint, model=model)).outputs
        served = _imported(uris["model_uri"], VertexModel, model)
        serving = _imported(uris["endpoint_uri"], VertexEndpoint, endpoint)
        undeployed = ModelUndeployOp(model=served, endpoint=serving).set_caching_options(False)
        EndpointDeleteOp(endpoint=serving).after(undeployed).set_caching_options(False)
        with dsl.If(delete_model == True, name="delete-model"):  # noqa: E712  # kfp records the comparison
            ModelDeleteOp(model=served).after(undeployed).set_caching_options(False)

    return pipeline


def _container(preset: Preset, checkpoint: str, languages: str) -> Any:
    """Return the server's image and how Vertex AI is to run it; the checkpoint's folder becomes AIP_STORAGE_URI."""
    from google_cloud_pipeline_components.types.artifact_types import UnmanagedContainerModel

    variables = {"PAGEMILL_INSTANCES_PER_GPU": str(preset.instances_per_gpu), "PAGEMILL_LANGUAGES": languages}
    specification = {
        "imageUri": images.NOUGAT,
        "command": SERVER,
        "ports": [{"containerPort": PORT}],
        "predictRoute": PREDICT_ROUTE,
        "healthRoute": HEALTH_ROUTE,
        "env": [{"name": name, "value": value} for name, value in variables.items()],
        "deploymentTimeout": START_LIMIT,
    }
    return dsl.importer(
        artifact_uri=checkpoint,
        artifact_class=UnmanagedContainerModel,
        reimport=True,  # the same checkpoint may be served by another image
        metadata={"containerSpec": specification},
    ).output


def _imported(uri: Any, kind: type, name: str) -> Any:
    return dsl.importer(artifact_uri=uri, artifact_class=kind, metadata={"resourceName": name}).output
