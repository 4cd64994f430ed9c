"""What the environment says of the server: Vertex AI's own variables and PAGEMILL_…, checked when it starts."""

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any, Self

from pagemill.errors import UserError

METRICS_ROUTE = "/metrics"
MAX_PORT = 65_535


def _variable(name: str, default: Any, least: float = 0, most: float = sys.maxsize) -> Any:
    """Declare a field that an environment variable sets; numbers are held to what makes sense."""
    metadata = {"variable": name, "default": default, "least": least, "most": most}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """How the server runs; each field is set by the environment variable beside it, an empty one leaves the default.

    The first four are Vertex AI's, which sets them for a custom container. `AIP_STORAGE_URI` is the
    folder of the checkpoint; without it `PAGEMILL_CHECKPOINT` says where the checkpoint is.
    """

    port: int = _variable("AIP_HTTP_PORT", 8080, 1, MAX_PORT)
    health_route: str = _variable("AIP_HEALTH_ROUTE", "/health")
    predict_route: str = _variable("AIP_PREDICT_ROUTE", "/predict")
    storage_uri: str = _variable("AIP_STORAGE_URI", "")
    checkpoint: str = _variable("PAGEMILL_CHECKPOINT", "")
    engine: str = _variable("PAGEMILL_ENGINE", "nougat")
    device: str = _variable("PAGEMILL_DEVICE", "auto")
    precision: str = _variable("PAGEMILL_PRECISION", "auto")
    threads: int = _variable("PAGEMILL_THREADS", 0)
    batch_size: int = _variable("PAGEMILL_BATCH_SIZE", 0)
    render_workers: int = _variable("PAGEMILL_RENDER_WORKERS", 0)  # of each instance
    languages: tuple[str, ...] = _variable("PAGEMILL_LANGUAGES", ())  # read these alone; as lid.176 names them
    page_time_limit_seconds: float = _variable("PAGEMILL_PAGE_TIME_LIMIT_SECONDS", 60.0, 0.1)
    instances_per_gpu: int = _variable("PAGEMILL_INSTANCES_PER_GPU", 1, 1)
    instances: int = _variable("PAGEMILL_INSTANCES", 0)  # in all; 0 for as many a GPU, or one on CPU
    stall_limit_seconds: float = _variable("PAGEMILL_STALL_LIMIT_SECONDS", 300.0, 1)
    max_queued_pages: int = _variable("PAGEMILL_MAX_QUEUED_PAGES", 2_000, 1)  # taken on at once; past it 429
    max_request_pages: int = _variable("PAGEMILL_MAX_REQUEST_PAGES", 1_000, 1)  # past it 413
    max_requests: int = _variable("PAGEMILL_MAX_REQUESTS", 256, 1)  # open at once; past it 429
    max_body_bytes: int = _variable("PAGEMILL_MAX_BODY_BYTES", 32 << 20, 1)  # past it 413
    max_pdf_bytes: int = _variable("PAGEMILL_MAX_PDF_BYTES", 512 << 20, 1)  # of a PDF that is fetched
    fetch_limit_seconds: float = _variable("PAGEMILL_FETCH_LIMIT_SECONDS", 120.0, 0.1)
    uri_schemes: tuple[str, ...] = _variable("PAGEMILL_URI_SCHEMES", ("gs",))
    drain_limit_seconds: float = _variable("PAGEMILL_DRAIN_LIMIT_SECONDS", 300.0)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings.

        Raises:
            UserError: A variable is not what it should be, or no checkpoint is named.
        """
        settings = cls(**{field.name: _value(field, environment) for field in dataclasses.fields(cls)})
        settings._check()
        return settings

    @property
    def checkpoint_spec(self) -> str:
        """Where the checkpoint is, as `resolve_checkpoint` takes it."""
        return self.storage_uri or self.checkpoint

    def _check(self) -> None:
        if not self.checkpoint_spec:
            mend = "give the folder of a checkpoint, its gs:// URI or a release tag"
            raise UserError("AIP_STORAGE_URI and PAGEMILL_CHECKPOINT", "neither is set", mend)
        for name in ("health_route", "predict_route"):
            if not getattr(self, name).startswith("/"):
                raise UserError(f"AIP_{name.upper()}", "is no path", "begin it with a slash")
        if len({self.health_route, self.predict_route, METRICS_ROUTE}) < 3:
            raise UserError(
                "AIP_PREDICT_ROUTE", "is taken", f"choose another than the health route and {METRICS_ROUTE}"
            )
        if self.max_request_pages > self.max_queued_pages:
            reason = f"a request of {self.max_request_pages} pages never fits into {self.max_queued_pages}"
            mend = "raise PAGEMILL_MAX_QUEUED_PAGES or lower PAGEMILL_MAX_REQUEST_PAGES"
            raise UserError("PAGEMILL_MAX_REQUEST_PAGES", reason, mend)


def _value(field: "dataclasses.Field[Any]", environment: Mapping[str, str]) -> Any:
    name, default = field.metadata["variable"], field.metadata["default"]
    text = environment.get(name, "").strip()
    if not text:
        return default
    if isinstance(default, tuple):
        return tuple(filter(None, (part.strip().lower() for part in text.split(","))))
    if isinstance(default, str):
        return text
    kind = "a whole number" if isinstance(default, int) else "a number"
    try:
        value = type(default)(text)
    except ValueError:
        raise UserError(f"{name}={text}", f"is not {kind}", "give one, or leave the variable out") from None
    if not field.metadata["least"] <= value <= field.metadata["most"]:
        raise UserError(f"{name}={text}", "is out of range", f"give {kind} from {field.metadata['least']:g}")
    return value
