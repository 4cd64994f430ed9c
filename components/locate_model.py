"""Look at the names of a model and its endpoint before anything is taken down."""

from typing import NamedTuple

from kfp import dsl

from pagemill.components import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def locate_model(endpoint: str, model: str) -> NamedTuple("Outputs", [("endpoint_uri", str), ("model_uri", str)]):  # type: ignore[valid-type]
    """Return the addresses of an endpoint and a model; fail with one line when a name is none.

    Args:
        endpoint: `projects/<project>/locations/<region>/endpoints/<number>`.
        model: `projects/<project>/locations/<region>/models/<number>`, with `@<version>` if need be.

    Returns:
        endpoint_uri: Address of the endpoint.
        model_uri: Address of the model.
    """
    from pagemill.ocr import remote as room

    return room.endpoint_resource(endpoint).uri, room.model_resource(model).uri
