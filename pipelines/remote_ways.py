"""Ways of OCR by machines that the pipeline does not hold: those of an endpoint, or of a job of batch prediction."""

from typing import Any

from kfp import dsl

from pagemill.components.collect_predictions import collect_predictions
from pagemill.components.predict_pages import predict_pages
from pagemill.components.write_instances import write_instances
from pagemill.errors import UserError
from pagemill.pipelines.placing import VERTEX_ACCELERATORS, Placement

INSTANCES_PER_REQUEST = 16  # that a job sends its model at a time; with 8 pages each well below what the server takes


def read_by_endpoint(  # noqa: D417  # what a way alone has is described, for the pipeline's own description
    pdfs: Any,
    placement: Placement,
    *,
    endpoint: str,
    pages_per_request: int = 4,
    concurrency: int = 16,
    **parameters: Any,
) -> Any:
    """Read pages through an endpoint of Vertex AI, or a server at a URL.

    Args:
        endpoint: `projects/<project>/locations/<region>/endpoints/<number>`, or the URL of a server.
        pages_per_request: At most; Vertex AI allows a request 60 seconds.
        concurrency: Requests at once, of each shard.
    """
    task = predict_pages(
        pdfs=pdfs,
        endpoint=endpoint,
        pages_per_request=pages_per_request,
        concurrency=concurrency,
        **_those_of(predict_pages, parameters),
    )
    return placement.cpu_task(task).outputs["pages"]


def read_by_batch_prediction(  # noqa: D417
    pdfs: Any, placement: Placement, *, model: str, max_replicas: int = 1, **parameters: Any
) -> Any:
    """Read pages by a job of Vertex AI's batch prediction for each shard.

    Args:
        model: `projects/<project>/locations/<region>/models/<number>`, with `@<version>` if need be.
        max_replicas: Machines of a job, at most.
    """
    if placement.preset.backend != "vertex":
        mend = "choose another way, or a preset of vertex"
        raise UserError("OCR batch-prediction", f"does not run on {placement.preset.backend}", mend)
    instances = placement.cpu_task(
        write_instances(pdfs=pdfs, model=model, **_those_of(write_instances, parameters))
    ).outputs
    job = _job(instances, model, max_replicas, placement)
    task = collect_predictions(
        pdfs=pdfs,
        predictions=job.outputs["gcs_output_directory"],
        **_those_of(collect_predictions, parameters),
    )
    return placement.cpu_task(task).outputs["pages"]


def _job(instances: Any, model: str, max_replicas: int, placement: Placement) -> dsl.PipelineTask:
    from google_cloud_pipeline_components.types.artifact_types import VertexModel
    from google_cloud_pipeline_components.v1.batch_predict_job import ModelBatchPredictOp

    preset = placement.preset
    # An address made of a parameter by an f-string would be compiled to a constant that names the parameter.
    found = dsl.importer(
        artifact_uri=instances["model_uri"], artifact_class=VertexModel, metadata={"resourceName": model}
    )
    return ModelBatchPredictOp(
        job_display_name=f"{placement.pipeline}-pages",
        model=found.output,
        location=instances["location"],
        instances_format="jsonl",
        predictions_format="jsonl",
        gcs_source_uris=instances["uris"],
        gcs_destination_output_uri_prefix=instances["destination"],
        machine_type=preset.machine,
        accelerator_type=VERTEX_ACCELERATORS[preset.accelerator],
        accelerator_count=preset.accelerators,
        starting_replica_count=1,
        max_replica_count=max_replicas,
        manual_batch_tuning_parameters_batch_size=INSTANCES_PER_REQUEST,
        service_account="{{$.pipeline_service_account}}",
        labels={"pagemill-pipeline": placement.pipeline, "pagemill-preset": preset.name},
    )


def _those_of(component: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return those of the parameters of reading that a component takes."""
    return {name: value for name, value in parameters.items() if name in component.component_spec.inputs}
