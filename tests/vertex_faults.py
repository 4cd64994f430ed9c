"""What can go wrong with requests to the local Vertex AI, in the words of the real one."""

import dataclasses

from tests.servers import Fault
from tests.vertex_checks import Refusal


@dataclasses.dataclass(kw_only=True)
class Refused(Fault):
    """A refusal of the next requests; None closes the connection without an answer."""

    refusal: Refusal | None


FAULTS = {
    "quota": Refusal(
        429,
        "RESOURCE_EXHAUSTED",
        "The following quota metrics exceed quota limits: "
        "aiplatform.googleapis.com/custom_model_training_preemptible_nvidia_a100_gpus",
    ),
    "rate": Refusal(
        429,
        "RESOURCE_EXHAUSTED",
        "Quota exceeded for quota metric 'Resource management (CRUD) requests' and limit 'Resource management (CRUD) "
        "requests per minute per region' of service 'aiplatform.googleapis.com' for consumer 'project_number:123'.",
        "RATE_LIMIT_EXCEEDED",
    ),
    "unavailable": Refusal(503, "UNAVAILABLE", "The service is currently unavailable."),
    "internal": Refusal(500, "INTERNAL", "Internal error encountered."),
    "unauthenticated": Refusal(401, "UNAUTHENTICATED", "Request had invalid authentication credentials."),
    "forbidden": Refusal(
        403,
        "PERMISSION_DENIED",
        "Permission 'aiplatform.pipelineJobs.create' denied on resource "
        "'//aiplatform.googleapis.com/projects/p/locations/us-central1' (or it may not exist).",
        "IAM_PERMISSION_DENIED",
    ),
    "disabled": Refusal(
        403,
        "PERMISSION_DENIED",
        "Vertex AI API has not been used in project 123 before or it is disabled. Enable it, then retry.",
        "SERVICE_DISABLED",
    ),
    "act-as": Refusal(
        403,
        "PERMISSION_DENIED",
        "You do not have permission to act as service_account: runner@p.iam.gserviceaccount.com.",
    ),
    "bucket": Refusal(
        400,
        "FAILED_PRECONDITION",
        "Failed to create pipeline job. Error: Service account `runner@p.iam.gserviceaccount.com` does not have "
        "`[storage.objects.get, storage.objects.create]` IAM permission(s) to the bucket `b`.",
    ),
}
