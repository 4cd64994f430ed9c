"""All clouds at once on this machine: Vertex AI, Kubeflow Pipelines, Google's other APIs and Cloud Storage."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from pagemill.components import images
from tests.google_cloud import GoogleCloud
from tests.google_server import google_server
from tests.kfp_server import running_kfp
from tests.kfp_service import Kfp
from tests.servers import gcs_server
from tests.vertex_server import running_vertex
from tests.vertex_service import Vertex

SAMPLE = Path(__file__).parents[1] / "demo" / "samples" / "science-rar4.rar"
REGISTRY = "us-central1-docker.pkg.dev/books-project/pagemill"
SECRET = "projects/books-project/secrets/hf-token"


@dataclasses.dataclass(frozen=True)
class Clouds:
    """The servers, and the variables by which pagemill finds them."""

    vertex: Vertex
    kfp: Kfp
    google: GoogleCloud
    variables: Mapping[str, str]


@contextlib.contextmanager
def running_clouds() -> Iterator[Clouds]:
    """Run a project in which all is there that a run needs, with an archive at gs://books/books; set the variables."""
    with running_vertex() as vertex, running_kfp() as kfp, google_server() as google, gcs_server() as storage:
        google.images |= {images.reference(name, REGISTRY) for name in images.NAMES}
        google.quotas = dict.fromkeys(google.quotas, 8)
        google.add_secret("hf-token", b"hf_hush")
        variables = {
            "PAGEMILL_BUCKET": "gs://books",
            "PAGEMILL_HF_TOKEN": f"secret:{SECRET}",
            "PAGEMILL_VERTEX__PROJECT": google.project,
            "PAGEMILL_VERTEX__SERVICE_ACCOUNT": google.account,
            "PAGEMILL_VERTEX__ENDPOINT": vertex.endpoint,
            "PAGEMILL_KFP__HOST": kfp.endpoint,
            "PAGEMILL_IMAGES__REGISTRY": REGISTRY,
            "PAGEMILL_GOOGLE_APIS": google.address,
            "STORAGE_EMULATOR_HOST": storage,
        }
        _fill_bucket(storage)
        before = dict(os.environ)
        os.environ.update(variables)
        try:
            yield Clouds(vertex, kfp, google, variables)
        finally:
            os.environ.clear()
            os.environ.update(before)


def _fill_bucket(storage: str) -> None:
    import pagemill.storage  # noqa: F401  # sets gcsfs up, which has to happen before it is imported

    import gcsfs  # isort: skip

    bucket = gcsfs.GCSFileSystem(endpoint_url=storage, token="anon", project="books", skip_instance_cache=True)
    bucket.mkdir("books")
    bucket.put_file(str(SAMPLE), f"books/books/{SAMPLE.name}")
