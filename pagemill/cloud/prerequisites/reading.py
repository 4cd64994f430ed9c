"""Whether the endpoint or the model of Vertex AI that reads the pages is there."""

from collections.abc import Iterator

from pagemill.cloud.prerequisites.findings import Finding, failed, ok, refused
from pagemill.cloud.prerequisites.needs import Needs
from pagemill.google_apis import GoogleError
from pagemill.ocr.remote.resources import Resource, find_resource

KINDS = {"endpoint": ("endpoint", "endpoints"), "batch-prediction": ("model", "models")}  # by way of OCR
DEPLOY = "`pagemill submit deploy-nougat` makes one"


def check_reader(needs: Needs) -> Iterator[Finding]:
    """Look whether the endpoint has a model, or the model is there; a server at a URL is not asked."""
    kind, collection = KINDS.get(needs.ocr, ("", ""))
    if kind and (resource := find_resource(str(needs.parameters.get(kind, "")), collection)):
        yield _about(needs, resource, kind)


def _about(needs: Needs, resource: Resource, kind: str) -> Finding:
    subject = f"{kind} {resource.name}"
    try:
        found = needs.apis.get(resource.uri)
    except GoogleError as error:
        return failed(subject, "is not there", DEPLOY) if error.status == 404 else refused(subject, error)
    if kind == "endpoint" and not found.get("deployedModels"):
        return failed(subject, "has no model", DEPLOY)
    return ok(subject, "is there")
