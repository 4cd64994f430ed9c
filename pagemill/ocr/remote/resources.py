"""Names of what Vertex AI holds: endpoints and models."""

import dataclasses
import re

from pagemill.errors import UserError


@dataclasses.dataclass(frozen=True, slots=True)
class Resource:
    """Something that Vertex AI holds, by name."""

    name: str
    location: str

    @property
    def uri(self) -> str:
        """Its address in Vertex AI's API."""
        return f"https://{self.location}-aiplatform.googleapis.com/v1/{self.name}"


def find_resource(name: str, collection: str) -> Resource | None:
    """Return the resource of a name; None for what is no name of this collection (endpoints, models)."""
    pattern = rf"projects/[^/]+/locations/(?P<location>[a-z0-9-]+)/{collection}/[\w-]+(@[\w-]+)?"
    found = re.fullmatch(pattern, name)
    return Resource(name, found["location"]) if found else None


def endpoint_resource(name: str) -> Resource:
    """Return the endpoint of a name; raises UserError for another name."""
    return _resource(name, "endpoints", "endpoint")


def model_resource(name: str) -> Resource:
    """Return the model of a name, which may end with the version; raises UserError for another name."""
    return _resource(name, "models", "model")


def _resource(name: str, collection: str, kind: str) -> Resource:
    if (resource := find_resource(name, collection)) is None:
        mend = f"give projects/<project>/locations/<region>/{collection}/<number>"
        raise UserError(f"{kind} {name}", f"is no {kind} of Vertex AI", mend)
    return resource
