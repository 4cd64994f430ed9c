"""Look whether an endpoint reads pages."""

from kfp import dsl
from kfp.dsl import Artifact, Input

from pagemill.components import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def check_endpoint(endpoint: Input[Artifact], patience_seconds: float = 600.0) -> str:
    """Have an endpoint read a page of three lines; fail with one line that says why when it cannot.

    Args:
        endpoint: The endpoint, with its model.
        patience_seconds: How long it may be out of reach.

    Returns:
        Its resource name, as pipelines take it.
    """
    from pagemill.ocr import remote as room

    name = str(endpoint.metadata["resourceName"])
    config = room.check_endpoint(name, patience_seconds=patience_seconds)
    print(f"{name} reads with {config.engine}, {config.checkpoint_name} (sha256 {config.checkpoint_sha256})")
    return name
